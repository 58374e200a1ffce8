"""Names of lines: at their ends where they fit, else in a legend above the axes; and which lines have one."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.optimize import isotonic_regression

from analysis.comparison import families
from analysis.comparison.arms import Arm
from analysis.comparison.cells import Study
from analysis.figures import style
from analysis.statistics.words import plural
from sslseg.config.names import TEST_IOU

LETTER = 0.078  # inches of one at style.SIZE, in the mean
SHARE = 0.37  # of the width that names at the ends of lines may take
MOVED = 0.3  # of the height that a name may be away from its line's end
MOST = 10  # pipelines that one panel can hold in colour
CHOSEN = 8  # of more, those that are

Name = tuple[Arm, str, float]  # the pipeline, what is said of it, where its line ends


def front(study: Study) -> tuple[Arm, ...]:
    """The pipelines that have colour where all share a panel: all of a few, of many the references and the best.

    The same ones in every figure of a study: by mean test IoU at its largest size.
    """
    if len(study.arms) <= MOST:
        return study.arms
    runs = study.runs[study.runs["budget"] == study.budgets[-1]]
    score = TEST_IOU if TEST_IOU in runs else "budget"
    best = runs.groupby("arm")[score].mean().sort_values(ascending=False, kind="stable").index
    chosen = dict.fromkeys([*families.references(study), *best, *(arm.label for arm in study.arms)])
    return tuple(arm for arm in study.arms if arm.label in list(chosen)[:CHOSEN])


def others(study: Study, drawn: str) -> tuple[str, ...]:
    """The note on those without colour."""
    left, against = len(study.arms) - len(front(study)), families.references(study)
    best = f"the {CHOSEN - len(against)} best others at {plural(study.budgets[-1], study.unit)}"
    return (f"named: {', '.join([*against, best])}; the remaining {left} are {drawn}",) if left else ()


def ends(numbers: pd.Series) -> str:
    """The least and the most: `3–5`; where they are equal, once."""
    return "–".join(dict.fromkeys((str(numbers.min()), str(numbers.max()))))


def behind(axis: Axes, table: pd.DataFrame, arms: Sequence[Arm], x: str, y: str) -> None:
    """The other pipelines of a table as thin grey lines: the mean of `y` at each `x`."""
    rest = table[~table["arm"].isin([arm.label for arm in arms])]
    for _, rows in rest.groupby("arm"):
        means = rows.groupby(x)[y].mean()
        axis.plot(means.index, means, color="#c4c4c4", lw=0.7, zorder=1)


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
        axis.plot(
            [1.0, 1.03], [end, place], color=arm.colour, lw=0.8, marker=arm.marker, markevery=[1], ms=5,
            transform=axis.transAxes, clip_on=False,
        )  # fmt: skip
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
