"""Fig. 4: test IoU of the structures against annotated slices: boxes at their true place, and the scaling law."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.comparison import decisions
from analysis.comparison.arms import Arm
from analysis.comparison.cells import Study
from analysis.figures import labels, outputs, style
from analysis.figures.outputs import Content
from analysis.statistics.laws import scaling
from analysis.statistics.laws.interpolate import Joined
from analysis.statistics.laws.inversion import size_grid
from analysis.statistics.laws.knee import Knee
from analysis.statistics.laws.scaling import Scaling
from analysis.statistics.records import Refusal
from sslseg.config import names

TITLE = "Test IoU against annotated data"
wanted = outputs.lacking("no run has a test score")
KEYS: tuple[str, ...] = ()
METRIC = names.TEST_IOU
COLUMNS = ["arm", "pipeline", "budget", "patients", "seed", "run_id", "value"]
BOX_SEEDS = 3  # fewer are drawn as points alone
SPREAD = 0.5  # share of the smallest gap between budgets that the boxes of one budget take


@dataclass(frozen=True)
class Law:
    """What the statistics say about one pipeline; its means are joined where there is no law."""

    arm: Arm
    fit: Scaling | Refusal
    means: Joined | Refusal
    knee: Knee | Refusal


def data(study: Study, curves: pd.DataFrame | None = None) -> Content:
    """Test IoU of every run, with the law of each pipeline's error, 1 − IoU, where it can be fitted."""
    runs = study.runs
    table = runs.assign(patients=pd.to_numeric(runs["patients"]), value=runs.get(METRIC, np.nan))[COLUMNS]
    table = table[np.isfinite(table["value"])]
    found = decisions.curves(study)
    laws = decisions.by_pipeline(study, decisions.over_units(scaling.fit))
    fits = tuple(Law(a, laws[a.label], found.fitted[a.label], found.knees[a.label]) for a in study.arms)
    law = "1 - (alpha * n^-beta + gamma)"
    facts = {"metric": METRIC, "law": law, "fits": laws, "knees": found.knees}
    notes = outputs.face(study, runs) + _notes(fits) + labels.others(study, "grey lines through their means")
    front = labels.front(study)
    return Content("fig4", TITLE, table.reset_index(drop=True), runs, notes, facts,
                 (tuple(one for one in fits if one.arm in front), study.unit,
                  {n: study.patients(n) for n in study.budgets}))  # fmt: skip


def _notes(fits: tuple[Law, ...]) -> tuple[str, ...]:
    """What the lines are, and why a law is missing."""
    unfitted = {law.arm.label: law.fit.short for law in fits if isinstance(law.fit, Refusal)}
    boxes = "boxes: quartiles and median over seeds; lines"
    if len(unfitted) == len(fits):
        notes = [f"{boxes} join the means", f"no law is fitted: {next(iter(unfitted.values()))}"]
    else:
        some = f"; for {', '.join(unfitted)} they join the means" if unfitted else ""
        notes = [f"{boxes}: fitted laws{some}"]
    if any(isinstance(law.knee, Knee) and law.knee.evident for law in fits):
        bar = "where more data begin to help less (95 % interval); triangle: the place, if the interval is short"
        notes.append(f"bar: {bar}")
    return tuple(notes)


@outputs.inked
def draw(content: Content, figure: Figure) -> None:
    """Ink."""
    fits, unit, patients = content.parts
    arms = [law.arm for law in fits]
    figure.set_figheight(4.4)
    axis = figure.subplots()
    axis.set(xscale="log", xlabel=f"annotated {unit}s", ylabel="test IoU, mean of the structures")
    style.title(axis, content.title)
    _boxes(axis, content.table, arms)
    labels.behind(axis, content.table, arms, "budget", "value")
    for law in fits:
        _curve(axis, law, content.table[content.table["arm"] == law.arm.label])
    _ticks(axis, sorted(set(content.table["budget"])), unit, patients)
    labels.at_ends(axis, _names(content.table, arms), height=2.6)


def _names(table: pd.DataFrame, arms: list[Arm]) -> list[labels.Name]:
    """Every pipeline with its seeds, at the mean of its largest size."""
    named = []
    for arm in arms:
        rows = table[table["arm"] == arm.label]
        if len(rows):
            seeds = rows.groupby("budget")["seed"].nunique()
            end = rows[rows["budget"] == rows["budget"].max()]["value"].mean()
            named.append((arm, f"{arm.name} (n = {labels.ends(seeds)})", float(end)))
    return named


def _boxes(axis: Axes, table: pd.DataFrame, arms: list[Arm]) -> None:
    """Boxes side by side around the true budget, equally wide on the logarithmic axis."""
    budgets = np.array(sorted(set(table["budget"])), float)
    gap = np.diff(np.log10(budgets)).min() if len(budgets) > 1 else 0.5
    step = SPREAD * min(gap, 0.5) / max(len(arms), 1)
    for i, arm in enumerate(arms):
        rows = table[table["arm"] == arm.label]
        shift = (i - (len(arms) - 1) / 2) * step
        for budget, values in rows.groupby("budget")["value"]:
            at = budget * 10**shift
            if len(values) >= BOX_SEEDS:
                width = at * (10 ** (0.42 * step) - 10 ** (-0.42 * step))
                _box(axis, values.to_numpy(), at, width, arm.colour)
            axis.plot(np.full(len(values), at), values, arm.marker, color=arm.colour, ms=3, alpha=0.6, mew=0)


def _box(axis: Axes, values: np.ndarray, at: float, width: float, colour: str) -> None:
    axis.boxplot(
        [values], positions=[at], widths=[width], manage_ticks=False, showfliers=False, patch_artist=True,
        boxprops={"facecolor": colour + "40", "edgecolor": colour, "lw": 0.8},
        medianprops={"color": colour, "lw": 1.4}, whiskerprops={"color": colour, "lw": 0.8},
        capprops={"color": colour, "lw": 0.8},
    )  # fmt: skip


def _curve(axis: Axes, law: Law, rows: pd.DataFrame) -> None:
    """The law, else the joined means, over the sizes that were run; an evident knee's interval, a located one's mark."""
    curve = law.fit or law.means
    if isinstance(curve, Refusal):
        means = rows.groupby("budget")["value"].mean()
        axis.plot(means.index, means, color=law.arm.colour, ls=law.arm.dashes, lw=1.4)
        return
    grid = size_grid(curve.sizes[0], curve.sizes[-1], 200)
    axis.plot(grid, 1 - curve.error(grid), color=law.arm.colour, ls=law.arm.dashes, lw=1.4)
    if isinstance(law.knee, Knee) and law.knee.evident:
        size = law.knee.size
        height = 1 - curve.error(np.array([size.value]))[0] * 1.06
        axis.plot([size.low, size.high], [height, height], color=law.arm.colour, lw=3, alpha=0.35)
        if law.knee.located:
            axis.plot([size.value], [height], "v", color=law.arm.colour, ms=7)


def _ticks(axis: Axes, budgets: list[int], unit: str, patients: dict[int, float]) -> None:
    style.ticks(axis, budgets, "{:,.0f}".format)
    if unit == "patient" or not all(np.isfinite(patients.get(n, np.nan)) for n in budgets):
        return
    top = axis.secondary_xaxis("top")
    style.ticks(top, budgets, lambda n: f"{patients.get(round(n), np.nan):.0f}")
    top.set_xlabel("patients they come from (median over seeds)")
