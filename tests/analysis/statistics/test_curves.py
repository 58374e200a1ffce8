"""Learning curves: areas, steps with censoring, their ratio, and the spread over seeds."""

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.curves import (
    Steps,
    area,
    common_final,
    common_grid,
    curve,
    early_area,
    final,
    median_steps,
    on_grid,
    steps_to,
)
from analysis.statistics.records import WIDE, Refusal, generator
from analysis.statistics.verdicts.ratio import ratio_of_steps
from analysis.statistics.verdicts.stability import ratio_of_iqr, ratio_of_sd


def test_area_of_lines_and_of_a_gap() -> None:
    whole = curve([0, 5, 10], [0.0, 0.5, 1.0])
    assert area(whole) == pytest.approx(0.5)
    assert early_area(whole) == pytest.approx(0.1)  # the mean of 0 to 0.2
    assert area(curve([0, 5, 10], [0.0, np.nan, 1.0])) == pytest.approx(0.5)
    assert area(curve([10, 0, 5], [1.0, 0.0, 0.5])) == area(whole)
    assert area(curve([0, 10, 10], [0.3, 0.2, 0.4])) == pytest.approx(0.3)


def test_common_grid_is_the_overlap_and_nothing_is_extrapolated() -> None:
    a, b = curve([0, 4, 10], [0, 1, 1]), curve([1, 5, 12], [0, 1, 1])
    np.testing.assert_array_equal(common_grid([a, b]), [1, 4, 5, 10])
    assert area(a, common_grid([a, b])) == area(a, common_grid([b, a]))
    with pytest.raises(ValueError, match="common_grid"):
        on_grid(a, np.array([0.0, 11.0]))
    with pytest.raises(ValueError, match="share no steps"):
        common_grid([a, curve([20, 30], [0, 1])])
    with pytest.raises(ValueError, match="two finite points"):
        curve([0, 1], [np.nan, 0.5])


def test_steps_to_a_level_and_censoring() -> None:
    c = curve(np.arange(1, 11), np.linspace(0.1, 1.0, 10))
    assert final(c) == 1.0  # the last tenth of the steps begins at 9.1
    assert final(curve([0, 80, 90, 100], [0.0, 0.1, 0.6, 0.8])) == pytest.approx(0.7)
    assert steps_to(c, 1.0) == Steps(10.0, True)
    assert steps_to(c, 0.5) == Steps(5.0, True)
    assert steps_to(c, 2.0) == Steps(10.0, False)
    assert common_final([[0.8, 0.6], [0.5, 0.5, 0.5]]) == pytest.approx(0.6)


def test_median_of_censored_steps_by_hand() -> None:
    # survival 4/5, 3/5, (censored), 3/10, 0: half is crossed at the fourth, not at the middle one
    runs = [Steps(float(t), t != 3) for t in (5, 4, 3, 2, 1)]
    found = median_steps(runs)
    assert found.value == 4.0
    assert found.low <= 4.0 <= found.high
    never = median_steps([Steps(100.0, False)] * 4)
    assert never.value == np.inf


def test_ratio_without_censoring_is_the_paired_t_interval() -> None:
    rng = generator(0, "ratio")
    fast, slow = np.exp(5 + 0.3 * rng.standard_normal(8)), np.exp(6.4 + 0.3 * rng.standard_normal(8))
    found = ratio_of_steps([Steps(s, True) for s in slow], [Steps(f, True) for f in fast])
    logs = np.log(slow / fast)
    wanted = stats.ttest_1samp(logs, 0).confidence_interval()
    assert found.value == pytest.approx(np.exp(logs.mean()))
    assert (found.low, found.high) == pytest.approx((np.exp(wanted.low), np.exp(wanted.high)), rel=1e-3)
    back = ratio_of_steps([Steps(f, True) for f in fast], [Steps(s, True) for s in slow])
    assert back.value == pytest.approx(1 / found.value)
    assert back.low == pytest.approx(1 / found.high, rel=1e-3)


def test_censored_runs_bound_the_ratio_from_one_side() -> None:
    fast = [Steps(200.0, True)] * 6
    found = ratio_of_steps([Steps(1050.0, False)] * 6, fast)
    assert found.high == found.value == np.inf
    assert found.low == pytest.approx(1050 / 200, rel=0.02)  # all six ratios are at least this
    assert "6 of 6 censored" in found.note
    some = [Steps(700.0 + 50 * k, k < 4) for k in range(6)]
    plain = ratio_of_steps([Steps(t.steps, True) for t in some], fast)
    assert ratio_of_steps(some, fast).value > plain.value
    silent = [Steps(1050.0, False)] * 6
    assert isinstance(ratio_of_steps(silent, silent), Refusal)


def test_equal_steps_have_a_ratio_of_one_and_bad_pairs_are_refused() -> None:
    same = [Steps(70.0, True)] * 5
    found = ratio_of_steps(same, same)
    assert found.value == 1.0
    assert found.low < 1.0 < found.high
    with pytest.raises(ValueError, match="pairs"):
        ratio_of_steps(same, same[:3])
    with pytest.raises(ValueError, match="above zero"):
        ratio_of_steps([Steps(0.0, True)] * 5, same)


def test_ratio_of_sd_agrees_with_the_pitman_morgan_test() -> None:
    rng = generator(0, "sd")
    a, b = rng.standard_normal((2, 12))
    a = 0.6 * b + 1.4 * a
    found = ratio_of_sd(a, b)
    assert found.value == pytest.approx(a.std(ddof=1) / b.std(ddof=1))
    # At the ends of the interval, sum and difference of the rescaled pair correlate at exactly p = 0.05.
    for end in (found.low, found.high):
        p = stats.pearsonr(a / end + b, a / end - b).pvalue
        assert p == pytest.approx(0.05, abs=1e-6)


def test_spread_of_few_or_equal_scores() -> None:
    rng = generator(0, "few")
    a, b = rng.standard_normal((2, 4))
    assert ratio_of_sd(a, b).note == WIDE
    assert isinstance(ratio_of_sd(a[:2], b[:2]), Refusal)
    assert isinstance(ratio_of_iqr(np.ones(5), np.arange(5.0)), Refusal)
    many = rng.standard_normal((2, 40))
    found = ratio_of_iqr(3 * many[0], many[1])
    assert found.low < 3 < found.high
    order = rng.permutation(40)
    assert ratio_of_iqr(3 * many[0][order], many[1][order]) == found
