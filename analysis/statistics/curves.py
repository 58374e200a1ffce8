"""Learning curves: area under them, and the steps they take to come near their end.

"Area" is the area under the *learning* curve (a validation score against optimiser steps), never the one
of a receiver operating characteristic.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

EARLY = 0.2  # the first fifth
NEAR = 0.95  # "95 % of the final IoU"
TAIL = 0.1  # the final score is the mean over the last tenth of the steps


@dataclass(frozen=True)
class Curve:
    """One run: `steps` [T] ascending and unique, `values` [T] finite."""

    steps: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Steps:
    """First evaluated step at a level, and the evaluation `before` it (0: none), between which a run got there.

    `reached` is False when the run ended first; both are its last step then.
    """

    steps: float
    reached: bool
    before: float = 0.0


def curve(steps: Sequence[float], values: Sequence[float]) -> Curve:
    """A clean curve: gaps (NaN, infinities) dropped, in order of steps, equal steps averaged.

    Raises:
        ValueError: with fewer than two finite points, or shapes that differ.
    """
    x, y = np.asarray(steps, float), np.asarray(values, float)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"steps and values of one shape [T] are wanted, {x.shape} and {y.shape} came")
    good = np.isfinite(x) & np.isfinite(y)
    order = np.lexsort((y[good], x[good]))
    unique, place = np.unique(x[good][order], return_inverse=True)
    if len(unique) < 2:
        raise ValueError(f"a learning curve of at least two finite points is wanted, {len(unique)} came")
    total = np.bincount(place, weights=y[good][order])
    return Curve(unique, total / np.bincount(place))


def common_grid(curves: Iterable[Curve]) -> np.ndarray:
    """Steps [T] on which all curves can be read without extrapolation: the union inside their overlap.

    Raises:
        ValueError: when the curves do not overlap.
    """
    curves = list(curves)
    start = max(c.steps[0] for c in curves)
    end = min(c.steps[-1] for c in curves)
    if end <= start:
        raise ValueError(f"the learning curves share no steps: one starts at {start:g}, one ends at {end:g}")
    union = np.unique(np.concatenate([c.steps for c in curves]))
    return union[(union >= start) & (union <= end)]


def on_grid(c: Curve, grid: np.ndarray) -> np.ndarray:
    """Values [T] at the steps of `grid` [T], linear across gaps.

    Raises:
        ValueError: when the grid leaves the curve: nothing is extrapolated.
    """
    if grid[0] < c.steps[0] or grid[-1] > c.steps[-1]:
        raise ValueError(
            f"a grid inside steps {c.steps[0]:g} to {c.steps[-1]:g} is wanted, {grid[0]:g} to {grid[-1]:g} "
            "came: take common_grid of the curves"
        )
    return np.interp(grid, c.steps, c.values)


def area(c: Curve, grid: np.ndarray | None = None, *, share: float = 1.0) -> float:
    """Trapezoid area over `share` of the steps, divided by their span: a mean score, in [0, 1] for IoU."""
    grid = c.steps if grid is None else grid
    end = grid[0] + share * (grid[-1] - grid[0])
    inside = np.append(grid[grid < end], end)
    return float(np.trapezoid(on_grid(c, inside), inside) / (end - grid[0]))


def early_area(c: Curve, grid: np.ndarray | None = None) -> float:
    """Area over the first fifth of the steps."""
    return area(c, grid, share=EARLY)


def final(c: Curve) -> float:
    """Mean score of the evaluations in the last tenth of the steps."""
    start = c.steps[-1] - TAIL * (c.steps[-1] - c.steps[0])
    return float(c.values[c.steps >= start].mean())


def steps_to(c: Curve, level: float) -> Steps:
    """First crossing of `NEAR` times `level`, else censored at the last step."""
    reached = np.flatnonzero(c.values >= NEAR * level)
    if not len(reached):
        return Steps(float(c.steps[-1]), False, float(c.steps[-1]))
    first = int(reached[0])
    return Steps(float(c.steps[first]), True, float(c.steps[first - 1]) if first else 0.0)
