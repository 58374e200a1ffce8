"""Fig. 1: the pretraining pipelines, drawn from the lineage of the runs that are there."""

import textwrap
from collections.abc import Iterator
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis.comparison.arms import Arm
from analysis.comparison.cells import Study
from analysis.comparison.encoders import hop_name
from analysis.comparison.sameness import chain
from analysis.figures import labels, outputs, style
from analysis.figures.outputs import Content
from analysis.statistics.words import plural
from sslseg.config import names
from sslseg.config.names import CFG
from sslseg.plans import pipelines

TITLE = "Pipelines, from the lineage of their runs"
wanted = outputs.lacking("there is no run")
NOTE = "every row starts at random weights; dashed: a run that a row above has, too"
KEYS: tuple[str, ...] = ()
COLUMNS = ["arm", "pipeline", "kind", "hop", "stage", "name", "run_id", "epoch", "steps", "runs"]
START, GAP = 0.35, 0.3  # inches before the first box and between two
# inches from one row to the next, and down to the middle of its boxes; of many pipelines only the boxes' names are written
ROWS, CLOSE_ROWS = (0.9, 0.49), (0.36, 0.15)


def data(study: Study, curves: pd.DataFrame | None = None) -> Content:
    """One row per stage of each pipeline, root first, the fine-tunings last."""
    rows = [row for arm in study.arms for row in _stages(study, arm)]
    table = pd.DataFrame(rows, columns=COLUMNS)
    return Content("fig1", TITLE, table, study.runs, (NOTE, *outputs.face(study, study.runs)), {}, study.arms)


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
        *fixed, len(hops), names.FINETUNE, study.called, "", last["encoder_epoch"], last[f"{CFG}steps"], len(tuned)
    )  # fmt: skip


@outputs.inked
def draw(content: Content, figure: Figure) -> None:
    """Ink: the axes are as wide and high as the figure, in inches, from its upper left corner down."""
    columns = int(content.table["hop"].max()) + 1
    many = len(content.parts) > labels.MOST
    row, above = CLOSE_ROWS if many else ROWS
    figure.set_figheight(0.7 + row * len(content.parts))
    axis = figure.subplots()
    width, seen = (style.WIDTH - START) / columns, set[str]()
    for place, arm in enumerate(content.parts):
        middle = -place * row - above
        at = (0.06, middle if many else -place * row - 0.1)
        axis.plot(*at, arm.marker, color=arm.colour, ms=6)
        axis.text(0.2, at[1], "" if many else f"{arm.name}, {arm.kind}", va="center")
        before = (0.06, middle)
        for stage in content.table[content.table["arm"] == arm.label].itertuples():
            # fine-tunings stand in one column
            centre = START + width * ((stage.hop if stage.run_id else columns - 1) + 0.5) - GAP / 2, middle
            words = _words(stage, arm, int((width - GAP) / labels.LETTER))
            axis.annotate(
                "\n".join(words[:1] if many else words), before, centre, ha="center", va="center",
                zorder=5 - stage.hop / columns,  # a box hides the arrow that leaves it
                bbox={"boxstyle": "round", "fc": "white", "ec": arm.colour, "lw": 1.2,
                      "ls": "--" if stage.run_id in seen else "-"},
                arrowprops={"arrowstyle": "<|-", "color": arm.colour, "lw": 1.3, "shrinkA": 0, "shrinkB": 0},
            )  # fmt: skip
            before, seen = centre, seen | {stage.run_id} - {""}
    style.title(axis, content.title)
    axis.set(xlim=(0, style.WIDTH), ylim=(-row * len(content.parts), 0.05))
    axis.axis("off")


def _words(stage: Any, arm: Arm, letters: int) -> list[str]:
    """What stands in a box: how was learned from what, then which run and how long."""
    way = ", ".join(pipelines.split(arm.pipeline).variants) or f"on {stage.name}"
    told = [f"run {stage.run_id[:8]}" if stage.run_id and stage.runs == 1 else plural(stage.runs, "run")]
    told += [] if pd.isna(stage.steps) else [plural(stage.steps, "step")]
    told += [] if pd.isna(stage.epoch) else [f"from epoch {stage.epoch:g}"]
    title = stage.name if stage.run_id else f"fine-tuned {way}"
    return [*textwrap.wrap(title, letters)[:1], *textwrap.wrap(", ".join(told), letters)[:2]]
