"""How well one ranking predicts another: Spearman's correlation and its interval."""

import math

import numpy as np
from scipy import stats

from analysis.statistics.records import Estimate, Refusal

LEAST = 5  # pairs: with fewer the interval is nearly all of -1 to 1


def spearman(one: np.ndarray, other: np.ndarray) -> Estimate | Refusal:
    """Rank correlation of pairs [N], with the 95 % interval of Bonett and Wright (2000), Psychometrika 65.

    Fisher's z of the correlation has a variance of (1 + r² / 2) / (N - 3).
    """
    if len(one) < LEAST:
        return Refusal(f"{len(one)} pairs, at least {LEAST} are wanted")
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return Refusal("all of one side are equal")
    value = float(stats.spearmanr(one, other).statistic)
    step = 6 / (len(one) * (len(one) ** 2 - 1))  # half of the way to the next possible value
    inner = math.copysign(min(abs(value), 1 - step), value)  # at 1 Fisher's z would be infinite
    half = stats.norm.ppf(0.975) * math.sqrt((1 + inner**2 / 2) / (len(one) - 3))
    low, high = np.tanh(np.arctanh(inner) + np.array([-half, half]))
    return Estimate(value, min(float(low), value), max(float(high), value))
