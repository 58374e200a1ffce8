"""Verdicts: one interval against scipy, the calls that follow from it, looks, order of runs."""

import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.records import Refusal, Score, cells, generator, ordered, plain, to_json
from analysis.statistics.verdicts import looks
from analysis.statistics.verdicts.compare import compare
from analysis.statistics.verdicts.interval import LEAST, Rest, mean_interval, rest_of
from analysis.statistics.verdicts.judge import judge
from analysis.statistics.verdicts.records import Pair, Verdict
from benchmarks.statistics import simulate
from benchmarks.statistics import verdicts as measured
from benchmarks.statistics.stores import DEPTH, NOISES, family, read
from tests.fixtures.verdict_scores import NAMES, call, drawn, rows


@pytest.mark.parametrize("seeds", looks.SHARES)
def test_of_two_pipelines_the_interval_is_students_t_at_the_level_of_the_look(seeds: int) -> None:
    values = generator(0, f"t {seeds}").standard_normal((2, seeds, 1))
    found = call(rows(values), budget=30)
    theirs = stats.ttest_rel(*values[..., 0]).confidence_interval(1 - 0.05 * looks.SHARES[seeds])
    assert (found.effect.low, found.effect.high) == pytest.approx((theirs.low, theirs.high))
    assert found.level == pytest.approx(1 - 0.05 * looks.SHARES[seeds])


def test_error_rates_of_all_looks_add_up_to_that_of_the_family() -> None:
    assert sum(looks.error_rate(n, 11) for n in looks.SHARES) == pytest.approx(0.05 / 11)
    assert [looks.look(n) for n in (2, 3, 4, 5, 9, 10, 99)] == [0, 3, 3, 5, 5, 10, 40]


def test_the_rest_is_what_the_median_of_the_others_says_and_one_more_noisy_one_hardly_moves_it() -> None:
    """Expected is the variance of the difference, of runs that scatter alike; seeds shift all of them and do not count."""
    values = generator(0, "rest").standard_normal((6, 4))
    rest = rest_of(values + np.arange(4))
    theirs = [np.cov(c - (values[0] + values[1]) / 2) for c in values[2:]]
    assert rest.variance == pytest.approx(4 / 3 * np.median(theirs))
    assert rest.freedom == 12
    assert rest_of(values[:2]) is None
    many = generator(0, "rests").standard_normal((3, 20_000))
    assert rest_of(many).variance == pytest.approx(2.0, rel=0.03)
    noisy = np.concatenate([values, 100 * values[:1, ::-1]])
    among = sorted(4 / 3 * v for v in theirs)
    assert among[1] <= rest_of(noisy).variance <= among[2]


def test_the_interval_is_the_shorter_of_students_and_welchs() -> None:
    values = generator(0, "shorter").standard_normal((7, 3))
    d, rest = values[0] - values[1], rest_of(values)
    own, level = d.var(ddof=1), 0.998
    freedom = (own + rest.variance) ** 2 / (own**2 / 2 + rest.variance**2 / rest.freedom)
    sides = (
        stats.t.ppf(0.999, 2) * np.sqrt(own / 3),
        stats.t.ppf(0.999, freedom) * np.sqrt((own + rest.variance) / 3),
    )
    found = mean_interval(d, d, level, rest)
    assert found.high - found.value == pytest.approx(min(sides))
    assert mean_interval(d, d, level).high - found.value == pytest.approx(sides[0])


@pytest.mark.parametrize(("seeds", "budgets"), [(3, 1), (5, 6), (10, 4)])
def test_the_arrays_that_are_measured_are_the_verdicts_that_are_given(seeds: int, budgets: int) -> None:
    """Rates of docs/explanation/statistics.md come from `read`; it calls what `compare` calls."""
    rng, counted = generator(0, f"tie {seeds}"), set()
    first, second = family(4)
    pairs = [(NAMES[a], NAMES[b]) for a, b in zip(first, second, strict=True)]
    for k, law in enumerate(
        (NOISES["normal"], NOISES["unequal s.d., 5 to 1"], *[NOISES["one pipeline collapses in 20 %"]] * 2)
    ):
        values = law(rng, (5, 4, seeds, budgets))
        values[:, 2] += (0.0, 6.0, 20.0, 20.0)[k]
        worst = -DEPTH if k < 3 else -3 * DEPTH  # of which a collapse costs less than half
        told = read(values, margin=6.0, worst=worst)
        for store, sign, same in zip(values, told.sign, told.equivalent, strict=True):
            found = compare(rows(store, simulate.PAPER_SIZES[:budgets]), margin=6.0, higher_is_better=True, budget=1,
                            pairs=pairs, worst=worst)  # fmt: skip
            wanted = ["equivalent" if e else {1: "better", -1: "worse", 0: "undecided"}[int(s)]
                      for s, e in zip(sign, same, strict=True)]  # fmt: skip
            assert [v.call for v in found] == wanted
            counted |= set(wanted)
    assert {"better", "undecided"} <= counted


def test_the_rates_that_docs_promise_hold_on_few_stores() -> None:
    """Small copies of docs/explanation/statistics.md: 300 families of seven pipelines; 6 % and four s.d. of 300."""
    for name, law in NOISES.items():
        rng = generator(1, name)
        for seeds in (3, 5, 10):
            assert read(law(rng, (300, 7, seeds, 1))).false(name).mean() <= 0.06
    for seeds, shift in measured.SHIFTS:
        assert (read(measured.moved(300, 7, seeds, shift)).sign[:, 5] == 1).mean() >= 0.95


def test_looking_after_every_seed_does_not_add_up() -> None:
    values = NOISES["normal"](generator(0, "looking"), (2000, 2, looks.MOST, 1))
    ever = np.any([read(values[:, :, :n]).sign.any(axis=1) for n in range(3, looks.MOST + 1)], axis=0)
    assert ever.mean() <= 0.05


def test_the_calls_follow_from_the_interval() -> None:
    for shift, options in ((3.0, {}), (3.0, {"higher_is_better": False}), (0.0, {}), (0.0, {"margin": 3.0})):
        found = call(drawn(shift), **options)
        low, high = found.effect.low, found.effect.high
        wanted = "equivalent" if options.get("margin", 0.05) > max(-low, high) else "undecided"
        wanted = "better" if low > 0 else "worse" if high < 0 else wanted
        assert found.call == wanted
        assert "a real difference" not in found.note
    small = call(drawn(3.0), margin=9.0)
    assert (small.call, "a real difference" in small.note) == ("equivalent", True)


def test_differences_that_agree_by_rounding_are_not_sure_beside_others() -> None:
    rest, equal = Rest(0.02**2, 2), np.full(3, 0.01)
    assert mean_interval(equal, equal, 0.99, rest).high - 0.01 == pytest.approx(
        stats.t.ppf(0.995, 2) * 0.02 * (LEAST / 3) ** 0.5
    )


def test_the_permutation_p_is_scipys_exact_one_and_warns() -> None:
    found = call(drawn(9.0, seeds=3, budgets=1), budget=1)
    assert (found.call, found.p, found.least_p) == ("better", 0.25, 0.25)
    assert "the permutation test alone would not call it" in found.note
    assert "permutation" not in call(drawn(9.0, seeds=10, budgets=1), budget=1).note
    scores = drawn(0.4, seeds=10, budgets=1)
    a, b = (np.array([s.value for s in ordered(scores) if s.pipeline == n]) for n in "ab")
    signs = 1 - 2 * ((np.arange(1024)[:, None] >> np.arange(10)) & 1)
    assert call(scores, budget=1).p == pytest.approx(
        np.mean(np.abs(signs @ (a - b)) >= abs((a - b).sum()) - 1e-9)
    )


@pytest.mark.parametrize(("first", "p"), [((1.0, np.inf), 0.25), ((-np.inf, -1.0), 0.75), ((0.5, 1.5), 0.25)])
def test_of_a_censored_difference_its_known_end_is_permuted(first: tuple[float, float], p: float) -> None:
    """Of eight sign patterns of 1, 2 and 1 a mean of 4/3 or more has two, one of 2/3 or more six."""
    low, high = np.array([first, (2.0, 2.0), (1.0, 1.0)]).T
    (found,) = judge([Pair("a", "b", (0, 1, 2), low, high, 3)], margin=0.1)
    assert found.p == p


def test_seeds_between_looks_wait() -> None:
    scores = drawn(1.0, seeds=7, budgets=1)
    found = call(scores, budget=1)
    assert found.seeds == 5
    assert "the first 5 of 7 seeds count, the others only when there are 10" in found.note
    assert found.effect == call([s for s in scores if s.seed < 5], budget=1).effect
    low = [replace(s, value=-60.0) if (s.pipeline, s.seed) in {("a", 1), ("a", 6)} else s for s in scores]
    assert re.findall(r"(a with seed \d) at 1 slice", call(low, budget=1).note) == ["a with seed 1"]
    lead = drawn(7.0, seeds=9, budgets=1)  # 9 runs without a collapse would make it sure, 5 do not
    five, nine = (call([s for s in lead if s.seed < n], budget=1) for n in (5, 9))
    assert (five.call, nine.call) == ("undecided", "undecided")
    assert "would show this lead and no collapse in 5 runs" in nine.note


def test_extra_seeds_at_one_budget_do_not_move_overall() -> None:
    whole = drawn(0.0, seeds=5, budgets=2)
    more = [Score(p, 1, s, str(s), 9.0 if p == "a" else 0.0) for p in "ab" for s in range(5, 12)]
    assert call([*whole, *more]).effect == call(whole).effect
    assert call([*whole, *more], budget=1).effect != call(whole, budget=1).effect


def test_seeds_of_one_pretraining_count_as_one() -> None:
    scores = drawn(0.0, seeds=9, budgets=2)
    two = call(scores, units=lambda a, b: {s: s % 2 for s in range(9)})
    assert two.short.startswith("a and b have 2 pretrainings with pairs of equal seed and subset overall")
    found = call(scores, units=lambda a, b: {s: s % 3 for s in range(9)})
    differences = np.array([[s.value for s in ordered(scores) if s.pipeline == n] for n in "ab"])
    d = np.subtract(*differences).reshape(2, 9).mean(axis=0)  # scores are in the order of budgets, then seeds
    units = [d[k::3].mean() for k in range(3)]
    theirs = stats.ttest_1samp(units, 0).confidence_interval(1 - 0.05 * looks.SHARES[3])
    assert found.seeds == 3
    assert (found.effect.low, found.effect.high) == pytest.approx((theirs.low, theirs.high))
    more = [replace(s, seed=9, subset="9", value=50.0 * (s.pipeline == "a")) for s in scores if s.seed == 0]
    unknown = call([*scores, *more], units=lambda a, b: {s: s % 3 for s in range(9)})
    assert unknown.effect == found.effect  # of seed 9 it is not known what it starts from


def test_other_pipelines_shorten_the_interval_of_few_seeds_and_never_move_it(monkeypatch) -> None:
    scores, found = drawn(0.0, seeds=3, pipelines=7, budgets=1), []
    for pairs in ([("a", "b")], [(n, "b") for n in "acdefg"]):  # at one error rate of each pair
        monkeypatch.setattr(looks, "ALPHA", 0.05 * len(pairs))
        found.append(compare(scores, margin=0.05, higher_is_better=True, budget=1, pairs=pairs)[0])
    alone, among = (v.effect for v in found)
    assert found[0].level == pytest.approx(found[1].level)
    assert among.value == alone.value
    assert among.high - among.low < alone.high - alone.low


def test_too_few_seeds_are_refused_and_do_not_count() -> None:
    assert all(isinstance(v, Refusal) for v in compare(drawn(1.0, seeds=2), margin=1, higher_is_better=True))
    scores = drawn(0.0, pipelines=3)
    short = [s for s in scores if s.pipeline != "c" or s.seed < 2]
    found = compare(short, margin=0.05, higher_is_better=True)
    assert [isinstance(v, Refusal) for v in found] == [False, True, True]
    assert found[0].level == call(scores).level


def test_pairs_need_equal_seed_and_subset() -> None:
    scores = [Score("a", 30, s, "x", 0.5 + 0.01 * s) for s in range(5)]
    scores += [Score("b", 30, s, "y", 0.4) for s in range(5)]
    (found,) = compare(scores, margin=0.01, higher_is_better=True)
    assert found.short == "a and b have 0 pairs of equal seed and subset overall, at least 3 are wanted"
    assert found.reason == f"insufficient evidence: {found.short}"
    same = [Score(s.pipeline, s.budget, s.seed, "x", s.value) for s in scores]
    (found,) = compare(same, margin=0.01, higher_is_better=True, budget=30)
    assert isinstance(found, Verdict)
    assert (found.seeds, found.call) == (5, "better")
    more = [replace(s, subset="y", value=s.value + (0.2 if s.pipeline == "a" else 0)) for s in same]
    assert call([*same, *more], budget=30).effect.value == pytest.approx(found.effect.value + 0.1)
    with pytest.raises(ValueError, match="margin"):
        compare(same, margin=0.0, higher_is_better=True)


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
    assert repr(plain({"x": np.float64(-0.0), "y": [np.inf, np.nan]})) == "{'x': 0.0, 'y': ['inf', None]}"
    assert plain(1 / 3) == 0.3333333333
    assert not Refusal("why")
