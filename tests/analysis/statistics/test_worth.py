"""Worth in slices and budget advice: exact curves, open ends, pairing, refusals."""

import numpy as np
import pytest

from analysis.statistics import simulate
from analysis.statistics.laws.advice import Choice, Gain, advise, best_pipeline, near_full, next_slices
from analysis.statistics.laws.interpolate import Interpolated, interpolated
from analysis.statistics.laws.knee import LOCATED, Knee, knee, places
from analysis.statistics.laws.knee import named as knee_named
from analysis.statistics.laws.scaling import Scaling, fit
from analysis.statistics.laws.worth import Worth, worth
from analysis.statistics.records import Cells, Estimate, Refusal, generator
from analysis.statistics.simulate import PAPER_SIZES, Plant

SIZES = np.asarray(PAPER_SIZES, float)
GOOD, POOR = Plant(0.75, 0.5, 0.1), Plant(0.85, 0.45, 0.11)


def curves(
    name: str = "worth", plants: tuple[Plant, Plant] = (GOOD, POOR), **options: float
) -> list[Scaling]:
    values = simulate.errors(plants, PAPER_SIZES, 10, generator(0, name), **options)
    tables = [Cells(n, SIZES, tuple(range(10)), v) for n, v in zip("ab", values, strict=True)]
    return [fit(t, t.pipeline) for t in tables]


def exact(plant: Plant, name: str) -> Scaling:
    return fit(Cells(name, SIZES, (0, 1, 2), np.repeat(plant.error(SIZES)[None], 3, axis=0)), name)


@pytest.mark.parametrize("budget", [7, 30, 150])
def test_noise_free_worth_is_the_formula(budget: int) -> None:
    found = worth(exact(GOOD, "a"), exact(POOR, "b"), budget)
    assert isinstance(found, Worth)
    truth = POOR.size_of(float(GOOD.error(np.array([budget]))[0]))
    assert found.match.value == pytest.approx(truth, rel=0.02)
    assert found.more.value == pytest.approx(truth - budget, rel=0.05)
    back = worth(exact(POOR, "b"), exact(GOOD, "a"), budget)
    assert back.more.value < 0


def test_out_of_the_data_is_said_and_not_extrapolated() -> None:
    a, b = curves(plants=(GOOD, Plant(0.85, 0.4, 0.25)))
    found = worth(a, b, 1498)
    assert found.match == Estimate(np.inf, np.inf, np.inf)
    assert found.text == "> 0 [> 0, > 0]"
    assert worth(a, b, 300).text.startswith("> 1198")
    assert worth(b, a, 1).match.low == -np.inf
    assert isinstance(worth(a, b, 2000), Refusal)


def test_pairing_by_seed_narrows_the_interval() -> None:
    def width(shared: float) -> float:
        a, b = curves(shared=shared, own=0.0)
        match = worth(a, b, 30).match
        return np.log(match.high / match.low)

    assert width(0.9) < 0.6 * width(0.0)


def test_worth_covers() -> None:
    rng, hits, stores = generator(2, "worth"), 0, 40
    truth = POOR.size_of(float(GOOD.error(np.array([30]))[0]))
    for _ in range(stores):
        values = simulate.errors((GOOD, POOR), PAPER_SIZES, 10, rng)
        a, b = (fit(Cells("x", SIZES, tuple(range(10)), v), "x") for v in values)
        match = worth(a, b, 30).match
        hits += match.low <= truth <= match.high
    assert hits / stores > 0.82  # 4 s.d. below 95 %


def test_interpolated_means_give_worth_where_no_law_fits() -> None:
    def plateau(start: float) -> np.ndarray:
        noise = 1 + 0.03 * generator(0, f"plateau {start}").standard_normal((10, 10))
        return np.where(start > SIZES, 0.9, 0.9 * (SIZES / start) ** -0.5) * noise

    a, b = (
        interpolated(Cells(n, SIZES, tuple(range(10)), plateau(s)), n) for n, s in (("a", 15.0), ("b", 30.0))
    )
    assert isinstance(a, Interpolated)
    found = worth(a, b, 150)
    assert found.match.low < 300 < found.match.high
    assert found.match.high / found.match.low < 1.3
    assert "no law" in found.note


def test_advice_numbers_of_an_exact_curve() -> None:
    law = exact(GOOD, "a")
    near = near_full(law, 5.0, minutes_per_slice=2.0)
    level = 1 - 0.95 * (1 - float(GOOD.error(np.array([1498.0]))[0]))
    assert near.slices.value == pytest.approx(GOOD.size_of(level), rel=0.02)
    assert near.minutes.value == pytest.approx(2 * near.slices.value)
    gain = next_slices(law, 30, 25)
    assert isinstance(gain, Gain)
    wanted = GOOD.error(np.array([30.0])) - GOOD.error(np.array([55.0]))
    assert gain.gain.value == pytest.approx(float(wanted[0]), rel=0.01)
    assert isinstance(next_slices(law, 1490, 50), Refusal)
    with pytest.raises(ValueError, match="percentage"):
        near_full(law, 0.0)


def test_pipeline_for_a_budget_changes_where_curves_cross() -> None:
    steep, flat = Plant(0.85, 0.6, 0.05, 0.05), Plant(0.6, 0.3, 0.05, 0.05)
    fits = curves(plants=(steep, flat))
    small, large = best_pipeline(fits, 2), best_pipeline(fits, 1000)
    assert isinstance(small, Choice)
    assert (small.pipeline, large.pipeline) == ("b", "a")
    assert small.certain
    assert large.lead.low > 0
    assert isinstance(best_pipeline([Refusal("none")], 30), Refusal)


def test_advice_refuses_what_it_does_not_know() -> None:
    assert isinstance(advise(Refusal("few"), Refusal("few")), Refusal)
    line = np.repeat((0.8 * SIZES**-0.3)[None], 10, axis=0)
    noisy = line * (1 + 0.05 * generator(0, "line").standard_normal(line.shape))
    table = Cells("a", SIZES, tuple(range(10)), noisy)
    found = advise(fit(table, "a"), knee(table, "a"), budget=1480)
    assert isinstance(found.knee, Refusal)
    assert isinstance(found.gains[-1], Refusal)


def test_a_planted_break_is_found_within_a_step() -> None:
    plant = Plant(0.8, 0.5, 0.0, break_at=75, after=0.1)
    values = simulate.errors((plant,), PAPER_SIZES, 10, generator(0, "knee"))[0]
    found = knee(Cells("a", SIZES, tuple(range(10)), values), "a")
    assert isinstance(found, Knee)
    assert found.evident
    assert found.located
    assert knee_named(found) is found
    assert 30 <= found.size.low <= found.size.value <= found.size.high <= 150
    assert found.slope_before == pytest.approx(-0.5, abs=0.05)
    assert found.slope_after == pytest.approx(-0.1, abs=0.05)
    few = Cells("a", SIZES[:4], tuple(range(10)), values[:, :4])
    assert isinstance(knee(few, "a"), Refusal)


def test_a_curve_that_bends_everywhere_has_no_knee_to_name() -> None:
    slow = Plant(0.8, 0.35, 0.08, 0.2, 0.05)
    for i in range(5):
        values = simulate.errors((slow,), PAPER_SIZES, 10, generator(i, "slow"))[0]
        table = Cells("a", SIZES, tuple(range(10)), values)
        found = knee(table, "a")
        assert isinstance(found, Knee)
        assert found.evident
        assert found.steps > LOCATED
        assert not found.located
        refused = advise(fit(table, "a"), found).knee
        assert isinstance(refused, Refusal)
        assert f"{found.steps:.1f} steps between the sizes" in refused.reason


def test_places_on_the_grid_of_sizes() -> None:
    inside = np.sqrt(SIZES[1:] * SIZES[:-1])
    np.testing.assert_allclose(places(SIZES, SIZES), np.arange(len(SIZES)))
    np.testing.assert_allclose(places(SIZES, inside), np.arange(len(SIZES) - 1) + 0.5)
