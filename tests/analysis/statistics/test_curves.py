"""Learning curves: areas, steps to a level, their ratio where it is censored or on a grid, and the spread over seeds."""

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.curves import Steps, area, common_grid, curve, early_area, final, on_grid, steps_to
from analysis.statistics.records import WIDE, Refusal, generator
from analysis.statistics.verdicts.arrival import ratio_of_steps, speed_up, telling
from analysis.statistics.verdicts.interval import mean_interval
from analysis.statistics.verdicts.stability import ratio_of_spread
from benchmarks.statistics.verdicts import arrival


def test_area_of_lines_and_of_a_gap() -> None:
    whole = curve([0, 5, 10], [0.0, 0.5, 1.0])
    assert area(whole) == pytest.approx(0.5)
    assert early_area(whole) == pytest.approx(0.1)  # the mean of 0 to 0.2
    assert area(curve([0, 5, 10], [0.0, np.nan, 1.0])) == pytest.approx(0.5)
    assert area(curve([0, np.nan, 10], [0.0, 9.0, 1.0])) == pytest.approx(0.5)
    assert area(curve([10, 0, 5], [1.0, 0.0, 0.5])) == area(whole)
    assert area(curve([0, 10, 10], [0.3, 0.2, 0.4])) == pytest.approx(0.3)


def test_common_grid_is_the_overlap_and_nothing_is_extrapolated() -> None:
    a, b = curve([0, 4, 10], [0, 1, 1]), curve([1, 5, 12], [0, 1, 1])
    np.testing.assert_array_equal(common_grid([a, b]), [1, 4, 5, 10])
    assert area(a, common_grid([a, b])) == area(a, common_grid([b, a]))
    with pytest.raises(ValueError, match="common_grid"):
        on_grid(a, np.array([0.0, 11.0]))
    with pytest.raises(ValueError, match="common_grid"):
        on_grid(b, np.array([0.0, 11.0]))
    with pytest.raises(ValueError, match="share no steps"):
        common_grid([a, curve([10, 30], [0, 1])])
    with pytest.raises(ValueError, match="share no steps"):
        common_grid([a, curve([20, 30], [0, 1])])
    with pytest.raises(ValueError, match="two finite points"):
        curve([0, 1], [np.nan, 0.5])


def test_steps_to_a_level_and_censoring() -> None:
    c = curve(np.arange(1, 11), np.linspace(0.1, 1.0, 10))
    assert final(c) == 1.0  # the last tenth of the steps begins at 9.1
    assert final(curve([0, 80, 90, 100], [0.0, 0.1, 0.6, 0.8])) == pytest.approx(0.7)
    assert steps_to(c, 1.0) == Steps(10.0, True, 9.0)
    assert steps_to(c, 0.5) == Steps(5.0, True, 4.0)
    assert steps_to(c, 0.1) == Steps(1.0, True, 0.0)
    assert steps_to(c, 2.0) == Steps(10.0, False, 10.0)


def at(times: np.ndarray) -> list[Steps]:
    """Runs whose arrival is known exactly."""
    return [arrival(float(t), np.inf, 0.0) for t in times]


def test_ratio_without_censoring_is_the_paired_t_interval() -> None:
    rng = generator(0, "ratio")
    fast, slow = np.exp(5 + 0.3 * rng.standard_normal(8)), np.exp(6.4 + 0.3 * rng.standard_normal(8))
    found, logs = ratio_of_steps(at(slow), at(fast)), np.log(slow / fast)
    wanted = stats.ttest_1samp(logs, 0).confidence_interval()
    assert found.value == pytest.approx(np.exp(logs.mean()))
    assert (found.low, found.high) == pytest.approx((np.exp(wanted.low), np.exp(wanted.high)), rel=1e-3)
    back = ratio_of_steps(at(fast), at(slow))
    assert back.value == pytest.approx(1 / found.value)
    assert back.low == pytest.approx(1 / found.high, rel=1e-3)


@pytest.mark.parametrize("level", [0.95, 0.999])
def test_bounds_that_nearly_meet_give_the_t_interval(level: float) -> None:
    """The likelihood of intervals, where it must agree with what needs none."""
    d = generator(0, "bounds").normal(0.3, 0.4, 6)
    exact, near = mean_interval(d, d, level), mean_interval(d - 5e-4, d + 5e-4, level)
    assert (near.value, near.low, near.high) == pytest.approx((exact.value, exact.low, exact.high), rel=5e-3)


def test_censored_runs_bound_the_ratio_from_one_side() -> None:
    fast = at(np.full(6, 200.0))
    found = ratio_of_steps([arrival(2e9, 1050.0, 0.0)] * 6, fast)
    assert found.high == found.value == np.inf
    assert found.low == pytest.approx(1050 / 200, rel=0.03)  # all six ratios are at least this
    assert "6 of 6 pairs censored" in found.note
    back = ratio_of_steps(fast, [arrival(2e9, 1050.0, 0.0)] * 6)
    assert (back.low, back.value, back.high) == pytest.approx((0.0, 0.0, 1 / found.low), rel=1e-3)
    some = [Steps(700.0 + 50 * k, k < 4, 700.0 + 50 * k) for k in range(6)]
    plain = ratio_of_steps([Steps(t.steps, True, t.steps) for t in some], fast)
    assert ratio_of_steps(some, fast).value > plain.value


def test_where_nobody_arrives_there_is_no_ratio() -> None:
    """Times of 500 and 2,000, training ends at 200: nothing is known, least of all that they are equal."""
    silent = [arrival(2000.0, 200.0, 25.0)] * 5
    assert isinstance(ratio_of_steps(silent, [arrival(500.0, 200.0, 25.0)] * 5), Refusal)
    few = [*at(np.full(2, 100.0)), *silent[:3]]
    assert "when the level was reached can be told in 2 of 5 pairs" in ratio_of_steps(silent, few).reason
    assert isinstance(
        telling([(-np.inf, np.inf)] * 3 + [(0.0, np.inf)] * 3), Refusal
    )  # more than half are wanted
    assert len(telling([(-np.inf, np.inf)] * 3 + [(0.0, np.inf)] * 4)) == 4


def test_a_grid_of_evaluations_widens_the_interval_until_it_holds_the_truth() -> None:
    rng = generator(0, "grid")
    slow, fast = (np.exp(np.log(t) + 0.05 * rng.standard_normal(5)) for t in (55.0, 30.0))
    found = ratio_of_steps([arrival(t, 1e9, 25.0) for t in slow], [arrival(t, 1e9, 25.0) for t in fast])
    assert found.low <= 55 / 30 <= found.high
    assert 1.0 <= found.low < 1.5 < found.high


@pytest.mark.parametrize("end", [200.0, 4000.0])
def test_speed_up_of_two_exponential_curves(end: float) -> None:
    """To 95 % of what the weaker ends at, after 200 steps or after 4,000: the ratio of their times is 4."""
    steps = np.linspace(end / 400, end, 400)
    fast, slow = (curve(steps, 0.8 * (1 - np.exp(-steps / t))) for t in (500.0, 2000.0))
    low, high = speed_up(fast, slow, final(fast), final(slow))
    assert low <= np.log(4) + 0.02
    assert high >= np.log(4) - 0.02
    assert high - low < 0.2
    assert speed_up(slow, fast, final(slow), final(fast)) == pytest.approx((-high, -low))


def test_equal_steps_have_a_ratio_of_one_and_bad_pairs_are_refused() -> None:
    same = [arrival(70.0, 1e9, 10.0)] * 5
    found = ratio_of_steps(same, same)
    assert found.value == pytest.approx(1.0)
    assert found.low < 1.0 < found.high
    with pytest.raises(ValueError, match="pairs"):
        ratio_of_steps(same, same[:3])
    with pytest.raises(ValueError, match="above zero"):
        ratio_of_steps([Steps(0.0, True)] * 5, same)


def test_ratio_of_spread_by_a_jackknife_of_hand() -> None:
    rng = generator(0, "sd")
    a, b = rng.standard_normal((2, 12))

    def log(keep: np.ndarray) -> float:
        x, y = a[keep], b[keep]
        return np.log(np.abs(x - np.median(x)).mean() / np.abs(y - np.median(y)).mean())

    whole = np.arange(12)
    pseudo = np.array([12 * log(whole) - 11 * log(np.delete(whole, i)) for i in whole])
    reach = stats.t.ppf(0.975, 11) * pseudo.std(ddof=1) / np.sqrt(12)
    found = ratio_of_spread(a, b)
    assert np.log((found.value, found.low, found.high)) == pytest.approx(
        (log(whole), log(whole) - reach, log(whole) + reach)
    )
    order = rng.permutation(12)
    assert ratio_of_spread(a[order], b[order]) == found
    assert ratio_of_spread([*a, np.nan, 1.0], [*b, 1.0, np.nan]) == found


def test_ratio_of_spread_covers_under_heavy_tails() -> None:
    for seeds in (5, 10):
        drawn = generator(0, f"heavy {seeds}").standard_t(3, (300, 2, seeds))
        found = [ratio_of_spread(2 * a, b) for a, b in drawn]
        assert np.mean([f.low <= 2 <= f.high for f in found]) >= 0.9


def test_spread_of_few_or_equal_scores() -> None:
    a, b = generator(0, "few").standard_normal((2, 4))
    assert ratio_of_spread(a, b).note == WIDE
    assert isinstance(ratio_of_spread(a[:2], b[:2]), Refusal)
    assert isinstance(ratio_of_spread(np.ones(5), np.arange(5.0)), Refusal)
