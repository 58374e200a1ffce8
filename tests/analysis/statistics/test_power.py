"""Further seeds: power by simulation, and plans that are ranges."""

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.records import generator
from analysis.statistics.verdicts import looks
from analysis.statistics.verdicts.power import more_seeds, power


def test_power_by_simulation() -> None:
    for effect, seeds, error_rate in ((2.0, 5, 0.012), (6.0, 3, 0.02), (1.0, 10, 0.01)):
        d = generator(0, f"power {effect}").normal(effect, 1.0, (4000, seeds))
        hits = np.mean(stats.ttest_1samp(d, 0, axis=1).pvalue <= error_rate)
        assert power(effect, seeds, error_rate) == pytest.approx(hits, abs=0.03)
    assert power(50.0, 40, 1e-4) == pytest.approx(1.0)
    assert power(0.0, 5, 0.02) == pytest.approx(0.02)  # of no effect, on either side


def test_a_plan_is_a_range_whose_ends_are_those_of_the_difference() -> None:
    """Differences of which the mean is known to within 80 %: the truth lies in the range of effects that often."""
    rng, held = generator(0, "plan"), []
    for _ in range(300):
        found = more_seeds(rng.normal(1.2, 1.0, 5), 1)
        truth = next(n - 5 for n in (10, 20, 40) if power(1.2, n, looks.error_rate(n, 1)) >= 0.8)
        held.append(found.least is not None and found.least <= truth <= (found.most or np.inf))
    assert np.mean(held) >= 0.8
    assert more_seeds(np.array([0.1, -0.1, 0.05]), 1).most is None
    assert "at least 17 more seeds would be needed" in more_seeds(np.array([0.3, -0.2, 0.05]), 1).text
    assert more_seeds(np.ones(3), 1) is None
    hair = np.array([1.0, 1.0 + 1e-15, 1.0 - 1e-15])  # they vary by rounding alone
    assert more_seeds(hair, 1).least == 2
    assert more_seeds(hair, 1).text == "2 more seeds would decide"
