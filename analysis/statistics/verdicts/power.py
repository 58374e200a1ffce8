"""How many more seeds would decide a pair, if the difference seen so far is the true one.

That "if" matters: the power at the effect observed restates the p-value, and is shown only as a plan for the
next runs, never as evidence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.statistics.verdicts.permutation import smallest_p

POWER = 0.8
MOST = 1000  # seeds; beyond, no number is given


@dataclass(frozen=True)
class MoreSeeds:
    """``seeds`` more would give ``towards`` (different or equivalent) with a power of 80 %."""

    seeds: int
    towards: str


def power_of_difference(effect: float, pairs: int, alpha: float) -> float:
    """Power of the sign-flip test at ``effect`` (mean over s.d. of normal paired differences).

    Where only equal signs of all pairs pass, exactly their probability; else that of the two-sided paired t
    test, which the sign flips come close to as soon as several of their patterns pass.
    """
    if smallest_p(pairs) > alpha or pairs < 2:
        return 0.0
    if 2 * smallest_p(pairs) > alpha:
        return float(stats.norm.cdf(effect) ** pairs + stats.norm.sf(effect) ** pairs)
    critical, shift = stats.t.ppf(1 - alpha / 2, pairs - 1), abs(effect) * np.sqrt(pairs)
    return _beyond(critical, pairs - 1, shift) + _beyond(critical, pairs - 1, -shift)


def power_of_equivalence(mean: float, deviation: float, margin: float, pairs: int, alpha: float) -> float:
    """Power of the two one-sided tests at the given mean and s.d. of the paired differences."""
    if pairs < 2 or margin <= abs(mean):
        return 0.0
    error = deviation / np.sqrt(pairs)
    critical = stats.t.ppf(1 - alpha, pairs - 1)
    above = _beyond(critical, pairs - 1, (margin + mean) / error)
    below = _beyond(critical, pairs - 1, (margin - mean) / error)
    return max(0.0, above + below - 1)


def _beyond(critical: float, freedom: int, shift: float) -> float:
    """P(T > ``critical``) of the noncentral t; SciPy has NaN for the far tail, and so have those who call it."""
    tail = stats.nct.sf(critical, freedom, shift) if shift >= 0 else stats.nct.cdf(-critical, freedom, -shift)
    return 0.0 if np.isnan(tail) and shift < 0 else float(tail)


def more_seeds(mean: float, deviation: float, margin: float, pairs: int, alpha: float) -> MoreSeeds | None:
    """The smaller number of further seeds that decides either way, None above a thousand in all.

    ``alpha`` is the level of one test after correction (the family's level divided by its pairs).
    """
    if deviation <= 0 or pairs < 2:
        return None

    def different(n: int) -> float:
        return power_of_difference(abs(mean) / deviation, n, alpha)

    def equivalent(n: int) -> float:
        return power_of_equivalence(mean, deviation, margin, n, alpha)

    found = [
        MoreSeeds(n - pairs, name)
        for name, power in (("different", different), ("equivalent", equivalent))
        if (n := _enough(power, pairs + 1)) is not None
    ]
    return min(found, key=lambda m: (m.seeds, m.towards), default=None)


def _enough(power: Callable[[int], float], low: int) -> int | None:
    """Smallest number of pairs with enough power, which grows with the number."""
    high = MOST
    if power(high) < POWER:
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle) >= POWER else (middle + 1, high)
    return low
