"""Decisions on studies with planted answers, and their independence of the order of runs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.comparison import cells, decisions, measures
from analysis.comparison.decisions import Decisions
from analysis.comparison.measures import Measures
from analysis.page import report
from analysis.statistics.records import Refusal, to_json
from analysis.statistics.simulate import Plant
from tests.fixtures.planted import Planted
from tests.fixtures.planted_study import SPEEDS, STEPS, curves_of, finetune, make, runs_of

BEST = "byol@photos+byol@acdc"
CLEAR = {"scratch": Plant(0.9, 0.4, 0.02, 0.04), "byol@natural+byol@target": Plant(0.6, 0.4, 0.02, 0.04)}


def measured(planted: list[Planted]) -> tuple[cells.Study, Measures]:
    study = cells.study(runs_of(planted))
    return study, measures.measure(study, curves_of(planted))


def decided(planted: list[Planted], **given: float) -> Decisions:
    study, scores = measured(planted)
    return decisions.decide(study, scores, decisions.curves(study, scores), **given)


@pytest.fixture(scope="module")
def clear() -> list[Planted]:
    return make(tuple(CLEAR), (3, 10, 30, 100, 300, 1000), 8, CLEAR)


def test_worth_finds_the_planted_factor(clear) -> None:
    """(0.9 / 0.6)^(1 / 0.4) = 2.76 times the slices at every budget, γ being equal."""
    found = {row.budget: row.worth for row in decided(clear).worth}
    factor = (0.9 / 0.6) ** (1 / 0.4)
    for budget in (10, 30, 100):
        assert found[budget].match.value == pytest.approx(factor * budget, rel=0.1)
    assert found[1000].more.value == math.inf
    assert "> 0" in found[1000].text


def test_the_headline_names_pipeline_budget_and_worth(clear) -> None:
    text = decided(clear, budget=30).headline
    assert text.startswith(f"At 30 annotated slices on acdc, {BEST} has the least test error; it is worth +")
    assert text.endswith("slices of scratch.")
    few = decided(make(("scratch",), (3, 30), 2)).headline
    assert "insufficient evidence" in few


def test_scores_are_those_of_the_planted_curves() -> None:
    study, found = measured([finetune("scratch", 30, 0, 0.4), finetune("scratch", 30, 1, 0.6)])
    scores = {s.seed: s.value for s in found.of("area")}
    steps = np.arange(0, STEPS + 1, 20)
    for seed, loss in ((0, 0.4), (1, 0.6)):
        curve = (1 - loss) * (1 - np.exp(-steps / SPEEDS["scratch"]))
        assert scores[seed] == pytest.approx(np.trapezoid(curve, steps) / STEPS)
    assert sorted(s.value for s in found.of("test_loss")) == [0.4, 0.6]
    assert [s.value for s in found.of("minutes")] == [1.0, 1.0]
    common = {t.seed: t.common for t in found.times}
    assert (common[0].reached, common[1].reached) == (True, False)
    assert found.of("steps_95", budget=30)[1].value == pytest.approx(math.log(STEPS))


def test_verdicts_cover_every_pair_metric_and_budget(clear) -> None:
    tables = decided(clear).verdicts
    assert len(tables) == len(measures.METRICS) * 7
    overall = {t.metric.key: t.rows[0] for t in tables if t.budget is None}
    assert {v.call for v in overall.values()} == {"worse"}  # scratch, against the other
    assert overall["test_loss"].effect.value < 0


def test_advice_refuses_rather_than_guesses(clear) -> None:
    found = decided(clear, budget=5000, minutes_per_slice=2.0).advice
    assert isinstance(found.choice, Refusal)
    assert all(isinstance(g, Refusal) for a in found.advice for g in a.gains)
    inside = decided(clear, budget=100, minutes_per_slice=2.0).advice
    assert inside.choice.pipeline == BEST
    assert inside.choice.certain
    assert [g.minutes for g in inside.advice[0].gains] == [20.0, 50.0, 100.0]


def test_a_curve_that_the_law_does_not_fit_is_joined_instead() -> None:
    bump = {3: 0.6, 15: 0.35, 75: 0.34, 300: 0.05, 1498: 0.04}
    runs = [finetune("scratch", n, s, v * (1 + 0.004 * s)) for n, v in bump.items() for s in range(6)]
    study, scores = measured(runs)
    found = decisions.curves(study, scores).fitted["scratch"]
    assert "means joined" in found.note


def test_the_order_of_runs_never_changes_a_byte(clear) -> None:
    shuffled = [clear[i] for i in np.random.default_rng(1).permutation(len(clear))]
    assert to_json(decided(shuffled)) == to_json(decided(clear))


def test_one_pipeline_has_no_pairs() -> None:
    found = decided(make(("scratch",), (3, 30), 1))
    assert (found.verdicts, found.worth) == ((), ())


def test_further_seeds_are_told_in_minutes() -> None:
    """A run takes a minute: every seed costs one for each of the pair's two pipelines, at each budget."""
    law = Plant(0.6, 0.4, 0.02, 0.1)
    planted = make(tuple(CLEAR), (3, 10), 4, dict.fromkeys(CLEAR, law))
    study, scores = measured(planted)
    for at_a_time in (1, 2):
        for table in decisions.verdicts(study, scores, at_a_time):
            (row,), (minutes,) = table.rows, table.minutes
            budgets = 1 if table.budget else 2
            wanted = row.more.seeds * 2 * budgets / at_a_time if row.more else None
            assert minutes == pytest.approx(wanted)
    seeds = [t.rows[0].more.seeds for t in decisions.verdicts(study, scores) if t.rows[0].more]
    assert seeds
    found = decisions.decide(study, scores, decisions.curves(study, scores))
    page = report.render(report.Page(study, found, (), (), {}, ("verdict",), "python", ""))
    assert f"about {seeds[0]} more seed" in page
    assert f": about {seeds[0] * 4} more minutes" in page
