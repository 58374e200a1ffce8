"""Stability: how much wider the scores of one pipeline scatter over seeds than those of another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from analysis.statistics.records import FIRM_SEEDS, MIN_SEEDS, WIDE, Estimate, Refusal, generator

_DRAWS = 4000


def _pairs(a: Sequence[float], b: Sequence[float]) -> np.ndarray | Refusal:
    pairs = np.array([a, b], float).T
    pairs = pairs[np.isfinite(pairs).all(axis=1)]
    if len(pairs) < MIN_SEEDS:
        return Refusal(f"insufficient evidence: {len(pairs)} paired seeds, at least {MIN_SEEDS} are wanted")
    if (np.ptp(pairs, axis=0) < 1e-12).any():
        return Refusal("no ratio of spreads: one pipeline has the same score at every seed")
    return pairs[np.lexsort(pairs.T[::-1])]


def _note(count: int) -> str:
    return WIDE if count < FIRM_SEEDS else ""


def ratio_of_sd(a: Sequence[float], b: Sequence[float], *, level: float = 0.95) -> Estimate | Refusal:
    """s.d. of ``a`` [S] over s.d. of ``b`` [S], paired by seed; above one, ``a`` is the less stable.

    Interval of the ratio of two correlated normal variances: Pitman 1939 and Morgan 1939 (*Biometrika* 31,
    pages 9 and 13), exact for pairs that are jointly normal, with Student's t of S−2 degrees of freedom.
    """
    pairs = _pairs(a, b)
    if isinstance(pairs, Refusal):
        return pairs
    count = len(pairs)
    squared = pairs.var(axis=0, ddof=1)
    ratio = float(squared[0] / squared[1])
    correlation = float(np.corrcoef(pairs.T)[0, 1])
    t = stats.t.ppf(0.5 + level / 2, count - 2)
    k = 1 + 2 * max(1 - correlation**2, 0.0) * t * t / (count - 2)
    width = k + np.sqrt(k * k - 1)
    ends = (float(np.sqrt(v)) for v in (ratio, ratio / width, ratio * width))
    return Estimate(*ends, _note(count))


def ratio_of_iqr(
    a: Sequence[float], b: Sequence[float], *, level: float = 0.95, seed: int = 0
) -> Estimate | Refusal:
    """Interquartile range of ``a`` [S] over that of ``b`` [S], paired by seed.

    The interval is log ratio ± t(S−1) times the bootstrap's standard error of the log ratio (pairs
    resampled): percentiles of so few quartiles are too short, the t version errs on the wide side.
    """
    pairs = _pairs(a, b)
    if isinstance(pairs, Refusal):
        return pairs
    ranges = stats.iqr(pairs, axis=0)
    if (ranges < 1e-12).any():
        return Refusal("no ratio of interquartile ranges: one of them is zero")
    count = len(pairs)
    picks = generator(seed, "iqr").integers(0, count, (_DRAWS, count))
    drawn = stats.iqr(pairs[picks], axis=1)
    logs = np.log(np.maximum(drawn, 1e-3 * ranges))
    error = float((logs[:, 0] - logs[:, 1]).std(ddof=1))
    middle = float(np.log(ranges[0] / ranges[1]))
    reach = float(stats.t.ppf(0.5 + level / 2, count - 1)) * error
    return Estimate(*(float(np.exp(v)) for v in (middle, middle - reach, middle + reach)), _note(count))
