"""Decisions on studies with planted answers, and their independence of the order of runs."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from analysis.comparison import cells, decisions, families, measures
from analysis.comparison.decisions import Decisions
from analysis.comparison.measures import Measures
from analysis.page import report
from analysis.statistics.laws.worth import NOT_SETTLED, Worth
from analysis.statistics.records import Estimate, Refusal, to_json
from analysis.statistics.verdicts.records import Verdict
from benchmarks.statistics.simulate import Plant
from tests.fixtures.planted import Planted
from tests.fixtures.planted_study import SPEEDS, STEPS, curves_of, encoders, finetune, make, runs_of

BEST = "byol@photos+byol@acdc"
CLEAR = {"scratch": Plant(0.9, 0.4, 0.02, 0.04), "byol@natural+byol@target": Plant(0.6, 0.4, 0.02, 0.04)}


def measured(planted: list[Planted]) -> tuple[cells.Study, Measures]:
    study = cells.study(runs_of(planted))
    return study, measures.measure(study, curves_of(planted))


def decided(planted: list[Planted], **given: float) -> Decisions:
    study, scores = measured(planted)
    return decisions.decide(study, scores, decisions.curves(study), **given)


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
    assert found[1000].text == "more than were run"
    assert found[30].text == f"{found[30].more.value:+.0f}, from +0 to +70"


def test_what_a_budget_counts_is_said_in_every_sentence() -> None:
    """Budgets of 3 to 80 patients, one run that fell, a pipeline at other sizes: no note or refusal speaks of slices."""
    planted = [
        finetune(
            name,
            n,
            s,
            0.9 if (name, n, s) == ("supervised", 10, 1) else loss + 0.01 * s,
            cfg={"budget_unit": "patient"},
        )
        for name, loss, budgets in (
            ("scratch", 0.5, (3, 10, 30, 80)),
            ("supervised", 0.3, (3, 10, 30, 80)),
            ("byol@target", 0.4, (5, 20)),
        )
        for n in budgets
        for s in range(5)
    ]
    encoders_too = [e for name in ("supervised", "byol@target") for e in encoders(name)]
    text = to_json(decided([*encoders_too, *planted], budget=10))
    assert "supervised with seed 1 at 10 patients" in text
    assert "slices" not in re.sub(r'"(slices|minutes_per_slice)":', "", text)


def test_scores_are_those_of_the_planted_curves() -> None:
    study, found = measured([finetune("scratch", 30, 0, 0.4), finetune("scratch", 30, 1, 0.6)])
    scores = {s.seed: s.value for s in found.of("area")}
    steps = np.arange(0, STEPS + 1, 20)
    for seed, loss in ((0, 0.4), (1, 0.6)):
        curve = (1 - loss) * (1 - np.exp(-steps / SPEEDS["scratch"]))
        assert scores[seed] == pytest.approx(np.trapezoid(curve, steps) / STEPS)
    assert sorted(s.value for s in found.of("test_loss")) == [0.4, 0.6]
    assert [s.value for s in found.of("minutes")] == [1.0, 1.0]
    assert {t.final for t in found.learned} == {s.value for s in found.of("final_iou")}


def test_verdicts_cover_every_metric_and_budget_and_one_family_is_primary(clear) -> None:
    tables = decided(clear, budget=30).verdicts
    assert len(tables) == len(measures.METRICS) * 7
    assert [(t.metric.key, t.budget) for t in tables if t.primary] == [("test_iou", 30)]
    assert tables[0].primary
    overall = {t.metric.key: t.rows[0] for t in tables if t.budget is None}
    assert {v.call for v in overall.values()} == {"better"}  # the other, against scratch
    assert overall["test_loss"].effect.value > 0
    assert (
        next(t.budget for t in decided(clear, budget=40).verdicts if t.primary) == 30
    )  # the nearest that was run


def test_how_many_times_as_fast_is_the_ratio_of_the_planted_times(clear) -> None:
    """Curves rise with e-folds of 200 and 40 steps: 5 times, known to a grid of 20 steps."""
    row = next(t.rows[0] for t in decided(clear).verdicts if t.metric.key == "steps_95")
    assert math.exp(row.effect.low) <= 5 <= math.exp(row.effect.high)
    assert row.call == "better"


def test_a_ratio_of_steps_does_not_depend_on_who_else_is_there() -> None:
    three = ("scratch", "supervised", "byol@natural+byol@target")
    few, many = (measured(make(names, (30,), 5, rng_seed=1))[1] for names in (three[:2], three))
    of = [measures.steps_pair(m, "supervised", "scratch", 30) for m in (few, many)]
    assert [p.low.tolist() for p in of][0] == [p.low.tolist() for p in of][1]


def test_a_pair_of_curves_knows_its_runs_its_units_and_what_is_missing() -> None:
    _, whole = measured(make(("scratch", "supervised"), (30,), 9))
    few = replace(
        whole,
        learned=tuple(t for t in whole.learned if (t.pipeline, t.seed) != ("supervised", 8)),
        holes={"supervised": frozenset({(30, 8)})},
    )
    pair = measures.steps_pair(few, "supervised", "scratch", 30)
    assert (pair.runs, pair.unit, pair.missing) == (8, "seed", (("supervised", 30, 8),))
    thirds = measures.steps_pair(few, "supervised", "scratch", 30, {s: s % 3 for s in range(9)})
    assert (thirds.runs, thirds.unit, thirds.seeds) == (3, "pretraining", [0, 1, 2])


def test_the_nearest_budget_is_so_by_ratio_and_missing_runs_are_named_at_every_verdict() -> None:
    """19 slices are 1.6 times nearer to 30 than 10 is to 19."""
    study, scores = measured(make(("scratch", "supervised"), (10, 30), 3))
    tables = families.verdicts(study, replace(scores, holes={"scratch": frozenset({(30, 7)})}), 19)
    assert (tables[0].primary, tables[0].budget) == (True, 30)
    notes = [row.note for table in tables if table.budget == 30 for row in table.rows]
    assert all("missing: scratch with seed 7 at 30 slices" in note for note in notes)


@pytest.mark.parametrize(
    ("low", "high", "call", "left"),
    [
        (10.0, 60.0, "better", (10.0, 60.0)), (10.0, 60.0, "undecided", (-math.inf, 60.0)),
        (0.0, 60.0, "undecided", (-math.inf, 60.0)), (-60.0, -10.0, "worse", (-60.0, -10.0)),
        (-60.0, -10.0, "undecided", (-60.0, math.inf)), (-5.0, 5.0, "undecided", (-5.0, 5.0)),
    ],
)  # fmt: skip
def test_worth_is_as_open_as_its_verdict(
    low: float, high: float, call: str, left: tuple[float, float]
) -> None:
    more, match = Estimate(1.0, low, high), Estimate(76.0, low + 75, high + 75)
    found = Worth("a", "b", 75, 3, 1498, 5, match, more, "said", "", "in short")
    verdict = Verdict("a", "b", 75, call, Estimate(0.1, 0.05, 0.2), 0.95, 0.1, 0.1, 5, 0.01, None, "")
    opened = families.opened(found, verdict)
    assert (opened.more.low, opened.more.high) == left
    assert (opened.match.low, opened.match.high) == (left[0] + 75, left[1] + 75)
    assert ((opened.text, opened.short) == NOT_SETTLED) == (left != (low, high))
    other = families.turned(verdict)
    assert (other.a, other.b, other.effect) == ("b", "a", Estimate(-0.1, -0.2, -0.05))


def test_families_are_each_pipeline_against_the_two_references() -> None:
    rows = ("scratch", "supervised", "byol@natural", "byol@target", "supervised+byol@target")
    study, _ = measured(make(rows, (30,), 1))
    pairs = families.family(study)
    labels = [arm.label for arm in study.arms]
    assert len(pairs) == len(set(pairs)) == 2 * len(rows) - 3
    assert {b for _, b in pairs} == {"scratch", "supervised"}
    assert ("supervised", "scratch") in pairs
    assert len(families.family(study, every_pair=True)) == 10
    own, _ = measured(make(rows[2:], (30,), 1))
    assert len(families.family(own)) == 3  # without the references: every pair
    assert {name for pair in pairs for name in pair} == set(labels)


def test_a_collapsed_run_is_named_on_the_page() -> None:
    planted = make(("scratch", "supervised"), (3, 30), 5)
    hit = next(i for i, r in enumerate(planted) if r.name == "supervised/n=30/seed=2")
    planted[hit] = finetune("supervised", 30, 2, 0.99)
    study, scores = measured(planted)
    found = decisions.decide(study, scores, decisions.curves(study), budget=30)
    assert [(s.pipeline, s.budget, s.seed) for s in found.collapsed] == [("supervised", 30, 2)]
    page = report.render(report.Page(study, found, (), (), {}, ("verdict",), "python", ""))
    assert "supervised at 30 slices with seed 2 (test IoU 0.01)" in page
    assert "supervised with seed 2 at 30 slices (0.01) lies far below its other runs" in page


def test_advice_refuses_rather_than_guesses(clear) -> None:
    found = decided(clear, budget=5000, minutes_per_slice=2.0).advice
    assert isinstance(found.choice, Refusal)
    assert all(isinstance(g, Refusal) for a in found.advice for g in a.gains)
    inside = decided(clear, budget=100, minutes_per_slice=2.0).advice
    assert inside.choice.pipeline == BEST
    assert inside.choice.certain
    assert [g.minutes for g in inside.advice[0].gains] == [20.0, 50.0, 100.0]


def test_curves_are_the_means_of_one_minus_iou_and_no_law() -> None:
    bump = {3: 0.6, 15: 0.35, 75: 0.34, 300: 0.05, 1498: 0.04}
    runs = [finetune("scratch", n, s, v * (1 + 0.004 * s)) for n, v in bump.items() for s in range(6)]
    study, scores = measured(runs)
    found = decisions.curves(study).fitted["scratch"]
    assert found.means.tolist() == pytest.approx([v * 1.01 for v in bump.values()])


def test_the_order_of_runs_never_changes_a_byte(clear) -> None:
    shuffled = [clear[i] for i in np.random.default_rng(1).permutation(len(clear))]
    assert to_json(decided(shuffled)) == to_json(decided(clear))


def test_one_pipeline_has_no_pairs() -> None:
    found = decided(make(("scratch",), (3, 30), 1))
    assert (found.verdicts, found.worth) == ((), ())


def test_further_seeds_are_told_in_minutes() -> None:
    """A run takes a minute: every seed costs one for each of the pair's two pipelines, at each budget."""
    laws = {name: Plant(alpha, 0.4, 0.02, 0.1) for name, alpha in zip(CLEAR, (0.66, 0.6), strict=True)}
    planted = make(tuple(CLEAR), (3, 10), 5, laws)
    study, scores = measured(planted)
    for at_a_time in (1, 2):
        for table in families.verdicts(study, scores, 10, at_a_time=at_a_time):
            (row,), (minutes,) = table.rows, table.minutes
            budgets = 1 if table.budget else 2
            least = row.more.least if row.more else None
            assert minutes == (least * 2 * budgets / at_a_time if least else None)
    primary = families.verdicts(study, scores, 10)[0]
    assert primary.rows[0].more.least == 35  # few runs, none of which collapsed, say little of a small lead
    found = decisions.decide(study, scores, decisions.curves(study))
    page = report.render(report.Page(study, found, (), (), {}, ("verdict",), "python", ""))
    assert f"{primary.rows[0].more.text} (the fewest take about 70 minutes)" in page


def test_a_curve_of_two_values_at_one_step_is_none() -> None:
    one = finetune("scratch", 30, 0, 0.4)
    twice = replace(one, metrics={**one.metrics, "val/iou": [(20, 0.3), (20, 0.4), (40, math.nan)]})
    study, found = measured([twice, finetune("scratch", 30, 1, 0.6)])
    assert [t.seed for t in found.learned] == [1]
    assert len(study.runs) == len(found.of("test_loss")) == 2
