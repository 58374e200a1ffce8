"""Which budgets and how many seeds fit into a time, and what runs of that design will be able to decide.

Measured seconds go in, a `Design` or a `Refusal` comes out. What is promised comes from the functions that
give the verdicts afterwards, so that a design never promises what its page then refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import ceil

from analysis.statistics.records import FIRM_SEEDS, MIN_SEEDS, MIN_SIZES, WIDE, Refusal
from analysis.statistics.verdicts.compare import ALPHA, holm
from analysis.statistics.verdicts.permutation import smallest_p
from analysis.statistics.verdicts.power import POWER, power_of_difference, power_of_equivalence

MOST_SEEDS = 40  # of a design with all its sizes [H]
FIRM = 10  # seeds that make a first verdict firm; from there on further sizes say more [H]
RESERVE = 0.15  # of every planned time: the same step takes longer when the machine does something else [H]
SMALLEST, FACTOR = 3, 4.0  # the smallest budget of a ladder, and at most so much from one to the next [H]
ORDER = (1, 3, 0, 2)  # in which rungs of a ladder are taken: few slices first, then all of them
FAINT, HUGE = 1e-3, 100.0  # s.d.: between them a detectable shift is looked for


@dataclass(frozen=True)
class Costs:
    """Seconds on this machine: of one fine-tuning of each pipeline in one of `places` busy workers, of
    starting the workers, of making the page, and what has been spent already."""

    runs: Mapping[str, float]
    places: int
    start: float = 0.0
    page: float = 0.0
    spent: float = 0.0


@dataclass(frozen=True)
class Design:
    """A paired design: every pipeline at every budget with every seed. `seconds` is never less than it takes
    at the measured costs, and holds the reserve."""

    pipelines: tuple[str, ...]
    budgets: tuple[int, ...]
    seeds: int
    seconds: float

    @property
    def runs(self) -> int:
        return len(self.pipelines) * len(self.budgets) * self.seeds

    @property
    def pairs(self) -> int:
        """Pairs of pipelines, which Holm's correction counts."""
        return len(list(combinations(self.pipelines, 2)))


@dataclass(frozen=True)
class Foresight:
    """What a design can and cannot decide: sentences, and the numbers in them.

    ``shift`` is the difference that is found with 80 % power, in s.d. of the paired differences, None where
    no difference is; ``spread`` the largest s.d. of them, in margins, at which no difference reads equivalent.
    """

    least_p: float
    seeds_wanted: int
    shift: float | None
    spread: float | None
    can: tuple[str, ...]
    cannot: tuple[str, ...]


def ladder(available: int) -> tuple[int, ...]:
    """Up to four budgets in equal ratios, from a few slices to all of ``available``."""
    if available <= SMALLEST:
        return (available,)
    step = min(FACTOR, (available / SMALLEST) ** (1 / (MIN_SIZES - 1)))
    return tuple(sorted({round(available / step**k) for k in range(MIN_SIZES)}))


def seconds(costs: Costs, budgets: int, seeds: int) -> float:
    """Longest time that the design can take at these costs, with the reserve.

    No schedule that lets no worker idle while a run waits takes longer (Graham 1966, *Bell Syst. Tech. J.* 45).
    """
    work, longest = budgets * seeds * sum(costs.runs.values()), max(costs.runs.values())
    span = (work - longest) / costs.places + longest
    return (costs.start + span + costs.page) * (1 + RESERVE)


def seeds_wanted(pairs: int, alpha: float = ALPHA) -> int:
    """Fewest seeds with which the sign-flip test can call all of ``pairs`` different after Holm."""
    return next(n for n in range(MIN_SEEDS, 100) if max(holm([smallest_p(n)] * pairs)) <= alpha)


def plan(limit: float, costs: Costs, sizes: Sequence[int], *, fixed: bool = False) -> Design | Refusal:
    """The design of most use among those that take at most ``limit`` seconds, `Costs.spent` left out.

    First seeds enough for a verdict, then sizes enough for the worth in slices, then more runs. Designs of
    longer limits hold the runs of the shorter ones, as long as the sizes are the same.

    Parameters
    ----------
    sizes : budgets to choose from, ascending: see `ladder`.
    fixed : take all of them, and choose the seeds alone.
    """
    names = tuple(costs.runs)
    found = [
        Design(names, budgets, seeds, seconds(costs, len(budgets), seeds))
        for budgets in _choices(sizes, fixed)
        for seeds in range(MIN_SEEDS, (MOST_SEEDS if len(budgets) == len(sizes) else FIRM) + 1)
    ]
    fitting = [design for design in found if design.seconds <= limit]
    if not fitting:
        least = min(found, key=lambda design: design.seconds)
        return Refusal(
            f"the least that says anything, {_size(least)}, takes about {_minutes(costs, least.seconds)} "
            f"minutes here, {(limit + costs.spent) / 60:.3g} were given"
        )
    return max(fitting, key=_use)


def _choices(sizes: Sequence[int], fixed: bool) -> Iterator[tuple[int, ...]]:
    if fixed:
        yield tuple(sizes)
        return
    order = [sizes[i] for i in ORDER if i < len(sizes)]
    for count in range(1, len(order) + 1):
        yield tuple(sorted(order[:count]))


def _use(design: Design) -> tuple:
    verdict = design.seeds >= seeds_wanted(max(design.pairs, 1))
    return verdict, verdict and len(design.budgets) >= MIN_SIZES, design.runs, design.seeds


def foresee(design: Design, costs: Costs, sizes: Sequence[int]) -> Foresight:
    """What the page of a design will be able to say, before anything is run.

    Parameters
    ----------
    sizes : all budgets that could be run, for the minutes that a worth in slices would want.
    """
    pairs, n = max(design.pairs, 1), design.seeds
    least, wanted = max(holm([smallest_p(n)] * pairs)), seeds_wanted(pairs)
    shift = _smallest(lambda d: power_of_difference(d, n, ALPHA / pairs))
    spread = _smallest(lambda d: power_of_equivalence(0.0, 1 / d, 1.0, n, ALPHA / pairs))
    can, cannot = [], []
    over = f"after Holm over {pairs} pair{'s' if pairs > 1 else ''}"
    if least <= ALPHA:
        found = f"a difference of {shift:.2g} s.d. of the paired differences is found with 80 % power"
        can.append(f"better or worse: {n} seeds reach p = {least:.2g} {over}; {found}")
    else:
        more = _minutes(costs, seconds(costs, len(design.budgets), wanted))
        cannot.append(
            f"better or worse: {n} seeds reach p = {least:.2g} {over}, not {ALPHA:g}; "
            f"{wanted} seeds would, in about {more} minutes"
        )
    if spread is not None:
        can.append(f"equivalent: where the paired differences have an s.d. below {1 / spread:.2g} margins")
    _worth(design, costs, sizes, can, cannot)
    if n < FIRM_SEEDS:
        cannot.append(f"narrow intervals: below {FIRM_SEEDS} seeds all are {WIDE}")
    return Foresight(least, wanted, shift, None if spread is None else 1 / spread, tuple(can), tuple(cannot))


def _worth(design: Design, costs: Costs, sizes: Sequence[int], can: list[str], cannot: list[str]) -> None:
    here = f"{len(design.budgets)} x {design.seeds}"
    if len(design.budgets) >= MIN_SIZES and design.seeds >= MIN_SEEDS:
        can.append(
            f"worth in slices: a curve through {here} sizes and seeds ({MIN_SIZES} x {MIN_SEEDS} suffice)"
        )
        return
    told = f"worth in slices: a curve wants {MIN_SIZES} sizes x {MIN_SEEDS} seeds, these are {here}"
    if len(sizes) >= MIN_SIZES:
        seeds = max(seeds_wanted(max(design.pairs, 1)), MIN_SEEDS)
        told += (
            f"; about {_minutes(costs, seconds(costs, MIN_SIZES, seeds))} minutes would do, verdicts included"
        )
    cannot.append(told)


def _smallest(power: Callable[[float], float]) -> float | None:
    """Smallest d with enough power, which grows with it; None if none has."""
    low = high = FAINT
    while power(high) < POWER:
        low, high = high, 2 * high
        if high > HUGE:
            return None
    while high / low > 1.001:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if power(middle) >= POWER else (middle, high)
    return high


def _minutes(costs: Costs, planned: float) -> int:
    """Whole minutes of a limit under which so many planned seconds fit."""
    return ceil((planned + costs.spent) / 60)


def minutes_for(costs: Costs, budgets: int, seeds: int) -> int:
    """Limit in whole minutes under which a design fits, counted as the one that is given."""
    return _minutes(costs, seconds(costs, budgets, seeds))


def _size(design: Design) -> str:
    several = "s" if len(design.budgets) > 1 else ""
    return f"{len(design.pipelines)} pipelines x {len(design.budgets)} budget{several} x {design.seeds} seeds"
