"""Plans against known answers: never longer than the limit, nested, and promising what the verdicts keep."""

from __future__ import annotations

import itertools
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.statistics import design, simulate
from analysis.statistics.design import Costs, Design, foresee, ladder, plan
from analysis.statistics.records import Refusal
from analysis.statistics.verdicts.compare import compare

THREE = Costs(
    {"scratch": 60.0, "supervised": 60.0, "mine": 60.0}, places=2, start=10.0, page=20.0, spent=30.0
)
SIZES = (23, 94, 374, 1498)


def planned(minutes: float, costs: Costs = THREE, **more) -> Design | Refusal:
    return plan(minutes * 60 - costs.spent, costs, SIZES, **more)


@pytest.mark.parametrize(
    ("minutes", "budgets", "seeds"),
    [
        (7, (94,), 3),  # 9 runs: (540 - 60) / 2 + 60 + 30 = 330 s, and 15 % of it
        (13, (94,), 6),
        (14, (94,), 7),  # seven seeds are the fewest for three pairs after Holm
        (35, (94, 1498), 9),  # still no four sizes x seven seeds
        (49, (23, 94, 1498), 9),
        (50, SIZES, 7),
        (80, SIZES, 11),
        (600, SIZES, 40),
    ],
)
def test_known_plans(minutes: int, budgets: tuple[int, ...], seeds: int):
    found = planned(minutes)
    assert (found.budgets, found.seeds) == (budgets, seeds)


def test_too_few_minutes_are_refused_with_the_number_that_does():
    found = planned(5)
    assert isinstance(found, Refusal)
    least = ceil((30 + 1.15 * (10 + 480 / 2 + 60 + 20)) / 60)
    assert f"3 pipelines x 1 budget x 3 seeds, takes about {least} minutes here, 5 were given" in found.reason
    assert isinstance(planned(least), Design)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0.1, 900), min_size=2, max_size=3), st.integers(1, 16), st.floats(0, 120),
    st.floats(10, 20000),
)  # fmt: skip
def test_no_plan_is_longer_than_its_limit_on_any_greedy_schedule(runs, places, start, limit):
    costs = Costs(dict(zip("abc", runs, strict=False)), places, start, page=15.0)
    found = plan(limit, costs, SIZES)
    if isinstance(found, Refusal):
        return
    assert found.seconds <= limit
    free = np.full(places, start)  # whoever is idle takes the next run, seed by seed
    for _, name in itertools.product(range(found.seeds * len(found.budgets)), costs.runs):
        free[free.argmin()] += costs.runs[name]
    assert (free.max() + 15.0) * 1.15 <= found.seconds + 1e-6


def test_longer_plans_hold_the_runs_of_shorter_ones():
    """So that more minutes go on where fewer have ended."""
    found = [planned(minutes) for minutes in range(7, 130)]
    for short, long in itertools.combinations(found, 2):
        if len(short.budgets) == len(long.budgets):
            assert short.budgets == long.budgets
            assert short.seeds <= long.seeds
        elif len(short.budgets) < len(long.budgets):
            assert set(short.budgets) < set(long.budgets)


def test_budgets_that_were_asked_for_are_kept():
    found = plan(3600.0, THREE, (10, 40), fixed=True)
    assert found.budgets == (10, 40)
    assert plan(36000.0, THREE, (10, 40), fixed=True).seeds == design.MOST_SEEDS


@pytest.mark.parametrize(
    ("available", "rungs"),
    [(1498, SIZES), (100, (3, 10, 31, 100)), (24, (3, 6, 12, 24)), (5, (3, 4, 5)), (3, (3,)), (1, (1,))],
)
def test_ladders(available: int, rungs: tuple[int, ...]):
    assert ladder(available) == rungs


@pytest.mark.parametrize(("pairs", "seeds"), [(1, 6), (3, 7), (10, 9)])
def test_seeds_for_a_verdict(pairs: int, seeds: int):
    """2^(1 - n) x pairs <= 5 %: docs/explanation/statistics.md says the same of one and of ten pairs."""
    assert design.seeds_wanted(pairs) == seeds


def test_what_is_promised_is_kept_by_the_verdicts():
    """With one seed fewer than wanted, the largest difference there can be stays undecided; not with enough."""
    rng = np.random.default_rng(0)
    for minutes, decided in ((13, False), (14, True)):
        found = planned(minutes)
        ahead = foresee(found, THREE, SIZES)
        values = np.array([0, 20, 10])[:, None, None] + rng.normal(0, 0.1, (3, found.seeds, 1))
        table = compare(simulate.scores(found.pipelines, values, (94,)), margin=0.01, higher_is_better=True)
        assert {v.call for v in table} == ({"worse", "better"} if decided else {"undecided"})
        assert all(v.smallest_p == pytest.approx(ahead.least_p) for v in table)
        assert any("better or worse" in line for line in (ahead.can if decided else ahead.cannot))
    assert "7 seeds would, in about 14 minutes" in foresee(planned(13), THREE, SIZES).cannot[0]


def test_the_shift_that_is_promised_is_found_in_four_of_five():
    found = planned(51)
    ahead = foresee(found, THREE, SIZES)
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        a = rng.normal(0, 1, found.seeds)
        values = np.stack([a, a - 50, a + rng.normal(ahead.shift, 1, found.seeds)])[..., None]
        table = compare(simulate.scores(("a", "b", "c"), values, (94,)), margin=0.01, higher_is_better=True,
                        pairs=[("a", "b"), ("b", "c"), ("a", "c")])  # fmt: skip
        hits += table[2].p * 3 <= 0.05
    assert hits / 200 == pytest.approx(0.8, abs=0.1)


def test_worth_wants_four_sizes_and_says_in_how_many_minutes():
    few = foresee(planned(20), THREE, SIZES)
    assert "a curve wants 4 sizes x 3 seeds, these are 1 x" in few.cannot[-1]
    assert "about 50 minutes would do" in few.cannot[-1]
    assert "worth in slices" in foresee(planned(51), THREE, SIZES).can[-1]
    assert "minutes" not in foresee(plan(2000, THREE, (3, 4)), THREE, (3, 4)).cannot[-1]
