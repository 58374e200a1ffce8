"""The verdict on each pair of pipelines: better, worse, equivalent or undecided, and what would decide it.

Runs are paired by seed and subset. Per budget a pair of runs is the unit; overall, the differences of one
seed are averaged over its budgets and the seed is the unit. Families are corrected after Holm 1979 (*Scand.
J. Stat.* 6, 65), the tests of difference and those of equivalence each on their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from analysis.statistics.records import (
    FIRM_SEEDS,
    MIN_SEEDS,
    WIDE,
    Estimate,
    Refusal,
    Score,
    ordered,
    pipelines,
    plural,
)
from analysis.statistics.verdicts.permutation import equivalence, sign_flip, smallest_p
from analysis.statistics.verdicts.power import MoreSeeds, more_seeds
from analysis.statistics.verdicts.summaries import improvement

ALPHA = 0.05
MIN_PAIRS = MIN_SEEDS
CALLS = ("better", "worse", "equivalent", "undecided")


@dataclass(frozen=True)
class Verdict:
    """``a`` against ``b``; ``effect`` is the mean paired difference, positive when ``a`` is the better,
    with the t interval of this pair alone (the p after Holm decides, not the interval).

    ``budget`` None means overall; ``pairs`` counts the units of the tests; ``smallest_p`` is the least p
    after Holm that this number of pairs could give; ``margin`` is the half-width called equivalent.
    """

    a: str
    b: str
    budget: int | None
    call: str
    effect: Estimate
    p: float
    p_holm: float
    p_equivalent: float
    p_equivalent_holm: float
    smallest_p: float
    pairs: int
    margin: float
    improvement: Estimate
    more: MoreSeeds | None
    note: str


@dataclass(frozen=True)
class Paired:
    """Differences of one pair of pipelines: ``units`` [U] of the tests, and all of them by seed."""

    a: str
    b: str
    units: np.ndarray
    by_seed: dict[int, list[float]]


@dataclass(frozen=True)
class Family:
    """What the tests of one table share; ``pairs`` of pipelines are corrected for."""

    budget: int | None
    margin: float
    alpha: float
    pairs: int


def paired(scores: Sequence[Score], a: str, b: str, *, higher_is_better: bool, budget: int | None) -> Paired:
    """Join the runs of two pipelines by budget, seed and subset; ``scores`` in the order of `ordered`."""
    sign = 1.0 if higher_is_better else -1.0
    chosen = [s for s in scores if budget is None or s.budget == budget]
    right = {(s.budget, s.seed, s.subset): s.value for s in chosen if s.pipeline == b}
    by_seed: dict[int, list[float]] = {}
    for s in chosen:
        key = (s.budget, s.seed, s.subset)
        if s.pipeline != a or key not in right:
            continue
        by_seed.setdefault(s.seed, []).append(sign * (s.value - right[key]))
    if budget is None:
        units = np.array([np.mean(by_seed[seed]) for seed in sorted(by_seed)])
    else:
        units = np.array([d for seed in sorted(by_seed) for d in by_seed[seed]])
    return Paired(a, b, units, by_seed)


def compare(
    scores: Iterable[Score],
    *,
    margin: float,
    higher_is_better: bool,
    budget: int | None = None,
    pairs: Sequence[tuple[str, str]] | None = None,
    alpha: float = ALPHA,
) -> tuple[Verdict | Refusal, ...]:
    """Verdicts on one family of pairs, sorted by name unless ``pairs`` says which and how round.

    Parameters
    ----------
    scores : one metric of all runs; for steps pass logarithms, with censored runs at their last step.
    margin : differences up to this size do not matter, in units of the score.
    budget : slices; None averages each seed over the budgets that both pipelines have.

    Returns
    -------
    One `Verdict` a pair, or a `Refusal` where fewer than three pairs of runs exist; refused pairs do not
    count in Holm's correction.

    Raises
    ------
    ValueError
        when the margin is not positive.

    Notes
    -----
    ``equivalent`` wins over a significant difference that lies within the margin: the user said that such
    a difference does not matter; the note then says that it is real.
    """
    if not margin > 0:
        raise ValueError(f"a margin above zero, in units of the score, is wanted, {margin} came")
    rows = ordered(scores)
    wanted = combinations(pipelines(rows), 2) if pairs is None else pairs
    joined = [paired(rows, a, b, higher_is_better=higher_is_better, budget=budget) for a, b in wanted]
    tested = [j for j in joined if len(j.units) >= MIN_PAIRS]
    raw = [sign_flip(j.units) for j in tested]
    same = [equivalence(j.units, margin) for j in tested]
    adjusted, same_adjusted = holm(raw), holm(same)
    least = holm([smallest_p(len(j.units)) for j in tested])
    numbers = zip(raw, adjusted, same, same_adjusted, least, strict=True)
    family = Family(budget, margin, alpha, len(tested))
    found = iter([_verdict(j, family, *p) for j, p in zip(tested, numbers, strict=True)])
    return tuple(next(found) if len(j.units) >= MIN_PAIRS else _refuse(j, budget) for j in joined)


def verdict(
    scores: Iterable[Score],
    a: str,
    b: str,
    *,
    margin: float,
    higher_is_better: bool,
    budget: int | None = None,
    alpha: float = ALPHA,
) -> Verdict | Refusal:
    """The verdict on a single planned pair (a family of one): see `compare`."""
    return compare(
        scores,
        margin=margin,
        higher_is_better=higher_is_better,
        budget=budget,
        pairs=[(a, b)],
        alpha=alpha,
    )[0]


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p of a family, as statsmodels' ``multipletests``, which collects garbage at every call."""
    order = np.argsort(p, kind="stable")
    stepped = np.asarray(p)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted.tolist()


def _refuse(j: Paired, budget: int | None) -> Refusal:
    where = "overall" if budget is None else f"at {plural(budget, 'slice')}"
    return Refusal(
        f"insufficient evidence: {j.a} and {j.b} have {plural(len(j.units), 'pair')} of equal seed and subset {where}, "
        f"at least {MIN_PAIRS} are wanted"
    )


def _verdict(
    j: Paired, family: Family, raw: float, adjusted: float, same: float, same_adjusted: float, least: float
) -> Verdict:
    alpha, margin = family.alpha, family.margin
    count, mean = len(j.units), float(np.mean(j.units))
    deviation = float(np.std(j.units, ddof=1))
    reach = float(stats.t.ppf(1 - alpha / 2, count - 1) * deviation / np.sqrt(count))
    call = _call(mean, adjusted, same_adjusted, alpha)
    notes = [WIDE] if count < FIRM_SEEDS else []
    if least > alpha:
        notes.append("cannot reject at this number of seeds")
    if call == "equivalent" and adjusted <= alpha:
        notes.append("a real difference, smaller than the margin")
    more = None
    if call == "undecided":
        more = more_seeds(mean, deviation, margin, count, alpha / family.pairs)
        notes.append(_plan(more))
    return Verdict(
        j.a,
        j.b,
        family.budget,
        call,
        Estimate(mean, mean - reach, mean + reach),
        raw,
        adjusted,
        same,
        same_adjusted,
        least,
        count,
        margin,
        improvement(j.by_seed),
        more,
        "; ".join(notes),
    )


def _call(mean: float, p: float, p_same: float, alpha: float) -> str:
    if p_same <= alpha:
        return "equivalent"
    if p <= alpha:
        return "better" if mean > 0 else "worse"
    return "undecided"


def _plan(more: MoreSeeds | None) -> str:
    if more is None:
        return "more than 1000 seeds would be needed"
    plural = "" if more.seeds == 1 else "s"
    return f"about {more.seeds} more seed{plural} would decide ({more.towards})"
