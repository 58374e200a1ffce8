"""The size at which an error that falls with the slices has come down to another one."""

from collections.abc import Callable, Sequence

import numpy as np

from analysis.statistics.records import Estimate


def size_grid(low: float, high: float, points: int = 2001) -> np.ndarray:
    """Sizes [G] in slices, evenly spaced in the logarithm."""
    return np.exp(np.linspace(np.log(low), np.log(high), points))


def crossing(
    excess: Callable[[np.ndarray], np.ndarray], sizes: Sequence[int], tested: Sequence[Estimate]
) -> Estimate:
    """Size at which a falling excess reaches zero, and between which of the sizes that were run it surely does.

    Sizes are asked in turn, the smallest first, for as long as the excess is surely above zero, and the largest first
    for as long as it surely is not: so no end is wrong more often than one test.

    Args:
        excess: estimate [G] at sizes [G], positive where more slices are needed.
        sizes: those that were run, ascending.
        tested: the excess at each of them, with its interval.

    Returns:
        `Estimate` in slices; −inf says below the first, +inf beyond the last size.
    """
    above = next((i for i, e in enumerate(tested) if e.low <= 0), len(sizes))
    below = next((i for i, e in enumerate(reversed(tested)) if e.high > 0), len(sizes))
    low = np.inf if above == len(sizes) else float(sizes[above - 1]) if above else -np.inf
    high = float(sizes[-below]) if below else np.inf
    if below == len(sizes) and tested[0].high < 0:
        high = -np.inf
    grid = size_grid(sizes[0], sizes[-1])
    return Estimate(float(np.clip(_first(grid, excess(grid)), low, max(low, high))), low, max(low, high))


def _first(grid: np.ndarray, falling: np.ndarray) -> float:
    """First size at which `falling` is no longer positive, interpolated in log size."""
    below = falling <= 1e-12  # of errors: a pipeline against itself is level with itself
    if not below.any():
        return np.inf
    k = int(np.argmax(below))
    if k == 0:
        return float(grid[0]) if falling[0] > -1e-12 else -np.inf
    share = falling[k - 1] / (falling[k - 1] - falling[k])
    return float(np.exp(np.log(grid[k - 1]) + share * (np.log(grid[k]) - np.log(grid[k - 1]))))
