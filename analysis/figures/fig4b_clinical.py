"""Fig. 4b: what a clinician reads against annotated slices: ejection fraction, HD95 and failures on test."""

import re
import textwrap
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.comparison import patients, sameness, scope
from analysis.comparison.arms import Arm
from analysis.comparison.cells import Study
from analysis.figures import labels, outputs, style
from analysis.figures.outputs import Content
from analysis.statistics.patients import crossed
from analysis.statistics.words import plural
from sslseg.config import names
from sslseg.config.commands import command
from sslseg.config.names import CFG

TITLE = "Clinical error against annotated data"
KEYS: tuple[str, ...] = ()
COLUMNS = ["measure", "unit", "arm", "pipeline", "budget", "seed", "run_id", "evaluation", "patients", "value",
           "low", "high", "mean_low", "mean_high"]  # fmt: skip
PREFIX = names.EVALUATED
OPTIONS = ("mirror", "largest", "split")  # of an evaluation; compared ones should share them
OVER_CLASSES = (("hd95_mm", "HD95", "mm"), ("failure_rate", "missed or invented structures", "%", 100.0, 1.0))
SPREAD = 0.04  # decades between the pipelines of one budget


def wanted(study: Study) -> tuple[str, str]:
    """Why there may be nothing to draw, and the command that mends it."""
    sweeps = set(study.runs["parent"])
    sweep = sweeps.pop() if len(sweeps) == 1 else ""
    more = command("evaluate", sweep=sweep or "SWEEP", **study.place)
    return "no compared run has been evaluated in 3D", more


@dataclass(frozen=True)
class Measure:
    """One panel: mean of some logged metrics, in every evaluation."""

    what: str
    over: str  # what its mean is taken of, or over
    unit: str
    keys: tuple[str, ...]
    factor: float = 1.0  # from what is logged to the unit
    most: float = np.inf  # of what is logged

    @property
    def title(self) -> str:
        """In the table."""
        return f"{self.what}, {self.over}"


def measures(evaluations: pd.DataFrame) -> tuple[Measure, ...]:
    """What the evaluations have: each ejection fraction, then HD95 and failures as means over the classes."""
    fractions = _keys(evaluations, r"mae/(.+)_EF")
    found = [Measure(f"{name} ejection fraction", "mean |error|", "%", (k,)) for name, k in fractions.items()]
    for score, what, unit, *scale in OVER_CLASSES:
        if keys := _keys(evaluations, rf"{score}/([^/]+)"):
            found.append(Measure(what, f"mean over {', '.join(keys)}", unit, tuple(keys.values()), *scale))
    return tuple(found)


def _keys(table: pd.DataFrame, pattern: str) -> dict[str, str]:
    """What the group of the pattern matches -> metric, in the order of names."""
    hits = {key: re.fullmatch(PREFIX + pattern, key) for key in table.columns}
    return {hit[1]: key for key, hit in sorted(hits.items()) if hit and table[key].notna().any()}


def data(study: Study, curves: pd.DataFrame | None = None) -> Content:
    """Every measure of every evaluated run, with its interval over patients where it is one logged metric.

    `mean_low` and `mean_high` are those of the mean of a pipeline at a budget, for other seeds and patients, where
    the evaluations have left a score by patient.
    """
    found = study.evaluations
    shown = measures(found) if len(found) else ()
    if not shown:
        none, wanted = study.runs[:0], "mlflow run . -e evaluate -P sweep=<run ID> -P dataset=…"
        notes = (*outputs.face(study, none), f"no compared run has been evaluated: {wanted}")
        return Content("fig4b", TITLE, pd.DataFrame(columns=COLUMNS), none, notes)
    parts = [_with_means(_rows(found, measure), study, curves, measure) for measure in shown]
    table = pd.concat(parts, ignore_index=True)[COLUMNS]
    runs = study.runs[study.runs["run_id"].isin(table["run_id"])]
    notes = outputs.face(study, runs) + _notes(study, found, table)
    policy = "a missed or invented structure is the worst case"
    facts = {"evaluations": sorted(set(table["evaluation"])), "policy": policy}
    return Content("fig4b", TITLE, table, runs, notes, facts, (shown, labels.front(study), study.unit))


def _rows(found: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    alone = len(measure.keys) == 1
    ends = {end: found.get(f"{measure.keys[0]}/{end}") if alone else None for end in ("low", "high")}
    rows = pd.DataFrame(
        {
            "measure": measure.title,
            "unit": measure.unit,
            **{name: found[name] for name in ("arm", "pipeline", "budget", "seed")},
            "run_id": found["upstream_run_id"],
            "evaluation": found["run_id"],
            "patients": found[f"{PREFIX}patients"],
            "value": measure.factor * found[list(measure.keys)].mean(axis=1),
            **{end: np.nan if values is None else values for end, values in ends.items()},
        }
    )
    return rows[rows["value"].notna()].sort_values(["arm", "budget", "seed"])


def _with_means(
    rows: pd.DataFrame, study: Study, curves: pd.DataFrame | None, measure: Measure
) -> pd.DataFrame:
    """The rows with the interval of their pipeline and budget: for other seeds and other patients."""
    ends = {}
    cells = list(zip(rows["arm"], rows["budget"], strict=True))
    wanted = [key.replace(names.EVALUATED, f"{names.EVALUATED_PATIENTS}/", 1) for key in measure.keys]
    points = None if curves is None else patients.by_run(curves, wanted)
    for cell in set(cells):
        if points and (scores := patients.evaluated(study, points, *cell)):
            found = crossed(np.array([*scores.values()]), bounds=(0.0, measure.most)).estimate
            ends[cell] = (measure.factor * found.low, measure.factor * found.high)
    low, high = np.array([ends.get(cell, (np.nan, np.nan)) for cell in cells]).reshape(-1, 2).T
    return rows.assign(mean_low=low, mean_high=high)


def _notes(study: Study, found: pd.DataFrame, table: pd.DataFrame) -> tuple[str, ...]:
    lines = ["points: runs; line: their mean", _bars(study, table),
             "a missed structure counts as the worst case and is never left out"]  # fmt: skip
    if left := len(study.runs) - len(found):
        lines.append(f"{plural(left, 'fine-tuning')}{' are' if left > 1 else ' is'} not evaluated yet")
    lines += labels.others(study, "grey lines through their means")
    for name in OPTIONS:
        if found.get(CFG + name, pd.Series(dtype=str)).map(sameness.division).map(str).nunique() > 1:
            lines.append(f"MIXED: the evaluations differ in {name}")
    return tuple(lines)


def _bars(study: Study, table: pd.DataFrame) -> str:
    """What the bars are about."""
    tested = table["patients"].astype(int)
    on = f"these {labels.ends(tested)} test patients"
    every = [arm.label for arm in study.arms]
    one = [label for label in every if scope.count(study, label) == 1][:1]
    about = scope.about(study, *(every if scope.pretrainings(study, *every) else one))
    if table["mean_low"].notna().any():
        interval = f"bar: 95 % interval of the mean for other seeds and other patients, estimated from {on}"
        return f"{interval}; it is {about}" if about else interval
    alone = any(len(rows) == 1 for _, rows in table.groupby(["measure", "arm", "budget"]))
    bar = "; bar: over the patients of a single seed" if alone and table["low"].notna().any() else ""
    return f"no interval for other patients: the evaluations did not keep the scores of each of {on}{bar}"


@outputs.inked
def draw(content: Content, figure: Figure) -> None:
    """Ink: a panel a measure, two beside each other."""
    shown, arms, unit = content.parts
    columns = min(len(shown), 2)
    lines = -(-len(shown) // columns)
    figure.set_figheight(1.3 + 2.5 * lines)
    axes = figure.subplots(lines, columns, squeeze=False)
    there = tuple(arm for arm in arms if arm.label in set(content.table["arm"]))
    for axis, measure in zip(axes.flat, shown, strict=False):
        _panel(axis, measure, content.table[content.table["measure"] == measure.title], there, unit)
    for axis in list(axes.flat)[len(shown) :]:
        axis.axis("off")
    seeds = content.table.groupby("arm")["seed"].nunique()
    labels.legend(figure, [(arm, f"{arm.name} (n = {seeds[arm.label]})") for arm in there])


def _panel(axis: Axes, measure: Measure, table: pd.DataFrame, arms: tuple[Arm, ...], unit: str) -> None:
    axis.set(
        xscale="log",
        title=f"{textwrap.fill(measure.what, 44)}\n{measure.over.replace('|error|', 'absolute error')}",
        xlabel=f"annotated {unit}s",
        ylabel=f"{measure.unit} (lower is better)",
    )
    labels.behind(axis, table, arms, "budget", "value")
    for i, arm in enumerate(arms):
        rows = table[table["arm"] == arm.label]
        shift = 10 ** ((i - (len(arms) - 1) / 2) * SPREAD)
        means = rows.groupby("budget")["value"].mean()
        axis.plot(rows["budget"] * shift, rows["value"], arm.marker, color=arm.colour, ms=3, alpha=0.6, mew=0)
        axis.plot(means.index * shift, means, arm.marker, color=arm.colour, ls=arm.dashes, ms=4, lw=1.4)
        for budget, group in rows.groupby("budget"):
            ends = group[["mean_low", "mean_high"]].iloc[0]
            if ends.isna().any() and len(group) == 1:
                ends = group[["low", "high"]].iloc[0]
            if ends.notna().all():
                axis.plot([budget * shift] * 2, ends, color=arm.colour, lw=0.9, alpha=0.5)
    axis.set_ylim(0, None if table["value"].max() > 0 else 1.0)
    style.ticks(axis, sorted(set(table["budget"])), "{:,.0f}".format)
