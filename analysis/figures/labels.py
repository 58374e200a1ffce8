"""Names of lines: at their ends where they fit, else in a legend above the axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.optimize import isotonic_regression

from analysis.comparison.arms import Arm
from analysis.figures import style

LETTER = 0.078  # inches of one at style.SIZE, in the mean
SHARE = 0.37  # of the width that names at the ends of lines may take
MOVED = 0.3  # of the height that a name may be away from its line's end

Name = tuple[Arm, str, float]  # the pipeline, what is said of it, where its line ends


def at_ends(axis: Axes, names: Sequence[Name], height: float) -> None:
    """Write each name beside the end of its line, moved apart; a legend where that cannot be read.

    Args:
        names: their ends in the units of the data.
        height: of the axes, inches; guessed too small rather than too large.
    """
    axis.get_ylim()  # the limits follow from the data only when they are asked for
    down = axis.transData + axis.transAxes.inverted()
    at = sorted(((down.transform((1.0, end))[1], arm, text) for arm, text, end in names), key=lambda n: n[0])
    places = apart([end for end, *_ in at], style.LINE / height)
    widest = max((len(text) for _, text, _ in names), default=0) * LETTER
    far = max((abs(place - end) for place, (end, *_) in zip(places, at, strict=True)), default=0.0)
    if widest > SHARE * style.WIDTH or far > MOVED or places.max(initial=0) > 1.05:
        legend(cast("Figure", axis.figure), [(arm, text) for arm, text, _ in names])
        return
    for place, (end, arm, text) in zip(places, at, strict=True):
        given: dict[str, Any] = {"transform": axis.transAxes, "clip_on": False, "color": arm.colour}
        axis.add_line(Line2D([1.0, 1.03], [end, place], lw=0.8, **given))
        axis.add_line(Line2D([1.03], [place], marker=arm.marker, ms=5, ls="", **given))
        axis.text(1.05, place, text, va="center", transform=axis.transAxes)


def apart(ends: Sequence[float], gap: float) -> np.ndarray:
    """The places nearest to ascending `ends` that are at least `gap` from each other, none below 0."""
    steps = gap * np.arange(len(ends))
    found = isotonic_regression(np.asarray(ends, float) - steps).x + steps if len(ends) else np.array([])
    found = found - max(0.0, found[-1] - 1.0) if len(found) else found
    return np.maximum(found, steps)


def legend(figure: Figure, names: Sequence[tuple[Arm, str]]) -> None:
    """Above the axes, in as many columns as the width holds."""
    marks = [Line2D([], [], marker=a.marker, color=a.colour, ls=a.dashes, ms=5, label=t) for a, t in names]
    widest = max((len(text) for _, text in names), default=0)
    columns = max(1, int(style.WIDTH / (widest * LETTER + 0.5)))
    if marks:
        style.grow(figure, -(-len(marks) // columns))
        figure.legend(
            handles=marks, loc="outside upper left", ncols=min(columns, len(marks)), columnspacing=1.2
        )
