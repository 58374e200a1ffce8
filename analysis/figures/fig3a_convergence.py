"""Fig. 3a: how fast each pipeline learns. Every seed thin, their median, and the interval of their mean."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from analysis.comparison import scope
from analysis.comparison.arms import Arm
from analysis.comparison.cells import Study
from analysis.comparison.measures import KEYS, clean
from analysis.figures import labels, outputs, style
from analysis.figures.outputs import Content
from analysis.statistics import curves as learning
from analysis.statistics.words import plural

TITLE = "Learning curves"
wanted = outputs.lacking("no run has a learning curve")
COLUMNS = ["arm", "pipeline", "budget", "kind", "seed", "run_id", "step", "value", "sd", "low", "high", "n"]
BAND_SEEDS = 3  # fewer seeds give no band
BAND = "95 % interval of the mean over seeds at each step (Student's t)"
SEVERAL = ", over pretrainings instead of seeds where there are several"


def band(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Student's t interval (95 %) of the mean of curves [S, T] at each step; NaN below three seeds."""
    seeds, steps = values.shape
    if seeds < BAND_SEEDS:
        return np.full(steps, np.nan), np.full(steps, np.nan)
    mean = values.mean(axis=0)
    reach = stats.t.ppf(0.975, seeds - 1) * values.std(axis=0, ddof=1) / seeds**0.5
    return mean - reach, mean + reach


def data(study: Study, curves: pd.DataFrame) -> Content:
    """Curves at the largest budget on the steps that all of them share."""
    budget = study.budgets[-1]
    runs = study.runs[study.runs["budget"] == budget]
    if not (found := clean(runs, curves)):
        return Content("fig3a", TITLE, pd.DataFrame(columns=COLUMNS), runs, outputs.face(study, runs))
    grid = learning.common_grid(found.values())
    table = pd.concat([part for arm in study.arms for part in _rows(study, arm, budget, found, grid)])
    notes = outputs.face(study, runs)
    if without := sorted(set(runs["run_id"]) - set(found)):
        notes += (f"runs without a learning curve: {', '.join(without)}",)
    if table["low"].notna().any():
        several = SEVERAL if any(scope.count(study, arm.label) > 1 for arm in study.arms) else ""
        notes += ("thin lines: runs; thick lines: their median", f"band: {BAND}{several}, cut at 0 and 1")
    notes += labels.others(study, "grey medians")
    title = f"{TITLE} at {plural(budget, study.unit)}"
    facts = {"budget": budget, "band": BAND, "metric": KEYS[0]}
    return Content("fig3a", title, table[COLUMNS], runs, notes, facts, labels.front(study))


def _rows(
    study: Study, arm: Arm, budget: int, found: dict[str, learning.Curve], grid: np.ndarray
) -> Iterator[pd.DataFrame]:
    rows = [r for r in study.of(arm, budget).itertuples() if r.run_id in found]
    if not rows:
        return
    values = np.stack([learning.on_grid(found[r.run_id], grid) for r in rows])
    base = {"arm": arm.label, "pipeline": arm.pipeline, "budget": budget, "step": grid, "n": len(rows)}
    for row, line in zip(rows, values, strict=True):
        yield pd.DataFrame(base | {"kind": "seed", "seed": row.seed, "run_id": row.run_id, "value": line})
    units = scope.pretrainings(study, arm.label)
    counted = [units[row.seed] if units else i for i, row in enumerate(rows)]
    low, high = band(np.stack([values[np.equal(counted, u)].mean(axis=0) for u in dict.fromkeys(counted)]))
    sd = values.std(axis=0, ddof=1) if len(rows) > 1 else np.full(len(grid), np.nan)
    summary = {"kind": "mean", "value": values.mean(axis=0), "sd": sd, "low": low, "high": high}
    yield pd.DataFrame(base | summary)
    yield pd.DataFrame(base | {"kind": "median", "value": np.median(values, axis=0)})


@outputs.inked
def draw(content: Content, figure: Figure) -> None:
    """Ink."""
    figure.set_figheight(3.9)
    axis = figure.subplots()
    style.title(axis, content.title)
    axis.set(xlabel="optimiser steps", ylabel="validation IoU, mean of the structures")
    for arm in content.parts:
        _lines(axis, arm, content.table[content.table["arm"] == arm.label])
    medians = content.table[content.table["kind"] == "median"]
    labels.behind(axis, medians, content.parts, "step", "value")
    last = {arm: rows.iloc[-1] for arm, rows in medians.groupby("arm")}
    axis.margins(x=0)
    ends = [(arm, last[arm.label]) for arm in content.parts if arm.label in last]
    named = [(arm, f"{arm.name} (n = {end['n']})", end["value"]) for arm, end in ends]
    labels.at_ends(axis, named, height=2.4)


def _lines(axis: Axes, arm: Arm, rows: pd.DataFrame) -> None:
    for _, one in rows[rows["kind"] == "seed"].groupby("seed"):
        axis.plot(one["step"], one["value"], color=arm.colour, ls=arm.dashes, lw=0.5, alpha=0.4)
    mean, median = (rows[rows["kind"] == kind] for kind in ("mean", "median"))
    every = max(1, len(median) // 8)
    axis.plot(median["step"], median["value"], color=arm.colour, ls=arm.dashes, lw=1.8,
              marker=arm.marker, ms=4, markevery=every)  # fmt: skip
    if mean["low"].notna().any():
        ends = mean["low"].clip(0, 1), mean["high"].clip(0, 1)
        axis.fill_between(mean["step"], *ends, color=arm.colour, alpha=0.13, lw=0)
