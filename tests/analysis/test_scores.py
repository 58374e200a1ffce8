"""The table of scores: means and deviations against pandas' own pivot, and the words of the page."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from analysis.comparison import cells
from analysis.comparison.patients import Difference, Measured
from analysis.page import scores
from analysis.statistics.patients import Crossed
from analysis.statistics.records import Estimate
from tests.fixtures.planted_study import make, runs_of

TWO = ("scratch", "byol@natural+byol@target")


@pytest.fixture(scope="module")
def study() -> cells.Study:
    kept = [r for r in make(TWO, (3, 30), 3) if r.name not in ("scratch/n=30/seed=1", "scratch/n=30/seed=2")]
    return cells.study(runs_of(kept))


def test_every_cell_has_the_mean_and_the_deviation_over_its_seeds(study) -> None:
    found, metric = scores.table(study), "test/jaccard_loss"
    found = found[found["metric"] == metric].set_index(["arm", "budget"])
    wanted = pd.pivot_table(study.runs, metric, ["arm", "budget"], aggfunc=["mean", "std", "count"])
    assert len(found) == len(wanted) == 4
    for column, name in (("mean", "mean"), ("sd", "std"), ("seeds", "count")):
        np.testing.assert_allclose(found[column], wanted[name][metric].reindex(found.index), rtol=1e-12)


def test_the_page_says_seeds_and_no_deviation_of_one(study) -> None:
    title, rows = scores.shown(study)[0]
    assert title == scores.TITLES["test/iou"]
    assert [label for label, _ in rows] == ["scratch", "byol@photos+byol@acdc"]
    losses = study.runs[(study.runs["arm"] == "scratch") & (study.runs["budget"] == 3)]["test/iou"]
    assert rows[0][1][0] == f"{np.mean(losses):.3f} ± {np.std(losses, ddof=1):.3f} (3)"
    assert rows[0][1][1].endswith("(1)")
    assert "±" not in rows[0][1][1]


def test_the_order_of_the_runs_changes_no_byte(study, tmp_path) -> None:
    turned = cells.study(study.runs.drop(columns=["arm", "arm_label"], errors="ignore").iloc[::-1])
    (tmp_path / "again").mkdir()
    assert scores.write(study, tmp_path).read_bytes() == scores.write(turned, tmp_path / "again").read_bytes()


def test_differences_are_those_at_the_size_nearest_to_the_readers_by_its_ratio() -> None:
    def apart(budget: int, low: float, metric: str = "iou") -> Difference:
        found = Crossed(Estimate(0.1234, low, 0.25), 3, 4, Estimate(0.1234, 0.1, 0.2))
        return Difference("a", "b", budget, metric, found, "")

    shown, alone = apart(300, -0.01), apart(300, math.nan)
    measured = Measured(4, (), (apart(30, 0.0), shown, alone, apart(300, 0.0, "jaccard_loss")))
    for budget in (150, 1000):
        found = scores.differences(SimpleNamespace(budget=budget), measured)
        assert found == [(shown, "+0.123, -0.010 to +0.250"), (alone, "+0.123")]
    assert scores.differences(SimpleNamespace(budget=30), Measured()) == []
