"""ε(n) = α·n^−β + γ: how the error falls with the number of annotated slices, per pipeline.

The law is Hestness et al. 2017 (arXiv:1712.00409): a power-law region above an irreducible error γ. It is
the law of the *mean* error over seeds. Seeds are the independent units: runs of one seed at several sizes
share their nested subset and their initialisation, so every interval here reduces a seed to one number
first and then uses Student's t over seeds. Weights of the sizes come from a smoothed variance and change
only the width of an interval, not whether it covers.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.statistics.laws.varpro import (
    ALPHA,
    BETA,
    BETA_HIGH,
    BETA_LOW,
    GAMMA,
    Problem,
    contributions,
    interval,
    law,
    minimise,
)
from analysis.statistics.records import (
    FIRM_SEEDS,
    MIN_SEEDS,
    MIN_SIZES,
    TAIL,
    WIDE,
    Cells,
    Estimate,
    Refusal,
    Score,
    cells,
    internal,
)
from analysis.statistics.words import plural

EDGE = 1.01  # a value nearer than this to an edge of the search is the edge
MIN_LAW_SIZES = 5  # of a law of three parameters: two sizes are left to go against it


@dataclass(frozen=True)
class LeftOut:
    """Relative error of predicting each size [K] from the others; `last` is the extrapolation upwards."""

    median: float
    worst: float
    worst_size: float
    last: float


@dataclass(frozen=True)
class Scaling:
    """Fitted law of one pipeline. `seeds` is the harmonic mean of the seeds per size."""

    pipeline: str
    sizes: tuple[int, ...]
    seeds: float
    alpha: Estimate
    beta: Estimate
    gamma: Estimate
    left_out: LeftOut
    misfit_p: float
    misfit_size: int
    note: str
    theta: np.ndarray = internal()

    def error(self, n: np.ndarray) -> np.ndarray:
        """Fitted mean error [G] at sizes `n` [G] in slices."""
        return law(self.theta, np.log(n))


def usable(scores: Iterable[Score] | Cells, pipeline: str) -> Cells | Refusal:
    """The sizes of a pipeline with at least three seeds, or the refusal below four such sizes."""
    table = scores if isinstance(scores, Cells) else cells(scores, pipeline)
    counts = np.isfinite(table.values).sum(axis=0)
    seeds = np.isfinite(table.values).any(axis=1).sum()
    if seeds < MIN_SEEDS:
        return Refusal.insufficient(f"has {plural(seeds, 'seed')}, at least {MIN_SEEDS} are wanted", pipeline)
    kept = counts >= MIN_SEEDS
    if kept.sum() < MIN_SIZES:
        return Refusal.insufficient(
            f"has {plural(int(kept.sum()), 'size')} with {MIN_SEEDS} seeds or more, at least {MIN_SIZES} are wanted",
            pipeline,
        )
    values = table.values[:, kept]
    rows = np.isfinite(values).any(axis=1)
    seeds = tuple(s for s, keep in zip(table.seeds, rows, strict=True) if keep)
    return Cells(table.pipeline, table.sizes[kept], seeds, values[rows])


def smooth_weights(means: np.ndarray, deviations: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Inverse variances [K] from log s.d. regressed on log mean error.

    Ten seeds give a variance within a factor of three; as weights, raw variances would let one lucky size
    rule the fit. Sizes without spread take the regression's value; no spread at all gives equal weights.
    """
    varied = (deviations > 1e-9 * means) & (means > 0)
    if varied.sum() < 2:
        return np.ones_like(means)
    x, y, w = np.log(means[varied]), np.log(deviations[varied]), counts[varied] - 1
    x_mean, y_mean = np.average(x, weights=w), np.average(y, weights=w)
    spread = np.average((x - x_mean) ** 2, weights=w)
    slope = np.average((x - x_mean) * (y - y_mean), weights=w) / spread if spread > 0 else 0.0
    log_sd = y_mean + slope * (np.log(np.maximum(means, 1e-12)) - x_mean)
    weights = np.exp(-2 * (log_sd - log_sd.min()))
    return np.maximum(weights, 1e-8)


def problem_of(table: Cells) -> Problem:
    """Arrays of the fit from a table of errors."""
    present = np.isfinite(table.values).astype(float)
    values = np.nan_to_num(table.values)
    counts = present.sum(axis=0)
    means = values.sum(axis=0) / counts
    squares = (((values - means) * present) ** 2).sum(axis=0)
    weights = smooth_weights(means, np.sqrt(squares / (counts - 1)), counts)
    return Problem(np.log(table.sizes), values, present, weights)


def fit(scores: Iterable[Score] | Cells, pipeline: str) -> Scaling | Refusal:
    """Fit the law to one pipeline's errors (`value` is an error in [0, 1], smaller is better).

    Args:
        scores: rows of all pipelines, or the `Cells` of this one.

    Returns:
        `Scaling`, or a `Refusal` below 5 sizes (for three parameters) or 3 seeds, when the error does not fall with
        the size, and when β ends at an edge of its search, which is no value of it.

    Intervals: score-t per parameter with the others profiled out (`varpro.score_t`), from the fit with γ of
    either sign, then cut at γ ≥ 0, which keeps their coverage. A β interval from 0 (the data do not exclude a
    logarithmic law) or to infinity is one that reached an edge of the search, [0.01, 4].
    """
    table = usable(scores, pipeline)
    if isinstance(table, Refusal):
        return table
    if len(table.sizes) < MIN_LAW_SIZES:
        return Refusal.insufficient(
            f"a law of three parameters needs {MIN_LAW_SIZES} sizes, {pipeline} has {len(table.sizes)}"
        )
    problem = problem_of(table)
    x, y, w = problem.log_sizes, problem.means, problem.total_weights
    theta, free = minimise(x, y, w, bounded=True), minimise(x, y, w)
    if theta[ALPHA] <= 1e-9 or free[ALPHA] <= 1e-9:
        return Refusal.insufficient(f"the error of {pipeline} does not fall with more data")
    lowest, highest = EDGE * BETA_LOW, BETA_HIGH / EDGE
    if not lowest < theta[BETA] < highest:
        return Refusal(
            f"no law: the exponent of {pipeline} is not determined, its search ended at {theta[BETA]:.2g}"
        )
    seeds = len(x) / float(np.sum(1 / problem.counts))
    units = contributions(problem, free)
    count = len(units)
    steps = np.sqrt(count / (count - 1) * (units**2).sum(axis=0))
    critical = float(stats.t.ppf(TAIL, seeds - 1))
    bounds = {ALPHA: (1e-6, 1e3 * float(y.max())), BETA: (BETA_LOW, BETA_HIGH), GAMMA: (0.0, float(y.max()))}
    note = WIDE if seeds < FIRM_SEEDS else ""
    found = []
    for which, (low, high) in bounds.items():
        ends = interval(problem, which, float(free[which]), float(steps[which]), critical, low, high)
        point = float(theta[which])
        if which == BETA:
            ends = (0.0 if ends[0] < lowest else ends[0], np.inf if ends[1] > highest else ends[1])
        found.append(Estimate(point, min(ends[0], point), max(ends[1], point), note))
    p, size = misfit(problem, theta)
    whole = tuple(int(n) for n in table.sizes)
    alpha, beta, gamma = found
    return Scaling(pipeline, whole, seeds, alpha, beta, gamma, left_out(problem), p, whole[size], note, theta)


def misfit(problem: Problem, theta: np.ndarray) -> tuple[float, int]:
    """Smallest Bonferroni-adjusted p of (mean error − law) over sizes, and the index of that size."""
    residual = (problem.values - problem.means) * problem.present
    deviation = np.sqrt((residual**2).sum(axis=0) / (problem.counts - 1) / problem.counts)
    distance = np.abs(problem.means - law(theta, problem.log_sizes))
    ratio = distance / np.maximum(deviation, 1e-9 + 1e-6 * problem.means)
    p = 2 * stats.t.sf(ratio, problem.counts - 1) * len(ratio)
    worst = int(np.argmin(p))
    return float(min(p[worst], 1.0)), worst


def left_out(problem: Problem) -> LeftOut:
    """Leave-one-size-out: fit on the other sizes, predict the mean error of the one left out."""
    x, y, w = problem.log_sizes, problem.means, problem.total_weights
    errors = np.empty(len(x))
    for k in range(len(x)):
        rest = np.arange(len(x)) != k
        predicted = law(minimise(x[rest], y[rest], w[rest], bounded=True), x[k])
        errors[k] = abs(predicted - y[k]) / max(abs(y[k]), 1e-12)
    worst = int(np.argmax(errors))
    return LeftOut(
        float(np.median(errors)), float(errors[worst]), float(np.exp(x[worst]).round()), float(errors[-1])
    )
