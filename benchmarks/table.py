"""results.json as the tables of docs/reference/performance.md and, of what a card did, of docs/results/gpu.md."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.compare import RESULTS, Question, read

CARD_PAGE = Path(__file__).parents[1] / "docs" / "results" / "gpu.md"
CARD_HEADER = "| id | same work / peer | result | reach | moonshot | card |\n|---|---|---|---|---|---|"
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
    if not page.exists() or not (rows := [row for row in read(results) if row["id"][0] != "G"]):
        return
    _replace(page, text(rows))


def write_card(questions: Sequence[Question], page: Path = CARD_PAGE, results: Path = RESULTS) -> None:
    """The same of the questions that want a card: each has a line, measured or not."""
    if not page.exists():
        return
    known = {(row["id"], row["peer"]): row for row in read(results)}
    lines = [CARD_HEADER]
    for q in sorted(questions, key=lambda question: question.id):
        row = known.get((q.id, q.peer))
        low, high = row["spread"] if row else (0.0, 0.0)
        found = f"**{row['ratio']:.3g}** ({low:.3g} to {high:.3g})" if row else "not measured"
        peer = "" if q.peer == "none" else f" / {q.peer}"
        lines.append(
            f"| {q.id} | {q.work}{peer} | {found} | {q.reach:g} | {q.moonshot:g} | {row['card'] if row else ''} |"
        )
    _replace(page, "\n".join(lines))


def _replace(page: Path, content: str) -> None:
    marks = re.compile(f"{BEGIN}.*{END}", re.DOTALL)
    page.write_text(
        marks.sub(lambda _: f"{BEGIN}\n{content}\n{END}", page.read_text(encoding="utf-8")), encoding="utf-8"
    )
