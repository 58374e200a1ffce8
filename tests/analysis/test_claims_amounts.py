"""Thresholds of C0, C7 to C9, C11 and C12, where the answer is known beforehand."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from analysis.claims import Context, amounts
from analysis.claims.common import interval
from analysis.claims.records import CONTRADICTED, INCONCLUSIVE, REPRODUCED, Outcome
from analysis.statistics.laws import knee
from analysis.statistics.records import Estimate, Refusal, Score
from tests.fixtures.planted_claims import (
    CLAIM,
    FULL,
    G1,
    G2,
    B,
    M,
    S,
    found,
    level,
    levels,
)

LEVELS = {"minutes": B, "test_iou": S}


@pytest.mark.parametrize(
    ("claim", "values", "call"),
    [
        ("C11", [20.0] * 3, REPRODUCED), ("C11", [13.4] * 3, REPRODUCED), ("C11", [29.9] * 3, REPRODUCED),
        ("C11", [13.3] * 3, CONTRADICTED), ("C11", [30.1] * 3, CONTRADICTED), ("C11", [10.0, 20.0, 40.0], INCONCLUSIVE),
        ("C12", [0.751] * 3, REPRODUCED), ("C12", [0.749] * 3, CONTRADICTED), ("C12", [0.6, 0.75, 0.9], INCONCLUSIVE),
    ],
)  # fmt: skip
def test_minutes_and_iou_are_those_of_one_pipeline_on_all_data(context, claim, values, call) -> None:
    key = {"C11": "minutes", "C12": "test_iou"}[claim]
    decoys = [*level(context, G1, [500.0] * 4), *level(context, LEVELS[key], [500.0] * 4, 30)]
    said = found(context, claim, **{key: [*decoys, *level(context, LEVELS[key], values)]})
    mean = np.exp(np.mean(np.log(values))) if claim == "C11" else np.mean(values)
    assert (said.call, said.effect.value) == (call, pytest.approx(mean))
    assert said.text.endswith("n = 3")
    few = found(context, claim, **{key: level(context, LEVELS[key], values[:2])})
    assert few.reason.endswith("ed runs, at least 3 are wanted")


@pytest.mark.parametrize(
    ("low", "high", "evident", "call"),
    [(10.1, 224.0, True, REPRODUCED), (9.9, 100.0, True, INCONCLUSIVE), (50.0, 226.0, True, INCONCLUSIVE),
     (1.0, 29.9, True, CONTRADICTED), (75.1, 300.0, True, CONTRADICTED), (40.0, 60.0, False, INCONCLUSIVE)],
)  # fmt: skip
def test_the_knee_is_that_of_the_generalists_mean(context, monkeypatch, low, high, evident, call) -> None:
    seen: list[Score] = []

    def bend(pooled: list[Score], name: str) -> SimpleNamespace:
        seen.extend(pooled)
        size = Estimate(50.0, low, high)
        return SimpleNamespace(size=size, evident=evident, p=0.4, slope_before=-0.45, slope_after=-0.05)

    monkeypatch.setattr(knee, "knee", bend)
    both = [*level(context, G1, [0.2, 0.4], 3), *level(context, G2, [0.6], 3), *level(context, M, [0.9], 3)]
    said = found(context, "C8", test_loss=both)
    assert seen == [Score("generalist", 3, 0, "0", pytest.approx(0.4))]  # seed 1 lacks one of the two
    assert (said.call, said.effect.low) == (call, low)
    assert said.text.startswith(f"knee at 50 [{low:.3g}, {high:.3g}] slices, slope -0.45 before, -0.05 after")
    assert ("a straight line is not ruled out (p = 0.4)" in said.text) is not evident
    assert isinstance(found(context, "C8", test_loss=level(context, G1, [0.2, 0.4], 3)), Refusal)


@pytest.mark.parametrize(
    ("low", "high", "call"),
    [(5.0, 99.9, REPRODUCED), (5.0, 100.0, INCONCLUSIVE), (99.9, 300.0, INCONCLUSIVE), (100.0, 300.0, CONTRADICTED)],
)  # fmt: skip
def test_few_slices_are_those_within_five_percent_of_the_score(context, monkeypatch, low, high, call) -> None:
    def near(fit: SimpleNamespace, percent: float) -> SimpleNamespace:
        assert (fit.label, percent) == ("supervised", 5.0)
        return SimpleNamespace(slices=Estimate(50.0, low, high))

    monkeypatch.setattr(amounts, "near_full", near)
    said = found(context, "C9")
    assert said.call == call
    assert said.text == f"the fewest slices within 5 % of the score at 1498: 50 [{low:.3g}, {high:.3g}]"


@pytest.mark.parametrize(
    ("changed", "call"),
    [
        ({}, REPRODUCED),
        ({G2: 0.1}, CONTRADICTED),
        ({G2: 0.99}, CONTRADICTED),
        ({G2: 0.6}, CONTRADICTED),
        ({S: 0.1}, CONTRADICTED),
    ],
)
def test_little_data_are_up_to_thirty_slices(context, changed, call) -> None:
    """Of more slices the opposite is planted. One of the generalists may be worse than a hierarchical one."""
    loss = {G1: 0.3, G2: 0.4, S: 0.9, M: 0.45, B: 0.45}
    little = [s for n in (3, 30) for s in levels(context, loss | changed, n)]
    much = [s for n in (31, FULL) for s in levels(context, {row: 1 - v for row, v in loss.items()}, n)]
    said = found(context, "C7", test_loss=[*little, *much])
    assert said.call == call
    assert CLAIM["C7"].sizes(context) == (3, 30)
    mean = (0.3 + (loss | changed)[G2]) / 2 - 0.45
    assert said.effect.value == pytest.approx(-mean, abs=1e-3)  # positive: better


def upstream(c: Context, gone: bool, lie: bool) -> Context:
    """The import may be gone from the store, and byol@target's runs may start from byol@imagenet."""
    runs, others = c.study.runs.copy(), c.study.others
    if lie:
        start = runs.loc[runs["arm"] == c.labels[G2], "upstream_run_id"].iloc[0]
        runs.loc[runs["arm"] == c.labels[S], "upstream_run_id"] = start
    others = others[others["name"] != "supervised"] if gone else others
    return replace(c, study=replace(c.study, runs=runs, others=others))


@pytest.mark.parametrize(
    ("gone", "lie", "said"),
    [
        (False, False, Outcome(REPRODUCED, "five pipelines, each with its lineage in the store: Fig. 1")),
        (True, False, Refusal("upstream runs are gone from the store: supervised, supervised+byol@acdc")),
        (False, True, Outcome(CONTRADICTED, "byol@acdc comes from byol@imagenet")),
        (True, True, Outcome(CONTRADICTED, "byol@acdc comes from byol@imagenet")),
    ],
)
def test_lineages_are_walked_in_the_store(context, gone: bool, lie: bool, said: Outcome | Refusal) -> None:
    assert CLAIM["C0"].rule(upstream(context, gone, lie)) == said


def test_ends_outside_of_the_data_are_words() -> None:
    assert interval(Estimate(5.0, -np.inf, np.inf)) == "5 [below the data, beyond the data]"
