"""The look that is the same everywhere: width, letters, names of lines; on the page, or in a paper.

Nothing of pyplot is used, so no figure is registered anywhere and none has to be closed.
"""

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from itertools import chain
from typing import cast

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.axes._secondary_axes import SecondaryAxis
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, FuncFormatter

WIDTH = 7.16  # inches: the text of a two-column paper (IEEE), where nothing is scaled and 9 pt stay 9 pt
SIZE = 9.0  # points, of every letter
LINE = 0.17  # inches from one line of text to the next
ENTRY = 0.2  # inches from one line of a legend to the next
LINES = 5  # of a legend, and of small print, that a figure has room for
LETTERS = 100  # of SIZE that stand in one line of WIDTH
STYLES = ("page", "paper")
BOXES = ("Last Resort High-Efficiency",)  # come with matplotlib, and have a box for every letter
MOST_FONTS = 4  # beside that of the style, for letters that it has not
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
def look(letters: str = "") -> Iterator[None]:
    """The look of the style, for making and for saving a figure; with fonts for `letters` that its own has not."""
    with mpl.rc_context(LOOK | (PAPER if in_paper() else {})):  # type: ignore[arg-type] # stubs: each key spelled out
        mpl.rcParams["font.family"] = [*mpl.rcParams["font.family"], *_fonts(unknown(letters))]
        yield


def unknown(letters: str) -> frozenset[str]:
    """Those of `letters` that no font of the look has."""
    families = () if letters.isascii() else mpl.rcParams["font.family"]
    paths = [font_manager.findfont(font_manager.FontProperties(family=[family])) for family in families]
    known = {*range(128), *chain.from_iterable(map(_letters, paths))}
    return frozenset(letter for letter in letters if letter.isprintable() and ord(letter) not in known)


def lost(letters: str) -> frozenset[str]:
    """Those of `letters` that no installed font has."""
    with look(letters):
        return unknown(letters)


@cache
def _letters(path: str) -> frozenset[int]:
    """Codes of all that a font has."""
    return frozenset(FT2Font(path).get_charmap())


@cache
def _fonts(letters: frozenset[str]) -> tuple[str, ...]:
    """Installed fonts that have some of them, those with the most first."""
    left, found = set(map(ord, letters)), dict[str, set[int]]()
    for font in font_manager.fontManager.ttflist if left else ():
        if (has := left & _letters(font.fname)) and font.name not in BOXES:
            found.setdefault(font.name, has)
    return tuple(sorted(found, key=lambda name: (-len(found[name]), name))[:MOST_FONTS])


def legible(figure: Figure) -> None:
    """Write letters that no font has as their codes: matplotlib warns of each and draws a box."""

    def coded(text: str) -> str:
        left = unknown(text)
        return "".join(c.encode("unicode_escape").decode() if c in left else c for c in text)

    for axis in cast("list[Axis]", figure.findobj(Axis)):
        names = [text.get_text() for text in axis.get_ticklabels()]
        if names != list(map(coded, names)):
            axis.set_ticks(axis.get_ticklocs(), list(map(coded, names)))
    for text in cast("list[Text]", figure.findobj(Text)):
        text.set_text(coded(text.get_text()))


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
