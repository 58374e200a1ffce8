"""Whether further seeds would decide a pair: a range of seeds, since the difference seen is not the true one."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import special
from scipy.optimize import brentq

from analysis.statistics.verdicts import looks
from analysis.statistics.verdicts.collapse import DEEP, unseen
from analysis.statistics.words import plural

POWER = 0.8
FURTHEST = 1e3  # a t beyond which noncentral t has no numbers any more
BELIEF = 0.8  # confidence of the range of true differences that the plan is made for


@dataclass(frozen=True)
class MoreSeeds:
    """Further seeds to the look that decides with 80 % power, at both ends of what the difference may be (80 %).

    None: no look up to forty seeds. `what` is counted: a seed, or a pretraining where there are several.
    """

    least: int | None
    most: int | None
    what: str = "seed"

    @property
    def text(self) -> str:
        """`2 to 17 more seeds would decide`."""
        if self.least is None:
            return f"more than {looks.MOST} {self.what}s would be needed"
        if self.most == self.least:
            return f"{plural(self.least, f'more {self.what}')} would decide"
        if self.most is None:
            return f"at least {plural(self.least, f'more {self.what}')} would be needed, perhaps many more"
        return f"{self.least} to {self.most} more {self.what}s would decide"


def power(effect: float, seeds: int, error_rate: float, least: float = 0.0) -> float:
    """Power of the paired t interval at `effect` (mean over s.d. of the paired differences), of a lead of `least` and more."""
    critical = max(special.stdtrit(seeds - 1, 1 - error_rate / 2), least * np.sqrt(seeds))
    inside, beyond = special.nctdtr(seeds - 1, abs(effect) * np.sqrt(seeds), [critical, -critical])
    return float(1 - inside + np.nan_to_num(beyond))  # SciPy has NaN for a tail that is too far to matter


@cache
def least_lead(seeds: int, runs: int, freedom: int, deep: float = DEEP, pairs: int = 2) -> float:
    """Lead in s.d. (`collapse.scatter`) that is called of `runs` without a collapse: see `collapse.unseen`.

    `pairs` of the family have this pipeline.
    """

    def excess(lead: float) -> float:
        chances = unseen(lead, seeds, runs, 1.0, freedom, deep, np.inf)
        return float(np.max(chances / looks.granted(seeds, pairs))) - 1

    if excess(0.0) <= 0:
        return 0.0
    high = deep
    while excess(high) > 0:
        high *= 2
    return float(brentq(excess, 0.0, high, xtol=1e-6))


def more_seeds(
    differences: np.ndarray, pairs: int, hurdle: Callable[[int], float] = lambda seeds: 0.0
) -> MoreSeeds | None:
    """The range of further seeds for paired `differences` [S]; None where they do not vary.

    Args:
        hurdle: the least lead that is called at so many seeds, in units of the differences.
    """
    seeds, deviation = len(differences), differences.std(ddof=1)
    if deviation <= 0:
        return None
    t = min(abs(differences.mean()) / deviation * np.sqrt(seeds), FURTHEST)
    ends = [_shift(t, seeds - 1, p) / np.sqrt(seeds) for p in (0.5 - BELIEF / 2, 0.5 + BELIEF / 2)]
    found = [
        next((n - seeds for n in looks.following(seeds)
              if power(effect, n, looks.error_rate(n, pairs), hurdle(n) / deviation) >= POWER), None)
        for effect in ends
    ]  # fmt: skip
    return MoreSeeds(found[0], found[1])


def _shift(t: float, freedom: int, above: float) -> float:
    """Noncentrality at which a larger t than the one seen has probability 1 − `above`; 0 where there is none."""

    def excess(shift: float) -> float:
        return special.nctdtr(freedom, shift, t) - above

    return 0.0 if excess(0.0) < 0 else brentq(excess, 0.0, 10 * t + 10)
