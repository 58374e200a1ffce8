"""The look that is the same everywhere: width, letters, names of lines; on the page, or in a paper.

Nothing of pyplot is used, so no figure is registered anywhere and none has to be closed.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axes._secondary_axes import SecondaryAxis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

WIDTH = 7.16  # inches: the text of a two-column paper (IEEE), where nothing is scaled and 9 pt stay 9 pt
SIZE = 9.0  # points, of every letter
LINE = 0.17  # inches from one line of text to the next
ENTRY = 0.2  # inches from one line of a legend to the next
LINES = 5  # of a legend, and of small print, that a figure has room for
LETTERS = 100  # of SIZE that stand in one line of WIDTH
STYLES = ("page", "paper")
LOOK: dict[str, object] = {
    "font.size": SIZE,
    "axes.titlesize": SIZE + 1,
    "figure.titlesize": SIZE + 1,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": SIZE,
    "pdf.fonttype": 42,  # text stays text
    "text.parse_math": False,  # a name may hold a $
    "svg.hashsalt": "sslseg",
    "figure.constrained_layout.use": True,
}
# letters like those of LaTeX's Times; what stands above and below the axes belongs into \caption
PAPER: dict[str, object] = {"font.family": "STIXGeneral", "mathtext.fontset": "stix", "axes.titlesize": SIZE}
_style: ContextVar[str] = ContextVar("style", default="page")


@contextmanager
def using(name: str) -> Iterator[None]:
    """Draw in one of STYLES."""
    before = _style.set(name)
    try:
        yield
    finally:
        _style.reset(before)


def in_paper() -> bool:
    """Whether what is drawn goes into a paper."""
    return _style.get() == "paper"


@contextmanager
def look() -> Iterator[None]:
    """The look of the style, for making and for saving a figure."""
    with mpl.rc_context(LOOK | (PAPER if in_paper() else {})):  # type: ignore[arg-type] # stubs: each key spelled out
        yield


def title(place: Axes | Figure, text: str) -> None:
    """What is shown, above it; a paper has it in the caption."""
    if not in_paper():
        place.set_title(text) if isinstance(place, Axes) else place.suptitle(text)


def footnote(figure: Figure, lines: Iterable[str]) -> None:
    """Small print below a figure: how many runs, what is missing, what is mixed; a paper has it in the caption."""
    text = "\n".join(textwrap.fill(line, LETTERS) for line in lines if line)
    if text and not in_paper():
        grow(figure, text.count("\n") + 1)
        figure.supxlabel(
            text.replace("$", r"\$"), fontsize=SIZE, color="#444444", x=0.01, ha="left", parse_math=True
        )


def ticks(axis: Axes | SecondaryAxis, budgets: Sequence[int], text: Callable[[float], str]) -> None:
    """A tick and its text at each of the sizes that were run, and nowhere else."""
    axis.xaxis.set_major_locator(FixedLocator(budgets))
    axis.xaxis.set_minor_locator(FixedLocator([]))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda n, _: text(n)))


def nothing(figure: Figure, heading: str) -> None:
    """A figure of which there is nothing to draw; the page leaves it out."""
    axis = figure.subplots()
    axis.axis("off")
    title(axis, heading)
    axis.text(0.5, 0.5, "nothing to draw", ha="center", transform=axis.transAxes, color="#666666")


def grow(figure: Figure, lines: int) -> None:
    """Make a figure higher by the lines of a legend or of small print that it has no room for: its axes stay as they are."""
    figure.set_figheight(figure.get_figheight() + ENTRY * max(0, lines - LINES))
