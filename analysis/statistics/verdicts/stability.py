"""Stability: how much wider the scores of one pipeline scatter over seeds than those of another."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from analysis.statistics.records import FIRM_SEEDS, MIN_SEEDS, WIDE, Estimate, Refusal


def ratio_of_spread(a: ArrayLike, b: ArrayLike, *, level: float = 0.95) -> Estimate | Refusal:
    """Mean distance of `a` [S] from its median over that of `b` [S], paired by seed; above one, `a` scatters more.

    Of distributions of one shape this is the ratio of their s.d. The interval is Student's t with the jackknife error of its
    logarithm, pairs left out one by one (Miller 1974, *Biometrika* 61, 1): the exact one of normal variances
    (Pitman 1939, Morgan 1939) covers 73 to 80 % under heavy tails.
    """
    pairs = np.array([a, b], float)
    pairs = pairs[:, np.isfinite(pairs).all(axis=0)]
    pairs = pairs[:, np.lexsort(pairs)]
    count = pairs.shape[1]
    if count < MIN_SEEDS:
        return Refusal.insufficient(f"{count} paired seeds, at least {MIN_SEEDS} are wanted")
    rest = [np.delete(pairs, i, axis=1) for i in range(count)]
    if min(np.ptp(p, axis=1).min() for p in rest) < 1e-12:
        return Refusal("no ratio of spreads: one pipeline has the same score at every seed but one")
    middle, without = _log_ratio(pairs), np.array([_log_ratio(p) for p in rest])
    error = np.sqrt((count - 1) / count * ((without - without.mean()) ** 2).sum())
    reach = float(stats.t.ppf(0.5 + level / 2, count - 1) * error)
    note = WIDE if count < FIRM_SEEDS else ""
    return Estimate.around(middle, reach, note).mapped(np.exp)


def _log_ratio(pairs: np.ndarray) -> float:
    spread = np.abs(pairs - np.median(pairs, axis=1, keepdims=True)).mean(axis=1)
    return float(np.log(spread[0] / spread[1]))
