"""python -m tests.reliability.fuzz [--mutations 500] [--formats nifti …] [--seed 0] [--record] [--outcomes]"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from tests.reliability.fuzz import EXTRAS, FORMATS, runner
from tests.reliability.long import record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=500, help="of each format")
    parser.add_argument("--formats", nargs="*", default=list(FORMATS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true", help="the counts into docs/reference/reliability.md")
    parser.add_argument("--outcomes", action="store_true", help="print every distinct outcome")
    options = parser.parse_args()
    reports = []
    for name in options.formats:
        if name in EXTRAS and find_spec(EXTRAS[name]) is None:
            print(f"{name:24} left out, {EXTRAS[name]} is not installed", flush=True)
            continue
        begun = time.perf_counter()
        mutations = importlib.import_module(FORMATS[name]).mutations(name)
        with tempfile.TemporaryDirectory() as scratch:
            report = runner.run(name, mutations, options.mutations, Path(scratch), options.seed)
        reports.append(report)
        if options.record:
            record.keep("fuzz", {name: report.row(options.seed)})
        seconds = time.perf_counter() - begun
        print(
            f"{name:24} {report.cases:6} cases, {len(report.failures):4} failures, {seconds:6.1f} s",
            flush=True,
        )
        print("".join(f"  {line}\n" for line in report.failures[:40]), end="", flush=True)
        if options.outcomes:
            for (kind, said), count in sorted(report.outcomes.items()):
                print(f"    {count:5}  {kind:16} {said}")
    failed = sum(len(report.failures) for report in reports)
    print(f"{sum(r.cases for r in reports)} cases of {len(reports)} formats, {failed} failures")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
