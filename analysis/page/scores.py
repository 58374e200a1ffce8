"""Scores of every pipeline at every budget: means over seeds, as numbers (scores.csv) and as the page shows them."""

from __future__ import annotations

from collections.abc import Callable, Container
from pathlib import Path

import pandas as pd

from analysis.comparison.cells import Study
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
    metrics = [*TITLES, *sorted(c for c in study.runs if c.startswith(MORE))]
    rows = [
        (arm.label, budget, metric, values.mean(), values.std(), len(values))
        for arm in study.arms
        for budget in study.budgets
        for metric in metrics
        if metric in study.runs and len(values := _by_seed(study.of(arm, budget), metric))
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _by_seed(runs: pd.DataFrame, metric: str) -> pd.Series:
    """A number a seed: of a cross-validation the mean over its folds."""
    return runs.dropna(subset=[metric]).groupby("seed")[metric].mean()


def write(study: Study, folder: Path) -> Path:
    """Write scores.csv; the order of the runs changes no byte of it."""
    path = folder / FILE
    table(study).to_csv(path, index=False, float_format="%.6g", lineterminator="\n")
    return path


def shown(study: Study) -> BySize:
    """Mean ± s.d. (seeds), or –."""
    found = table(study).set_index(["metric", "arm", "budget"])
    return by_size(study, lambda *key: _text(found, key), found.index.get_level_values(0))


def by_size(study: Study, text: Callable[[str, str, int], str], there: Container[str]) -> BySize:
    """Of each metric of TITLES that is there: (pipeline, a text per budget)."""
    return [
        (title, [(a.label, [text(metric, a.label, n) for n in study.budgets]) for a in study.arms])
        for metric, title in TITLES.items()
        if metric in there
    ]


def _text(found: pd.DataFrame, key: tuple[str, str, int]) -> str:
    if key not in found.index:
        return "–"
    row = found.loc[key]
    spread = f" ± {row['sd']:.3f}" if row["seeds"] > 1 else ""
    return f"{row['mean']:.3f}{spread} ({row['seeds']:.0f})"
