"""The numbers that decisions are made of: one score per run and metric, on steps that all runs share."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain

import numpy as np
import pandas as pd

from analysis.comparison.cells import Study
from analysis.comparison.missing import holes
from analysis.statistics import curves as learning
from analysis.statistics.curves import Curve, Steps
from analysis.statistics.records import Refusal, Score, grouped
from analysis.statistics.verdicts import arrival
from analysis.statistics.verdicts.collapse import far_below
from analysis.statistics.verdicts.compare import by_seed, common_budgets, in_units, mean_ends
from analysis.statistics.verdicts.records import Pair
from sslseg.config import names

KEYS = (names.VAL_IOU,)
OF_CURVES = {"final_iou": "final", "area": "area", "early_area": "early_area"}
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
class Learned:
    """What the learning curve of one run says; its areas are over the steps that all runs beside it share."""

    pipeline: str
    budget: int
    seed: int
    subset: str
    run_id: str
    epoch: int  # that its encoder was kept at; -1 = of the last alone
    curve: Curve
    area: float
    early_area: float
    final: float

    @property
    def trained(self) -> Curve:
        """Without the validation before the first step: a ratio of steps needs steps."""
        later = self.curve.steps > 0
        return Curve(self.curve.steps[later], self.curve.values[later])

    @property
    def own(self) -> Steps:
        """Steps to 95 % of its own final score."""
        return learning.steps_to(self.trained, self.final)

    def score(self, name: str) -> Score:
        """One of its numbers."""
        return Score(self.pipeline, self.budget, self.seed, self.subset, getattr(self, name))


@dataclass(frozen=True)
class Measures:
    """Scores by metric key, learning curves for ratios of steps; `minutes` is no metric of the verdict table."""

    scores: dict[str, tuple[Score, ...]]
    learned: tuple[Learned, ...]
    by_epoch: tuple[Learned, ...]  # of runs from encoders that were kept by epoch
    holes: Mapping[str, frozenset[tuple[int, int]]] = field(default_factory=dict)  # see `missing.holes`
    counts: str = "slice"  # what a budget counts

    def of(self, key: str, labels: Sequence[str] = (), budget: int | None = None) -> list[Score]:
        """Scores of one metric, of some pipelines, at one budget."""
        kept = [s for label in labels for s in self._of[key].get(label, ())] if labels else self.scores[key]
        return [s for s in kept if budget is None or s.budget == budget]

    @cached_property
    def _of(self) -> dict[str, dict[str, list[Score]]]:
        """Metric -> pipeline -> its scores."""
        return {key: grouped((s.pipeline, s) for s in scores) for key, scores in self.scores.items()}

    @cached_property
    def learned_by(self) -> dict[str, list[Learned]]:
        """Pipeline -> what its curves say."""
        return grouped((one.pipeline, one) for one in self.learned)


def steps_pair(
    measures: Measures, a: str, b: str, budget: int | None, units: Mapping[int, int] | None = None
) -> Pair | Refusal:
    """How many times as fast `a` learns as `b`, by seed or unit: see `arrival.speed_up`."""
    mine, other = (measures.learned_by.get(name, []) for name in (a, b))
    right = {(t.budget, t.seed, t.subset): t for t in other}
    both = [(t, r) for t in mine if (r := right.get((t.budget, t.seed, t.subset)))]
    cells = grouped(
        ((t.budget, t.seed), arrival.speed_up(t.trained, r.trained, t.final, r.final)) for t, r in both
    )
    paired = in_units({key: mean_ends(rows) for key, rows in cells.items()}, units)
    seeds = by_seed(paired, common_budgets(paired, budget))
    bounds = arrival.telling(list(seeds.values()))
    if isinstance(bounds, Refusal):
        return bounds
    told = [s for s, ends in seeds.items() if np.isfinite(ends).any()]
    # as of the metric itself
    fallen = far_below(measures.of("final_iou", (a, b)), higher_is_better=True, worst=0.0)
    low, high = bounds.T
    runs = min(len(mine), len(other)) if units is None else len(set(units.values()))
    missing = tuple((name, *cell) for name in (a, b) for cell in sorted(measures.holes.get(name, ())))
    unit = "pretraining" if units else "seed"
    return Pair(a, b, told, low, high, runs, fallen, unit=unit, missing=missing)


def scored(study: Study, column: str) -> tuple[Score, ...]:
    """One metric of the store, of every compared run that has it."""
    if column not in study.runs:
        return ()
    rows = study.runs[np.isfinite(pd.to_numeric(study.runs[column]))]
    return tuple(
        Score(r.arm, int(r.budget), int(r.seed), r.subset_sha256, float(v))
        for r, v in zip(rows.itertuples(), rows[column], strict=True)
    )


def errors(study: Study) -> list[Score]:
    """1 − test IoU of every run that has a test score."""
    return [replace(s, value=1 - s.value) for s in scored(study, COLUMNS[PRIMARY.key])]


def measure(study: Study, curves: pd.DataFrame) -> Measures:
    """Every score of every compared run; a run without a curve or a test has none of it."""
    by_budget = (learned(study.runs[study.runs["budget"] == n], curves) for n in study.budgets)
    found = tuple(chain.from_iterable(by_budget))
    scores = {key: tuple(one.score(name) for one in found) for key, name in OF_CURVES.items()}
    scores |= {key: scored(study, column) for key, column in COLUMNS.items()}
    scores["minutes"] = tuple(replace(s, value=s.value / 60) for s in scores["minutes"])
    kept = (learned(runs, curves) for _, runs in study.by_epoch.groupby("budget"))
    return Measures(scores, found, tuple(chain.from_iterable(kept)), _holes(study), study.unit)


def _holes(study: Study) -> dict[str, frozenset[tuple[int, int]]]:
    """`missing.holes`, and the cells of runs whose test score is no number."""
    found = holes(study.missing)
    column = COLUMNS[PRIMARY.key]
    if column in study.runs:
        for r in study.runs[~np.isfinite(pd.to_numeric(study.runs[column]))].itertuples():
            found[r.arm] = found.get(r.arm, frozenset()) | {(int(r.budget), int(r.seed))}
    return found


def learned(runs: pd.DataFrame, curves: pd.DataFrame) -> list[Learned]:
    """What the curves of the runs at one budget say; a run without a curve is left out."""
    found = clean(runs, curves)
    grid = learning.common_grid(found.values()) if found else None
    return [
        Learned(
            r.arm, int(r.budget), int(r.seed), r.subset_sha256, r.run_id,
            -1 if pd.isna(r.encoder_epoch) else int(r.encoder_epoch), found[r.run_id],
            learning.area(found[r.run_id], grid), learning.early_area(found[r.run_id], grid),
            learning.final(found[r.run_id]),
        )
        for r in runs.itertuples()
        if r.run_id in found
    ]  # fmt: skip


def clean(study_runs: pd.DataFrame, curves: pd.DataFrame) -> dict[str, learning.Curve]:
    """run_id -> its curve; runs without finite points at two steps are left out."""
    groups = dict(list(curves[curves["key"] == KEYS[0]].groupby("run_id")))
    found = {}
    for run_id in study_runs["run_id"]:
        points = groups.get(run_id)
        if points is not None and points.loc[np.isfinite(points["value"]), "step"].nunique() > 1:
            found[run_id] = learning.curve(points["step"], points["value"])
    return found
