"""Verdicts: one interval against scipy, the calls that follow from it, looks, collapses, plans, order of runs."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from analysis.statistics import simulate
from analysis.statistics.known_answers import verdicts as measured
from analysis.statistics.known_answers.stores import DEPTH, EQUAL_MEANS, NOISES, family, read
from analysis.statistics.records import Refusal, Score, cells, generator, ordered, plain, to_json
from analysis.statistics.verdicts import looks
from analysis.statistics.verdicts.collapse import (
    CLEAR,
    DEEP,
    collapsed,
    far_below,
    open_rate,
    scatter,
    unseen,
)
from analysis.statistics.verdicts.compare import compare, verdict
from analysis.statistics.verdicts.interval import LEAST, Rest, mean_interval, rest_of
from analysis.statistics.verdicts.judge import Verdict
from analysis.statistics.verdicts.power import least_lead, more_seeds, power

NAMES = tuple("abcdefg")


def rows(values: np.ndarray, budgets: tuple[int, ...] = (30,)) -> list[Score]:
    """Scores of an array [P, S, B]."""
    return simulate.scores(NAMES[: len(values)], values, budgets)


def drawn(shift: float, seeds: int = 10, pipelines: int = 2, budgets: int = 4, name: str = "") -> list[Score]:
    """Runs of unit s.d. of which the first pipeline is ``shift`` better."""
    values = generator(0, f"compare {shift} {seeds} {name}").standard_normal((pipelines, seeds, budgets))
    values[0] += shift
    return rows(values, simulate.PAPER_SIZES[:budgets])


def call(scores: list[Score], margin: float = 0.05, **options) -> Verdict:
    return verdict(scores, "a", "b", margin=margin, **({"higher_is_better": True} | options))


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


@pytest.mark.parametrize(
    ("seeds", "pipelines", "budgets"), [(3, 2, 1), (3, 7, 1), (5, 2, 1), (5, 7, 1), (5, 7, 4)]
)
@pytest.mark.parametrize(("rate", "place"), EQUAL_MEANS)
def test_unseen_collapses_make_no_pipeline_the_better_one(
    rate: float, place: int, seeds: int, pipelines: int, budgets: int
) -> None:
    """Equal means, of which one is that of a pipeline that collapses: 1,000 families; 6 % and two s.d. of 1,000."""
    values = EQUAL_MEANS[rate, place](generator(2, f"unseen {rate}"), (1000, pipelines, seeds, budgets))
    assert read(values, worst=-DEPTH).sign.any(axis=1).mean() <= 0.075


def test_falls_that_leave_more_than_half_of_a_score_count_by_what_they_cost() -> None:
    """Equal means, one run of five falls 20 of 44 s.d., seen at other budgets: a third of families were called."""
    values = EQUAL_MEANS[0.2, -1](generator(2, "half left"), (1000, 5, 5, 4))
    assert read(values, worst=-2 * DEPTH).sign.any(axis=1).mean() <= 0.075
    jitter = generator(0, "jitter").normal(0, 0.001, (2, 10, 2))
    values = jitter + np.array([0.6, 0.5])[:, None, None]
    values[0, 4, 1] = 0.4  # by a third; of 20 runs it leaves 22 % open, which cost 0.04 and not 0.13
    found = call(rows(values, (30, 100)), budget=30, worst=0.0)
    assert found.call == "better"
    values[1] += 0.08
    found = call(rows(values, (30, 100)), budget=30, worst=0.0)
    assert (found.call, found.effect.low > 0.015) == ("undecided", True)
    assert "1 of 20 runs of a far below its others: up to 22% may fall as far, and from" in found.note


@pytest.mark.parametrize("place", [-1, 0])
@pytest.mark.parametrize(("pipelines", "budgets"), [(7, 1), (5, 2)])
def test_unseen_collapses_at_several_looks_add_up_to_no_more(
    pipelines: int, budgets: int, place: int
) -> None:
    """Equal means, collapses in one of five runs, of scratch as well: 2,000 families; 6 % and two s.d. of 2,000."""
    values = EQUAL_MEANS[0.2, place](generator(2, "unseen at looks"), (2000, pipelines, 40, budgets))
    for looked in (tuple(looks.SHARES), (3, 7, 10)):
        called = [read(values[:, :, :n], worst=-DEPTH).sign.any(axis=1) for n in looked]
        assert np.any(called, axis=0).mean() <= 0.071


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
    over[1, 2, 0] = 0.05  # none of the three has arrived: none of them fell
    assert collapsed(rows(over, (30, 100)), 0.0) == ()


def test_the_chance_of_collapses_that_were_not_seen() -> None:
    """Where the s.d. is known: none among 5 runs, times the normal tail beyond what one of five costs; and by simulation."""
    lead, noise = 5.0, (2 / 5) ** 0.5
    wanted = [(1 - r) ** 5 * stats.norm.sf((lead - DEEP * r) / noise) for r in (0.1, 0.2)]
    assert unseen(lead, 5, 5, 1.0, 1e7) == pytest.approx(max(wanted), rel=1e-3)
    shallow = [(1 - r) ** 5 * stats.norm.sf((lead - 10 * r) / noise) for r in (0.1, 0.2)]
    assert unseen(2 * lead, 5, 5, 2.0, 1e7, 20.0) == pytest.approx(max(shallow), rel=1e-3)
    assert unseen(least_lead(3, 12, 8), 3, 12, 1.0, 8) == pytest.approx(looks.UNSEEN[3], rel=1e-3)
    assert least_lead(10, 70, 54) == 0.0
    for freedom in (2, 234):  # means of runs that nearly agree: a collapse costs ten thousand s.d. of theirs
        most = least_lead(3, 3, freedom, 2e4)
        assert unseen(most, 3, 3, 1.0, freedom, 2e4, np.inf) == pytest.approx(looks.UNSEEN[3], rel=1e-3)
    twice = [(1 - r) ** 5 * stats.norm.sf((2 * lead - 2 * DEEP * r) / noise) for r in (0.1, 0.2)]
    assert unseen(2 * lead, 5, 5, 1.0, 1e7, averaged=2.0) == pytest.approx(max(twice), rel=1e-3)
    rng = generator(0, "unseen")
    values = rng.standard_normal((20_000, 4, 5))
    spread, freedom = scatter(values)
    leads = DEEP * 0.2 + values[:, 0].mean(axis=1) - values[:, 1].mean(axis=1)
    called = (leads > least_lead(5, 5, int(freedom[0])) * spread) & (rng.random(20_000) < 0.8**5)
    assert called.mean() == pytest.approx(looks.UNSEEN[5], abs=0.004)


def test_the_scatter_of_runs_is_beside_their_seed_and_without_a_noisy_pipeline() -> None:
    values = generator(0, "scatter").standard_normal((4, 6))
    spread, freedom = scatter(values + 100 * np.arange(6))
    left = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    assert (spread**2, freedom) == pytest.approx(((left**2).sum() / 15, 15))
    noisy = np.concatenate([values, 50 * values[:1, ::-1]])
    assert scatter(noisy) == pytest.approx(scatter(values))


def test_a_small_lead_of_few_runs_is_not_called_and_further_budgets_call_it() -> None:
    """A lead of 5 s.d. of a run, by its interval sure: at one budget a pipeline that is no better may show it, too."""
    values = generator(0, "a small lead").normal(0, 0.01, (7, 5, 7))
    values[0] += 0.05
    one, many = (compare(rows(v, simulate.PAPER_SIZES[: v.shape[2]]), margin=0.01, higher_is_better=True, budget=1,
                         pairs=[("a", n) for n in "bcdefg"], worst=-0.6)[0] for v in (values[..., :1], values))  # fmt: skip
    assert one.effect == many.effect
    assert one.effect.low > 0
    assert (one.call, many.call) == ("undecided", "better")
    assert "5 runs without a collapse and this lead are seen in" in one.note


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
    small = call(drawn(3.0), margin=9.0)
    assert (small.call, "a real difference" in small.note) == ("equivalent", True)


def test_equivalence_excludes_rare_collapses() -> None:
    """29 runs without a collapse leave less than one in ten; fewer say nothing of it, however alike they are."""
    assert 0.9**CLEAR < 0.05 < 0.9 ** (CLEAR - 1)
    assert open_rate(CLEAR) < 0.1 < open_rate(CLEAR - 1)
    few = call(drawn(0.0, budgets=2), margin=9.0)
    assert few.call == "undecided"
    assert "29 runs of each without a collapse are wanted, not 20" in few.note
    scores = drawn(0.0)
    fallen = [s if s != scores[3] else Score(s.pipeline, s.budget, s.seed, s.subset, -60.0) for s in scores]
    found = call(fallen, margin=40.0, budget=1)
    assert found.call == "undecided"
    assert "not equivalent: a run lies far below the others" in found.note


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


def test_a_call_says_what_unseen_collapses_it_stands() -> None:
    """0.6 against 0.5, surely by 0.097 of a depth of 0.6: a collapse in one run of six would undo it."""
    jitter = generator(0, "jitter").normal(0, 0.001, (2, 10, 1))
    scores = rows(jitter + np.array([0.6, 0.5])[:, None, None])
    found = call(scores, budget=30, worst=0.0)
    assert found.call == "better"
    assert (
        f"stands if a collapses in fewer than {found.effect.low / 0.6:.0%} of runs; these leave up to 26%"
        in found.note
    )
    assert "stands" not in call(rows(jitter + np.array([0.6, 0.1])[:, None, None]), budget=30, worst=0.0).note


def test_a_pipeline_that_has_collapsed_leads_by_what_its_collapses_leave_open() -> None:
    """One of 20 runs may be one in five (22 %); of 0.6 that is 0.13: a lead of 0.1 is open, one of 0.5 is not."""
    assert open_rate(20, 1) == pytest.approx(stats.binomtest(1, 20, alternative="less").proportion_ci().high)
    assert open_rate(20, 20) == 1.0
    jitter = generator(0, "jitter").normal(0, 0.001, (2, 10, 2))
    values = jitter + np.array([0.6, 0.5])[:, None, None]
    values[0, 4, 1] = 0.05  # at 100 slices; nothing is to be seen of it at 30
    found = call(rows(values, (30, 100)), budget=30, worst=0.0)
    assert (found.call, found.effect.low > 0.09) == ("undecided", True)
    told = (
        "1 of 20 runs of a collapsed: up to 22% may collapse, and from 16% on it would not be the better one"
    )
    assert told in found.note
    values[1] -= 0.4
    assert call(rows(values, (30, 100)), budget=30, worst=0.0).call == "better"
    values[1] += 0.6
    assert call(rows(values, (30, 100)), budget=30, worst=0.0).call == "worse"  # which collapses cannot undo


def test_a_missing_run_is_named_and_counts_as_one_that_collapsed() -> None:
    """Two of ten leave up to half of all open, which a lead of 0.1 of 0.6 does not stand; of the other pipeline they may."""
    jitter = generator(0, "jitter").normal(0, 0.001, (2, 10, 2))
    scores = rows(jitter + np.array([0.6, 0.5])[:, None, None], (30, 100))
    gone = {"a": {(30, 3), (30, 7)}}
    left = [s for s in scores if (s.budget, s.seed) not in gone["a"] or s.pipeline != "a"]
    assert call(left, budget=30, worst=0.0).call == "better"
    found = call(left, budget=30, worst=0.0, missing=gone)
    assert found.call == "undecided"
    assert "missing: a with seed 3 at 30 slices, a with seed 7 at 30 slices" in found.note
    told = f"2 of 20 runs of a missing, counted as collapsed: up to {open_rate(20, 2):.0%} may collapse, and from"
    assert told in found.note
    other = call(left, budget=100, worst=0.0, missing=gone)
    assert (other.call, "missing" in other.note.partition("2 of 20")[0]) == ("undecided", False)
    worse = call([s for s in scores if s.seed not in (3, 7)], budget=30, worst=0.0, missing={"b": gone["a"]})
    assert (worse.call, "missing: b with seed 3" in worse.note) == ("better", True)
    alike = rows(jitter + 0.5, (30, 100)) + rows(jitter + 0.5, (10, 300))
    assert call(alike, budget=30, margin=0.1).call == "equivalent"
    told = call(alike, budget=30, margin=0.1, missing={"b": {(30, 12)}})
    assert (told.call, "but not equivalent: a run is missing" in told.note) == ("undecided", True)


@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_runs_that_failed_because_they_went_badly_make_no_pipeline_the_better_one(rate: float) -> None:
    """Equal means; the collapsed runs of one of three pipelines have no score, at 10 seeds and at the last budget 5."""
    rng, called = generator(0, f"missing {rate}"), 0
    for _ in range(40):
        values = 0.3**0.5 * rng.standard_normal((1, 10, 4)) + 0.7**0.5 * rng.standard_normal((3, 10, 4))
        down = rng.random((10, 4)) < rate
        values[0] += DEPTH * rate - DEPTH * down
        scores = [s for s in rows(values, simulate.PAPER_SIZES[:4]) if s.budget < 15 or s.seed < 5]
        gone = {(n, s) for k, n in enumerate(simulate.PAPER_SIZES[:4]) for s in range(10) if down[s, k]}
        left = [s for s in scores if s.pipeline != "a" or (s.budget, s.seed) not in gone]
        given = {"margin": 0.5, "higher_is_better": True, "budget": 1, "pairs": [("a", "b"), ("a", "c")]}
        called += any(
            v and v.call == "better" for v in compare(left, worst=-2 * DEPTH, missing={"a": gone}, **given)
        )
    assert called <= 4  # 6 % and one s.d. of 40; without the missing ones all of them


def test_differences_that_agree_by_rounding_are_not_sure_beside_others() -> None:
    rest, equal = Rest(0.02**2, 2), np.full(3, 0.01)
    assert mean_interval(equal, equal, 0.99, rest).high - 0.01 == pytest.approx(
        stats.t.ppf(0.995, 2) * 0.02 * (LEAST / 3) ** 0.5
    )


def test_the_permutation_p_is_scipys_exact_one_and_warns() -> None:
    found = call(drawn(9.0, seeds=3, budgets=1), budget=1)
    assert (found.call, found.p, found.least_p) == ("better", 0.25, 0.25)
    assert "the permutation test does not reject" in found.note
    scores = drawn(0.4, seeds=10, budgets=1)
    a, b = (np.array([s.value for s in ordered(scores) if s.pipeline == n]) for n in "ab")
    signs = 1 - 2 * ((np.arange(1024)[:, None] >> np.arange(10)) & 1)
    assert call(scores, budget=1).p == pytest.approx(
        np.mean(np.abs(signs @ (a - b)) >= abs((a - b).sum()) - 1e-9)
    )


def test_seeds_between_looks_wait() -> None:
    scores = drawn(1.0, seeds=7, budgets=1)
    found = call(scores, budget=1)
    assert found.seeds == 5
    assert "the first 5 of 7 seeds are read, the next look is at 10" in found.note
    assert found.effect == call([s for s in scores if s.seed < 5], budget=1).effect
    lead = drawn(7.0, seeds=9, budgets=1)  # 9 runs without a collapse would make it sure, 5 do not
    five, nine = (call([s for s in lead if s.seed < n], budget=1) for n in (5, 9))
    assert (five.call, nine.call) == ("undecided", "undecided")
    assert "5 runs without a collapse and this lead are seen in" in nine.note


def test_extra_seeds_at_one_budget_do_not_move_overall() -> None:
    whole = drawn(0.0, seeds=5, budgets=2)
    more = [Score(p, 1, s, str(s), 9.0 if p == "a" else 0.0) for p in "ab" for s in range(5, 12)]
    assert call([*whole, *more]).effect == call(whole).effect
    assert call([*whole, *more], budget=1).effect != call(whole, budget=1).effect


def test_seeds_of_one_pretraining_count_as_one() -> None:
    scores = drawn(0.0, seeds=9, budgets=2)
    found = call(scores, units=lambda a, b: {s: s % 3 for s in range(9)})
    differences = np.array([[s.value for s in ordered(scores) if s.pipeline == n] for n in "ab"])
    d = np.subtract(*differences).reshape(2, 9).mean(axis=0)  # scores are in the order of budgets, then seeds
    units = [d[k::3].mean() for k in range(3)]
    theirs = stats.ttest_1samp(units, 0).confidence_interval(1 - 0.05 * looks.SHARES[3])
    assert found.seeds == 3
    assert (found.effect.low, found.effect.high) == pytest.approx((theirs.low, theirs.high))


def by_thirds(a: str, b: str) -> dict[int, int] | None:
    """Pipeline a has three pretrainings, b none: seed i starts from the one at place i mod 3."""
    return {s: s % 3 for s in range(10)} if "a" in (a, b) else None


def test_of_several_pretrainings_each_is_one_chance_to_see_a_collapse() -> None:
    """A lead of 4 s.d. of a run, at 10 seeds and 4 budgets: 40 runs, or three pretrainings, without a collapse."""
    rng = generator(0, "pretrainings")
    noise, thirds = rng.standard_normal((2, 10, 4)), np.arange(10) % 3
    for k in range(3):  # fine-tunings scatter by one, their means over a pretraining by a tenth of it
        noise[0, thirds == k] += 0.1 * rng.standard_normal(4) - noise[0, thirds == k].mean(axis=0)
    scores = rows(np.stack([noise[1] + 4.0 + noise[0], noise[1]]), simulate.PAPER_SIZES[:4])
    whole, several = (call(scores, budget=1, worst=-60.0, units=u) for u in (None, by_thirds))
    assert (whole.call, whole.unit) == ("better", "seed")
    assert (several.call, several.unit, several.seeds) == ("undecided", "pretraining", 3)
    assert several.effect.low > 0
    assert "3 pretrainings without a collapse and this lead are seen in" in several.note
    assert "in one of ten or five pretrainings" in several.note
    assert several.more is None or "pretraining" in several.more.text
    alike = call(drawn(0.0), margin=60.0, units=by_thirds)
    assert (alike.call, call(drawn(0.0), margin=60.0).call) == ("undecided", "equivalent")
    assert "29 pretrainings of each without a collapse are wanted, not 3" in alike.note
    sunk = [replace(s, value=-55.0) if (s.pipeline, s.seed % 3) == ("a", 1) else s for s in drawn(30.0)]
    assert call(sunk, budget=1, worst=-60.0, units=by_thirds).call == "undecided"


def test_runs_of_a_pipeline_without_pretrainings_count_beside_one_that_has_them() -> None:
    """The better one has 40 runs, which leave 7 % open, whatever the three pretrainings of the other leave."""
    noise = generator(0, "beside").standard_normal((2, 10, 4))
    scores = rows(np.stack([noise[1] - 30.0, noise[1] + 0.1 * noise[0]]), simulate.PAPER_SIZES[:4])
    sure, unsure = (call(scores, budget=1, worst=worst, units=by_thirds) for worst in (-60.0, -2000.0))
    assert (sure.call, unsure.call, sure.seeds) == ("worse", "worse", 3)
    assert "stands" not in sure.note
    assert f"of runs; these leave up to {open_rate(40):.0%} open" in unsure.note


@pytest.mark.parametrize("kind", ["pretrainings", "overall"])
def test_collapses_that_were_not_seen_behind_a_mean_of_several_runs(kind: str) -> None:
    """Equal means, collapses in one of five pretrainings, in one of ten runs at four budgets: a half and 12 % were called."""
    rng, called = generator(0, f"behind {kind}"), 0
    for _ in range(80):
        values = rng.standard_normal((2, 10 if kind == "pretrainings" else 5, 4))
        if kind == "pretrainings":
            values[0] += DEPTH * (0.2 - (rng.random(3) < 0.2)[np.arange(10) % 3, None])
        else:
            values[0] += DEPTH * (0.1 - (rng.random((5, 4)) < 0.1))
        units = by_thirds if kind == "pretrainings" else None
        found = call(
            rows(values, simulate.PAPER_SIZES[:4]), worst=-DEPTH, units=units, budget=1 if units else None
        )
        called += found.call != "undecided"
    assert called <= 8  # 6 % and one and a half s.d. of 80


def test_other_pipelines_shorten_the_interval_of_few_seeds_and_never_move_it() -> None:
    scores = drawn(0.0, seeds=3, pipelines=7, budgets=1)
    alone, among = (compare(scores, margin=0.05, higher_is_better=True, budget=1, pairs=pairs, alpha=alpha)[0].effect
                    for pairs, alpha in (([("a", "b")], 0.05), ([(n, "b") for n in "acdefg"], 0.3)))  # fmt: skip
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
    assert "0 pairs" in found.reason
    same = [Score(s.pipeline, s.budget, s.seed, "x", s.value) for s in scores]
    (found,) = compare(same, margin=0.01, higher_is_better=True, budget=30)
    assert isinstance(found, Verdict)
    assert (found.seeds, found.call) == (5, "better")
    with pytest.raises(ValueError, match="margin"):
        compare(same, margin=0.0, higher_is_better=True)


def test_power_by_simulation() -> None:
    for effect, seeds, error_rate in ((2.0, 5, 0.012), (6.0, 3, 0.02), (1.0, 10, 0.01)):
        d = generator(0, f"power {effect}").normal(effect, 1.0, (4000, seeds))
        hits = np.mean(stats.ttest_1samp(d, 0, axis=1).pvalue <= error_rate)
        assert power(effect, seeds, error_rate) == pytest.approx(hits, abs=0.03)
    assert power(50.0, 40, 1e-4) == pytest.approx(1.0)


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
