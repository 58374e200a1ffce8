"""Fig. 6: learning after more or less self-supervision on the target data, from encoders kept by epoch."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.comparison import measures
from analysis.comparison.arms import Arm
from analysis.comparison.cells import Study
from analysis.figures import labels, outputs, style
from analysis.figures.outputs import Content
from analysis.statistics import curves as learning
from analysis.statistics.words import plural
from sslseg.config.commands import command
from sslseg.config.names import CFG

TITLE = "Learning against epochs of self-supervision on the target data"
KEYS = measures.KEYS
COLUMNS = ["arm", "pipeline", "budget", "epoch", "kind", "seed", "run_id", "step", "value", "area", "final",
           "n"]  # fmt: skip


def wanted(study: Study) -> tuple[str, str]:
    """Why there may be nothing to draw, and the command that mends it."""
    epochs = {"pipelines": "byol@target", "encoder_epochs": "0,1,2"}
    again = command("sweep", **study.place, preset=study.shared("preset"), **epochs)
    return "no fine-tuning started from encoders that were kept by epoch", again


def data(study: Study, curves: pd.DataFrame) -> Content:
    """Mean learning curve of every kept epoch, and area and final score of every run.

    At the budget that has the most of these runs, of equals the largest.
    """
    runs = study.by_epoch
    counts = runs["budget"].value_counts()
    budget = max(counts.index, key=lambda n: (counts[n], n), default=0)
    runs = runs[runs["budget"] == budget]
    if not (found := measures.clean(runs, curves)):
        return Content("fig6", TITLE, pd.DataFrame(columns=COLUMNS), runs, outputs.face(study, runs))
    grid = learning.common_grid(found.values())
    parts: list[pd.DataFrame] = []
    for (arm, pipeline, epoch), rows in runs.groupby(["arm", "pipeline", "encoder_epoch"]):
        rows = [r for r in rows.itertuples() if r.run_id in found]
        base = {"arm": arm, "pipeline": pipeline, "budget": budget, "epoch": int(epoch), "n": len(rows)}
        who = [(base | {"seed": r.seed, "run_id": r.run_id}, found[r.run_id]) for r in rows]
        lines = [learning.on_grid(curve, grid) for _, curve in who]
        for one, curve in who:
            scores = {"area": learning.area(curve, grid), "final": learning.final(curve)}
            parts.append(pd.DataFrame([one | {"kind": "run"} | scores]))
        for (one, _), line in zip(who, lines, strict=True):
            parts.append(pd.DataFrame(one | {"kind": "seed", "step": grid, "value": line}))
        if rows:
            parts.append(pd.DataFrame(base | {"kind": "mean", "step": grid, "value": np.mean(lines, axis=0)}))
    table = pd.concat(parts)[COLUMNS]
    arms = tuple(a for a in study.arms if a.label in set(table["arm"]))
    front = tuple(a for a in arms if a in labels.front(study)) or arms
    arms = arms if len(arms) <= labels.MOST else front[: labels.MOST]
    title = f"{TITLE}, at {plural(budget, study.unit)}"
    facts = {"budget": budget, "metric": KEYS[0], "pretraining": _pretraining(study, runs)}
    notes = (*outputs.face(study, runs), "thin lines: runs; thick lines: their mean")
    notes += labels.others(study, "left out") if len(arms) < table["arm"].nunique() else ()
    return Content("fig6", title, table, runs, notes, facts, arms)


def _pretraining(study: Study, runs: pd.DataFrame) -> dict[str, dict]:
    """Steps, epochs and warm-up of the pretrainings: an epoch inside the warm-up counts for less."""
    used = study.others.index.intersection(sorted(set(runs["upstream_run_id"])))
    shown = [name for name in ("steps", "epochs", "warmup", "batch_size", "lr") if CFG + name in study.others]
    rows = study.others.loc[used]
    return {i: {name: rows.loc[i, CFG + name] for name in shown} for i in used}


@outputs.inked
def draw(content: Content, figure: Figure) -> None:
    """Ink: a row per pipeline, learning curves on the left, area against epochs on the right."""
    count = len(content.parts)
    figure.set_figheight(1.2 + (2.6 if count < 4 else 2.0) * count)
    axes = figure.subplots(count, 2, squeeze=False, width_ratios=(1.4, 1))
    for (left, right), arm in zip(axes, content.parts, strict=True):
        rows = content.table[content.table["arm"] == arm.label]
        _curves(figure, left, arm, rows)
        _areas(right, arm, rows[rows["kind"] == "run"])
    figure.set_layout_engine("constrained", wspace=0.06)
    style.title(figure, content.title)


def _curves(figure: Figure, axis: Axes, arm: Arm, rows: pd.DataFrame) -> None:
    """Seeds thin, their mean thick; dark for many epochs, and none so light that white swallows it."""
    epochs = sorted(set(rows["epoch"]))
    norm = mpl.colors.Normalize(0, max(max(epochs), 1))
    colours = mpl.colors.ListedColormap(mpl.colormaps["viridis_r"](np.linspace(0.2, 1.0, 256)))
    scale = mpl.cm.ScalarMappable(norm, colours)
    for epoch in epochs:
        ink, shown = scale.to_rgba(epoch), rows[rows["epoch"] == epoch]
        for _, line in shown[shown["kind"] == "seed"].groupby("seed"):
            axis.plot(line["step"], line["value"], color=ink, lw=0.5, alpha=0.4)
        mean = shown[shown["kind"] == "mean"]
        axis.plot(mean["step"], mean["value"], color=ink, lw=1.5)
    figure.colorbar(scale, ax=axis, label="epochs", pad=0.01, aspect=30, ticks=MaxNLocator(5, integer=True))
    axis.set(title=arm.name, xlabel="optimiser steps", ylabel="validation IoU")


def _areas(axis: Axes, arm: Arm, points: pd.DataFrame) -> None:
    axis.plot(points["epoch"], points["area"], arm.marker, color=arm.colour, ms=4, alpha=0.6, mew=0)
    means = points.groupby("epoch")["area"].mean()
    axis.plot(means.index, means, color=arm.colour, lw=1.5)
    seeds = points.groupby("epoch")["seed"].nunique()
    axis.set(
        xlabel="epochs on the target data",
        ylabel="area under the curve",
        title=f"seeds: {labels.ends(seeds)}",
    )
