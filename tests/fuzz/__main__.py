"""python -m tests.fuzz [--mutations 500] [--formats nifti …] [--seed 0] [--table FILE] [--outcomes]"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz import FORMATS, runner


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=500, help="of each format")
    parser.add_argument("--formats", nargs="*", default=list(FORMATS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", type=Path, help="write the counts to this file, as Markdown")
    parser.add_argument("--outcomes", action="store_true", help="print every distinct outcome")
    options = parser.parse_args()
    reports = []
    for name in options.formats:
        begun = time.perf_counter()
        mutations = importlib.import_module(FORMATS[name]).mutations(name)
        with tempfile.TemporaryDirectory() as scratch:
            report = runner.run(name, mutations, options.mutations, Path(scratch), options.seed)
        reports.append(report)
        seconds = time.perf_counter() - begun
        print(
            f"{name:24} {report.cases:6} cases, {len(report.failures):4} failures, {seconds:6.1f} s",
            flush=True,
        )
        print("".join(f"  {line}\n" for line in report.failures[:40]), end="", flush=True)
        if options.outcomes:
            for (kind, said), count in sorted(report.outcomes.items()):
                print(f"    {count:5}  {kind:16} {said}")
    if options.table:
        options.table.write_text(runner.table(reports) + "\n")
    failed = sum(len(report.failures) for report in reports)
    print(f"{sum(r.cases for r in reports)} cases of {len(reports)} formats, {failed} failures")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
