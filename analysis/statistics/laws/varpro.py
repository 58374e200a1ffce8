"""Least squares of the scaling law by variable projection, and score-t intervals of its parameters.

For a fixed exponent the law α·n^−β + γ is linear in α and γ, so only β is searched: a vectorised grid and
three zooms (Golub and Pereyra 1973, *SIAM J. Numer. Anal.* 10, 413).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

BETA_LOW, BETA_HIGH = 0.01, 4.0
_GRID = np.exp(np.linspace(np.log(BETA_LOW), np.log(BETA_HIGH), 121))
_ZOOMS = 3
ALPHA, BETA, GAMMA = range(3)


@dataclass(frozen=True)
class Problem:
    """Errors `values` [S, K] (zero where absent), `present` [S, K] 0 or 1, `weights` [K] of a run."""

    log_sizes: np.ndarray
    values: np.ndarray
    present: np.ndarray
    weights: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """Number of seeds at each size [K]."""
        return self.present.sum(axis=0)

    @property
    def means(self) -> np.ndarray:
        """Mean error at each size [K]."""
        return self.values.sum(axis=0) / self.counts

    @property
    def total_weights(self) -> np.ndarray:
        """Weight of each size's mean [K]."""
        return self.weights * self.counts


def law(theta: np.ndarray, log_sizes: np.ndarray) -> np.ndarray:
    """Error [K] of the law at sizes given as natural logarithms [K]; `theta` is (α, β, γ)."""
    return theta[ALPHA] * np.exp(-theta[BETA] * log_sizes) + theta[GAMMA]


def gradient(theta: np.ndarray, log_sizes: np.ndarray) -> np.ndarray:
    """Derivatives [3, K] of the law with respect to (α, β, γ)."""
    power = np.exp(-theta[BETA] * log_sizes)
    return np.stack([power, -theta[ALPHA] * log_sizes * power, np.ones_like(power)])


def _project(
    power: np.ndarray, y: np.ndarray, w: np.ndarray, alpha: float | None, gamma: float | None, bounded: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Best α and γ [B] and weighted residual sum [B] for each row of `power` [B, K]."""
    total = w.sum()
    mean_x, mean_y = power @ w / total, (w @ y) / total
    if gamma is not None:
        g = np.full(len(power), gamma)
        a = power @ (w * (y - gamma)) / ((power * power) @ w)
    elif alpha is not None:
        a = np.full(len(power), alpha)
        g = mean_y - alpha * mean_x
    else:
        centred = power - mean_x[:, None]
        a = centred @ (w * (y - mean_y)) / ((centred * centred) @ w)
        g = mean_y - a * mean_x
    if bounded:
        low = g < 0
        g = np.where(low, 0.0, g)
        a = np.where(low, power @ (w * y) / ((power * power) @ w), a)
        a, g = np.where(a < 0, 0.0, a), np.where(a < 0, mean_y, g)
    residual = y - a[:, None] * power - g[:, None]
    return a, g, (residual * residual) @ w


def minimise(
    log_sizes: np.ndarray,
    means: np.ndarray,
    weights: np.ndarray,
    *,
    alpha: float | None = None,
    gamma: float | None = None,
    bounded: bool = False,
) -> np.ndarray:
    """(α, β, γ) of least weighted squares; `alpha` or `gamma` hold one, `bounded` wants γ ≥ 0."""
    betas = _GRID
    for zoom in range(_ZOOMS + 1):
        power = np.exp(-np.outer(betas, log_sizes))
        a, g, rest = _project(power, means, weights, alpha, gamma, bounded)
        best = int(np.argmin(rest))
        if zoom == _ZOOMS:
            break
        low, high = betas[max(best - 1, 0)], betas[min(best + 1, len(betas) - 1)]
        betas = low * (high / low) ** np.linspace(0.0, 1.0, 21)
    return np.array([a[best], betas[best], g[best]])


def held(problem: Problem, which: int, value: float) -> np.ndarray:
    """(α, β, γ) of least squares when parameter `which` is held at `value`, γ free in sign."""
    y, w = problem.means, problem.total_weights
    if which == ALPHA:
        return minimise(problem.log_sizes, y, w, alpha=value)
    if which == GAMMA:
        return minimise(problem.log_sizes, y, w, gamma=value)
    power = np.exp(-value * problem.log_sizes)[None]
    a, g, _ = _project(power, y, w, None, None, False)
    return np.array([a[0], value, g[0]])


def contributions(problem: Problem, theta: np.ndarray) -> np.ndarray:
    """What each seed adds to the error of `theta`, linearised [S, 3] (a clustered sandwich, by seed).

    Their sum is zero at the fit; S/(S−1) times the sum of their outer products is the covariance.
    """
    slopes = gradient(theta, problem.log_sizes)
    information = (slopes * problem.total_weights) @ slopes.T
    residual = (problem.values - law(theta, problem.log_sizes)) * problem.present
    scores = (residual * problem.weights) @ slopes.T
    return scores @ np.linalg.pinv(information, hermitian=True)


def score_t(problem: Problem, which: int, value: float) -> float:
    """One-sample t of the seeds' efficient scores when parameter `which` is held at `value`.

    The direction is the derivative by that parameter made orthogonal to the other two, so that the
    nuisance parameters' own error drops out to first order. Each seed gives one number, whatever the
    correlation of its sizes, so the statistic is Student's with S−1 degrees of freedom to that order.
    """
    theta = held(problem, which, value)
    slopes = gradient(theta, problem.log_sizes)
    root = np.sqrt(problem.total_weights)
    nuisance = np.delete(slopes, which, axis=0) * root
    target = slopes[which] * root
    direction = (target - nuisance.T @ np.linalg.lstsq(nuisance.T, target, rcond=None)[0]) / root
    residual = (problem.values - law(theta, problem.log_sizes)) * problem.present
    scores = residual @ (problem.weights * direction)
    spread = scores.std(ddof=1) * np.sqrt(len(scores))
    return float(scores.sum() / spread) if spread > 0 else 0.0


def interval(
    problem: Problem, which: int, centre: float, step: float, critical: float, low: float, high: float
) -> tuple[float, float]:
    """Values around `centre` that the score-t does not reject, within the bounds [low, high].

    α and β are walked in logarithms. An end at a bound says that the data do not limit that side.
    """
    log = which != GAMMA
    into: Callable[[float], float] = np.log if log else float
    back: Callable[[float], float] = np.exp if log else float
    at = into(min(max(centre, low), high))
    size = min(max(step / centre, 1e-6), 1.0) if log else max(step, 1e-9)

    def excess(point: float) -> float:
        return abs(score_t(problem, which, back(point))) - critical

    if excess(at) > 0:  # only when the free estimate lies outside of the bounds
        return float(back(at)), float(back(at))
    return float(back(_walk(excess, at, -size, into(low)))), float(back(_walk(excess, at, size, into(high))))


def _walk(excess: Callable[[float], float], at: float, step: float, end: float) -> float:
    inside = at
    while True:
        outside = min(inside + step, end) if step > 0 else max(inside + step, end)
        if excess(outside) > 0:
            return brentq(excess, inside, outside, xtol=1e-7, rtol=1e-7)
        if outside == end:
            return end
        inside, step = outside, step * 1.6
