"""Verdicts and worth as small coloured tables: a word and a colour a cell, the numbers on hover and on touch."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, isfinite, log

from analysis.comparison.cells import Study
from analysis.comparison.decisions import Decisions, WorthRow
from analysis.comparison.families import Table
from analysis.comparison.headline import spoken
from analysis.comparison.measures import STEPS, Metric
from analysis.statistics.records import Refusal
from analysis.statistics.verdicts.records import Verdict
from analysis.statistics.words import plural

SYMBOL = {"better": "▲", "worse": "▼", "equivalent": "=", "undecided": "?"}
FAR = log(100)  # of a ratio's logarithm: an end beyond a hundredth or a hundred times is as good as none


@dataclass(frozen=True)
class Cell:
    """`call` is its colour; `text` is short, `tip` says all."""

    call: str
    text: str
    tip: str


EMPTY = Cell("none", "", "")


@dataclass(frozen=True)
class Matrix:
    """A row per pipeline."""

    title: str
    corner: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


# ---------------------------------------------------------------- verdicts
def signed(value: float) -> str:
    """To a thousandth; nothing has no sign."""
    return "0.000" if abs(value) < 0.0005 else f"{value:+.3f}"


def effect(verdict: Verdict, metric: Metric, whole: bool = False) -> str:
    """The paired difference, on demand with its interval; of log ratios, how many times."""
    e, times = verdict.effect, metric.key == STEPS
    if not times:
        return f"{signed(e.value)} [{signed(e.low)}, {signed(e.high)}]" if whole else signed(e.value)
    told = f"×{exp(e.value):.2f}" if isfinite(e.value) else "not known"
    return f"{told} [{_times(e.low, e.high)}]" if whole and isfinite(e.value) else told


def _times(low: float, high: float) -> str:
    """An interval of log ratios as ratios; runs that have not arrived leave an end open, or both."""
    if low < -FAR:
        return "no limits" if high > FAR else f"at most {exp(high):.2f}"
    return f"at least {exp(low):.2f}" if high > FAR else f"{exp(low):.2f}, {exp(high):.2f}"


def of_verdicts(study: Study, table: Table, tuned: Mapping[tuple, Verdict]) -> Matrix | None:
    """Pipelines × pipelines: the row against the column; None where every pair is refused."""
    against = {v.b for v in table.rows if isinstance(v, Verdict)}
    columns = tuple(arm.label for arm in study.arms if arm.label in against)
    either = table.either
    rows = tuple(
        (arm.label, tuple(_verdict(arm.label, b, either, table, tuned) for b in columns))
        for arm in study.arms
        if any((arm.label, b) in either for b in columns)
    )
    return Matrix(table.metric.title, "row against column", columns, rows) if rows else None


def _verdict(
    a: str, b: str, found: Mapping[tuple[str, str], Verdict], table: Table, tuned: Mapping[tuple, Verdict]
) -> Cell:
    v = found.get((a, b))
    if v is None:
        return EMPTY
    words = [
        f"{a} against {b}: {v.call}, {effect(v, table.metric, True)}",
        f"{plural(v.seeds, v.unit)}, permutation p {v.p:.2g} (with so many it is never below {v.least_p:.2g})",
        v.about,
        v.note,
    ]
    text = f"{SYMBOL[v.call]} {effect(v, table.metric)}"
    if t := tuned.get((table.budget, table.metric.key, a, b)):
        words.append(f"tuned: {SYMBOL[t.call]} {t.call} {effect(t, table.metric, True)}")
    return Cell(v.call, text, "; ".join(filter(None, words)))


# ---------------------------------------------------------------- worth
def of_worth(study: Study, found: Decisions) -> list[Matrix]:
    """One per reference: pipelines × sizes, of how many slices more the reference would need."""
    made = []
    for reference in dict.fromkeys(row.reference for row in found.worth):
        mine = [row for row in found.worth if row.reference == reference]
        rows = tuple(
            (label, tuple(_worth(row, study.unit) for row in mine if row.pipeline == label))
            for label in dict.fromkeys(row.pipeline for row in mine)
        )
        if any(cell.call != "none" for _, cells in rows for cell in cells):
            title, sizes = (
                f"{study.unit}s saved against {spoken(reference)}",
                tuple(f"{n:,}" for n in study.budgets),
            )
            made.append(Matrix(title, f"{study.unit}s", sizes, rows))
    return made


def _worth(row: WorthRow, unit: str) -> Cell:
    if isinstance(row.worth, Refusal):
        return Cell("none", "–", row.worth.reason)
    more = row.worth.more
    call = "better" if more.low >= 0 else "worse" if more.high <= 0 else "undecided"
    whole = f"{row.pipeline} at {plural(row.budget, unit)}, in {unit}s of {row.reference}: {row.worth.text}"
    return Cell(call, row.worth.short, "; ".join(filter(None, [whole, row.worth.note])))
