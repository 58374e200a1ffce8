"""Fig. 4: test error (1 − IoU) against annotated slices: boxes at their true place, and the scaling law."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

from analysis.comparison.arms import Arm
from analysis.comparison.cells import Study
from analysis.figures import outputs, style
from analysis.figures.outputs import Drawn
from analysis.statistics.laws import knee, scaling
from analysis.statistics.laws.interpolate import Joined, joined
from analysis.statistics.laws.inversion import size_grid
from analysis.statistics.laws.knee import Knee
from analysis.statistics.laws.scaling import Scaling
from analysis.statistics.records import Refusal, Score
from sslseg.config import names

TITLE = "Test error against annotated data"
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


def scores(study: Study) -> list[Score]:
    """1 − IoU of the runs; a run without it gives none. Named by the pipeline's label."""
    if METRIC not in study.runs:
        return []
    rows = study.runs[study.runs[METRIC].notna()]
    return [
        Score(r["arm"], int(r["budget"]), int(r["seed"]), r["subset_sha256"], 1 - float(r[METRIC]))
        for _, r in rows.iterrows()
    ]


def laws(study: Study) -> tuple[Law, ...]:
    """Fit and knee of every pipeline, or why there is none."""
    found = scores(study)
    return tuple(Law(arm, *_law(found, arm.label)) for arm in study.arms)


def _law(found: list[Score], label: str) -> tuple[Scaling | Refusal, Joined | Refusal, Knee | Refusal]:
    if not any(s.pipeline == label for s in found):
        none = Refusal(f"insufficient evidence: {label} has no run with {METRIC}")
        return none, none, none
    return scaling.fit(found, label), joined(found, label), knee.knee(found, label)


def data(study: Study, curves: pd.DataFrame | None = None) -> Drawn:
    """1 − test IoU of every run, with the law of each pipeline where it can be fitted."""
    runs = study.runs
    table = pd.DataFrame(
        {
            "arm": runs["arm"],
            "pipeline": runs["pipeline"],
            "budget": runs["budget"],
            "patients": pd.to_numeric(runs["patients"]),
            "seed": runs["seed"],
            "run_id": runs["run_id"],
            "value": 1 - runs.get(METRIC, np.nan),
        }
    )
    table = table[np.isfinite(table["value"])]
    fits = laws(study)
    unfitted = [
        f"no law for {law.arm.label}: {law.fit.reason}" for law in fits if isinstance(law.fit, Refusal)
    ]
    facts = {
        "metric": f"1 - {METRIC}",
        "law": "alpha * n^-beta + gamma",
        "fits": {law.arm.label: law.fit for law in fits},
        "knees": {law.arm.label: law.knee for law in fits},
    }
    notes = outputs.face(study, runs) + tuple(unfitted[:2])
    notes += ("curves: fitted laws; straight pieces: means joined, where there is no law",)
    if any(isinstance(law.knee, Knee) and law.knee.evident for law in fits):
        notes += (
            "bar: 95 % interval of the knee of a line bent once on log-log; triangle: where it is known to a step",
        )
    if len(unfitted) > 2:
        notes += (f"no law for {len(unfitted) - 2} more pipelines, see the JSON",)
    return Drawn("fig4", TITLE, table[COLUMNS].reset_index(drop=True), runs, notes, facts,
                 (fits, study.unit, {n: study.patients(n) for n in study.budgets}))  # fmt: skip


def draw(drawn: Drawn) -> Figure:
    """Ink."""
    fits, unit, patients = drawn.parts
    with style.look():
        figure = Figure(figsize=(8.8, 4.8))
        axis = figure.subplots()
        axis.set(
            xscale="log", yscale="log", title=drawn.title, ylabel="1 − test IoU (mean of the structures)"
        )
        axis.set_xlabel(f"annotated {unit}s")
        if drawn.table.empty:
            style.nothing(axis, f"no run has {METRIC}")
        else:
            _boxes(axis, drawn.table, [law.arm for law in fits])
            for law in fits:
                _curve(axis, law)
            _ticks(axis, sorted(set(drawn.table["budget"])), unit, patients)
            figure.legend(loc="outside right upper")
        style.footnote(figure, drawn.notes)
    return figure


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
            axis.plot(np.full(len(values), at), values, arm.marker, color=arm.colour, ms=3, alpha=0.8, mew=0)
        seeds = rows.groupby("budget")["seed"].nunique()
        n = (
            f"{seeds.min()}–{seeds.max()}"
            if len(seeds) and seeds.min() != seeds.max()
            else f"{seeds.max() if len(seeds) else 0}"
        )
        axis.plot([], [], arm.marker, color=arm.colour, ls=arm.dashes, ms=4, label=f"{arm.label} (n = {n})")


def _box(axis: Axes, values: np.ndarray, at: float, width: float, colour: str) -> None:
    axis.boxplot(
        [values], positions=[at], widths=[width], manage_ticks=False, showfliers=False, patch_artist=True,
        boxprops={"facecolor": colour + "40", "edgecolor": colour, "lw": 0.8},
        medianprops={"color": colour, "lw": 1.4}, whiskerprops={"color": colour, "lw": 0.8},
        capprops={"color": colour, "lw": 0.8},
    )  # fmt: skip


def _curve(axis: Axes, law: Law) -> None:
    """The law, else the joined means, over the sizes that were run; an evident knee's interval, a located one's mark."""
    curve = law.fit or law.means
    if isinstance(curve, Refusal):
        return
    grid = size_grid(curve.sizes[0], curve.sizes[-1], 200)
    axis.plot(grid, curve.error(grid), color=law.arm.colour, ls=law.arm.dashes, lw=1.2)
    if isinstance(law.knee, Knee) and law.knee.evident:
        size = law.knee.size
        height = curve.error(np.array([size.value]))[0] * 1.06
        axis.plot([size.low, size.high], [height, height], color=law.arm.colour, lw=3, alpha=0.35)
        if law.knee.located:
            axis.plot([size.value], [height], "v", color=law.arm.colour, ms=7)


def _ticks(axis: Axes, budgets: list[int], unit: str, patients: dict[int, float]) -> None:
    axis.xaxis.set_major_locator(FixedLocator(budgets))
    axis.xaxis.set_minor_locator(FixedLocator([]))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda n, _: f"{n:.0f}"))
    axis.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 3, 5, 7)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
    if unit == "patient" or not all(np.isfinite(patients.get(n, np.nan)) for n in budgets):
        return
    top = axis.secondary_xaxis("top")
    top.xaxis.set_major_locator(FixedLocator(budgets))
    top.xaxis.set_minor_locator(FixedLocator([]))
    top.xaxis.set_major_formatter(FuncFormatter(lambda n, _: f"{patients.get(round(n), np.nan):.0f}"))
    top.set_xlabel("patients they come from (median over seeds)")
