"""A rank correlation and its interval."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.statistics import ranks
from analysis.statistics.records import Refusal


def test_it_is_scipys_and_its_interval_the_published_one():
    x, y = np.array([1.0, 2, 3, 4, 5, 6, 7, 8]), np.array([2.0, 1, 4, 3, 7, 8, 6, 5])
    found = ranks.spearman(x, y)
    r = stats.spearmanr(x, y).statistic
    assert found.value == pytest.approx(r)
    half = 1.959964 * np.sqrt((1 + r**2 / 2) / 5)
    assert (found.low, found.high) == pytest.approx(
        tuple(np.tanh(np.arctanh(r) + np.array([-half, half]))), rel=1e-5
    )
    assert ranks.spearman(x, -y).low == pytest.approx(-found.high)


def test_a_perfect_order_has_an_interval_too_and_few_pairs_have_none():
    found = ranks.spearman(np.arange(6.0), np.arange(6.0) ** 3)
    assert found.value == found.high == pytest.approx(1)
    near = 1 - 1 / 35  # half of the way to the next correlation that six pairs can have
    assert found.low == pytest.approx(np.tanh(np.arctanh(near) - 1.959964 * np.sqrt((1 + near**2 / 2) / 3)))
    assert isinstance(ranks.spearman(np.arange(4.0), np.arange(4.0)), Refusal)
    assert isinstance(ranks.spearman(np.arange(9.0), np.ones(9)), Refusal)


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_the_interval_covers_as_often_as_it_says(rho: float):
    """400 stores of twelve encoders from a normal pair: Spearman's own value is 6 / pi * asin(rho / 2)."""
    rng = np.random.default_rng(0)
    truth, hits = 6 / np.pi * np.arcsin(rho / 2), 0
    for _ in range(400):
        x, noise = rng.standard_normal((2, 12))
        found = ranks.spearman(x, rho * x + np.sqrt(1 - rho**2) * noise)
        hits += found.low <= truth <= found.high
    assert stats.binomtest(hits, 400, 0.95).pvalue > 1e-3
