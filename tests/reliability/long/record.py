"""docs/reference/reliability.json, which the long commands write with --record, as the tables of reliability.md."""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

DOCS = Path(__file__).parents[3] / "docs" / "reference"
RESULTS, PAGE = DOCS / "reliability.json", DOCS / "reliability.md"
Rows = dict[str, dict[str, Any]]


def keep(section: str, rows: Rows, results: Path = RESULTS, page: Path = PAGE) -> None:
    """Put these rows in the place of those of the same names, and write the page's tables anew."""
    with FileLock(Path(tempfile.gettempdir()) / "sslseg-reliability.lock"):  # two commands may record at once
        _keep(section, rows, results, page)


def _keep(section: str, rows: Rows, results: Path, page: Path) -> None:
    found = json.loads(results.read_text()) if results.exists() else {}
    found[section] = dict(sorted((found.get(section, {}) | rows).items()))
    results.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n")
    page.write_text(rendered(page.read_text(), found))


def rendered(page: str, found: dict[str, Rows]) -> str:
    """The page with its tables, each between two marks, made of what was found; others stay."""
    for name, table in TABLES.items():
        section = name.partition(" ")[0]
        if section in found:
            begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
            marks = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
            text = table(found[section])
            page = marks.sub(lambda _, b=begin, e=end, t=text: f"{b}\n{t}\n{e}", page)
    return page


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Markdown; a column of numbers is set to the right, and thousands have commas."""
    rows = [list(row) for row in rows]
    numeric = [all(isinstance(row[i], int | float) for row in rows) for i in range(len(header))]
    rule = "|".join("--:" if number else "---" for number in numeric)
    body = [[f"{c:,}" if isinstance(c, int | float) else str(c) for c in row] for row in rows]
    return "\n".join(["| " + " | ".join(header) + " |", f"|{rule}|", *(f"| {' | '.join(r)} |" for r in body)])


def kills(rows: Rows) -> str:
    """A row a stage."""
    columns = [name for name in next(iter(rows.values())) if name not in ("seconds", "seed")]
    stages = [name for name in ("pretrain", "finetune", "sweep", "tune") if name in rows]
    return _table(["stage", *columns], ([s, *(rows[s][c] for c in columns)] for s in stages))


def named(rows: Rows) -> str:
    """A row a name, the columns as they were written."""
    columns = list(next(iter(rows.values())))
    return _table(["", *columns], ([name, *(row.get(c, "") for c in columns)] for name, row in rows.items()))


def fuzz(rows: Rows) -> str:
    """A row a format: its cases, and how many different ends they came to."""
    lines = [[name, len(row["kinds"]), *_ends(row["kinds"].values())] for name, row in rows.items()]
    total = [sum(line[i] for line in lines) for i in (1, 2, 3, 4)]
    failed = sum(line[6] for line in lines)
    said = len({end for row in rows.values() for kind in row["kinds"].values() for end in kind})
    return _table(["format", "classes", *ENDS], [*lines, [f"all {len(lines)}", *total, said, failed]])


def classes(rows: Rows) -> str:
    """A row a class of mutation; the dialects of checkpoints, which share their classes, in one."""
    merged: dict[tuple[str, str], list[dict[str, int]]] = {}
    for name, row in rows.items():
        group = "checkpoint, all dialects" if name.startswith("checkpoint ") else name
        for kind, ends in row["kinds"].items():
            merged.setdefault((group, kind), []).append(ends)
    return _table(["format", "mutation", *ENDS], ([*key, *_ends(found)] for key, found in merged.items()))


ENDS = ("cases", "read", "refused", "distinct outcomes", "failures")


def _ends(found: Iterable[dict[str, int]]) -> list[int]:
    """Numbers of ENDS; an outcome begins with "read", "refused", or is a failure."""
    counts = Counter()
    for ends in found:
        counts.update(ends)
    read, refused = (sum(n for end, n in counts.items() if end.startswith(w)) for w in ("read ", "refused "))
    cases = counts.total()
    return [cases, read, refused, len(counts), cases - read - refused]


# mark on the page -> its text; the mark's first word is the section of the results
TABLES: dict[str, Callable[[Rows], str]] = {
    "kills": kills, "fuzz": fuzz, "fuzz classes": classes, "load": named, "soak": named, "faults": named,
}  # fmt: skip
