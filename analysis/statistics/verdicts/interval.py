"""The interval of a mean over seeds, of which each seed gives a number or only bounds of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special
from scipy.optimize import brentq, minimize_scalar
from scipy.special import log_ndtr

from analysis.statistics.records import Estimate

_SIGMAS = np.exp(np.linspace(np.log(0.005), np.log(100.0), 190))
_NARROW = 1e-9  # bounds that are as near as this are one number
_STRIDE = 9  # of the grid of means, in the first search for the best one
_FAR = 14.0  # from zero: beyond any logarithm of a ratio of steps
LEAST = 0.05  # of the rest's variance that a pair's own is taken for: three differences can agree by chance, or by rounding


@dataclass(frozen=True)
class Rest:
    """Variance of a paired difference as the other pipelines of a study show it, and its degrees of freedom."""

    variance: float
    freedom: int


def mean_interval(low: np.ndarray, high: np.ndarray, level: float, rest: Rest | None = None) -> Estimate:
    """Mean of what lies between `low` [S] and `high` [S] in each seed, with Student's t interval.

    With `rest` it is the shorter of two: Student's, of a variance that is at least `LEAST` of the rest's, and that of
    the sum of both variances with the degrees of freedom of Welch 1947 (*Biometrika* 34, 28) and Satterthwaite. The
    sum is too large rather than too small wherever variances differ, so it can be trusted; with three seeds its t
    quantile is a fifth of Student's.
    Measured in docs/explanation/statistics.md.

    Where bounds differ (steps between two evaluations) or are infinite (a run that never got there), the values are
    taken as normal with unknown mean and s.d., and the interval is the profile likelihood's with the cut-off
    S·log(1 + t²/(S−1)), which for exact values *is* the t interval; lifelines has the same model with a normal
    interval, which is too short for few seeds.
    """
    count = len(low)
    t = float(special.stdtrit(count - 1, 0.5 + level / 2))
    if (high - low < _NARROW).all():
        mean, own = float(low.mean()), float(low.var(ddof=1))
        reach = reach_of(own, count, rest.variance, rest.freedom, level) if rest else t * (own / count) ** 0.5
        return Estimate.around(mean, float(reach))
    likelihood, finite = _profile(low, high), np.concatenate([low, high])
    finite = finite[np.isfinite(finite)]
    span = max(float(np.ptp(finite)), 0.5)
    means = np.linspace(finite.min() - 4 * span, finite.max() + 4 * span, 181)
    # it has one maximum (Burridge 1981): then only near it
    best = _STRIDE * int(np.argmax(likelihood(means[::_STRIDE])))
    first = max(best - _STRIDE, 0)
    best = first + int(np.argmax(likelihood(means[first : best + _STRIDE + 1])))
    around = (means[max(best - 1, 0)], means[min(best + 1, len(means) - 1)])
    centre = float(minimize_scalar(lambda m: -likelihood(m), bounds=around, method="bounded").x)
    cut = likelihood(centre) - count * np.log1p(t * t / (count - 1)) / 2
    least, most = (_end(lambda m: cut - likelihood(m), centre, sign) for sign in (-1, 1))
    return Estimate(float(np.clip(_point(low, high, centre), least, most)), least, most)


def reach_of(own: ArrayLike, count: int, rest: ArrayLike, freedom: int, level: float) -> np.ndarray:
    """Half the length of the shorter interval, from the variances of `count` paired differences and of the rest."""
    alone, both = np.asarray(own, float), np.asarray(own, float) + np.asarray(rest, float)
    satterthwaite = both**2 / np.maximum(alone**2 / (count - 1) + np.square(rest) / freedom, 1e-300)
    quantile = 0.5 + level / 2
    lone = special.stdtrit(count - 1, quantile) * np.sqrt(np.maximum(alone, LEAST * np.asarray(rest)) / count)
    return np.minimum(lone, special.stdtrit(np.maximum(satterthwaite, 1), quantile) * np.sqrt(both / count))


def rest_of(values: np.ndarray) -> Rest | None:
    """What runs [P, S] say about the variance of the difference of the first two but that difference; None of two."""
    pipelines, seeds = values.shape
    if pipelines < 3:
        return None
    return Rest(float(rest_variance(values, [0], [1])[0]), (pipelines - 2) * (seeds - 1))


def rest_variance(values: np.ndarray, a: Iterable[int], b: Iterable[int]) -> np.ndarray:
    """`Rest.variance` [..., K] of the pairs `a` [K], `b` [K] of runs [..., P, S].

    Where all scatter alike, the difference of a pipeline to the mean of a pair varies three quarters as much as the
    difference of the pair, and independently of it. The median over the others is taken, so one more pipeline that is noisy
    or collapses lengthens no interval of the rest.
    """
    found = []
    for pair in zip(a, b, strict=True):
        middle = np.take(values, pair, axis=-2).mean(axis=-2, keepdims=True)
        others = np.delete(values, pair, axis=-2) - middle
        found.append(4 / 3 * np.median(others.var(axis=-1, ddof=1), axis=-1))
    return np.stack(found, axis=-1)


def _point(low: np.ndarray, high: np.ndarray, centre: float) -> float:
    """The mean of the middles of finite bounds, else the likelihood's; infinite where one side is all open."""
    if np.isinf(high).all():
        return np.inf
    if np.isinf(low).all():
        return -np.inf
    return centre if np.isinf(high - low).any() else float((low + high).mean() / 2)


def _profile(low: np.ndarray, high: np.ndarray) -> Callable[[ArrayLike], np.ndarray]:
    """Log likelihood [...] of means [...], maximised over the s.d. on a grid."""
    exact = high - low < _NARROW
    sigma = _SIGMAS[:, None]

    def likelihood(means: ArrayLike) -> np.ndarray:
        mean = np.asarray(means)[..., None, None]
        z = (low[exact] - mean) / sigma
        total = -(z * z).sum(axis=-1) / 2 - exact.sum() * np.log(_SIGMAS)
        upper, lower = (high[~exact] - mean) / sigma, (low[~exact] - mean) / sigma
        swap = lower > 0  # the tail in which the difference of two near numbers is exact
        far, near = np.where(swap, -lower, upper), np.where(swap, -upper, lower)
        logs = log_ndtr(far)
        total = total + (logs + np.log1p(-np.exp(np.minimum(log_ndtr(near) - logs, -1e-15)))).sum(axis=-1)
        return total.max(axis=-1)

    return likelihood


def _end(outside: Callable[[float], float], inside: float, sign: int) -> float:
    step = 0.05
    while abs(inside + sign * step) < _FAR:
        if outside(inside + sign * step) > 0:
            return float(brentq(outside, inside, inside + sign * step, xtol=1e-9))
        step *= 1.5
    return sign * np.inf
