"""Verdicts: tests against scipy and statsmodels, the four calls, plans for more seeds, order of runs."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint

from analysis.statistics import simulate
from analysis.statistics.records import Refusal, Score, cells, generator, ordered, plain, to_json
from analysis.statistics.verdicts.compare import Verdict, compare, verdict
from analysis.statistics.verdicts.permutation import equivalence, sign_flip, smallest_p
from analysis.statistics.verdicts.power import more_seeds, power_of_difference, power_of_equivalence
from analysis.statistics.verdicts.summaries import improvement, interquartile_mean, strata, stratified_iqm


def rows(values: np.ndarray, budgets: tuple[int, ...] = (30,)) -> list[Score]:
    return simulate.scores(tuple("abcde"[: len(values)]), values, budgets)


def drawn(shift: float, seeds: int = 10, pipelines: int = 2, budgets: int = 4) -> list[Score]:
    rng = generator(0, f"compare {shift} {seeds}")
    values = simulate.shifted(pipelines, budgets, seeds, rng, shift=shift)
    return rows(values, simulate.PAPER_SIZES[:budgets])


@pytest.mark.parametrize("seeds", [3, 6, 10])
def test_sign_flip_is_scipys_exact_permutation_test(seeds: int) -> None:
    d = generator(0, "flip").normal(0.4, 1.0, seeds)
    theirs = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=2**seeds).pvalue
    assert sign_flip(d) == pytest.approx(theirs)
    assert sign_flip(np.abs(d) + 0.1) == smallest_p(seeds) == 2.0 ** (1 - seeds)
    assert sign_flip(np.zeros(seeds)) == 1.0


def test_many_seeds_are_sampled_and_stay_close_to_the_t_test() -> None:
    d = generator(0, "many").normal(0.35, 1.0, 40)
    assert sign_flip(d) == pytest.approx(stats.ttest_1samp(d, 0).pvalue, abs=0.01)
    assert sign_flip(d) == sign_flip(d[::-1])


def test_equivalence_is_two_one_sided_t_tests() -> None:
    d = generator(0, "tost").normal(0.02, 0.1, 12)
    up = stats.ttest_1samp(d, 0.1, alternative="less").pvalue
    down = stats.ttest_1samp(d, -0.1, alternative="greater").pvalue
    assert equivalence(d, 0.1) == pytest.approx(max(up, down))
    assert equivalence(np.full(5, 0.01), 0.1) == 0.0
    assert equivalence(np.full(5, 0.2), 0.1) == 1.0


def test_the_four_calls() -> None:
    def call(scores: list[Score], margin: float = 0.05, **options: bool) -> str:
        return verdict(scores, "a", "b", margin=margin, **({"higher_is_better": True} | options)).call

    assert call(drawn(2.0)) == "better"
    assert call(drawn(2.0), higher_is_better=False) == "worse"
    assert call(drawn(0.0)) == "undecided"
    assert call(drawn(0.0), margin=3.0) == "equivalent"
    small = verdict(drawn(2.0), "a", "b", margin=9.0, higher_is_better=True)
    assert small.call == "equivalent"
    assert "a real difference" in small.note


def test_family_is_corrected_after_holm() -> None:
    found = compare(drawn(1.5, pipelines=5), margin=0.05, higher_is_better=True)
    assert len(found) == 10
    raw = np.array([v.p for v in found])
    np.testing.assert_allclose([v.p_holm for v in found], multipletests(raw, method="holm")[1])


def test_too_few_seeds_cannot_reject_and_a_plan_is_given() -> None:
    found = compare(drawn(3.0, seeds=4, pipelines=3), margin=0.05, higher_is_better=True)
    assert all(v.call == "undecided" for v in found)
    assert all("cannot reject at this number of seeds" in v.note for v in found)
    assert found[0].smallest_p == pytest.approx(3 / 8)
    assert found[0].more.towards == "different"
    assert "more seed" in found[0].note
    assert all(isinstance(v, Refusal) for v in compare(drawn(1.0, seeds=2), margin=1, higher_is_better=True))


def test_pairs_need_equal_seed_and_subset() -> None:
    scores = [Score("a", 30, s, "x", 0.5 + 0.01 * s) for s in range(6)]
    scores += [Score("b", 30, s, "y", 0.4) for s in range(6)]
    (found,) = compare(scores, margin=0.01, higher_is_better=True)
    assert "0 pairs" in found.reason
    same = [Score(s.pipeline, s.budget, s.seed, "x", s.value) for s in scores]
    (found,) = compare(same, margin=0.01, higher_is_better=True, budget=30)
    assert isinstance(found, Verdict)
    assert (found.pairs, found.call) == (6, "better")
    with pytest.raises(ValueError, match="margin"):
        compare(same, margin=0.0, higher_is_better=True)


def test_more_seeds_agrees_with_statsmodels() -> None:
    plan = more_seeds(0.5, 1.0, 0.01, 10, 0.05)
    wanted = TTestPower().solve_power(0.5, power=0.8, alpha=0.05)
    assert plan.seeds == int(np.ceil(wanted)) - 10
    assert plan.towards == "different"
    assert more_seeds(0.0, 1.0, 0.9, 10, 0.05).towards == "equivalent"
    assert more_seeds(0.001, 1.0, 0.001, 10, 0.05) is None
    assert power_of_difference(9.0, 4, 0.05) == 0.0  # 2/16 is never below 5 %


@pytest.mark.parametrize("effect", [1.0, 3.0, 8.0, 20.0])
def test_clear_differences_need_few_seeds(effect: float) -> None:
    """SciPy's far tail of the noncentral t is NaN: power must grow with the seeds all the same."""
    power = [power_of_difference(effect, n, 0.05 / 3) for n in (6, 7, 8, 9, 10, 12, 20, 50, 100, 300, 1000)]
    assert power == sorted(power)
    assert power[-1] == pytest.approx(1.0)
    assert more_seeds(effect, 1.0, 0.05, 4, 0.05 / 3).seeds == (10 if effect == 1.0 else 3)
    for n in (9, 12):
        if np.isfinite(known := TTestPower().power(effect, n, 0.05 / 3)):
            assert power_of_difference(effect, n, 0.05 / 3) == pytest.approx(known)


@pytest.mark.parametrize(("pairs", "alpha"), [(6, 0.05), (7, 0.05 / 3), (8, 0.05), (10, 0.05 / 3)])
def test_power_is_that_of_the_test_that_decides(pairs: int, alpha: float) -> None:
    """By simulation; with 6 or 7 pairs all signs have to agree, which costs the sign flips some power."""
    d = generator(0, f"power {pairs}").normal(1.4, 1.0, (1500, pairs))
    hits = np.mean([sign_flip(row) <= alpha for row in d])
    assert power_of_difference(1.4, pairs, alpha) == pytest.approx(hits, abs=0.06)


def test_power_of_equivalence_by_simulation() -> None:
    d = generator(0, "tost power").normal(0.1, 1.0, (600, 15))
    hits = np.mean([equivalence(row, 0.9) <= 0.05 for row in d])
    assert power_of_equivalence(0.1, 1.0, 0.9, 15, 0.05) == pytest.approx(hits, abs=0.06)


def test_identical_pipelines_are_rarely_called_different() -> None:
    rng, stores = generator(0, "identical"), 60
    calls = [
        v.call
        for _ in range(stores)
        for v in compare(
            rows(simulate.shifted(2, 4, 10, rng), (1, 3, 7, 15)), margin=0.05, higher_is_better=True
        )
    ]
    assert sum(c in ("better", "worse") for c in calls) <= 9  # 3.5 s.d. above 5 %


def test_summaries() -> None:
    values = generator(0, "iqm").normal(0.7, 0.1, 20)
    assert interquartile_mean(values) == pytest.approx(np.sort(values)[5:15].mean())
    by_budget = {1: values[:10], 3: values[10:]}
    found = stratified_iqm(by_budget)
    assert found.low < found.value < found.high
    assert found == stratified_iqm({3: values[:9:-1], 1: values[9::-1]})
    wins = improvement({0: [1.0, 2.0], 1: [-1.0, 1.0], 2: [0.0, 0.0], 3: [0.5]})
    assert wins.value == pytest.approx((1 + 0.5 + 0.5 + 1) / 4)
    assert (wins.low, wins.high) == pytest.approx(proportion_confint(3.0, 4, method="wilson"))
    assert strata(drawn(0.0), "a").keys() == {1, 3, 7, 15}


def test_order_of_runs_does_not_change_a_byte() -> None:
    scores = drawn(1.0, pipelines=3)
    for name in ("one", "two"):
        mixed = [scores[i] for i in generator(0, name).permutation(len(scores))]
        assert to_json(compare(mixed, margin=0.1, higher_is_better=True)) == to_json(
            compare(scores, margin=0.1, higher_is_better=True)
        )


def test_records_are_canonical() -> None:
    a = Score("a", 1, 0, "x", 0.5)
    assert ordered([a, a, Score("a", 1, 1, "x", np.nan)]) == (a,)
    with pytest.raises(ValueError, match="two differ"):
        ordered([a, Score("a", 1, 0, "x", 0.6)])
    with pytest.raises(ValueError, match="no finite score"):
        cells([a], "b")
    assert cells([a, Score("a", 1, 0, "y", 0.7)], "a").values.tolist() == [[0.6]]
    assert plain({"x": np.float64(-0.0), "y": [np.inf, np.nan]}) == {"x": 0.0, "y": ["inf", None]}
    assert not Refusal("why")
