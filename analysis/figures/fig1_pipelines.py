"""Fig. 1: the pretraining pipelines, drawn from the lineage of the runs that are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from analysis.comparison.arms import Arm
from analysis.comparison.cells import Study
from analysis.comparison.encoders import chain, hop_name
from analysis.figures import outputs, style
from analysis.figures.outputs import Drawn
from sslseg.config import names
from sslseg.config.names import CFG

TITLE = "Pipelines, from the lineage of their runs"
KEYS: tuple[str, ...] = ()
COLUMNS = ["arm", "pipeline", "kind", "hop", "stage", "name", "run_id", "epoch", "steps", "runs"]
WIDTH, HEIGHT = 0.86, 0.7  # of a box, in units of the grid


@dataclass(frozen=True)
class Box:
    """One stage of one pipeline; `again` when a pipeline above it went through the same run."""

    column: int
    row: int
    title: str
    detail: str
    arm: Arm
    again: bool


def data(study: Study, curves: pd.DataFrame | None = None) -> Drawn:
    """One row per stage of each pipeline, root first, the fine-tunings last."""
    rows = [row for arm in study.arms for row in _stages(study, arm)]
    table = pd.DataFrame(rows, columns=COLUMNS)
    return Drawn("fig1", TITLE, table, study.runs, outputs.face(study, study.runs), {}, study.arms)


def _stages(study: Study, arm: Arm) -> Iterator[tuple]:
    tuned = study.of(arm)
    hops = list(chain(tuned["upstream_run_id"].iloc[-1], study.others))[::-1]
    fixed = (arm.label, arm.pipeline, arm.kind)
    for i, hop in enumerate(hops):
        yield *fixed, i, hop["stage"], hop_name(hop), hop["run_id"], None, hop.get(f"{CFG}steps"), 1
    last = tuned["encoder_epoch"].iloc[-1]
    yield (
        *fixed,
        len(hops),
        names.FINETUNE,
        study.dataset,
        "",
        last,
        tuned[f"{CFG}steps"].iloc[-1],
        len(tuned),
    )


def boxes(drawn: Drawn) -> list[Box]:
    """A row of boxes per pipeline; fine-tunings stand in one column."""
    last = int(drawn.table["hop"].max())
    made, seen = [], set()
    for place, arm in enumerate(drawn.parts):
        for row in drawn.table[drawn.table["arm"] == arm.label].itertuples():
            words = [f"run {row.run_id[:8]}" if row.run_id else f"{row.runs} runs"]
            words += [] if pd.isna(row.steps) else [f"{row.steps:g} steps"]
            words += [] if pd.isna(row.epoch) else [f"encoder of epoch {row.epoch:g}"]
            title = row.name if row.run_id else f"fine-tuned on {row.name}"
            column = row.hop if row.run_id else last
            made.append(Box(column, place, title, ", ".join(words), arm, row.run_id in seen))
            seen |= {row.run_id} - {""}
    return made


def draw(drawn: Drawn) -> Figure:
    """Ink."""
    made = boxes(drawn)
    columns = max(box.column for box in made) + 1
    with style.look():
        figure = Figure(figsize=(3.4 + 1.9 * columns, 1.0 + 0.55 * max(len(drawn.parts), 2)))
        axis = figure.subplots()
        for place, arm in enumerate(drawn.parts):
            axis.text(-1.02, -place, arm.label, color=arm.colour, va="center", fontsize=8, weight="bold")
            axis.text(-1.02, -place - 0.3, arm.kind, color="#555555", va="center", fontsize=6.5)
            ends = [0.02, *(b.column + (1 + WIDTH) / 2 for b in made if b.row == place)]
            starts = [b.column + (1 - WIDTH) / 2 for b in made if b.row == place]
            for start, end in zip(ends, starts, strict=False):
                _arrow(axis, start, end, -place, arm)
        for box in made:
            _draw_box(axis, box)
        axis.set(title=drawn.title, xlim=(-1.05, columns + 0.02), ylim=(-len(drawn.parts) + 0.35, 0.5))
        axis.axis("off")
        style.footnote(
            figure, ("Every row starts at random weights. Dashed: the same run as above.", *drawn.notes)
        )
    return figure


def _arrow(axis: Axes, start: float, end: float, height: float, arm: Arm) -> None:
    axis.add_patch(
        FancyArrowPatch(
            (start, height), (end, height), arrowstyle="-|>", mutation_scale=8, color=arm.colour, lw=1.3,
            shrinkA=0, shrinkB=0,
        )
    )  # fmt: skip


def _draw_box(axis: Axes, box: Box) -> None:
    corner = (box.column + (1 - WIDTH) / 2, -box.row - HEIGHT / 2)
    axis.add_patch(
        FancyBboxPatch(
            corner, WIDTH, HEIGHT, boxstyle="round,pad=0,rounding_size=0.06", fc="white", ec=box.arm.colour,
            lw=1.2, ls="--" if box.again else "-", zorder=3,
        )
    )  # fmt: skip
    middle = box.column + 0.5
    axis.text(middle, -box.row + 0.12, box.title, ha="center", va="center", fontsize=7.5, zorder=4)
    axis.text(
        middle, -box.row - 0.15, box.detail, ha="center", va="center", fontsize=5.8, color="#555555", zorder=4
    )


def texts(drawn: Drawn) -> Mapping[str, str]:
    """Pipeline -> its stages in one line, for the page."""
    return {
        arm: " > ".join(
            f"{r.name} ({r.run_id[:8]})" if r.run_id else f"fine-tuned on {r.name}" for r in rows.itertuples()
        )
        for arm, rows in drawn.table.groupby("arm", sort=False)
    }
