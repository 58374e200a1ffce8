"""The numbers that decisions are made of: one score per run and metric, on steps that all runs share."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.comparison.cells import Study
from analysis.statistics import curves as learning
from analysis.statistics.curves import Curve, Steps
from analysis.statistics.records import Refusal, Score
from analysis.statistics.verdicts import arrival
from analysis.statistics.verdicts.collapse import far_below
from analysis.statistics.verdicts.compare import by_seed, common_budgets, in_units, mean_ends
from analysis.statistics.verdicts.judge import Pair
from sslseg.config import names

KEYS = (names.VAL_IOU,)
COLUMNS = {"test_loss": names.TEST_LOSS, "test_iou": names.TEST_IOU, "minutes": names.SECONDS}
STEPS = "steps_95"


@dataclass(frozen=True)
class Metric:
    """What is compared, and the difference that does not matter (this project's choice).

    `worst` is what a collapsed run scores.
    """

    key: str
    title: str
    higher_is_better: bool
    margin: float
    unit: str
    worst: float | None = None


PRIMARY = Metric("test_iou", "test IoU, mean of the structures", True, 0.01, "IoU", 0.0)
METRICS = (
    PRIMARY,
    Metric("final_iou", "final validation IoU", True, 0.01, "IoU", 0.0),
    Metric("area", "area under the learning curve", True, 0.01, "IoU", 0.0),
    Metric("early_area", "early area (first fifth of the steps)", True, 0.01, "IoU", 0.0),
    Metric(STEPS, "times as fast to 95 % of what the weaker of the two ends at", True, math.log(1.25), "log ratio"),
    Metric("test_loss", "test Jaccard loss, background included", False, 0.01, "loss", 1.0),
)  # fmt: skip


@dataclass(frozen=True)
class Timed:
    """Learning curve of one run after its first step, its final score, and steps to 95 % of that."""

    pipeline: str
    budget: int
    seed: int
    subset: str
    run_id: str
    curve: Curve
    final: float
    own: Steps


@dataclass(frozen=True)
class EpochArea:
    """Area under the learning curve of a run from an encoder kept after some epochs."""

    epoch: int
    score: Score
    run_id: str


@dataclass(frozen=True)
class Measures:
    """Scores by metric key, learning curves for ratios of steps; `minutes` is no metric of the verdict table."""

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


def steps_pair(
    measures: Measures, a: str, b: str, budget: int | None, units: Mapping[int, int] | None = None
) -> Pair | Refusal:
    """How many times as fast `a` learns as `b`, by seed or unit: see `arrival.speed_up`."""
    mine, other = ([t for t in measures.times if t.pipeline == name] for name in (a, b))
    right = {(t.budget, t.seed, t.subset): t for t in other}
    cells: dict[tuple[int, int], list[arrival.Bounds]] = {}
    for t in mine:
        if against := right.get((t.budget, t.seed, t.subset)):
            found = arrival.speed_up(t.curve, against.curve, t.final, against.final)
            cells.setdefault((t.budget, t.seed), []).append(found)
    paired = in_units({key: mean_ends(rows) for key, rows in cells.items()}, units)
    seeds = by_seed(paired, common_budgets(paired, budget))
    bounds = arrival.telling(list(seeds.values()))
    if isinstance(bounds, Refusal):
        return bounds
    told = [s for s, ends in seeds.items() if np.isfinite(ends).any()]
    fallen = far_below(measures.of("final_iou", (a, b)), higher_is_better=True)
    low, high = bounds.T
    return Pair(a, b, told, low, high, min(len(mine), len(other)), fallen)


def scored(study: Study, column: str) -> tuple[Score, ...]:
    """One metric of the store, of every compared run that has it."""
    if column not in study.runs:
        return ()
    rows = study.runs[np.isfinite(pd.to_numeric(study.runs[column]))]
    return tuple(_score(r, float(v)) for r, v in zip(rows.itertuples(), rows[column], strict=True))


def _score(run: Any, value: float) -> Score:
    return Score(run.arm, int(run.budget), int(run.seed), run.subset_sha256, value)


def measure(study: Study, curves: pd.DataFrame) -> Measures:
    """Every score of every compared run; a run without a curve or a test has none of it."""
    scores: dict[str, list[Score]] = {metric.key: [] for metric in METRICS if metric.key != STEPS}
    times: list[Timed] = []
    for budget in study.budgets:
        runs = study.runs[study.runs["budget"] == budget]
        _measure_budget(runs, clean(runs, curves), scores, times)
    found = {key: tuple(values) for key, values in scores.items()}
    found |= {key: scored(study, column) for key, column in COLUMNS.items()}
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
    for r in runs.itertuples():
        if r.run_id not in found:
            continue
        curve, final = found[r.run_id], learning.final(found[r.run_id])
        times.append(_timed(r, curve, final))
        values = {
            "early_area": learning.early_area(curve, grid),
            "area": learning.area(curve, grid),
            "final_iou": final,
        }
        for key, value in values.items():
            scores[key].append(_score(r, value))


def _timed(run: Any, curve: Curve, final: float) -> Timed:
    """The validation before the first step is left out: a ratio of steps needs steps."""
    trained = curve.steps > 0
    later = Curve(curve.steps[trained], curve.values[trained])
    subset = run.subset_sha256
    own = learning.steps_to(later, final)
    return Timed(run.arm, int(run.budget), int(run.seed), subset, run.run_id, later, final, own)


def clean(study_runs: pd.DataFrame, curves: pd.DataFrame) -> dict[str, learning.Curve]:
    """run_id -> its curve; runs without two finite points are left out."""
    groups = dict(list(curves[curves["key"] == KEYS[0]].groupby("run_id")))
    found = {}
    for run_id in study_runs["run_id"]:
        points = groups.get(run_id)
        if points is not None and np.isfinite(points["value"]).sum() > 1:
            found[run_id] = learning.curve(points["step"], points["value"])
    return found
