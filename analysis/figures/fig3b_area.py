"""Fig. 3b: normalised area under the learning curve, violins ordered by median."""

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
from analysis.statistics.words import plural

TITLE = "Area under the learning curve"
wanted = outputs.lacking("no run has a learning curve")
KEYS = measures.KEYS
COLUMNS = ["arm", "pipeline", "budget", "seed", "run_id", "area", "early_area", "final", "median", "n"]
VIOLIN_SEEDS = 5  # a density of fewer points would be invented


def data(study: Study, curves: pd.DataFrame) -> Content:
    """Areas at the largest budget, best median first; pipelines without a run last."""
    budget = study.budgets[-1]
    runs = study.runs[study.runs["budget"] == budget]
    scores = [(t.run_id, t.area, t.early_area, t.final) for t in measures.learned(runs, curves)]
    table = runs[COLUMNS[:5]].merge(pd.DataFrame(scores, columns=COLUMNS[4:8]))
    groups = table.groupby("arm")["area"]
    table = table.assign(median=groups.transform("median"), n=groups.transform("size"))
    table = table.sort_values(["median", "arm", "seed"], ascending=[False, True, True])
    medians = dict(groups.median())
    order = sorted(study.arms, key=lambda arm: (-medians.get(arm.label, -np.inf), arm.label))
    named = {"order": [arm.label for arm in order], "medians": medians}
    facts = {"budget": budget, "metric": KEYS[0]} | named
    title, table = f"{TITLE} at {plural(budget, study.unit)}", table[COLUMNS].reset_index(drop=True)
    return Content("fig3b", title, table, runs, outputs.face(study, runs), facts, order)


@outputs.inked
def draw(content: Content, figure: Figure) -> None:
    """Ink."""
    many = len(content.parts) > labels.MOST
    figure.set_figheight(1.1 + (0.28 if many else 0.45) * max(3, len(content.parts)))
    axis = figure.subplots()
    for place, arm in enumerate(content.parts):
        values = content.table.loc[content.table["arm"] == arm.label, "area"].to_numpy()
        _violin(axis, -place, arm, values)
    counts = content.table["arm"].value_counts()
    names = [a.name + ("" if many else f"\nn = {counts.get(a.label, 0)}") for a in content.parts]
    axis.set_yticks([-i for i in range(len(names))], names)
    axis.set_ylim(-len(names) + 0.4, 0.6)
    style.title(axis, content.title)
    axis.set_xlabel("mean validation IoU over the steps")
    axis.grid(axis="y", visible=False)


def _violin(axis: Axes, place: float, arm: arms.Arm, values: np.ndarray) -> None:
    if len(values) >= VIOLIN_SEEDS and np.ptp(values) > 0:
        drawn = axis.violinplot([values], [place], orientation="horizontal", widths=0.8, showextrema=False)
        (body,) = cast("list[PolyCollection]", drawn["bodies"])
        body.set(facecolor=arm.colour, alpha=0.25, edgecolor=arm.colour)
    axis.plot(values, np.full(len(values), place), arm.marker, color=arm.colour, ms=4, alpha=0.8, mew=0)
    if len(values):
        median = np.median(values)
        axis.plot([median, median], [place - 0.3, place + 0.3], color=arm.colour, lw=2)
