"""The knee of a scaling curve: a straight line on log-log that bends once, and where it bends.

Below the knee lies the power-law region of Hestness et al. 2017, above it the transition to the irreducible
error. The interval inverts a score test of the breakpoint, which holds its level where a Wald interval does
not (Muggeo 2017, *Aust. N. Z. J. Stat.* 59, 311); the test is a t over seeds, as in `scaling`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.statistics.records import FIRM_SEEDS, WIDE, Cells, Estimate, Refusal, Score, cells
from analysis.statistics.scaling import usable
from analysis.statistics.varpro import Problem

MIN_KNEE_SIZES = 5  # two sizes on each side and one degree of freedom left
_POINTS = 161


@dataclass(frozen=True)
class Knee:
    """``size`` in slices; slopes of log error on log size; ``evident`` when one line is rejected at 5 %.

    ``region`` is the power-law region, from the smallest size to the knee.
    """

    pipeline: str
    size: Estimate
    slope_before: float
    slope_after: float
    evident: bool
    p: float
    region: tuple[float, float]
    note: str


def knee(scores: Iterable[Score] | Cells, pipeline: str, *, level: float = 0.95) -> Knee | Refusal:
    """Fit the bent line to the logarithm of one pipeline's errors.

    Returns
    -------
    `Knee`, or a `Refusal` below 5 sizes or 3 seeds, with errors of zero, or when no break makes the curve
    flatter.
    """
    table = usable(scores if isinstance(scores, Cells) else cells(scores, pipeline))
    if isinstance(table, Refusal):
        return table
    if len(table.sizes) < MIN_KNEE_SIZES:
        return Refusal(f"insufficient evidence: a knee needs {MIN_KNEE_SIZES} sizes, {len(table.sizes)} came")
    if np.nanmin(table.values) <= 0:
        return Refusal("a knee on log-log needs errors above zero")
    problem = _logarithmic(table)
    x = problem.log_sizes
    breaks = np.linspace(x[1], x[-2], _POINTS)
    fits = [_bent(problem, at) for at in breaks]
    flatter = np.array([line[2] > 0 for line, _ in fits])
    if not flatter.any():
        return Refusal(f"no knee: the curve of {pipeline} nowhere becomes flatter")
    rest = np.where(flatter, [r for _, r in fits], np.inf)
    best = int(np.argmin(rest))
    seeds = len(x) / float(np.sum(1 / problem.counts))
    inside = _not_rejected(problem, breaks, [line for line, _ in fits], level, seeds - 1)
    inside[best] = True
    low, high = _around(inside, best)
    p = _bend_p(problem, breaks[best], seeds - 1)
    line, note = fits[best][0], WIDE if seeds < FIRM_SEEDS else ""
    ends = np.exp([breaks[best], breaks[low], breaks[high]])
    size = Estimate(*(float(e) for e in ends), note)
    region = (float(table.sizes[0]), size.value)
    return Knee(pipeline, size, float(line[1]), float(line[1] + line[2]), p < 0.05, p, region, note)


def _logarithmic(table: Cells) -> Problem:
    """Log errors; weights from the mean of a size's variance and the pooled one."""
    present = np.isfinite(table.values).astype(float)
    values = np.log(np.where(present > 0, table.values, 1.0))
    counts = present.sum(axis=0)
    means = values.sum(axis=0) / counts
    squares = (((values - means) * present) ** 2).sum(axis=0)
    pooled = squares.sum() / (counts - 1).sum()
    variance = (squares / (counts - 1) + pooled) / 2
    weights = 1 / variance if pooled > 0 else np.ones_like(means)
    return Problem(np.log(table.sizes), values, present, weights / weights.max())


def _columns(x: np.ndarray, at: float) -> np.ndarray:
    return np.stack([np.ones_like(x), x, np.maximum(x - at, 0.0)], axis=1)


def _bent(problem: Problem, at: float) -> tuple[np.ndarray, float]:
    """(intercept, slope before, change of slope) and the weighted residual sum for a break at ``at``."""
    root = np.sqrt(problem.total_weights)
    columns, y = _columns(problem.log_sizes, at), problem.means
    line = np.linalg.lstsq(columns * root[:, None], y * root, rcond=None)[0]
    return line, float((((y - columns @ line) * root) ** 2).sum())


def _direction(problem: Problem, target: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Weights [K] by size of the score of ``target`` with ``others`` [K, J] profiled out."""
    root = np.sqrt(problem.total_weights)
    columns, wanted = others * root[:, None], target * root
    left = wanted - columns @ np.linalg.lstsq(columns, wanted, rcond=None)[0]
    return problem.weights * left / root


def _t(problem: Problem, fitted: np.ndarray, direction: np.ndarray) -> float:
    scores = ((problem.values - fitted) * problem.present) @ direction
    error = scores.std(ddof=1) * np.sqrt(len(scores))
    if error > 1e-12:
        return float(scores.sum() / error)
    return 0.0 if abs(scores.sum()) < 1e-9 else float(np.inf)


def _not_rejected(
    problem: Problem, breaks: np.ndarray, lines: list[np.ndarray], level: float, freedom: float
) -> np.ndarray:
    critical = stats.t.ppf(0.5 + level / 2, freedom)
    x = problem.log_sizes
    half = np.diff(x).mean() / 2
    kept = np.zeros(len(breaks), bool)
    for i, (at, line) in enumerate(zip(breaks, lines, strict=True)):
        columns = _columns(x, at)
        step = stats.norm.cdf((x - at) / half)  # smoothed derivative by the breakpoint
        kept[i] = abs(_t(problem, columns @ line, _direction(problem, step, columns))) <= critical
    return kept


def _around(inside: np.ndarray, best: int) -> tuple[int, int]:
    """First and last index of the values not rejected, the best one among them."""
    where = np.flatnonzero(inside)
    return min(int(where[0]), best), max(int(where[-1]), best)


def _bend_p(problem: Problem, at: float, freedom: float) -> float:
    """p of 'one straight line', times the number of places where the bend could have been."""
    x = problem.log_sizes
    straight = np.stack([np.ones_like(x), x], axis=1)
    root = np.sqrt(problem.total_weights)
    line = np.linalg.lstsq(straight * root[:, None], problem.means * root, rcond=None)[0]
    direction = _direction(problem, np.maximum(x - at, 0.0), straight)
    t = _t(problem, straight @ line, direction)
    return float(min(1.0, stats.t.sf(t, freedom) * (len(x) - 2)))
