"""Sizes at which an estimated difference is zero: the set that a t test does not reject.

This is Fieller's construction (1954, *JRSS B* 16, 175): the interval may be open, which is how "more than
N slices" comes out of the arithmetic instead of an extrapolation.
"""

from __future__ import annotations

import numpy as np

from analysis.statistics.records import Estimate


def size_grid(low: float, high: float, points: int = 2001) -> np.ndarray:
    """Sizes [G] in slices, evenly spaced in the logarithm."""
    return np.exp(np.linspace(np.log(low), np.log(high), points))


def spread(units: np.ndarray) -> np.ndarray:
    """Standard error [G] of a sum of per-seed parts [S, G] that add up to zero."""
    count = len(units)
    return np.sqrt(count / (count - 1) * (units**2).sum(axis=0))


def crossing(grid: np.ndarray, delta: np.ndarray, error: np.ndarray, critical: float) -> Estimate:
    """Size at which a falling difference reaches zero, and its interval.

    Parameters
    ----------
    grid : sizes [G], ascending, in slices.
    delta : estimated difference [G], positive where more slices are needed.
    error : its standard error [G].
    critical : two-sided t quantile.

    Returns
    -------
    `Estimate` in slices; −inf says below the first, +inf beyond the last size of the grid.
    """
    point = _first(grid, delta)
    low = _first(grid, delta - critical * error)
    high = _first(grid, delta + critical * error)
    return Estimate(point, min(low, point), max(high, point))


def _first(grid: np.ndarray, falling: np.ndarray) -> float:
    """First size at which ``falling`` is no longer positive, interpolated in log size."""
    below = falling <= 0
    if not below.any():
        return np.inf
    k = int(np.argmax(below))
    if k == 0:
        return float(grid[0]) if falling[0] == 0 else -np.inf
    share = falling[k - 1] / (falling[k - 1] - falling[k])
    return float(np.exp(np.log(grid[k - 1]) + share * (np.log(grid[k]) - np.log(grid[k - 1]))))
