"""The scaling law: exact data, an independent optimiser, coverage, correlation of seeds, refusals."""

import numpy as np
import pytest
from scipy.optimize import curve_fit

from analysis.statistics.laws.scaling import Scaling, fit, problem_of
from analysis.statistics.laws.varpro import contributions, held, minimise, score_t
from analysis.statistics.records import WIDE, Cells, Refusal, generator, to_json
from benchmarks.statistics import simulate
from benchmarks.statistics.simulate import PAPER_SIZES, Plant

PLANT = Plant(0.8, 0.5, 0.1)
SIZES = np.asarray(PAPER_SIZES, float)


def planted(seeds: int = 10, plant: Plant = PLANT, name: str = "scaling", **options: float) -> Cells:
    values = simulate.errors((plant,), PAPER_SIZES, seeds, generator(0, name), **options)[0]
    return Cells("a", SIZES, tuple(range(seeds)), values)


def test_noise_free_errors_give_the_planted_parameters_and_a_point_interval() -> None:
    found = fit(Cells("a", SIZES, (0, 1, 2), np.repeat(PLANT.error(SIZES)[None], 3, axis=0)), "a")
    assert isinstance(found, Scaling)
    got = (found.alpha.value, found.beta.value, found.gamma.value)
    assert got == pytest.approx((0.8, 0.5, 0.1), rel=1e-3)
    assert found.left_out.worst < 1e-3
    assert 0.05 < found.misfit_p <= 1


def test_minimum_is_the_one_scipy_finds() -> None:
    problem = problem_of(planted())
    mine = minimise(problem.log_sizes, problem.means, problem.total_weights)
    theirs, _ = curve_fit(
        lambda n, a, b, g: a * n**-b + g,
        SIZES,
        problem.means,
        p0=(0.7, 0.4, 0.12),
        sigma=problem.total_weights**-0.5,
    )
    np.testing.assert_allclose(mine, theirs, rtol=1e-3)
    rising = minimise(problem.log_sizes, problem.means[::-1], problem.total_weights, bounded=True)
    mean = np.average(problem.means[::-1], weights=problem.total_weights)
    assert rising[[0, 2]] == pytest.approx((0, mean))


def test_score_t_is_zero_at_the_fit_and_the_held_fit_is_worse() -> None:
    problem = problem_of(planted())
    x, y, w = problem.log_sizes, problem.means, problem.total_weights
    free = minimise(x, y, w)
    for which in range(3):
        assert abs(score_t(problem, which, float(free[which]))) < 0.01
        moved = held(problem, which, float(free[which]) * 1.1)
        rest = [float((w * (y - (t[0] * np.exp(-t[1] * x) + t[2])) ** 2).sum()) for t in (free, moved)]
        assert rest[1] > rest[0]


def test_contributions_of_seeds_predict_the_refit_without_a_seed() -> None:
    table = planted()
    problem = problem_of(table)
    parts = contributions(problem, minimise(problem.log_sizes, problem.means, problem.total_weights))
    np.testing.assert_allclose(parts.sum(axis=0), 0, atol=1e-3)
    weights, count = problem.weights, len(parts)
    for seed in (0, 4):
        rest = np.delete(table.values, seed, axis=0)
        refit = minimise(problem.log_sizes, rest.mean(axis=0), weights * (count - 1))
        full = minimise(problem.log_sizes, table.values.mean(axis=0), weights * count)
        np.testing.assert_allclose(full - refit, parts[seed] * count / (count - 1), rtol=0.4, atol=3e-3)


@pytest.mark.parametrize(("shared", "own"), [(0.3, 0.2), (0.0, 0.8)])
def test_intervals_cover(shared: float, own: float) -> None:
    rng, hits, stores = generator(1, f"cover {own}"), np.zeros(3), 40
    for _ in range(stores):
        values = simulate.errors((PLANT,), PAPER_SIZES, 10, rng, shared=shared, own=own)[0]
        found = fit(Cells("a", SIZES, tuple(range(10)), values), "a")
        assert isinstance(found, Scaling)
        ends = zip((found.alpha, found.beta, found.gamma), (0.8, 0.5, 0.1), strict=True)
        hits += [e.low <= truth <= e.high for e, truth in ends]
    assert (hits / stores > 0.82).all()  # 4 s.d. below 95 %


def test_gamma_never_leaves_its_bounds() -> None:
    found = fit(planted(plant=Plant(0.7, 0.3, 0.0)), "a")
    assert isinstance(found, Scaling)
    assert found.gamma.low == 0.0
    assert 0.0 <= found.gamma.value <= found.gamma.high


def test_too_little_evidence_is_refused_and_few_seeds_are_marked() -> None:
    full = planted(seeds=4)
    assert fit(full, "a").alpha.note == WIDE
    four = fit(Cells("a", SIZES[:4], full.seeds, full.values[:, :4]), "a")
    assert "three parameters needs 5 sizes" in four.reason
    assert isinstance(fit(Cells("a", SIZES, (0, 1), full.values[:2]), "a"), Refusal)
    rising = Cells("a", SIZES, full.seeds, full.values[:, ::-1])
    assert "does not fall" in fit(rising, "a").reason


def test_a_size_with_two_seeds_is_left_out() -> None:
    table = planted()
    values = table.values.copy()
    values[2:, 3] = np.nan
    found = fit(Cells("a", SIZES, table.seeds, values), "a")
    assert 15 not in found.sizes
    assert len(found.sizes) == 9


def test_an_exponent_at_the_edge_of_its_search_is_no_number() -> None:
    step = np.repeat([[0.9, 0.3, 0.3, 0.3, 0.3]], 3, axis=0)
    sizes = np.array([3.0, 15, 75, 300, 1498])
    assert "its search ended at 4" in fit(Cells("a", sizes, (0, 1, 2), step), "a").reason
    flat = np.repeat([0.5 - 0.002 * np.log(sizes)], 3, axis=0)
    assert "its search ended at 0.01" in fit(Cells("a", sizes, (0, 1, 2), flat), "a").reason
    slow = fit(planted(seeds=3, plant=Plant(0.5, 0.1, 0.1, 0.2), name="slow"), "a")
    assert isinstance(slow, Scaling)
    assert slow.beta.low == 0.0
    assert 0.02 < slow.beta.value < slow.beta.high


def test_a_plateau_is_reported_as_a_misfit() -> None:
    plateau = np.where(SIZES < 30, 0.9, 0.9 * (SIZES / 30.0) ** -0.5)
    noise = 1 + 0.02 * generator(0, "plateau").standard_normal((10, 10))
    assert fit(Cells("a", SIZES, tuple(range(10)), plateau * noise), "a").misfit_p < 0.01


def test_order_of_runs_does_not_change_a_byte() -> None:
    rows = simulate.scores(("a",), planted().values[None], PAPER_SIZES)
    mixed = [rows[i] for i in generator(0, "order").permutation(len(rows))]
    assert to_json(fit(rows, "a")) == to_json(fit(mixed, "a"))
