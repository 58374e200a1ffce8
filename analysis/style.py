"""Ink that is the same everywhere: order, name, colour and marker of a pipeline, and the page's look.

Nothing of pyplot is used, so no figure is registered anywhere and none has to be closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sslseg import pipelines

# Paul Tol's muted scheme: told apart by colour-blind readers, and from the colours of pipelines.ROWS
OWN_COLOURS = ("#882255", "#332288", "#117733", "#AA4499", "#999933", "#666666")
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)))
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


@dataclass(frozen=True)
class Arm:
    """One line of a figure: a pipeline on the datasets it was really run on."""

    label: str  # byol-photos+byol-acdc
    pipeline: str  # row of pipelines.ROWS, or the lineage where there is none
    kind: str  # control | generalist | specialist | hierarchical | own
    colour: str
    marker: str
    dashes: str | tuple


def arms(found: Iterable[tuple[str, str]]) -> tuple[Arm, ...]:
    """Arms of (pipeline, label) pairs, in the order of pipelines.ROWS, unknown ones behind by name.

    Labels that share a row share its colour and differ in their dashes.
    """
    rows = list(pipelines.ROWS)
    pairs = sorted(set(found), key=lambda p: (rows.index(p[0]) if p[0] in rows else len(rows), p))
    made: list[Arm] = []
    for pipeline, label in pairs:
        row = pipelines.ROWS.get(pipeline)
        same = sum(arm.pipeline == pipeline for arm in made)
        own = sum(arm.pipeline not in pipelines.ROWS for arm in made)
        colour = row.colour if row else OWN_COLOURS[own % len(OWN_COLOURS)]
        made.append(
            Arm(label, pipeline, row.kind if row else "own", colour, row.marker if row else "*",
                DASHES[same % len(DASHES)])
        )  # fmt: skip
    return tuple(made)


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
