"""Verdicts where runs collapse: which are named, what they cost, and what those that were not seen would."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.records import Score, generator
from analysis.statistics.verdicts import looks
from analysis.statistics.verdicts.collapse import (
    CLEAR,
    DEEP,
    Sinking,
    open_rate,
    scatter,
    unseen,
)
from analysis.statistics.verdicts.compare import compare
from analysis.statistics.verdicts.power import least_lead
from analysis.statistics.verdicts.records import Unproven
from benchmarks.statistics import simulate
from benchmarks.statistics.stores import DEPTH, EQUAL_MEANS, read
from tests.fixtures.verdict_scores import call, drawn, rows


@pytest.mark.parametrize(
    ("seeds", "pipelines", "budgets"), [(3, 2, 1), (3, 7, 1), (5, 2, 1), (5, 7, 1), (5, 7, 4)]
)
@pytest.mark.parametrize(("rate", "place"), EQUAL_MEANS)
def test_unseen_collapses_make_no_pipeline_the_better_one(
    rate: float, place: int, seeds: int, pipelines: int, budgets: int
) -> None:
    """Equal means, of which one is that of a pipeline that collapses: 1,000 families; 6 % and two s.d. of 1,000."""
    values = EQUAL_MEANS[rate, place](generator(2, f"unseen {rate}"), (1000, pipelines, seeds, budgets))
    assert read(values, worst=-DEPTH).sign.any(axis=1).mean() <= 0.075


def test_falls_that_leave_more_than_half_of_a_score_count_by_what_they_cost() -> None:
    """Equal means, one run of five falls 20 of 44 s.d., seen at other budgets: a third of families were called."""
    values = EQUAL_MEANS[0.2, -1](generator(2, "half left"), (1000, 5, 5, 4))
    assert read(values, worst=-2 * DEPTH).sign.any(axis=1).mean() <= 0.075
    jitter = generator(0, "jitter").normal(0, 0.001, (2, 10, 2))
    values = jitter + np.array([0.6, 0.5])[:, None, None]
    values[0, 4, 1] = 0.4  # by a third; of 20 runs it leaves 22 % open, which cost 0.04 and not 0.13
    found = call(rows(values, (30, 100)), budget=30, worst=0.0)
    assert found.call == "better"
    values[1] += 0.08
    found = call(rows(values, (30, 100)), budget=30, worst=0.0)
    assert (found.call, found.effect.low > 0.015) == ("undecided", True)
    assert "1 of 20 runs of a far below its others: up to 22% may fall as far, and from" in found.note
    left = [s for s in rows(values, (30, 100)) if (s.pipeline, s.budget, s.seed) != ("a", 100, 7)]
    found = call(left, budget=30, worst=0.0, missing={"a": {(100, 7)}})
    assert "2 of 20 runs of a far below its others or missing: up to 28% may collapse, and from" in found.note


@pytest.mark.parametrize("place", [-1, 0])
@pytest.mark.parametrize(("pipelines", "budgets"), [(7, 1), (5, 2)])
def test_unseen_collapses_at_several_looks_add_up_to_no_more(
    pipelines: int, budgets: int, place: int
) -> None:
    """Equal means, collapses in one of five runs, of scratch as well: 2,000 families; 6 % and two s.d. of 2,000."""
    values = EQUAL_MEANS[0.2, place](generator(2, "unseen at looks"), (2000, pipelines, 40, budgets))
    for looked in (tuple(looks.SHARES), (3, 7, 10)):
        called = [read(values[:, :, :n], worst=-DEPTH).sign.any(axis=1) for n in looked]
        assert np.any(called, axis=0).mean() <= 0.071


def test_the_chance_of_collapses_that_were_not_seen() -> None:
    """Where the s.d. is known: none among 5 runs, times the normal tail beyond what one of ten and five cost; by simulation."""
    lead, noise = 5.0, (2 / 5) ** 0.5
    wanted = [(1 - r) ** 5 * stats.norm.sf((lead - DEEP * r) / noise) for r in (0.1, 0.2)]
    assert unseen(lead, 5, 5, 1.0, 1e7) == pytest.approx(wanted, rel=1e-3, abs=1e-6)
    shallow = [(1 - r) ** 5 * stats.norm.sf((lead - 10 * r) / noise) for r in (0.1, 0.2)]
    assert unseen(2 * lead, 5, 5, 2.0, 1e7, 20.0) == pytest.approx(shallow, rel=1e-3, abs=1e-6)
    assert max(unseen(least_lead(3, 12, 8), 3, 12, 1.0, 8)) == pytest.approx(looks.UNSEEN[3][0], rel=1e-3)
    assert least_lead(10, 70, 54) == 0.0
    for freedom in (2, 234):  # means of runs that nearly agree: a collapse costs ten thousand s.d. of theirs
        for pairs, granted in ((2, 0.011), (6, 0.011 / 3)):
            most = least_lead(3, 3, freedom, 2e4, pairs)
            assert max(unseen(most, 3, 3, 1.0, freedom, 2e4, np.inf)) == pytest.approx(granted, rel=1e-3)
    twice = [(1 - r) ** 5 * stats.norm.sf((2 * lead - 2 * DEEP * r) / noise) for r in (0.1, 0.2)]
    assert unseen(2 * lead, 5, 5, 1.0, 1e7, averaged=2.0) == pytest.approx(twice, rel=1e-3, abs=1e-6)
    rng = generator(0, "unseen")
    values = rng.standard_normal((20_000, 4, 5))
    spread, freedom = scatter(values)
    leads = DEEP * 0.2 + values[:, 0].mean(axis=1) - values[:, 1].mean(axis=1)
    called = (leads > least_lead(5, 5, int(freedom[0])) * spread) & (rng.random(20_000) < 0.8**5)
    assert called.mean() == pytest.approx(looks.UNSEEN[5][1], abs=0.004)


def test_the_scatter_of_runs_is_beside_their_seed_and_without_a_noisy_pipeline() -> None:
    values = generator(0, "scatter").standard_normal((4, 6))
    spread, freedom = scatter(values + 100 * np.arange(6))
    left = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    assert (spread**2, freedom) == pytest.approx(((left**2).sum() / 15, 15))
    noisy = np.concatenate([values, 50 * values[:1, ::-1]])
    assert scatter(noisy) == pytest.approx(scatter(values))


def test_a_small_lead_of_few_runs_is_not_called_and_further_budgets_call_it() -> None:
    """A lead of 5 s.d. of a run, by its interval sure: at one budget a pipeline that is no better may show it, too."""
    values = generator(0, "a small lead").normal(0, 0.01, (7, 5, 7))
    values[0] += 0.05
    one, many = (compare(rows(v, simulate.PAPER_SIZES[: v.shape[2]]), margin=0.01, higher_is_better=True, budget=1,
                         pairs=[("a", n) for n in "bcdefg"], worst=-0.6)[0] for v in (values[..., :1], values))  # fmt: skip
    assert one.effect == many.effect
    assert one.effect.low > 0
    assert (one.call, many.call) == ("undecided", "better")
    assert "would show this lead and no collapse in 5 runs" in one.note


def test_equivalence_excludes_rare_collapses() -> None:
    """29 runs without a collapse leave less than one in ten; fewer say nothing of it, however alike they are."""
    assert 0.9**CLEAR < 0.05 < 0.9 ** (CLEAR - 1)
    assert open_rate(CLEAR) < 0.1 < open_rate(CLEAR - 1)
    few = call(drawn(0.0, budgets=2), margin=9.0)
    assert few.call == "undecided"
    assert few.unproven == Unproven(
        "29 runs of each without a collapse are wanted, and there are 20", runs=29
    )
    assert f"within the margin, but not equivalent: {few.unproven.why}" in few.note
    scores = drawn(0.0)
    fallen = [s if s != scores[3] else Score(s.pipeline, s.budget, s.seed, s.subset, -60.0) for s in scores]
    found = call(fallen, margin=40.0, budget=1)
    assert found.call == "undecided"
    assert found.unproven == Unproven("a run lies far below the others")
    assert (call(drawn(0.0), margin=9.0).unproven, call(drawn(30.0), margin=9.0).unproven) == (None, None)


def test_a_call_says_what_unseen_collapses_it_stands() -> None:
    """0.6 against 0.5, surely by 0.097 of a depth of 0.6: a collapse in one run of six would undo it."""
    jitter = generator(0, "jitter").normal(0, 0.001, (2, 10, 1))
    scores = rows(jitter + np.array([0.6, 0.5])[:, None, None])
    found = call(scores, budget=30, worst=0.0)
    assert found.call == "better"
    assert (
        f"stands if a collapses in fewer than {found.effect.low / 0.6:.0%} of runs, and these do not rule out up to 26%"
        in found.note
    )
    assert "stands" not in call(rows(jitter + np.array([0.6, 0.1])[:, None, None]), budget=30, worst=0.0).note
    other = call(rows(jitter[::-1] + np.array([0.5, 0.6])[:, None, None]), budget=30, worst=0.0)
    assert other.note == found.note.replace("if a collapses", "if b collapses")
    assert (
        call(rows(np.tile([[[0.6]], [[0.5]]], (1, 10, 1))), budget=30, worst=0.0).call == "better"
    )  # no scatter


def test_a_pipeline_that_has_collapsed_leads_by_what_its_collapses_leave_open() -> None:
    """One of 20 runs may be one in five (22 %); of 0.6 that is 0.13: a lead of 0.1 is open, one of 0.5 is not."""
    assert open_rate(20, 1) == pytest.approx(stats.binomtest(1, 20, alternative="less").proportion_ci().high)
    assert open_rate(20, 20) == 1.0
    jitter = generator(0, "jitter").normal(0, 0.001, (2, 10, 2))
    values = jitter + np.array([0.6, 0.5])[:, None, None]
    values[0, 4, 1] = 0.05  # at 100 slices; nothing is to be seen of it at 30
    found = call(rows(values, (30, 100)), budget=30, worst=0.0)
    assert (found.call, found.effect.low > 0.09) == ("undecided", True)
    told = (
        "1 of 20 runs of a collapsed: up to 22% may collapse, and from 16% on it would not be the better one"
    )
    assert told in found.note
    assert "lies far below" not in found.note  # which is said at 100
    values[1] -= 0.4
    assert call(rows(values, (30, 100)), budget=30, worst=0.0).call == "better"
    values[1] += 0.6
    assert call(rows(values, (30, 100)), budget=30, worst=0.0).call == "worse"  # which collapses cannot undo


def test_a_missing_run_is_named_and_counts_as_one_that_collapsed() -> None:
    """Two of ten leave up to half of all open, which a lead of 0.1 of 0.6 does not stand; of the other pipeline they may."""
    jitter = generator(0, "jitter").normal(0, 0.001, (2, 10, 2))
    scores = rows(jitter + np.array([0.6, 0.5])[:, None, None], (30, 100))
    gone = {"a": {(30, 3), (30, 7)}}
    left = [s for s in scores if (s.budget, s.seed) not in gone["a"] or s.pipeline != "a"]
    assert call(left, budget=30, worst=0.0).call == "better"
    found = call(left, budget=30, worst=0.0, missing=gone)
    assert found.call == "undecided"
    assert "missing: a with seed 3 at 30 slices, a with seed 7 at 30 slices" in found.note
    told = f"2 of 20 runs of a missing, counted as collapsed: up to {open_rate(20, 2):.0%} may collapse, and from"
    assert told in found.note
    other = call(left, budget=100, worst=0.0, missing=gone)
    assert (other.call, "missing" in other.note.partition("2 of 20")[0]) == ("undecided", False)
    worse = call([s for s in scores if s.seed not in (3, 7)], budget=30, worst=0.0, missing={"b": gone["a"]})
    assert (worse.call, "missing: b with seed 3" in worse.note) == ("better", True)
    alike = rows(jitter + 0.5, (30, 100)) + rows(jitter + 0.5, (10, 300))
    assert call(alike, budget=30, margin=0.1).call == "equivalent"
    told = call(alike, budget=30, margin=0.1, missing={"b": {(30, 12)}})
    assert (told.call, told.unproven) == ("undecided", Unproven("a run is missing"))


@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_runs_that_failed_because_they_went_badly_make_no_pipeline_the_better_one(rate: float) -> None:
    """Equal means; the collapsed runs of one of three pipelines have no score, at 10 seeds and at the last budget 5."""
    rng, called = generator(0, f"missing {rate}"), 0
    for _ in range(40):
        values = 0.3**0.5 * rng.standard_normal((1, 10, 4)) + 0.7**0.5 * rng.standard_normal((3, 10, 4))
        down = rng.random((10, 4)) < rate
        values[0] += DEPTH * rate - DEPTH * down
        scores = [s for s in rows(values, simulate.PAPER_SIZES[:4]) if s.budget < 15 or s.seed < 5]
        gone = {(n, s) for k, n in enumerate(simulate.PAPER_SIZES[:4]) for s in range(10) if down[s, k]}
        left = [s for s in scores if s.pipeline != "a" or (s.budget, s.seed) not in gone]
        given = {"margin": 0.5, "higher_is_better": True, "budget": 1, "pairs": [("a", "b"), ("a", "c")]}
        called += any(
            v and v.call == "better" for v in compare(left, worst=-2 * DEPTH, missing={"a": gone}, **given)
        )
    assert called <= 4  # 6 % and one s.d. of 40; without the missing ones all of them


def by_thirds(a: str, b: str) -> dict[int, int] | None:
    """Pipeline a has three pretrainings, b none: seed i starts from the one at place i mod 3."""
    return {s: s % 3 for s in range(10)} if "a" in (a, b) else None


def test_of_several_pretrainings_each_is_one_chance_to_see_a_collapse() -> None:
    """A lead of 4 s.d. of a run, at 10 seeds and 4 budgets: 40 runs, or three pretrainings, without a collapse."""
    rng = generator(0, "pretrainings")
    noise, thirds = rng.standard_normal((2, 10, 4)), np.arange(10) % 3
    for k in range(3):  # fine-tunings scatter by one, their means over a pretraining by a tenth of it
        noise[0, thirds == k] += 0.1 * rng.standard_normal(4) - noise[0, thirds == k].mean(axis=0)
    scores = rows(np.stack([noise[1] + 4.0 + noise[0], noise[1]]), simulate.PAPER_SIZES[:4])
    whole, several = (call(scores, budget=1, worst=-60.0, units=u) for u in (None, by_thirds))
    assert (whole.call, whole.unit) == ("better", "seed")
    assert (several.call, several.unit, several.seeds) == ("undecided", "pretraining", 3)
    assert several.effect.low > 0
    assert "would show this lead and no collapse in 3 pretrainings" in several.note
    assert "and did one of 5 of its pretrainings collapse" in several.note
    assert several.more is None or "pretraining" in several.more.text
    alike = call(drawn(0.0), margin=60.0, units=by_thirds)
    assert (alike.call, call(drawn(0.0), margin=60.0).call) == ("undecided", "equivalent")
    assert "29 pretrainings of each without a collapse are wanted, and there are 3" in alike.note
    sunk = [replace(s, value=-55.0) if (s.pipeline, s.seed % 3) == ("a", 1) else s for s in drawn(30.0)]
    told = call(sunk, budget=1, worst=-60.0, units=by_thirds)
    assert told.call == "undecided"
    assert [f"a with seed {s} at 1 slice (-55) lies far below" in told.note for s in range(10)] == [
        False,
        True,
        False,
    ] * 3 + [False]


@pytest.mark.parametrize(
    ("fallen", "pretrainings", "left"),
    [(1, None, (20, 1)), (1, (0, 3), (20, 1)), (4, (1, 3), (3, 1)), (11, (1, 10), (20, 11))],
)
def test_what_collapses_leave_open_is_the_most_of_runs_and_of_pretrainings(
    fallen: int, pretrainings: tuple[int, int] | None, left: tuple[int, int]
) -> None:
    found = Sinking(0.6, 0.6, "collapsed", fallen, 20, pretrainings)
    assert found.open == open_rate(*left)


def test_runs_of_a_pipeline_without_pretrainings_count_beside_one_that_has_them() -> None:
    """The better one has 40 runs, which leave 7 % open, whatever the three pretrainings of the other leave."""
    noise = generator(0, "beside").standard_normal((2, 10, 4))
    scores = rows(np.stack([noise[1] - 30.0, noise[1] + 0.1 * noise[0]]), simulate.PAPER_SIZES[:4])
    sure, unsure = (call(scores, budget=1, worst=worst, units=by_thirds) for worst in (-60.0, -2000.0))
    assert (sure.call, unsure.call, sure.seeds) == ("worse", "worse", 3)
    assert "stands" not in sure.note
    assert f"of runs, and these do not rule out up to {open_rate(40):.0%}" in unsure.note


@pytest.mark.parametrize("kind", ["pretrainings", "overall"])
def test_collapses_that_were_not_seen_behind_a_mean_of_several_runs(kind: str) -> None:
    """Equal means, collapses in one of five pretrainings, in one of ten runs at four budgets: a half and 12 % were called."""
    rng, called = generator(0, f"behind {kind}"), 0
    for _ in range(80):
        values = rng.standard_normal((2, 10 if kind == "pretrainings" else 5, 4))
        if kind == "pretrainings":
            values[0] += DEPTH * (0.2 - (rng.random(3) < 0.2)[np.arange(10) % 3, None])
        else:
            values[0] += DEPTH * (0.1 - (rng.random((5, 4)) < 0.1))
        units = by_thirds if kind == "pretrainings" else None
        found = call(
            rows(values, simulate.PAPER_SIZES[:4]), worst=-DEPTH, units=units, budget=1 if units else None
        )
        called += found.call != "undecided"
    assert called <= 8  # 6 % and one and a half s.d. of 80
