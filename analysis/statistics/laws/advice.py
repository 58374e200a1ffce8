"""How many slices to annotate: what the fitted curves say, and a refusal where they say nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.statistics.laws.inversion import crossing, size_grid, spread
from analysis.statistics.laws.knee import Knee, named
from analysis.statistics.laws.worth import Fitted, paired_units
from analysis.statistics.records import Estimate, Refusal

NEXT = (10, 25, 50)  # slices


@dataclass(frozen=True)
class Near:
    """Slices to come within ``percent`` % of the score at ``full`` slices; minutes when a rate is given."""

    percent: float
    full: int
    slices: Estimate
    minutes: Estimate | None


@dataclass(frozen=True)
class Gain:
    """What ``slices`` more annotated slices add to the score (1 − error) at ``budget``, and their minutes."""

    budget: int
    slices: int
    gain: Estimate
    minutes: float | None


@dataclass(frozen=True)
class Choice:
    """Pipeline of least fitted error at ``budget``; ``lead`` over the next; ``certain`` if above zero."""

    budget: int
    pipeline: str
    error: Estimate
    runner_up: str
    lead: Estimate | None
    certain: bool


@dataclass(frozen=True)
class Advice:
    """All numbers for one pipeline; each may be a `Refusal` of its own."""

    pipeline: str
    near: tuple[Near | Refusal, ...]
    knee: Knee | Refusal
    gains: tuple[Gain | Refusal, ...]
    note: str


def _critical(fit: Fitted, level: float) -> float:
    return float(stats.t.ppf(0.5 + level / 2, fit.freedom))


def near_full(
    fit: Fitted, percent: float, *, minutes_per_slice: float | None = None, level: float = 0.95
) -> Near:
    """Slices at which the fitted score reaches (1 − percent/100) of the fitted score at the largest size.

    Interval by inversion of the t test over seeds; −inf says that the smallest size already does.

    Raises
    ------
    ValueError
        for a percentage outside of (0, 100).
    """
    if not 0 < percent < 100:
        raise ValueError(f"a percentage between 0 and 100 is wanted, {percent} came")
    share = 1 - percent / 100
    full = np.array([float(fit.sizes[-1])])
    grid = size_grid(fit.sizes[0], fit.sizes[-1])
    delta = share * (1 - fit.error(full)) - (1 - fit.error(grid))
    error = spread(fit.influence(grid) - share * fit.influence(full))
    slices = crossing(grid, delta, error, _critical(fit, level))
    return Near(percent, fit.sizes[-1], slices, _times(slices, minutes_per_slice))


def _times(slices: Estimate, rate: float | None) -> Estimate | None:
    if rate is None:
        return None
    return Estimate(*(v * rate for v in (slices.value, slices.low, slices.high)), slices.note)


def next_slices(
    fit: Fitted,
    budget: int,
    slices: int,
    *,
    minutes_per_slice: float | None = None,
    level: float = 0.95,
) -> Gain | Refusal:
    """Gain of score from ``budget`` to ``budget + slices``; refused outside of the sizes that were run."""
    if budget < fit.sizes[0] or budget + slices > fit.sizes[-1]:
        return Refusal(
            f"insufficient evidence: {budget} + {slices} slices lie outside of the {fit.sizes[0]} to "
            f"{fit.sizes[-1]} that {fit.pipeline} was run at"
        )
    here, there = np.array([float(budget)]), np.array([float(budget + slices)])
    gain = float((fit.error(here) - fit.error(there))[0])
    error = float(spread(fit.influence(here) - fit.influence(there))[0])
    reach = _critical(fit, level) * error
    minutes = None if minutes_per_slice is None else slices * minutes_per_slice
    return Gain(budget, slices, Estimate(gain, gain - reach, gain + reach, fit.note), minutes)


def best_pipeline(fits: Sequence[Fitted | Refusal], budget: int, *, level: float = 0.95) -> Choice | Refusal:
    """The pipeline for a budget, by fitted error, with its lead over the next one (paired by seed).

    ``certain`` compares the winner with each other pipeline at a Bonferroni level, since it was chosen by
    looking.
    """
    able = sorted(
        (f for f in fits if isinstance(f, Fitted) and f.sizes[0] <= budget <= f.sizes[-1]),
        key=lambda f: (float(f.error(np.array([float(budget)]))[0]), f.pipeline),
    )
    if not able:
        return Refusal(f"insufficient evidence: no pipeline has a fitted curve that covers {budget} slices")
    here = np.array([float(budget)])
    winner = able[0]
    value = float(winner.error(here)[0])
    reach = _critical(winner, level) * float(spread(winner.influence(here))[0])
    error = Estimate(value, value - reach, value + reach, winner.note)
    if len(able) == 1:
        return Choice(budget, winner.pipeline, error, "", None, False)
    corrected = 1 - (1 - level) / (len(able) - 1)
    leads = [_lead(winner, other, here, corrected) for other in able[1:]]
    certain = all(lead.low > 0 for lead in leads)
    return Choice(budget, winner.pipeline, error, able[1].pipeline, leads[0], certain)


def _lead(winner: Fitted, other: Fitted, here: np.ndarray, level: float) -> Estimate:
    gap = float((other.error(here) - winner.error(here))[0])
    units, _ = paired_units(winner, other, here, here)
    freedom = min(winner.freedom, other.freedom)
    reach = float(stats.t.ppf(0.5 + level / 2, freedom)) * float(spread(units)[0])
    return Estimate(gap, gap - reach, gap + reach)


def advise(
    fit: Fitted | Refusal,
    bend: Knee | Refusal,
    *,
    budget: int | None = None,
    percents: Sequence[float] = (1.0, 2.0, 5.0),
    minutes_per_slice: float | None = None,
) -> Advice | Refusal:
    """Everything about one pipeline; ``budget`` is what the user has now (the smallest size by default).

    Returns
    -------
    `Advice`; the fit's own `Refusal` when there is no fit. A knee that is not located is a refusal too.
    """
    if isinstance(fit, Refusal):
        return fit
    bend = named(bend)
    start = fit.sizes[0] if budget is None else budget
    near = tuple(near_full(fit, p, minutes_per_slice=minutes_per_slice) for p in percents)
    gains = tuple(next_slices(fit, start, k, minutes_per_slice=minutes_per_slice) for k in NEXT)
    return Advice(fit.pipeline, near, bend, gains, fit.note)
