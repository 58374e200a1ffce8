"""How many slices to annotate: what the joined means say, and a refusal where they say nothing."""

from dataclasses import dataclass

import numpy as np

from analysis.statistics.laws.interpolate import Joined, mean_difference
from analysis.statistics.laws.inversion import crossing
from analysis.statistics.laws.knee import Knee, named
from analysis.statistics.records import Estimate, Refusal

NEXT = (10, 25, 50)  # slices
PERCENTS = (1.0, 2.0, 5.0)  # below the score at all slices


@dataclass(frozen=True)
class Near:
    """Slices to come within `percent` % of the score at `full` slices; minutes when a rate is given."""

    percent: float
    full: int
    slices: Estimate
    minutes: Estimate | None


@dataclass(frozen=True)
class Gain:
    """What `slices` more annotated slices add to the score (1 − error) at `budget`, and their minutes."""

    budget: int
    slices: int
    gain: Estimate
    minutes: float | None


@dataclass(frozen=True)
class Advice:
    """All numbers for one pipeline; each may be a `Refusal` of its own."""

    pipeline: str
    near: tuple[Near, ...]
    knee: Knee | Refusal
    gains: tuple[Gain | Refusal, ...]
    note: str


def near_full(fit: Joined, percent: float, *, minutes_per_slice: float | None = None) -> Near:
    """Slices at which the mean score reaches (1 − percent/100) of that at the largest size.

    The interval is that of `crossing`; −inf says that the smallest size already does.

    Raises:
        ValueError: for a percentage outside of (0, 100).
    """
    if not 0 < percent < 100:
        raise ValueError(f"a percentage between 0 and 100 is wanted, {percent} came")
    share, last = 1 - percent / 100, fit.sizes[-1]
    full = {s: 1 - e for s, e in fit.by_seed(last).items()}
    tested = [
        mean_difference(full, {s: 1 - e for s, e in fit.by_seed(n).items()}, fit.units, factor=share)
        for n in fit.sizes
    ]
    wanted = share * (1 - fit.means[-1])
    slices = crossing(lambda grid: wanted - (1 - fit.error(grid)), fit.sizes, tested)
    minutes = None if minutes_per_slice is None else slices.mapped(lambda n: n * minutes_per_slice)
    return Near(percent, last, slices, minutes)


def next_slices(
    fit: Joined, budget: int, slices: int, *, minutes_per_slice: float | None = None
) -> Gain | Refusal:
    """Gain of score from `budget` to `budget + slices`; refused outside of the sizes that were run.

    It is at least that between the sizes inside of this step, none where there are not two, and at most that between
    the sizes around it.
    """
    there = budget + slices
    if budget < fit.sizes[0] or there > fit.sizes[-1]:
        return Refusal.insufficient(
            f"{budget} + {slices} is beyond the sizes that {fit.pipeline} was run at, {fit.sizes[0]} to {fit.sizes[-1]}"
        )
    inside = [n for n in fit.sizes if budget <= n <= there]
    around = max(n for n in fit.sizes if n <= budget), min(n for n in fit.sizes if n >= there)
    gain = float(-np.diff(fit.error(np.array([budget, there], float)))[0])
    low = _gain(fit, inside[0], inside[-1]).low if len(inside) > 1 else min(gain, 0.0)
    high = max(_gain(fit, *around).high, gain)
    minutes = None if minutes_per_slice is None else slices * minutes_per_slice
    return Gain(budget, slices, Estimate(gain, min(low, gain), high, fit.note), minutes)


def _gain(fit: Joined, few: int, many: int) -> Estimate:
    return mean_difference(fit.by_seed(few), fit.by_seed(many), fit.units)


def advise(
    fit: Joined | Refusal, bend: Knee | Refusal, *, budget: int, minutes_per_slice: float | None = None
) -> Advice | Refusal:
    """Everything about one pipeline; `budget` is what the user has now.

    Returns:
        `Advice`; the fit's own `Refusal` when there is no curve. A knee that is not located is a refusal too.
    """
    if isinstance(fit, Refusal):
        return fit
    near = tuple(near_full(fit, p, minutes_per_slice=minutes_per_slice) for p in PERCENTS)
    gains = tuple(next_slices(fit, budget, k, minutes_per_slice=minutes_per_slice) for k in NEXT)
    return Advice(fit.pipeline, near, named(bend), gains, fit.note)
