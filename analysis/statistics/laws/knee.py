"""The knee of a scaling curve: a straight line on log-log that bends once, and where it bends.

Below the knee lies the power-law region of Hestness et al. 2017, above it the transition to the irreducible
error. The interval inverts a score test of the breakpoint, which holds its level where a Wald interval does
not (Muggeo 2017, *Aust. N. Z. J. Stat.* 59, 311); the test is a t over seeds, as in `scaling`.

A curve that bends slowly has no place that could be found: its knee is evident, its interval spans most of
the sizes. Such a knee is not `located`, and is not to be named. The law's own bend would always look
precise (its place follows from α, β and γ), and was seen to be wrong wherever the law was: it is not used.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.statistics.laws.scaling import usable
from analysis.statistics.laws.varpro import Problem
from analysis.statistics.records import FIRM_SEEDS, TAIL, WIDE, Cells, Estimate, Refusal, Score

MIN_KNEE_SIZES = 5  # two sizes on each side and one degree of freedom left
LOCATED = 2.0  # steps between sizes that the interval may span: the knee is then known to one of them
_POINTS = 161


@dataclass(frozen=True)
class Knee:
    """`size` in slices; slopes of log error on log size; `evident` when one line is rejected at 5 %.

    `region` is the power-law region, from the smallest size to the knee. `steps` is the width of the
    interval, in steps from one size that was run to the next; `located` when the bend is evident, `steps` at
    most `LOCATED`, and neither end is one of the search, which leaves that side open.
    """

    pipeline: str
    size: Estimate
    slope_before: float
    slope_after: float
    evident: bool
    p: float
    region: tuple[float, float]
    steps: float
    located: bool
    note: str


@dataclass(frozen=True)
class Bent:
    """Bent lines of all candidate breaks [B]: `q` [B, K, 3] spans their weighted columns."""

    breaks: np.ndarray
    q: np.ndarray
    lines: np.ndarray  # [B, 3] intercept, slope before, change of slope
    fitted: np.ndarray  # [B, K] log errors
    rest: np.ndarray  # [B] weighted residual sum


def knee(scores: Iterable[Score] | Cells, pipeline: str) -> Knee | Refusal:
    """Fit the bent line to the logarithm of one pipeline's errors.

    Returns:
        `Knee`, or a `Refusal` below 5 sizes or 3 seeds, with errors of zero, or when no break makes the curve
        flatter.
    """
    table = usable(scores, pipeline)
    if isinstance(table, Refusal):
        return table
    if len(table.sizes) < MIN_KNEE_SIZES:
        return Refusal.insufficient(f"a knee needs {MIN_KNEE_SIZES} sizes, and {len(table.sizes)} were run")
    if np.nanmin(table.values) <= 0:
        return Refusal("no knee: a run makes no error, and no curve on logarithmic axes reaches zero")
    problem = _logarithmic(table)
    x = problem.log_sizes
    bent = _bent(problem, np.linspace(x[1], x[-2], _POINTS))
    flatter = bent.lines[:, 2] > 0
    if not flatter.any():
        return Refusal("no knee: the curve nowhere becomes flatter")
    best = int(np.argmin(np.where(flatter, bent.rest, np.inf)))
    seeds = len(x) / float(np.sum(1 / problem.counts))
    kept = np.append(np.flatnonzero(_not_rejected(problem, bent, seeds - 1)), best)
    low, high = int(kept.min()), int(kept.max())
    closed = low > 0 and high < len(bent.breaks) - 1
    ends = bent.breaks[[best, low, high]]
    p = _bend_p(problem, ends[0], seeds - 1)
    line, note = bent.lines[best], WIDE if seeds < FIRM_SEEDS else ""
    size = Estimate(ends[0], ends[1], ends[2], note).mapped(np.exp)
    width = float(np.subtract(*places(table.sizes, np.array([size.high, size.low]))))
    return Knee(
        pipeline, size, float(line[1]), float(line[1] + line[2]), p < 0.05, p,
        (float(table.sizes[0]), size.value), width, p < 0.05 and width <= LOCATED and closed, note,
    )  # fmt: skip


def places(sizes: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Places [G] of `n` slices [G] on the grid of sizes [K]: 0 is the first, logarithmic between them."""
    return np.interp(np.log(n), np.log(sizes), np.arange(len(sizes)))


def named(found: Knee | Refusal) -> Knee | Refusal:
    """The knee where it may be named, else why not."""
    if not isinstance(found, Knee) or found.located:
        return found
    if not found.evident:
        return Refusal(
            f"no evident knee: a straight line on logarithmic axes is not ruled out (p = {found.p:.2g})"
        )
    where = f"the curve bends somewhere from {found.size.low:.0f} to {found.size.high:.0f}"
    if found.steps <= LOCATED:
        return Refusal(f"no knee can be named: {where} or beyond, where too few sizes were run")
    return Refusal(
        f"no knee can be named: {where}, which is {found.steps:.1f} steps between the sizes that were run, and more than "
        f"{LOCATED:.0f} are too many"
    )


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


def _bent(problem: Problem, breaks: np.ndarray) -> Bent:
    """The weighted least squares of every break at once."""
    x, root = problem.log_sizes, np.sqrt(problem.total_weights)
    over = np.maximum(x - breaks[:, None], 0.0)
    columns = np.stack([np.ones_like(over), np.broadcast_to(x, over.shape), over], axis=2)
    q, r = np.linalg.qr(columns * root[:, None])
    lines = np.linalg.solve(r, _coordinates(q, problem.means * root)[..., None])[..., 0]
    fitted = np.einsum("bkj,bj->bk", columns, lines)
    return Bent(breaks, q, lines, fitted, (((problem.means - fitted) * root) ** 2).sum(axis=1))


def _coordinates(q: np.ndarray, target: np.ndarray) -> np.ndarray:
    """[B, J] products of the columns of `q` [B, K, J] with `target` [K] or [B, K]."""
    return np.einsum("bkj,bk->bj", q, np.broadcast_to(target, q.shape[:2]))


def _t(problem: Problem, fitted: np.ndarray, direction: np.ndarray) -> float:
    scores = ((problem.values - fitted) * problem.present) @ direction
    error = scores.std(ddof=1) * np.sqrt(len(scores))
    if error > 1e-12:
        return float(scores.sum() / error)
    return 0.0 if abs(scores.sum()) < 1e-9 else float(np.inf)


def _not_rejected(problem: Problem, bent: Bent, freedom: float) -> np.ndarray:
    """Which breaks [B] the score test keeps: the derivative by the break, with its line profiled out."""
    x, root = problem.log_sizes, np.sqrt(problem.total_weights)
    half = np.diff(x).mean() / 2
    step = stats.norm.cdf((x - bent.breaks[:, None]) / half) * root  # smoothed derivative by the breakpoint
    left = step - np.einsum("bkj,bj->bk", bent.q, _coordinates(bent.q, step))
    directions = problem.weights * left / root
    critical = stats.t.ppf(TAIL, freedom)
    return np.array([
        abs(_t(problem, fitted, direction)) <= critical
        for fitted, direction in zip(bent.fitted, directions, strict=True)
    ])  # fmt: skip


def _bend_p(problem: Problem, at: float, freedom: float) -> float:
    """p of 'one straight line', times the number of places where the bend could have been."""
    x, root = problem.log_sizes, np.sqrt(problem.total_weights)
    straight = np.stack([np.ones_like(x), x], axis=1)
    columns, wanted = straight * root[:, None], np.maximum(x - at, 0.0) * root
    line = np.linalg.lstsq(columns, problem.means * root, rcond=None)[0]
    left = wanted - columns @ np.linalg.lstsq(columns, wanted, rcond=None)[0]  # the line profiled out
    t = _t(problem, straight @ line, problem.weights * left / root)
    return float(min(1.0, stats.t.sf(t, freedom) * (len(x) - 2)))
