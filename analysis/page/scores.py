"""Scores of every pipeline at every budget, over seeds (scores.csv) and over seeds and patients, as the page shows them."""

import math
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import pandas as pd

from analysis.comparison.cells import Study
from analysis.comparison.decisions import Decisions
from analysis.comparison.measures import PRIMARY
from analysis.comparison.patients import Difference, Measured
from analysis.statistics.patients import Crossed
from sslseg.config import names

BySize = list[tuple[str, list[tuple[str, list[str]]]]]
FILE = "scores.csv"
COLUMNS = ("arm", "budget", "metric", "mean", "sd", "seeds")
TITLES = {
    names.TEST_IOU: "test IoU, mean of the foreground classes (higher is better)",
    names.TEST_LOSS: "test Jaccard loss, background included (lower is better)",
}
MORE = ("test/iou/", "test/dice/", "test/patient_dice/", names.AREA_VAL_IOU, names.BEST_VAL_IOU)


def table(study: Study) -> pd.DataFrame:
    """A row for each pipeline, budget and metric: mean, s.d. over seeds (NaN of one seed), and how many."""
    metrics = [m for m in (*TITLES, *sorted(c for c in study.runs if c.startswith(MORE))) if m in study.runs]
    # of a cross-validation over its folds
    by_seed = study.runs.groupby(["arm", "budget", "seed"])[metrics].mean()
    found = by_seed.groupby(["arm", "budget"]).agg(["mean", "std", "count"])
    rows = [
        (*cell, metric, *values)
        for cell in product((arm.label for arm in study.arms), study.budgets)
        if cell in found.index
        for metric in metrics
        if (values := found.loc[cell, metric].to_list())[-1]
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"seeds": int})


def write(study: Study, folder: Path) -> Path:
    """Write scores.csv; the order of the runs changes no byte of it."""
    path = folder / FILE
    table(study).to_csv(path, index=False, float_format="%.6g", lineterminator="\n")
    return path


def shown(study: Study) -> BySize:
    """Mean ± s.d. (seeds)."""
    texts = {
        (metric, arm, budget): f"{mean:.3f}{f' ± {sd:.3f}' if seeds > 1 else ''} ({seeds})"
        for arm, budget, metric, mean, sd, seeds in table(study).itertuples(index=False)
    }
    return _by_size(study, texts)


def levels(study: Study, measured: Measured) -> BySize:
    """Mean and interval for other seeds and other patients."""
    texts = {(f"test/{e.metric}", e.arm, e.budget): _interval(e.crossed) for e in measured.levels}
    return _by_size(study, texts)


def _by_size(study: Study, texts: Mapping[tuple[str, str, int], str]) -> BySize:
    """Of each metric of TITLES that is there: (pipeline, a text per budget)."""
    labels, there = [arm.label for arm in study.arms], {metric for metric, _, _ in texts}
    return [
        (title, [(label, [texts.get((metric, label, n), "–") for n in study.budgets]) for label in labels])
        for metric, title in TITLES.items()
        if metric in there
    ]


def differences(found: Decisions, measured: Measured) -> list[tuple[Difference, str]]:
    """Those of the primary score at the run budget nearest to the reader's, with their text."""
    primary = [one for one in measured.differences if one.metric == PRIMARY.key.removeprefix("test_")]
    nearest = min((one.budget for one in primary), key=lambda n: abs(math.log(n / found.budget)), default=0)
    return [(one, _interval(one.crossed, "+")) for one in primary if one.budget == nearest]


def _interval(found: Crossed, sign: str = "") -> str:
    """`0.512, 0.44 to 0.58`."""
    e = found.estimate
    middle = f"{e.value:{sign}.3f}"
    return middle if math.isnan(e.low) else f"{middle}, {e.low:{sign}.3f} to {e.high:{sign}.3f}"
