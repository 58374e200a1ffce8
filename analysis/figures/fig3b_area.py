"""Fig. 3b: normalised area under the learning curve, violins ordered by median."""

from __future__ import annotations

from typing import cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from analysis.comparison import arms, measures
from analysis.comparison.cells import Study
from analysis.figures import labels, outputs, style
from analysis.figures.outputs import Content
from analysis.statistics import curves as learning

TITLE = "Area under the learning curve"
wanted = outputs.lacking("no run has a learning curve")
KEYS = measures.KEYS
COLUMNS = ["arm", "pipeline", "budget", "seed", "run_id", "area", "early_area", "final", "median", "n"]
VIOLIN_SEEDS = 5  # a density of fewer points would be invented


def areas(study: Study, curves: pd.DataFrame) -> pd.DataFrame:
    """One row a run of every budget: area, area of the first fifth, final score; on the steps all share."""
    rows = []
    for budget in study.budgets:
        runs = study.runs[study.runs["budget"] == budget]
        found = measures.clean(runs, curves)
        grid = learning.common_grid(found.values()) if found else None
        for run in runs.itertuples():
            if run.run_id in found:
                curve = found[run.run_id]
                rows.append((run.arm, run.pipeline, budget, run.seed, run.run_id, learning.area(curve, grid),
                             learning.early_area(curve, grid), learning.final(curve)))  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS[:-2])


def data(study: Study, curves: pd.DataFrame, budget: int | None = None) -> Content:
    """Areas at one budget (the largest by default), best median first; pipelines without a run last."""
    budget = study.budgets[-1] if budget is None else budget
    table = areas(study, curves)
    table = table[table["budget"] == budget]
    groups = table.groupby("arm")["area"]
    table = table.assign(median=groups.transform("median"), n=groups.transform("size"))
    table = table.sort_values(["median", "arm", "seed"], ascending=[False, True, True])
    medians = dict(groups.median())
    order = sorted(study.arms, key=lambda arm: (-medians.get(arm.label, -np.inf), arm.label))
    runs = study.runs[study.runs["budget"] == budget]
    return Content(
        "fig3b",
        f"{TITLE} at {budget:,} {study.unit}s",
        table[COLUMNS].reset_index(drop=True),
        runs,
        outputs.face(study, runs),
        {"budget": budget, "metric": KEYS[0], "order": [arm.label for arm in order], "medians": medians},
        order,
    )


def draw(content: Content) -> Figure:
    """Ink."""
    with style.look():
        many = len(content.parts) > labels.MOST
        figure = Figure(figsize=(style.WIDTH, 1.1 + (0.28 if many else 0.45) * max(3, len(content.parts))))
        axis = figure.subplots()
        for place, arm in enumerate(content.parts):
            values = content.table.loc[content.table["arm"] == arm.label, "area"].to_numpy()
            _violin(axis, -place, arm, values)
        counts = content.table["arm"].value_counts()
        names = [a.label + ("" if many else f"\nn = {counts.get(a.label, 0)}") for a in content.parts]
        axis.set_yticks([-i for i in range(len(names))], names)
        axis.set_ylim(-len(names) + 0.4, 0.6)
        style.title(axis, content.title)
        axis.set_xlabel("mean validation IoU over the steps, 0 to 1 (higher is better)")
        axis.grid(axis="y", visible=False)
        style.footnote(figure, content.notes)
    return figure


def _violin(axis: Axes, place: float, arm: arms.Arm, values: np.ndarray) -> None:
    if len(values) >= VIOLIN_SEEDS and np.ptp(values) > 0:
        body = axis.violinplot([values], [place], orientation="horizontal", widths=0.8, showextrema=False)
        cast("list[PolyCollection]", body["bodies"])[0].set(
            facecolor=arm.colour, alpha=0.25, edgecolor=arm.colour
        )
    axis.plot(values, np.full(len(values), place), arm.marker, color=arm.colour, ms=4, alpha=0.8, mew=0)
    if len(values):
        median = np.median(values)
        axis.plot([median, median], [place - 0.3, place + 0.3], color=arm.colour, lw=2)
