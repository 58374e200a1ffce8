"""How many times longer one pipeline takes than another: a ratio of steps from pairs, some censored."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats
from scipy.optimize import brentq, minimize_scalar
from scipy.special import log_ndtr

from analysis.statistics.curves import Steps
from analysis.statistics.records import FIRM_SEEDS, MIN_SEEDS, WIDE, Estimate, Refusal

_FLOOR = 0.02  # s.d. of a log ratio below which steps between two evaluations cannot be told apart
_CEILING = 10.0
_SIGMAS = np.exp(np.linspace(np.log(_FLOOR), np.log(_CEILING), 121))
_FAR = 12.0  # e^12: beyond any ratio of steps


def ratio_of_steps(
    slow: Sequence[Steps], fast: Sequence[Steps], *, level: float = 0.95
) -> Estimate | Refusal:
    """Geometric mean of slow/fast over pairs (same seed and subset at the same place of both sequences).

    The log ratios are normal with unknown mean and s.d.; a run that never got there bounds its ratio from
    one side, two such runs say nothing about it. The interval is the profile likelihood's with the cut-off
    S·log(1 + t²/(S−1)), which for uncensored pairs *is* the paired t interval of the log ratio; lifelines
    fits the same model, with a normal interval that is too short for few seeds.

    Returns
    -------
    `Estimate` (a ratio; infinite where censoring leaves a side open), or a `Refusal` below 3 pairs that say
    anything.

    Raises
    ------
    ValueError
        for sequences of different lengths or steps that are not positive.
    """
    if len(slow) != len(fast):
        raise ValueError(f"pairs are wanted, {len(slow)} and {len(fast)} runs came")
    if min((t.steps for t in (*slow, *fast)), default=1.0) <= 0:
        raise ValueError("steps above zero are wanted: leave the evaluation before the first step out")
    telling = [(a, b) for a, b in zip(slow, fast, strict=True) if a.reached or b.reached]
    bounds = np.array(sorted(_bounds(a, b) for a, b in telling))
    if len(bounds) < MIN_SEEDS:
        return Refusal(f"insufficient evidence: {len(bounds)} pairs reached the level, {MIN_SEEDS} wanted")
    likelihood = _profile(bounds[:, 0], bounds[:, 1])
    count = len(bounds)
    t = stats.t.ppf(0.5 + level / 2, count - 1)
    cut = count * np.log1p(t * t / (count - 1)) / 2
    finite = bounds[np.isfinite(bounds)]
    span = max(float(np.ptp(finite)), 0.5)
    means = np.linspace(finite.min() - 4 * span, finite.max() + 4 * span, 181)
    heights = np.array([likelihood(m) for m in means])
    best = int(np.argmax(heights))
    around = (means[max(best - 1, 0)], means[min(best + 1, len(means) - 1)])
    centre = float(minimize_scalar(lambda m: -likelihood(m), bounds=around, method="bounded").x)
    top = likelihood(centre)

    def outside(m: float) -> float:
        return top - likelihood(m) - cut

    note, censored = WIDE if count < FIRM_SEEDS else "", int(np.isinf(bounds).any(axis=1).sum())
    if censored:
        note = "; ".join(filter(None, (note, f"{censored} of {count} censored")))
    peak = _peak(bounds, centre, best, len(means))
    low, high = (_end(outside, centre, sign) for sign in (-1, 1))
    return Estimate(float(np.exp(peak)), float(np.exp(low)), float(np.exp(high)), note)


def _bounds(slow: Steps, fast: Steps) -> tuple[float, float]:
    """Lower and upper bound of the log ratio; equal when both runs got there."""
    value = float(np.log(slow.steps / fast.steps))
    return (value if fast.reached else -np.inf, value if slow.reached else np.inf)


def _profile(low: np.ndarray, high: np.ndarray) -> Callable[[float], float]:
    """Log likelihood of the mean, maximised over the s.d. on a grid."""
    exact = low == high
    above, below = np.isinf(high), np.isinf(low)
    sigma = _SIGMAS[:, None]

    def likelihood(mean: float) -> float:
        z = (low[exact] - mean) / sigma
        total = -(z * z).sum(axis=1) / 2 - exact.sum() * np.log(_SIGMAS)
        total = total + log_ndtr((mean - low[above]) / sigma).sum(axis=1)
        total = total + log_ndtr((high[below] - mean) / sigma).sum(axis=1)
        return float(total.max())

    return likelihood


def _peak(bounds: np.ndarray, found: float, best: int, count: int) -> float:
    """Mean log ratio: the sample mean without censoring, else the likelihood's; open when it has no peak."""
    if np.isfinite(bounds).all():
        return float(bounds[:, 0].mean())
    if np.isinf(bounds[:, 1]).all():
        return np.inf
    if np.isinf(bounds[:, 0]).all():
        return -np.inf
    return found if 0 < best < count - 1 else np.copysign(np.inf, best - 1)


def _end(outside: Callable[[float], float], inside: float, sign: int) -> float:
    step = 0.05
    while abs(inside + sign * step) < _FAR:
        if outside(inside + sign * step) > 0:
            return brentq(outside, inside, inside + sign * step, xtol=1e-9)
        step *= 1.5
    return sign * np.inf
