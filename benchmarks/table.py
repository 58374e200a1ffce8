"""results.json as the table of docs/reference/performance.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from benchmarks.compare import RESULTS, read

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "performance.md"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
HEADER = "| id | same work / peer | ratio | spread | reach | moonshot | met |\n|---|---|---|---|---|---|---|"


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    low, high = row["spread"]
    return (
        f"| {row['id']} | {row['work']} / {row['peer']} | **{row['ratio']:.3g}** | {low:.3g} to {high:.3g} "
        f"| {row['reach']:g} | {row['moonshot']:g} | {row['met']} |"
    )


def text(rows: list[dict[str, Any]]) -> str:
    """The table, with the machines and versions that it was measured on."""
    versions = {name: version for row in rows for name, version in row["versions"].items()}
    machines = sorted({row["machine"] for row in rows})
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    return "\n".join([HEADER, *map(line, rows), "", f"{'; '.join(machines)}. {named}."])


def write(page: Path = PAGE, results: Path = RESULTS) -> None:
    """Put the table between the two marks of the page; a page without them is left as it is."""
    if not page.exists() or not (rows := read(results)):
        return
    marks = re.compile(f"{BEGIN}.*{END}", re.DOTALL)
    page.write_text(marks.sub(lambda _: f"{BEGIN}\n{text(rows)}\n{END}", page.read_text()))
