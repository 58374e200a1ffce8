"""Runs that lie far below the others of their pipeline, and what runs without one say about how often it happens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, log

import numpy as np
from scipy import stats

from analysis.statistics.records import MIN_SEEDS, Score, ordered

FAR = 5.0  # robust s.d. below the median of the runs of the same pipeline and budget
_MAD = 1.4826  # s.d. over median absolute deviation of a normal distribution
RARE, BELIEF = 0.1, 0.95  # "equivalent" excludes a collapse in one of ten runs with this confidence
CLEAR = ceil(log(1 - BELIEF) / log(1 - RARE))  # runs without one that do so: 29


@dataclass(frozen=True)
class Sinking:
    """What a collapse costs a pipeline at a budget, and how many of its runs, at all budgets, have collapsed."""

    depth: float
    fallen: int
    runs: int


def far_below(scores: Iterable[Score], *, higher_is_better: bool) -> tuple[Score, ...]:
    """Runs whose score is `FAR` worse than the median of their pipeline and budget.

    The s.d. is the larger of the cell's own and that of all cells, from absolute deviations: with three seeds a cell
    alone does not know it.
    """
    sign = 1.0 if higher_is_better else -1.0
    groups: dict[tuple[str, int], list[Score]] = {}
    for s in ordered(scores):
        groups.setdefault((s.pipeline, s.budget), []).append(s)
    cells = [group for group in groups.values() if len(group) >= MIN_SEEDS]
    rests = [
        sign * (values - np.median(values)) for values in (np.array([s.value for s in c]) for c in cells)
    ]
    moved = np.abs(np.concatenate([*rests, [0.0]]))
    pooled = _MAD * float(np.median(moved[moved > 0])) if moved.any() else 0.0
    return tuple(
        s
        for group, rest in zip(cells, rests, strict=True)
        for s, below in zip(group, rest, strict=True)
        if below < -FAR * max(pooled, _MAD * float(np.median(np.abs(rest))))
    )


def collapsed(scores: Sequence[Score], worst: float) -> tuple[Score, ...]:
    """Runs far below their pipeline's others that also lost more than half of what the median has over `worst`."""
    cells: dict[tuple[str, int], list[float]] = {}
    for s in scores:
        cells.setdefault((s.pipeline, s.budget), []).append(abs(s.value - worst))
    found = far_below(scores, higher_is_better=worst < max((s.value for s in scores), default=worst))
    return tuple(s for s in found if abs(s.value - worst) < np.median(cells[s.pipeline, s.budget]) / 2)


def open_rate(runs: int, fallen: int = 0) -> float:
    """Share of collapsing runs that so many runs, of which some collapsed, do not exclude (95 %; Clopper and Pearson 1934)."""
    return float(stats.beta.ppf(BELIEF, fallen + 1, runs - fallen)) if fallen < runs else 1.0
