"""Fig. 6: learning after more or less self-supervision on the target data, from encoders kept by epoch."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.comparison import measures
from analysis.comparison.arms import Arm
from analysis.comparison.cells import Study
from analysis.figures import outputs, style
from analysis.figures.outputs import Drawn
from analysis.statistics import curves as learning
from sslseg.config.names import CFG

TITLE = "Learning against the epochs of self-supervision on the target data"
KEYS = measures.KEYS
COLUMNS = [
    "arm",
    "pipeline",
    "budget",
    "epoch",
    "kind",
    "seed",
    "run_id",
    "step",
    "value",
    "area",
    "final",
    "n",
]


def data(study: Study, curves: pd.DataFrame, budget: int | None = None) -> Drawn:
    """Mean learning curve of every kept epoch, and area and final score of every run.

    Args:
        budget: None = the one with the most of these runs, of equals the largest.
    """
    runs = study.by_epoch
    if budget is None and len(runs):
        counts = runs["budget"].value_counts()
        budget = int(max(counts.index, key=lambda n: (counts[n], n)))
    runs = runs[runs["budget"] == budget]
    found = measures.clean(runs, curves)
    grid = learning.common_grid(found.values()) if found else np.array([])
    parts = []
    for (arm, pipeline, epoch), rows in runs.groupby(["arm", "pipeline", "encoder_epoch"]):
        rows = [r for r in rows.itertuples() if r.run_id in found]
        base = {"arm": arm, "pipeline": pipeline, "budget": budget, "epoch": int(epoch), "n": len(rows)}
        parts += [pd.DataFrame([base | _point(r, found[r.run_id], grid)]) for r in rows]
        if rows:
            values = np.mean([learning.on_grid(found[r.run_id], grid) for r in rows], axis=0)
            parts.append(pd.DataFrame(base | {"kind": "mean", "step": grid, "value": values}))
    table = pd.concat(parts)[COLUMNS] if parts else pd.DataFrame(columns=COLUMNS)
    arms = tuple(a for a in study.arms if a.label in set(table["arm"]))
    title = f"{TITLE}, at {budget} {study.unit}s" if len(table) else TITLE
    facts = {"budget": budget, "metric": KEYS[0], "pretraining": _pretraining(study, runs)}
    return Drawn("fig6", title, table, runs, outputs.face(study, runs), facts, arms)


def _point(run: Any, curve: learning.Curve, grid: np.ndarray) -> dict:
    return {"kind": "run", "seed": run.seed, "run_id": run.run_id, "area": learning.area(curve, grid),
            "final": learning.final(curve)}  # fmt: skip


def _pretraining(study: Study, runs: pd.DataFrame) -> dict[str, dict]:
    """Steps, epochs and warm-up of the pretrainings: an epoch inside the warm-up counts for less."""
    used = study.others.index.intersection(sorted(set(runs["upstream_run_id"])))
    shown = [name for name in ("steps", "epochs", "warmup", "batch_size", "lr") if CFG + name in study.others]
    rows = study.others.loc[used]
    return {i: {name: rows.loc[i, CFG + name] for name in shown} for i in used}


def draw(drawn: Drawn) -> Figure:
    """Ink: a row per pipeline, learning curves on the left, area against epochs on the right."""
    with style.look():
        figure = Figure(figsize=(7.2, 1.2 + 2.6 * max(len(drawn.parts), 1)))
        if not drawn.parts:
            axis = figure.subplots()
            axis.axis("off")
            style.nothing(
                axis, "no fine-tuning from encoders kept by epoch:\nsweep with encoder_epochs=0,1,2,…"
            )
        else:
            axes = figure.subplots(len(drawn.parts), 2, squeeze=False, width_ratios=(1.4, 1))
            for (left, right), arm in zip(axes, drawn.parts, strict=True):
                rows = drawn.table[drawn.table["arm"] == arm.label]
                _curves(figure, left, arm, rows[rows["kind"] == "mean"])
                _areas(right, arm, rows[rows["kind"] == "run"])
        figure.suptitle(drawn.title, fontsize=10)
        style.footnote(figure, drawn.notes)
    return figure


def _curves(figure: Figure, axis: Axes, arm: Arm, means: pd.DataFrame) -> None:
    epochs = sorted(set(means["epoch"]))
    norm = mpl.colors.Normalize(0, max(max(epochs), 1))
    scale = mpl.cm.ScalarMappable(norm, mpl.colormaps["viridis_r"])
    for epoch in epochs:
        line = means[means["epoch"] == epoch]
        axis.plot(line["step"], line["value"], color=scale.to_rgba(epoch), lw=1.3)
    figure.colorbar(scale, ax=axis, label="epochs", pad=0.01, aspect=30)
    axis.set(title=arm.label, xlabel="optimiser steps", ylabel="validation IoU")


def _areas(axis: Axes, arm: Arm, points: pd.DataFrame) -> None:
    axis.plot(points["epoch"], points["area"], arm.marker, color=arm.colour, ms=4, alpha=0.7, mew=0)
    means = points.groupby("epoch")["area"].mean()
    axis.plot(means.index, means, color=arm.colour, lw=1.5)
    seeds = points.groupby("epoch")["seed"].nunique()
    n = f"{seeds.min()}" if seeds.min() == seeds.max() else f"{seeds.min()}–{seeds.max()}"
    axis.set(
        xlabel="epochs on the target data", ylabel="area under the learning curve", title=f"n = {n} seeds"
    )
