"""What one interval says of a pair of pipelines: better, worse, equivalent or undecided, and what to know beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from analysis.statistics.records import Estimate, Refusal, Score, plural
from analysis.statistics.verdicts import looks
from analysis.statistics.verdicts.collapse import CLEAR, DEEP, RATES, Sinking, open_rate, unseen
from analysis.statistics.verdicts.interval import Rest, mean_interval
from analysis.statistics.verdicts.power import MoreSeeds, least_lead, more_seeds

CALLS = ("better", "worse", "equivalent", "undecided")
ALIKE = "within the margin, but not equivalent: "  # begins the note of such a pair, before the reason
SAID = 4  # missing cells that are named beside a call
EXACT = 2**12  # sign patterns up to which the permutation test counts all of them, beyond it draws as many


@dataclass(frozen=True)
class Verdict:
    """`a` against `b`; `effect` is the mean paired difference, positive when `a` is the better.

    The call is what `effect`'s interval says, at confidence `level` (of the family: 1 − α). `p` is that of the
    exact sign-flip permutation test of this pair alone, `least_p` the least that so many seeds can give: they warn,
    and decide nothing. `budget` None means overall; `margin` is the half-width that counts as equivalent.
    """

    a: str
    b: str
    budget: int | None
    call: str
    effect: Estimate
    level: float
    p: float
    least_p: float
    seeds: int
    margin: float
    more: MoreSeeds | None
    note: str
    about: str = ""  # what varied between the runs, in words
    unit: str = "seed"  # of which `seeds` are counted: seed, or pretraining where there are several


@dataclass(frozen=True)
class Pair:
    """Differences of two pipelines at `seeds` [S], known to lie between `low` [S] and `high` [S].

    `runs` is the smaller number of runs of the two, at all budgets (of pretrainings, of a pipeline with several);
    `fallen` are those runs that lie far below the others; `sinking` is what is known of collapses of `a` and of `b`; `rest`
    is what the other pipelines say about the variance; `scatter` is that of `collapse.scatter`, and `averaged` how many
    times as large that of a single run is; `unit` is what `seeds` are: seeds, or pretrainings;
    `missing` are cells of the two (name, budget, seed) that have no score.
    """

    a: str
    b: str
    seeds: Sequence[int]
    low: np.ndarray
    high: np.ndarray
    runs: int
    fallen: tuple[Score, ...] = ()
    sinking: tuple[Sinking, Sinking] | None = None
    rest: Rest | None = None
    scatter: tuple[float, float] = (0.0, 1.0)
    averaged: float = 1.0
    unit: str = "seed"
    missing: tuple[tuple[str, int, int], ...] = ()


def judge(
    pairs: Sequence[Pair | Refusal],
    *,
    margin: float,
    budget: int | None = None,
    alpha: float = looks.ALPHA,
    counts: str = "slice",
) -> tuple[Verdict | Refusal, ...]:
    """The verdicts of one family; refusals stay what they are, and do not count in it. A budget `counts` slices or patients.

    Raises:
        ValueError: when the margin is not positive.
    """
    if not margin > 0:
        raise ValueError(f"a margin above zero, in units of the score, is wanted, {margin} came")
    family = [p for p in pairs if isinstance(p, Pair)]
    of_each = Counter(name for p in family for name in (p.a, p.b))
    return tuple(
        p if isinstance(p, Refusal) else _verdict(p, margin, budget, len(family), of_each, alpha, counts)
        for p in pairs
    )


def _verdict(
    p: Pair,
    margin: float,
    budget: int | None,
    family: int,
    of_each: Mapping[str, int],
    alpha: float,
    counts: str,
) -> Verdict:
    seeds = looks.look(len(p.low))
    low, high = p.low[:seeds], p.high[:seeds]
    error_rate = looks.error_rate(seeds, family, alpha)
    effect = mean_interval(low, high, 1 - error_rate, p.rest)
    alike = -margin < effect.low and effect.high < margin
    differ = effect.low > 0 or effect.high < 0
    call = "undecided"
    if alike and p.runs >= CLEAR and not p.fallen and not p.missing:
        call = "equivalent"
    elif differ:
        call = "better" if effect.low > 0 else "worse"
    call, stands = _stands(p, effect, call, of_each)
    middles = np.where(
        np.isfinite(low) & np.isfinite(high), (low + high) / 2, np.where(np.isfinite(low), low, high)
    )
    permuted, least = _permuted(middles), 2.0 ** (1 - seeds)
    more = more_seeds(middles, family, alpha, _hurdle(p, effect, of_each)) if call == "undecided" else None
    more = replace(more, what=p.unit) if more else None
    notes = [
        *_waiting(len(p.low), seeds, p.unit),
        *_fallen(p, budget, seeds, counts),
        *_missing(p, budget, counts),
        *_alike(p, alike, differ, call),
        *stands,
        *(["the permutation test does not reject: the call rests on differences that scatter as a normal distribution"]
          if call in CALLS[:2] and permuted > alpha else []),
        *([more.text] if more else []),
    ]  # fmt: skip
    return Verdict(
        p.a, p.b, budget, call, effect, 1 - error_rate, permuted, least, seeds, margin, more, "; ".join(notes),
        unit=p.unit,
    )  # fmt: skip


def _waiting(there: int, read: int, unit: str) -> list[str]:
    coming = looks.following(there)
    if there == read or not coming:
        return []
    return [f"the first {read} of {there} {unit}s are read, the next look is at {coming[0]}"]


def _fallen(p: Pair, budget: int | None, read: int, counts: str) -> list[str]:
    return [
        f"{s.pipeline} with seed {s.seed} at {plural(s.budget, counts)} ({s.value:.3g}) lies far below its other runs"
        for s in p.fallen
        if budget in (None, s.budget) and (s.seed in p.seeds[:read] or p.unit != "seed")
    ]


def _missing(p: Pair, budget: int | None, counts: str) -> list[str]:
    """Cells that this call has to do without; a few of them by name."""
    cells = [
        f"{name} with seed {seed} at {plural(n, counts)}"
        for name, n, seed in p.missing
        if budget in (None, n)
    ]
    more = [f"{len(cells) - SAID} more"] if len(cells) > SAID else []
    return [f"missing: {', '.join([*cells[:SAID], *more])}"] if cells else []


def _alike(p: Pair, alike: bool, differ: bool, call: str) -> list[str]:
    """What stands between an interval within the margin and "equivalent"."""
    if not alike:
        return []
    if call != "equivalent":
        why = (
            "a run lies far below the others"
            if p.fallen
            else "a run is missing"
            if p.missing
            else f"{CLEAR} {_counted(p)} of each without a collapse are wanted, not {p.runs}"
        )
        return [f"{ALIKE}{why}"]
    return ["a real difference, smaller than the margin"] if differ else []


def _stands(p: Pair, effect: Estimate, call: str, of_each: Mapping[str, int]) -> tuple[str, list[str]]:
    """The call, and how often the better one may collapse before it is wrong, where its runs cannot exclude as much.

    Of a pipeline that has been seen to collapse, or to fall far below its others, at whatever budget, nothing is called
    that more of these could undo; of the others nothing that a pipeline of equal mean, whose collapses have not been
    seen, would show too often (`unseen`).
    """
    if call not in CALLS[:2] or p.sinking is None:
        return call, []
    name, sinking = (p.a, p.sinking[0]) if call == "better" else (p.b, p.sinking[1])
    least = min(abs(effect.low), abs(effect.high))
    stands = least / max(sinking.cost, 1e-9)
    left = sinking.open or open_rate(sinking.chances)
    if sinking.fallen and stands < left:
        gone = sum(cell[0] == name for cell in p.missing)
        what = (
            "missing, counted as collapsed"
            if gone == sinking.fallen
            else sinking.how + " or missing" * bool(gone)
        )
        may = "collapse" if sinking.cost >= sinking.depth else "fall as far"
        told = (
            f"{sinking.fallen} of {plural(sinking.runs, 'run')} of {name} {what}: up to {left:.0%} may {may}"
        )
        return "undecided", [f"{told}, and from {stands:.0%} on it would not be the better one"]
    seeds = looks.look(len(p.low))
    chances, told = sinking.read(seeds / len(p.low))  # those of seeds that wait for the next look wait, too
    seen = unseen(effect.value, seeds, chances, *p.scatter, sinking.depth, p.averaged)
    rate, chance, granted = max(
        zip(RATES, seen, looks.granted(seeds, of_each[name]), strict=True), key=lambda one: one[1] / one[2]
    )
    if chance > granted:
        return "undecided", [
            f"{told} without a collapse and this lead are seen in {100 * chance:.2g}% of studies in which {name} is no better "
            f"and collapses in one of {1 / rate:.0f} {_counted(p, sinking)}, and above "
            f"{100 * granted:.2g}% it is not called"
            + ("" if sinking.pretrainings else "; runs at other budgets count, too")
        ]
    stands = least / max(sinking.depth, 1e-9)
    if stands >= left or not np.isfinite(sinking.depth):
        return call, []
    return call, [
        f"stands if {name} collapses in fewer than {stands:.0%} of {_counted(p, sinking)}; these leave up to {left:.0%} open"
    ]


def _counted(p: Pair, sinking: Sinking | None = None) -> str:
    """What collapses are counted in, of one pipeline or of both."""
    several = [s.pretrainings for s in ((sinking,) if sinking else p.sinking or ())]
    return "pretrainings" if any(several) else "runs"


def _hurdle(p: Pair, effect: Estimate, of_each: Mapping[str, int]) -> Callable[[int], float]:
    """The least lead that is called after further seeds at this budget, none of which collapses."""
    spread, freedom = p.scatter
    if p.sinking is None or spread <= 0:
        return lambda seeds: 0.0
    better, read = int(effect.value < 0), looks.look(len(p.low))
    sinking, pairs = p.sinking[better], of_each[(p.a, p.b)[better]]
    deep = round(min(DEEP * p.averaged, sinking.depth / spread), 1)

    def least(seeds: int) -> float:
        further = max(seeds - len(p.low), 0)
        return spread * least_lead(
            seeds, sinking.chances + further, round(freedom * (seeds - 1) / (read - 1)), deep, pairs
        )

    return least


def _permuted(differences: np.ndarray) -> float:
    """Two-sided p of the mean under exchange of the two runs of any pair; valid for censored steps, too."""
    d = np.sort(differences)
    if not np.any(d):
        return 1.0
    return float(
        stats.permutation_test(
            (d,), np.mean, permutation_type="samples", n_resamples=EXACT, vectorized=True, rng=0
        ).pvalue
    )
