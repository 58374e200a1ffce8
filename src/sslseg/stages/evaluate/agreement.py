"""Bland-Altman and correlation plots of clinical quantities, one row a quantity."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = r"[LR]V (EF|EDV|ESV)|.* mass"  # of what the table lists, which has more
POINT, WORST, LINE = "#4477aa", "#ee6677", "#555555"


def draw(measured: pd.DataFrame, found: pd.DataFrame) -> Figure:
    """Left: difference against the mean of both, with bias and limits; right: prediction against truth.

    Patients with a missed structure are drawn in another colour: their numbers are the worst case.

    Args:
        measured, found: of `clinical.measure` and `clinical.agreement`.
    """
    from matplotlib.figure import Figure

    shown = found[found["quantity"].str.fullmatch(SHOWN)]
    found = shown if len(shown) else found
    figure = Figure(figsize=(8, 2.5 * len(found)), layout="constrained")
    axes = figure.subplots(len(found), 2, squeeze=False)
    for (left, right), row in zip(axes, found.itertuples(), strict=True):
        part = measured[measured["quantity"] == row.quantity].dropna(subset=["error"])
        colours = part["worst_case"].map({True: WORST, False: POINT})
        _bland_altman(left, part, row, colours)
        _correlation(right, part, row, colours)
    return figure


def _bland_altman(axis: Axes, part: pd.DataFrame, row: Any, colours: pd.Series) -> None:
    axis.scatter((part["truth"] + part["prediction"]) / 2, part["error"], s=14, c=colours)
    for value, style in ((row.bias, "-"), (row.lower, "--"), (row.upper, "--")):
        if value == value:  # the limits of one patient are NaN
            axis.axhline(value, color=LINE, linestyle=style, linewidth=1)
    title = f"{row.quantity}: bias {row.bias:.1f}, limits {row.lower:.1f} to {row.upper:.1f}"
    axis.set_title(title, fontsize=9)
    axis.set_xlabel(f"mean of both, {row.unit}", fontsize=8)
    axis.set_ylabel(f"prediction − truth, {row.unit}", fontsize=8)


def _correlation(axis: Axes, part: pd.DataFrame, row: Any, colours: pd.Series) -> None:
    axis.scatter(part["truth"], part["prediction"], s=14, c=colours)
    low, high = (f(f(part["truth"]), f(part["prediction"])) for f in (min, max))
    axis.plot([low, high], [low, high], color=LINE, linewidth=1)
    title = f"r {row.r:.3f}, mean |error| {row.mae:.1f} [{row.mae_low:.1f}, {row.mae_high:.1f}]"
    axis.set_title(title, fontsize=9)
    axis.set_xlabel(f"truth, {row.unit}", fontsize=8)
    axis.set_ylabel(f"prediction, {row.unit}", fontsize=8)


def save(measured: pd.DataFrame, found: pd.DataFrame, path: Path) -> None:
    """Draw the figure to a PNG."""
    draw(measured, found).savefig(path, dpi=100, metadata={"Software": None})
