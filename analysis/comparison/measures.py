"""The numbers that decisions are made of: one score per run and metric, on steps that all runs share."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.comparison.cells import Study
from analysis.statistics import curves as learning
from analysis.statistics.curves import Curve, Steps
from analysis.statistics.records import Score
from sslseg.config import names

KEYS = (names.VAL_IOU,)
COLUMNS = {"test_loss": names.TEST_LOSS, "test_iou": names.TEST_IOU, "minutes": names.SECONDS}


@dataclass(frozen=True)
class Metric:
    """What is compared, and the difference that does not matter (this project's choice)."""

    key: str
    title: str
    higher_is_better: bool
    margin: float
    unit: str


METRICS = (
    Metric("early_area", "early area (first fifth of the steps)", True, 0.01, "IoU"),
    Metric("area", "area under the learning curve", True, 0.01, "IoU"),
    Metric("steps_95", "steps to 95 % of the common final IoU", False, math.log(1.25), "log steps"),
    Metric("final_iou", "final validation IoU", True, 0.01, "IoU"),
    Metric("test_loss", "test Jaccard loss", False, 0.01, "loss"),
)


@dataclass(frozen=True)
class Timed:
    """Steps that one run took to 95 % of its own final score, and of the level common to all pipelines."""

    pipeline: str
    budget: int
    seed: int
    subset: str
    run_id: str
    own: Steps
    common: Steps


@dataclass(frozen=True)
class EpochArea:
    """Area under the learning curve of a run from an encoder kept after some epochs."""

    epoch: int
    score: Score
    run_id: str


@dataclass(frozen=True)
class Measures:
    """Scores by metric key.

    `steps_95` is a logarithm, and a run that never got there counts with its last step. `test_iou` and
    `minutes` are there for claims, and are no metric of the verdict table.
    """

    scores: dict[str, tuple[Score, ...]]
    times: tuple[Timed, ...]
    by_epoch: tuple[EpochArea, ...]

    def of(self, key: str, labels: Sequence[str] = (), budget: int | None = None) -> list[Score]:
        """Scores of one metric, of some pipelines, at one budget."""
        return [
            s
            for s in self.scores[key]
            if (not labels or s.pipeline in labels) and (budget is None or s.budget == budget)
        ]


def _scored(study: Study, column: str) -> tuple[Score, ...]:
    if column not in study.runs:
        return ()
    rows = study.runs[np.isfinite(pd.to_numeric(study.runs[column]))]
    return tuple(_score(r, float(v)) for r, v in zip(rows.itertuples(), rows[column], strict=True))


def _score(run, value: float) -> Score:
    return Score(run.arm, int(run.budget), int(run.seed), run.subset_sha256, value)


def measure(study: Study, curves: pd.DataFrame) -> Measures:
    """Every score of every compared run; a run without a curve or a test has none of it."""
    scores: dict[str, list[Score]] = {metric.key: [] for metric in METRICS}
    times: list[Timed] = []
    for budget in study.budgets:
        runs = study.runs[study.runs["budget"] == budget]
        _measure_budget(runs, clean(runs, curves), scores, times)
    found = {key: tuple(values) for key, values in scores.items()}
    found |= {key: _scored(study, column) for key, column in COLUMNS.items()}
    found["minutes"] = tuple(replace(s, value=s.value / 60) for s in found["minutes"])
    return Measures(found, tuple(times), tuple(_epochs(study, curves)))


def _epochs(study: Study, curves: pd.DataFrame) -> Iterator[EpochArea]:
    for _, runs in study.by_epoch.groupby("budget"):
        found = clean(runs, curves)
        grid = learning.common_grid(found.values()) if found else np.array([])
        for r in runs.itertuples():
            if r.run_id in found:
                area = learning.area(found[r.run_id], grid)
                yield EpochArea(int(r.encoder_epoch), _score(r, area), r.run_id)


def _measure_budget(
    runs: pd.DataFrame, found: dict[str, Curve], scores: dict[str, list[Score]], times: list[Timed]
) -> None:
    if not found:
        return
    grid = learning.common_grid(found.values())
    finals = {run_id: learning.final(curve) for run_id, curve in found.items()}
    rows = [r for r in runs.itertuples() if r.run_id in found]
    by_arm: dict[str, list[float]] = {}
    for r in rows:
        by_arm.setdefault(r.arm, []).append(finals[r.run_id])
    level = learning.common_final([by_arm[arm] for arm in sorted(by_arm)])
    for r in rows:
        curve = found[r.run_id]
        timed = _timed(r, curve, finals[r.run_id], level)
        times.append(timed)
        values = {
            "early_area": learning.early_area(curve, grid),
            "area": learning.area(curve, grid),
            "steps_95": math.log(timed.common.steps),
            "final_iou": finals[r.run_id],
        }
        for key, value in values.items():
            scores[key].append(_score(r, value))


def _timed(run, curve: Curve, final: float, level: float) -> Timed:
    """The validation before the first step is left out: a ratio of steps needs steps."""
    trained = curve.steps > 0
    later = Curve(curve.steps[trained], curve.values[trained])
    own, common = (learning.steps_to(later, value) for value in (final, level))
    return Timed(run.arm, int(run.budget), int(run.seed), run.subset_sha256, run.run_id, own, common)


def clean(study_runs: pd.DataFrame, curves: pd.DataFrame) -> dict[str, learning.Curve]:
    """run_id -> its curve; runs without two finite points are left out."""
    groups = dict(list(curves[curves["key"] == KEYS[0]].groupby("run_id")))
    found = {}
    for run_id in study_runs["run_id"]:
        points = groups.get(run_id)
        if points is not None and np.isfinite(points["value"]).sum() > 1:
            found[run_id] = learning.curve(points["step"], points["value"])
    return found
