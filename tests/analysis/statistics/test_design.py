"""Plans against known answers: never longer than the limit, nested, and promising what the verdicts keep."""

from __future__ import annotations

import itertools
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.statistics import design
from analysis.statistics.design import Costs, Design, foresee, ladder, plan
from analysis.statistics.records import Refusal
from analysis.statistics.verdicts.compare import compare
from benchmarks.statistics import simulate

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
        (13, (94,), 5),
        (22, (94, 1498), 5),
        (35, (23, 94, 1498), 5),
        (38, SIZES, 5),
        (80, SIZES, 10),
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


def test_pairs_are_those_of_the_families():
    """Against scratch and against ImageNet: 2P - 3."""
    assert [Design(tuple("abcdefg"[:p]), (30,), 3, 1.0).pairs for p in (2, 3, 7)] == [1, 3, 11]


def test_the_shift_that_is_promised_is_found_in_four_of_five():
    """Of pipelines that scatter alike; at least: what other pipelines say about the variance comes on top."""
    rng = np.random.default_rng(1)
    for minutes in (7, 13, 80):
        found = planned(minutes)
        ahead, hits, seeds = foresee(found, THREE, SIZES), 0, found.seeds
        for _ in range(150):
            runs = (3, seeds, len(found.budgets))
            values = rng.normal(0, 1, runs[1:]) + rng.normal(0, 0.5**0.5, runs)
            values[2] += ahead.shift
            table = compare(simulate.scores(("a", "b", "c"), values, found.budgets), margin=0.01, higher_is_better=True,
                            budget=94, pairs=[("c", "a"), ("b", "a"), ("c", "b")])  # fmt: skip
            hits += table[0].call == "better"
        assert 0.7 <= hits / 150 <= 0.95
        assert (
            f"{seeds} seeds find a difference {ahead.shift:.2g} times as large as its s.d. over seeds"
            in ahead.can[0]
        )


def test_equivalence_wants_runs_without_a_collapse():
    few, many = foresee(planned(13), THREE, SIZES), foresee(planned(80), THREE, SIZES)
    assert few.cannot[0].endswith("29 runs of each pipeline without a collapse are wanted, these are 5")
    assert many.can[1].endswith("are wanted, these are 40")


def test_worth_wants_four_sizes_and_says_in_how_many_minutes():
    few = foresee(planned(22), THREE, SIZES)
    assert "a curve wants 4 sizes x 3 seeds, these are 2 x 5" in few.cannot[-1]
    minutes = int(few.cannot[-1].split("about ")[1].split()[0])
    assert planned(minutes).budgets == SIZES
    assert planned(minutes - 1).budgets != SIZES
    assert "worth in slices" in foresee(planned(51), THREE, SIZES).can[-1]
    assert "minutes" not in foresee(plan(2000, THREE, (3, 4)), THREE, (3, 4)).cannot[-1]
