"""Fig. 1: the pretraining pipelines, drawn from the lineage of the runs that are there."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from analysis.comparison.arms import Arm
from analysis.comparison.cells import Study
from analysis.comparison.encoders import hop_name
from analysis.comparison.sameness import chain
from analysis.figures import labels, outputs, style
from analysis.figures.outputs import Content
from sslseg.config import names
from sslseg.config.names import CFG
from sslseg.plans import pipelines

TITLE = "Pipelines, from the lineage of their runs"
wanted = outputs.lacking("there is no run")
KEYS: tuple[str, ...] = ()
COLUMNS = ["arm", "pipeline", "kind", "hop", "stage", "name", "run_id", "epoch", "steps", "runs"]
START, GAP = 0.35, 0.3  # inches before the first box and between two
# inches from one row to the next, above its boxes and of a box; of many pipelines only the boxes' names are written
ROWS, CLOSE_ROWS = (0.9, 0.2, 0.58), (0.36, 0.02, 0.26)


@dataclass(frozen=True)
class Box:
    """One stage of one pipeline; `again` when a pipeline above it went through the same run."""

    column: int
    row: int
    title: str
    detail: str
    arm: Arm
    again: bool


def data(study: Study, curves: pd.DataFrame | None = None) -> Content:
    """One row per stage of each pipeline, root first, the fine-tunings last."""
    rows = [row for arm in study.arms for row in _stages(study, arm)]
    table = pd.DataFrame(rows, columns=COLUMNS)
    return Content("fig1", TITLE, table, study.runs, outputs.face(study, study.runs), {}, study.arms)


def _stages(study: Study, arm: Arm) -> Iterator[tuple]:
    tuned = study.of(arm)
    every = [list(chain(run_id, study.others))[::-1] for run_id in tuned["upstream_run_id"].unique()]
    hops = every[-1]
    fixed = (arm.label, arm.pipeline, arm.kind)
    for i, hop in enumerate(hops):
        ids = sorted({way[i]["run_id"] for way in every if len(way) == len(hops)})
        yield *fixed, i, hop["stage"], hop_name(hop), " ".join(ids), None, hop.get(f"{CFG}steps"), len(ids)
    last = tuned.iloc[-1]
    yield (
        *fixed, len(hops), names.FINETUNE, study.dataset, "", last["encoder_epoch"], last[f"{CFG}steps"], len(tuned)
    )  # fmt: skip


def boxes(content: Content) -> list[Box]:
    """A row of boxes per pipeline; fine-tunings stand in one column."""
    last = int(content.table["hop"].max())
    made, seen = [], set()
    for place, arm in enumerate(content.parts):
        for row in content.table[content.table["arm"] == arm.label].itertuples():
            words = [f"run {row.run_id[:8]}" if row.run_id and row.runs == 1 else f"{row.runs} runs"]
            words += [] if pd.isna(row.steps) else [f"{row.steps:,.0f} steps"]
            words += [] if pd.isna(row.epoch) else [f"from epoch {row.epoch:g}"]
            way = ", ".join(pipelines.split(arm.pipeline).variants) or f"on {row.name}"
            title = row.name if row.run_id else f"fine-tuned {way}"
            column = row.hop if row.run_id else last
            made.append(Box(column, place, title, ", ".join(words), arm, row.run_id in seen))
            seen |= {row.run_id} - {""}
    return made


def draw(content: Content) -> Figure:
    """Ink: the axes are as wide and high as the figure, in inches, from its upper left corner down."""
    made = boxes(content)
    columns = max(box.column for box in made) + 1
    width = (style.WIDTH - START) / columns
    many = len(content.parts) > labels.MOST
    row, above, height = CLOSE_ROWS if many else ROWS
    with style.look():
        figure = Figure(figsize=(style.WIDTH, 0.7 + row * len(content.parts)))
        axis = figure.subplots()
        for place, arm in enumerate(content.parts):
            middle = -place * row - above - height / 2
            own = sorted((box for box in made if box.row == place), key=lambda box: box.column)
            ends = [0.02, *(START + width * (box.column + 1) - GAP for box in own)]
            for start, box in zip(ends, own, strict=False):
                left = START + width * box.column
                _arrow(axis, start, left, middle, arm)
                _draw_box(axis, box, (left, middle), (width - GAP, height))
            named = middle if many else -place * row - 0.1
            axis.plot([0.06], [named], arm.marker, color=arm.colour, ms=6)
            axis.text(0.2, named, "" if many else f"{arm.label}, {arm.kind}", va="center")
        style.title(axis, content.title)
        axis.set(xlim=(0, style.WIDTH), ylim=(-row * len(content.parts), 0.05))
        axis.axis("off")
        style.footnote(
            figure, ("Every row starts at random weights. Dashed: the same run as above.", *content.notes)
        )
    return figure


def _arrow(axis: Axes, start: float, end: float, height: float, arm: Arm) -> None:
    axis.add_patch(
        FancyArrowPatch(
            (start, height), (end, height), arrowstyle="-|>", mutation_scale=9, color=arm.colour, lw=1.3,
            shrinkA=0, shrinkB=0,
        )
    )  # fmt: skip


def _draw_box(axis: Axes, box: Box, place: tuple[float, float], size: tuple[float, float]) -> None:
    """In inches: the middle of its left side, and width and height."""
    (left, middle), (width, height) = place, size
    axis.add_patch(
        FancyBboxPatch(
            (left, middle - height / 2), width, height, boxstyle="round,pad=0,rounding_size=0.05", fc="white",
            ec=box.arm.colour, lw=1.2, ls="--" if box.again else "-", zorder=3,
        )
    )  # fmt: skip
    letters = int(width / labels.LETTER)
    words = [*textwrap.wrap(box.title, letters)[:1], *textwrap.wrap(box.detail, letters)[:2]]
    words = words if height > 3 * style.LINE else words[:1]
    axis.text(left + width / 2, middle, "\n".join(words), ha="center", va="center", zorder=4)
