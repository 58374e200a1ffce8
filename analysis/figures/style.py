"""Ink that is the same everywhere: order, name, colour and marker of a pipeline, and the page's look.

Nothing of pyplot is used, so no figure is registered anywhere and none has to be closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

LOOK = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "pdf.fonttype": 42,  # text stays text
    "text.parse_math": False,  # a name may hold a $
    "svg.hashsalt": "sslseg",
    "figure.constrained_layout.use": True,
}
WRAPPED = {"wrap": True, "parse_math": True}


@contextmanager
def look() -> Iterator[None]:
    """The page's look, for making and for saving a figure."""
    with mpl.rc_context(LOOK):
        yield


def footnote(figure: Figure, lines: Iterable[str]) -> None:
    """Small print below a figure: how many runs, what is missing, what is mixed."""
    text = "\n".join(line for line in lines if line)
    if text:
        figure.supxlabel(wrapped(text), fontsize=7, color="#444444", x=0.01, ha="left", **WRAPPED)


def nothing(axis: Axes, why: str) -> None:
    """Say on the axes why they are empty."""
    axis.text(
        0.5, 0.5, wrapped(why), ha="center", va="center", transform=axis.transAxes, color="#888888", **WRAPPED
    )


def wrapped(text: str) -> str:
    """`text` for a text with WRAPPED: matplotlib measures its lines as formulas, whatever `text.parse_math` says."""
    return text.replace("$", r"\$")
