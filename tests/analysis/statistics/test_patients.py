"""Intervals over patients, and over seeds × patients: references, limits, and that they cover."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from analysis.statistics import patients
from benchmarks.statistics import patients as known_patients


def test_mean_is_bounded_by_studentised_resamples():
    """The same by a loop over resamples, with another generator."""
    values = np.random.default_rng(3).gamma(2.0, size=12)
    found = patients.mean(values, np.random.default_rng(0), resamples=8000)
    rng, ratios = np.random.default_rng(1), []
    for _ in range(3000):
        drawn = rng.choice(values, len(values))
        ratios.append((drawn.mean() - values.mean()) / stats.sem(drawn))
    low, high = values.mean() - stats.sem(values) * np.quantile(ratios, [0.975, 0.025])
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((low, high), rel=0.05)
    assert found.high - found.value > found.value - found.low  # the skew is seen


def test_few_patients_are_bounded_by_students_t_and_one_by_nothing():
    values, rng = np.array([0.7, 0.8, np.nan, 0.95]), np.random.default_rng(0)
    kept = values[[0, 1, 3]]
    expected = stats.t.interval(0.95, 2, kept.mean(), stats.sem(kept))
    found = patients.mean(values, rng)
    assert (found.low, found.high) == pytest.approx(expected)
    assert patients.mean(values, rng, bounds=(0.0, 1.0)).high == 1.0
    assert np.isnan(patients.mean(values[:1], rng).low)
    assert np.isnan(patients.mean(values[2:3], rng).value)


def test_scores_of_which_most_are_equal_have_a_finite_interval():
    values = np.array([0.0] * 9 + [30.0])
    found = patients.mean(values, np.random.default_rng(0), bounds=(0.0, np.inf))
    assert found.low == 0
    assert 3 < found.high < np.inf
    for sign in (-1, 1):  # nine equal ones are drawn alone so often that one end is open, and is Student's
        found = patients.mean(sign * values, np.random.default_rng(0))
        expected = stats.t.interval(0.95, 9, sign * values.mean(), stats.sem(values))
        assert (found.low, found.high)[sign > 0] == pytest.approx(expected[sign > 0])
    same = patients.mean(np.full(10, 0.5), np.random.default_rng(0))
    assert (same.low, same.high) == (0.5, 0.5)


@pytest.mark.parametrize("hits", [0, 1, 4, 10])
def test_shares_have_clopper_and_pearsons_interval(hits):
    values = np.array([1.0] * hits + [0.0] * (10 - hits))
    found = patients.share(values)
    expected = proportion_confint(hits, 10, method="beta")
    assert (found.low, found.high) == pytest.approx(tuple(np.nan_to_num(expected, nan=hits / 10)))


def test_half_failures_lie_between_whole_ones():
    found = [patients.share(np.array([v, *[0.0] * 9])) for v in (0.0, 0.5, 1.0)]
    assert found[0].high < found[1].high < found[2].high
    assert found[1].value == pytest.approx(0.05)


@pytest.mark.parametrize("mixed", [0.0, 1.0, 1.5, 5.0])
def test_crossed_mean_squares_are_those_of_the_analysis_of_variance(mixed: float):
    """Seeds and patients, and what is of neither: where that is all there is, degrees of freedom keep their bounds."""
    rng = np.random.default_rng(5)
    table = known_patients.planted(rng, 4, 9, 2.0) * (0.1 if mixed else 1)
    table += mixed * np.outer([1, -1, 1, -1], np.arange(9) - 4)
    y, seed, patient = table.ravel(), *np.indices(table.shape).reshape(2, -1)

    def residual(*factors) -> tuple[float, float]:
        dummies = [np.equal.outer(f, np.unique(f)[1:]).astype(float) for f in factors]
        model = sm.OLS(y, np.column_stack([np.ones(len(y)), *dummies])).fit()
        return model.ssr, model.df_resid

    rest, freedom = residual(seed, patient)
    by_seed = (residual(patient)[0] - rest) / 3
    by_patient = (residual(seed)[0] - rest) / 8
    rest /= freedom
    variance = max(by_seed + by_patient - rest, by_seed, by_patient) / table.size
    degrees = (by_seed + by_patient - rest) ** 2 / (by_seed**2 / 3 + by_patient**2 / 8 + rest**2 / freedom)
    reach = stats.t.ppf(0.975, np.clip(degrees, 1, 11)) * np.sqrt(variance)
    found = patients.crossed(table).estimate
    assert (found.value, found.low, found.high) == pytest.approx(
        (y.mean(), y.mean() - reach, y.mean() + reach)
    )


def test_both_intervals_of_a_score_end_at_its_bounds():
    found = patients.crossed(np.array([[0.0, 0.1], [0.3, 0.2], [0.0, 0.0]]), bounds=(0.0, 1.0))
    assert found.estimate.low == found.on_these.low == 0.0
    assert found.on_these.high == pytest.approx(
        stats.t.interval(0.95, 2, 0.1, stats.sem([0.05, 0.25, 0.0]))[1]
    )
    assert np.isnan(patients.crossed(np.array([[0.1, 0.2]]), bounds=(0.0, 1.0)).on_these.low)  # one seed


def test_crossed_interval_is_at_least_as_wide_as_each_factor_asks_for():
    table = np.random.default_rng(2).standard_normal((5, 1)) + np.zeros((5, 8))
    found = patients.crossed(table).estimate  # patients do not differ: the seeds decide
    expected = stats.t.interval(0.95, 4, table[:, 0].mean(), stats.sem(table[:, 0]))
    assert (found.low, found.high) == pytest.approx(expected)
    turned = patients.crossed(table.T).estimate
    assert (turned.low, turned.high) == pytest.approx(expected)


def test_crossed_does_with_one_seed_and_says_nothing_of_one_number():
    line = np.array([[0.2, 0.5, 0.6, 0.9]])
    expected = stats.t.interval(0.95, 3, line.mean(), stats.sem(line[0]))
    found = patients.crossed(line)
    assert (found.seeds, found.patients) == (1, 4)
    assert (found.estimate.low, found.estimate.high) == pytest.approx(expected)
    assert np.isnan(patients.crossed(line[:, :1]).estimate.low)
    gap = np.array([[0.2, np.nan, 0.4], [0.3, 0.1, 0.5]])
    assert patients.crossed(gap).patients == 2
    assert patients.crossed(gap[:, 1:2]).patients == 0
    same = patients.crossed(np.full((3, 4), 0.5)).estimate
    assert (same.value, same.low, same.high) == (0.5, 0.5, 0.5)


def test_the_order_of_seeds_and_patients_changes_nothing():
    rng = np.random.default_rng(0)
    table = known_patients.planted(rng, 3, 10, 1.0)
    shuffled = table[rng.permutation(3)][:, rng.permutation(10)]
    one, other = patients.crossed(table).estimate, patients.crossed(shuffled).estimate
    assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high))


@pytest.mark.parametrize("spread", [0.0, 3.0])
def test_crossed_interval_covers(spread):
    rng, hits = np.random.default_rng(11), 0
    for _ in range(400):
        found = patients.crossed(known_patients.planted(rng, 5, 10, spread)).estimate
        hits += found.low <= 0 <= found.high
    assert 0.92 <= hits / 400 <= 0.995


def test_tables_of_known_answers_can_be_made():
    for _, head, rows in known_patients.PARTS.values():
        first = next(rows(2))
        assert len(first) == len(head)
