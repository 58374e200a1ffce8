"""Test scores for new patients: every test quantity with an interval for other seeds and other patients.

An interval over seeds is about the patients of the test; patients differ more than seeds do. Made of the numbers
`test_patients/…` that every fine-tuning leaves, one a patient, whichever fold tested it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.comparison import scope
from analysis.comparison.cells import Study
from analysis.statistics.patients import Crossed, crossed
from analysis.statistics.records import grouped
from sslseg.config.names import EVALUATED, EVALUATED_PATIENTS, TEST_PATIENTS

FILE = "patients.csv"
BOUNDS = (0.0, 1.0)  # of every test score that a fine-tuning logs
SHOWN = ("jaccard_loss", "iou")  # in this order on the page; every class is in the file
Table = dict[int, np.ndarray]  # unit -> a number for each patient, NaN for none
COLUMNS = ("arm", "budget", "metric", "mean", "low", "high", "low_seeds", "high_seeds", "seeds", "encoders",
           "patients")  # fmt: skip


@dataclass(frozen=True)
class Level:
    """A score of one pipeline at one budget."""

    arm: str
    budget: int
    metric: str  # iou, dice/LV … as in `test/…`
    crossed: Crossed
    about: str


@dataclass(frozen=True)
class Difference:
    """A score of ``a`` minus that of ``b``, on the same seeds and patients."""

    a: str
    b: str
    budget: int
    metric: str
    crossed: Crossed
    about: str


@dataclass(frozen=True)
class Points:
    """Numbers of patients: their `totals` and `counts` [run, patient], and the row of each run."""

    rows: Mapping[str, int]
    totals: np.ndarray
    counts: np.ndarray


def keys(runs: pd.DataFrame) -> list[str]:
    """Metrics of the store that hold scores of patients, of fine-tunings or evaluations."""
    return sorted(c for c in runs.columns if c.startswith((f"{TEST_PATIENTS}/", f"{EVALUATED_PATIENTS}/")))


def tested(study: Study, curves: pd.DataFrame) -> int:
    """Patients that the test scores are of, all folds together; 0 where the store does not say."""
    own = curves[curves["run_id"].isin(study.runs["run_id"])]
    points = own[own["key"].str.startswith(f"{TEST_PATIENTS}/")]
    counted = study.evaluations.get(f"{EVALUATED}patients", pd.Series(dtype=float)).dropna()
    return int(points["step"].nunique() or (counted.max() if len(counted) else 0))


def metrics(curves: pd.DataFrame) -> list[str]:
    """Their quantities, those of the page first."""
    scores = [key for key in curves["key"].unique() if key.startswith(f"{TEST_PATIENTS}/")]
    there = {key.removeprefix(f"{TEST_PATIENTS}/") for key in scores}
    return [m for m in SHOWN if m in there] + sorted(there - set(SHOWN))


def by_run(curves: pd.DataFrame, keys: Iterable[str]) -> Points:
    """The points of some metrics that are numbers."""
    there = curves[curves["key"].isin(list(keys)) & curves["value"].notna()]
    points = there.groupby(["run_id", "step"])["value"]
    totals, counts = points.sum().unstack(fill_value=0), points.count().unstack(fill_value=0)
    rows = {run_id: row for row, run_id in enumerate(totals.index)}
    return Points(rows, totals.to_numpy(float), counts.to_numpy(float))


def table(study: Study, points: Points, label: str, budget: int, beside: str = "") -> Table:
    """Scores of a pipeline by unit: a seed, or a pretraining where there are several.

    Args:
        points: of a metric.
        beside: a pipeline that it will be compared with, which may have several pretrainings, too.
    """
    return _by_unit(study.of(label, budget), scope.units(study, *filter(None, (label, beside))), points)


def evaluated(study: Study, points: Points, label: str, budget: int) -> Table:
    """The same of evaluations in 3D; of the points of several metrics (hd95_mm/LV …) a patient's mean over those it has."""
    found = study.evaluations
    runs = found[(found["arm"] == label) & (found["budget"] == budget)]
    return _by_unit(runs, scope.units(study, label), points)


def _by_unit(runs: pd.DataFrame, units: Mapping[int, int], points: Points) -> Table:
    """The mean over all points of the runs of a unit."""
    there = zip(runs["run_id"], runs["seed"], strict=True)
    rows = grouped((units[seed], points.rows[run]) for run, seed in there if run in points.rows)
    found = {
        unit: (points.totals[own].sum(axis=0), points.counts[own].sum(axis=0))
        for unit, own in sorted(rows.items())
    }
    return {unit: total / np.where(count > 0, count, np.nan) for unit, (total, count) in found.items()}


def levels(study: Study, curves: pd.DataFrame, wanted: Iterable[str] = ()) -> tuple[Level, ...]:
    """Every pipeline at every budget; pipelines without scores of patients are left out.

    Args:
        wanted: metrics; none = all there are.
    """
    return tuple(
        Level(arm.label, budget, metric, crossed(np.array([*scores.values()]), bounds=BOUNDS), about)
        for metric in list(wanted) or metrics(curves)
        for points in [by_run(curves, [f"{TEST_PATIENTS}/{metric}"])]
        for arm in study.arms
        for about in [scope.about(study, arm.label)]
        for budget in study.budgets
        if (scores := table(study, points, arm.label, budget))
    )


def differences(
    study: Study, curves: pd.DataFrame, pairs: Sequence[tuple[str, str]], wanted: Iterable[str] = SHOWN
) -> tuple[Difference, ...]:
    """Those of some pairs at every budget, on the units and patients that both of a pair have."""
    found = []
    points = {metric: by_run(curves, [f"{TEST_PATIENTS}/{metric}"]) for metric in wanted}
    for metric, budget, (a, b) in product(points, study.budgets, pairs):
        left, right = (table(study, points[metric], one, budget, other) for one, other in ((a, b), (b, a)))
        apart = np.array([left[unit] - right[unit] for unit in left if unit in right])
        if np.isfinite(apart).any():
            mean = crossed(apart, bounds=(-1.0, 1.0))
            found.append(Difference(a, b, budget, metric, mean, scope.about(study, a, b)))
    return tuple(found)


@dataclass(frozen=True)
class Measured:
    """All of it, for the page and its record; empty where the fine-tunings left no scores of patients."""

    tested: int = 0
    levels: tuple[Level, ...] = ()
    differences: tuple[Difference, ...] = ()


def measure(study: Study, curves: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> Measured:
    """Levels of every pipeline, and the differences of some pairs."""
    return Measured(tested(study, curves), levels(study, curves), differences(study, curves, pairs))


def frame(study: Study, found: Iterable[Level]) -> pd.DataFrame:
    """A row a level."""
    rows = [
        (one.arm, one.budget, one.metric, one.crossed.estimate.value, one.crossed.estimate.low,
         one.crossed.estimate.high, one.crossed.on_these.low, one.crossed.on_these.high, one.crossed.seeds,
         scope.count(study, one.arm), one.crossed.patients)
        for one in found
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def write(study: Study, found: Sequence[Level], folder: Path) -> Path:
    """Write patients.csv; the order of the runs changes no byte of it."""
    path = folder / FILE
    frame(study, found).to_csv(path, index=False, float_format="%.6g", lineterminator="\n")
    return path
