"""`python -m benchmarks [P1 P3 …] [--table]`: measure, keep the rows, write the table."""

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

from benchmarks import compare, table
from benchmarks.compare import PeerMissingError, Question


def questions() -> dict[str, list[Question]]:
    """Id -> the questions of all files `b*.py`, `g*.py` and `p*.py` whose second character is a digit, by name."""
    found: dict[str, list[Question]] = {}
    for path in sorted(Path(__file__).parent.glob("[bgp][0-9]*.py")):
        for question in importlib.import_module(f"benchmarks.{path.stem}").QUESTIONS:
            found.setdefault(question.id, []).append(question)
    return found


def measure(question: Question) -> bool:
    """Answer one question and keep the row; False where the work turned out not to be the same."""
    print(f"{question.id}  {question.work} / {question.peer}", flush=True)
    try:
        new = compare.row(question, question.measure())
    except PeerMissingError as error:
        print(f"    not counted: {error}")
        return True
    except AssertionError as error:
        print(f"    not the same work: {error}")
        return False
    compare.keep(new)
    low, high = new["spread"]
    print(f"    {new['ratio']:.3g} ({low:.3g} to {high:.3g}); reach {new['reach']}: {new['met']}", flush=True)
    return True


def main(argv: list[str] | None = None) -> int:
    """Each file has a process of its own, so that no peer's imports weigh on another's figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("ids", nargs="*", metavar="id", help="P1, P1b …; all of them if none is given")
    parser.add_argument("--table", action="store_true", help="measure nothing, write the table again")
    asked = parser.parse_args(argv)
    known = questions()
    if strange := [name for name in asked.ids if name not in known]:
        parser.error(f"{', '.join(strange)}: wanted some of {', '.join(known)}")
    files: dict[str, list[str]] = {}
    for name in [] if asked.table else asked.ids or known:
        files.setdefault(known[name][0].measure.__module__, []).append(name)
    if len(files) == 1:
        done = [measure(question) for name in asked.ids for question in known[name]]
    else:
        done = [
            subprocess.run([sys.executable, "-m", "benchmarks", *ids]).returncode == 0
            for ids in files.values()
        ]
    table.write()
    table.write_card([question for id, asked in known.items() if id[0] == "G" for question in asked])
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
