"""Intervals for patients who were not there: over the patients of one evaluation, and over seeds × patients."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import stats

from analysis.statistics.records import TAIL, Estimate, students_t

OUTSIDE = (1 - 0.95) / 2  # of an interval, at either end
FEWEST_DRAWN = 5  # with fewer patients most resamples repeat one of them, and Student's t is taken


@dataclass(frozen=True)
class Crossed:
    """Mean over seeds and patients. The interval is for new seeds and new patients, `on_these` for new seeds alone."""

    estimate: Estimate
    seeds: int
    patients: int
    on_these: Estimate


def mean(
    values: np.ndarray,
    rng: np.random.Generator,
    *,
    resamples: int = 2000,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Estimate:
    """Mean over patients with its studentised bootstrap interval (Efron 1981, Hall 1988).

    Scores of patients are skewed, and few: the percentile bootstrap is too narrow, and so is Student's t
    where the skew is strong; each resample divided by its own standard error is neither. With fewer than
    five patients, and where the resamples leave an end open, the end is Student's.

    Args:
        values: [P], a number a patient; NaN is left out.
        bounds: of the score, at which the intervals are cut.

    Returns:
        Its ends are NaN with fewer than two patients: one says nothing about others.
    """
    kept = np.asarray(values, float)
    kept = kept[~np.isnan(kept)]
    n = len(kept)
    found = students_t(kept)
    middle, low, high = found.value, found.low, found.high
    error = float(kept.std(ddof=1)) / np.sqrt(n) if n >= FEWEST_DRAWN else 0.0
    if error > 0:
        deep, far = _studentised(kept, rng, resamples)
        low = middle - far * error if np.isfinite(far) else low
        high = middle - deep * error if np.isfinite(deep) else high
    return Estimate(middle, max(low, bounds[0]), min(high, bounds[1]))


def _studentised(values: np.ndarray, rng: np.random.Generator, resamples: int) -> tuple[float, float]:
    """Lower and upper quantile of (mean − true mean) / standard error over resamples; may be infinite."""
    drawn = values[rng.integers(0, len(values), (resamples, len(values)))]
    away, errors = drawn.mean(axis=1) - values.mean(), drawn.std(axis=1, ddof=1) / np.sqrt(len(values))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.nan_to_num(away / errors, nan=0.0, posinf=np.inf, neginf=-np.inf)
    low, high = np.quantile(ratios, [OUTSIDE, 1 - OUTSIDE], method="closest_observation")
    return float(low), float(high)


def share(values: np.ndarray) -> Estimate:
    """Mean of shares in [0, 1] over patients, as of failures, with Clopper and Pearson's interval (1934).

    No failure among ten patients is no promise: the upper end is then 31 %. A patient with a failure in one
    of two volumes counts half, which varies less than whole ones do.
    """
    kept = np.asarray(values, float)
    kept = kept[~np.isnan(kept)]
    n, hits = len(kept), float(kept.sum())
    if n < 2:
        return Estimate(hits / n if n else np.nan, np.nan, np.nan)
    low = float(stats.beta.ppf(OUTSIDE, hits, n - hits + 1)) if hits > 0 else 0.0
    high = float(stats.beta.ppf(1 - OUTSIDE, hits + 1, n - hits)) if hits < n else 1.0
    return Estimate(hits / n, low, high)


def crossed(table: np.ndarray, *, bounds: tuple[float, float] = (-np.inf, np.inf)) -> Crossed:
    """Mean of a table of seeds × patients, with an interval for both.

    Crossed random effects: the mean squares of seeds, of patients and of what is left give the variance of
    the mean, which is never taken to be less than either factor's alone; degrees of freedom by Satterthwaite.
    With one seed the interval is over patients, with one patient over seeds.

    Args:
        table: [S, P]; patients without a number for every seed are left out.
        bounds: of the score, at which the intervals are cut.
    """
    table = np.asarray(table, float)
    table = table[:, ~np.isnan(table).any(axis=0)]
    seeds, patients = table.shape
    cut = partial(np.clip, a_min=bounds[0], a_max=bounds[1])
    on_these = students_t(table.mean(axis=1) if table.size else []).mapped(cut)
    variance, freedom = _spread(table) if table.size else (0.0, 0)
    if not freedom:
        return Crossed(Estimate(on_these.value, np.nan, np.nan), seeds, patients, on_these)
    reach = stats.t.ppf(TAIL, freedom) * np.sqrt(variance)
    return Crossed(Estimate.around(table.mean(), reach).mapped(cut), seeds, patients, on_these)


def _spread(table: np.ndarray) -> tuple[float, float]:
    """Variance of the mean, and its degrees of freedom; 0 where nothing varies that could be measured."""
    (seeds, patients), middle = table.shape, table.mean()
    rows, columns = table.mean(axis=1), table.mean(axis=0)
    if min(seeds, patients) == 1:
        line, n = table.ravel(), table.size
        return (float(line.var(ddof=1)) / n, n - 1) if n > 1 else (0.0, 0)
    left = table - rows[:, None] - columns[None] + middle
    by_seed = patients * ((rows - middle) ** 2).sum() / (seeds - 1)
    by_patient = seeds * ((columns - middle) ** 2).sum() / (patients - 1)
    rest = (left**2).sum() / ((seeds - 1) * (patients - 1))
    variance = max(by_seed + by_patient - rest, by_seed, by_patient) / (seeds * patients)
    parts = ((by_seed, seeds - 1), (by_patient, patients - 1), (rest, (seeds - 1) * (patients - 1)))
    total = sum(square**2 / degrees for square, degrees in parts)
    freedom = (by_seed + by_patient - rest) ** 2 / total if total else 1.0
    return float(variance), float(np.clip(freedom, 1, seeds + patients - 2))
