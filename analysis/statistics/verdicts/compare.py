"""Verdicts on pairs of pipelines from the scores of their runs.

Runs are paired by seed and subset, and a seed is the unit. The interval is that of the mean paired difference
(`interval`) at the error rate of its family divided over the pairs (Dunn 1961, *JASA* 56, 52) and over the looks
(`looks`).
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import combinations
from statistics import fmean

import numpy as np

from analysis.statistics.records import MIN_SEEDS, Refusal, Score, grouped, ordered
from analysis.statistics.verdicts import looks
from analysis.statistics.verdicts.beside import board
from analysis.statistics.verdicts.collapse import Sinking, far_below, losses, scatter
from analysis.statistics.verdicts.interval import rest_of
from analysis.statistics.verdicts.judge import judge
from analysis.statistics.verdicts.records import Pair, Verdict
from analysis.statistics.words import plural

Cells = Mapping[tuple[int, int], tuple[float, float]]  # (budget, seed) -> bounds of a paired difference
# two pipelines -> the unit that each of their seeds counts in; None where each is its own
Units = Callable[[str, str], Mapping[int, int] | None]


def in_units(cells: Cells, units: Mapping[int, int] | None) -> Cells:
    """Cells of units, each the mean over its seeds; seeds of no unit are left out."""
    if units is None:
        return cells
    found = grouped(((budget, units[seed]), ends) for (budget, seed), ends in cells.items() if seed in units)
    return {key: mean_ends(ends) for key, ends in found.items()}


def mean_ends(ends: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Bounds of the mean of what lies between bounds."""
    return fmean(low for low, _ in ends), fmean(high for _, high in ends)


def common_budgets(cells: Cells, budget: int | None) -> list[int]:
    """The budgets that a seed is averaged over: one, or overall (None) those with three seeds."""
    found = sorted({n for n, _ in cells}) if budget is None else [budget]
    return [n for n in found if sum(m == n for m, _ in cells) >= MIN_SEEDS] or found[:1]


def by_seed(cells: Cells, budgets: Sequence[int]) -> dict[int, tuple[float, float]]:
    """Mean bounds of each seed that has all budgets, seeds ascending: further seeds at one budget would move the mean."""
    seeds = sorted({s for _, s in cells if all((n, s) in cells for n in budgets)})
    return {s: mean_ends([cells[n, s] for n in budgets]) for s in seeds}


def compare(
    scores: Iterable[Score],
    *,
    margin: float,
    higher_is_better: bool,
    budget: int | None = None,
    pairs: Sequence[tuple[str, str]] | None = None,
    worst: float | None = None,
    units: Units | None = None,
    missing: Mapping[str, Collection[tuple[int, int]]] | None = None,
    counts: str = "slice",
) -> tuple[Verdict | Refusal, ...]:
    """Verdicts on one family of pairs: all of them sorted by name unless `pairs` says which and how round.

    Args:
        scores: one metric of all runs.
        margin: differences up to this size do not matter, in units of the score.
        budget: of each run; None averages each seed over the budgets that both pipelines have.
        worst: the score of a collapsed run, where the metric has one.
        units: which seeds count as one (those that start from one pretraining, where there are several); None: none.
        missing: pipeline -> its (budget, seed) without a score: each counts as a run that collapsed.
        counts: what a budget counts, slices or patients.

    Returns:
        One `Verdict` a pair, or a `Refusal` where fewer than three pairs of runs exist; refused pairs do not
        count in the family.

    Raises:
        ValueError: when the margin is not positive.
    """
    rows = ordered(scores)
    runs = grouped((s.pipeline, s) for s in rows)
    wanted = list(combinations(runs, 2) if pairs is None else pairs)
    compared = {name for pair in wanted for name in pair}
    beside = board({name: own for name, own in runs.items() if name in compared}).beside
    fallen = far_below(rows, higher_is_better=higher_is_better, worst=worst)
    sunk = {} if worst is None else losses(rows, worst)

    def pair(a: str, b: str) -> Pair | Refusal:
        """Differences of two pipelines, and those of the others to the first on the same budgets and seeds."""
        unit = units(a, b) if units else None
        cells = _differences(runs.get(a, ()), runs.get(b, ()), higher_is_better)
        own = in_units(cells, unit)
        budgets = common_budgets(own, budget)
        bounds = by_seed(own, budgets)
        if len(bounds) < MIN_SEEDS:
            where = "overall" if budget is None else f"at {plural(budget, counts)}"
            what = plural(len(bounds), "pretraining") + " with pairs" if unit else plural(len(bounds), "pair")
            lacks = f"have {what} of equal seed and subset {where}, at least {MIN_SEEDS} are wanted"
            return Refusal.insufficient(lacks, f"{a} and {b}")
        read = list(bounds)[: looks.look(len(bounds))]
        values = beside(a, b, cells, unit, budgets, read)
        spread, freedom = scatter(values)
        seeds = {n: [s for m, s in cells if m == n and (unit or {s: s}).get(s) in read] for n in budgets}
        alone = [scatter(beside(a, b, cells, None, [n], those))[0] for n, those in seeds.items()]
        run = float(np.sqrt(np.mean(np.square(alone))))
        gone = {c: sorted((missing or {}).get(c, ())) for c in (a, b)}
        own_units = {c: units(c, c) if units else None for c in (a, b)}
        sinking = [_sinking(runs[c], budget, sunk, worst, own_units[c], gone[c]) for c in (a, b)]
        low, high = np.array(list(bounds.values())).T
        return Pair(
            a, b, list(bounds), low, high, min(s.chances for s in sinking),
            tuple(s for s in fallen if s.pipeline in (a, b)), (sinking[0], sinking[1]),
            rest_of(values), (float(spread), float(freedom)), run / float(spread) if spread > 0 else 1.0,
            "pretraining" if unit else "seed", tuple((c, *cell) for c in (a, b) for cell in gone[c]),
        )  # fmt: skip

    return judge([pair(a, b) for a, b in wanted], margin=margin, budget=budget, counts=counts)


def _sinking(
    runs: Sequence[Score],
    budget: int | None,
    sunk: Mapping[Score, float],
    worst: float | None,
    unit: Mapping[int, int] | None,
    gone: Sequence[tuple[int, int]],
) -> Sinking:
    """A run that is not there counts as one that collapsed: it may have failed because it went badly."""
    here = fmean(s.value for s in runs if budget in (None, s.budget))
    depth = np.inf if worst is None else abs(here - worst)
    fell = [*((s.seed, s in sunk) for s in runs), *((seed, True) for _, seed in gone)]
    costs = [sunk[s] for s in runs if s in sunk]
    cost = min(max([*costs, *(np.inf for _ in gone)], default=np.inf), depth)
    kinds = {"collapsed" if np.isinf(lost) else "far below its others" for lost in costs}
    how = " or ".join(sorted(kinds)) or "collapsed"
    each = grouped((unit.get(seed, seed), down) for seed, down in fell) if unit else {}
    sunken = (sum(fmean(one) > 0.5 for one in each.values()), len(each)) if each else None
    return Sinking(depth, cost, how, sum(down for _, down in fell), len(fell), sunken)


def _differences(mine: Sequence[Score], other: Sequence[Score], higher_is_better: bool) -> Cells:
    """Mean difference of each (budget, seed) over the subsets that both have, as bounds of no width."""
    sign = 1.0 if higher_is_better else -1.0
    right = {(s.budget, s.seed, s.subset): s.value for s in other}
    there = [s for s in mine if (s.budget, s.seed, s.subset) in right]
    found = grouped(((s.budget, s.seed), sign * (s.value - right[s.budget, s.seed, s.subset])) for s in there)
    return {key: (fmean(values),) * 2 for key, values in found.items()}
