"""Which runs are named: those that collapsed, and those that lie far below their others."""

import numpy as np
import pytest

from analysis.statistics.records import Score, generator
from analysis.statistics.verdicts.collapse import collapsed, far_below
from tests.fixtures.verdict_scores import call, drawn, rows


def test_where_most_runs_have_collapsed_they_are_named_beside_the_best() -> None:
    """Two of three runs at 0.02 and 0.03 where the third reaches 0.6 and others scatter by 0.01: the median is no use."""
    jitter = 0.01 * generator(0, "most").standard_normal((3, 3, 2))
    over = 0.6 + jitter
    over[1, :2, 0] = 0.02, 0.03
    scores = rows(over, (30, 100))
    fell = [("b", 0), ("b", 1)]
    assert [(s.pipeline, s.seed) for s in collapsed(scores, 0.0)] == fell
    assert [(s.pipeline, s.seed) for s in far_below(scores, higher_is_better=True, worst=0.0)] == fell
    assert far_below(scores, higher_is_better=True) == ()  # the score of a collapsed run is not known
    assert (
        far_below(
            rows(np.array([[0.1, 0.2, 0.25, 0.29, 0.6], [0.5, 0.501, 0.499, 0.502, 0.498]])[..., None]),
            higher_is_better=True,
            worst=0.0,
        )
        == ()
    )
    over[1, 2, 0] = 0.05  # none of the three has arrived: none of them fell
    assert collapsed(rows(over, (30, 100)), 0.0) == ()


def test_collapsed_runs_are_named_and_stay_in_the_mean() -> None:
    scores = drawn(0.0, seeds=5, budgets=1)
    hit = scores[2]
    scores[2] = Score(hit.pipeline, hit.budget, hit.seed, hit.subset, -30.0)
    assert far_below(scores, higher_is_better=True) == (scores[2],)
    assert far_below(scores, higher_is_better=False) == ()
    found = call(scores, budget=1)
    assert found.effect.value < -5
    assert found.call == "undecided"
    assert "a with seed 2 at 1 slice (-30) lies far below its other runs" in found.note
    assert far_below(drawn(0.0), higher_is_better=True) == ()


@pytest.mark.parametrize(
    ("own", "fell"), [((0.5, 0.51, 0.34), []), ((0.5, 0.51, 0.3), [2]), ((0.5, 0.6, 0.2), [])]
)
def test_far_is_five_s_d_of_the_runs_of_all_pipelines_and_of_its_own(own: tuple, fell: list[int]) -> None:
    """Deviations from the medians 0.02 and 0.03 of two others: 5 x 1.4826 x their median, or that of its own, of 0.1."""
    quiet = (0.5, 0.52, 0.53 - 0.06)
    found = far_below(rows(np.array([own, quiet, quiet])[..., None]), higher_is_better=True)
    assert [s.seed for s in found] == fell


@pytest.mark.parametrize(("worst", "sign"), [(0.0, 1.0), (1.0, -1.0)])
def test_collapsed_is_who_lost_more_than_half(worst: float, sign: float) -> None:
    """Of runs around 0.3 over the worst score, one at 0.1 has collapsed, one at 0.2 only lies far below."""
    jitter = 0.01 * generator(0, "half").standard_normal((2, 5, 1))
    over = 0.3 + jitter
    over[0, 0], over[1, 1] = 0.1, 0.2
    scores = rows(worst + sign * over)
    low = far_below(scores, higher_is_better=sign > 0)
    assert [(s.pipeline, s.seed) for s in low] == [("a", 0), ("b", 1)]
    assert [(s.pipeline, s.seed) for s in collapsed(scores, worst)] == [("a", 0)]
