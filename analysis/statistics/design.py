"""Which budgets and how many seeds fit into a time, and what runs of that design will be able to decide.

Measured seconds go in, a `Design` or a `Refusal` comes out. What is promised comes from the functions that
give the verdicts afterwards, so that a design never promises what its page then refuses.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from scipy.optimize import brentq

from analysis.statistics.records import FIRM_SEEDS, MIN_SEEDS, MIN_SIZES, WIDE, Refusal
from analysis.statistics.verdicts import looks
from analysis.statistics.verdicts.collapse import CLEAR
from analysis.statistics.verdicts.power import POWER, least_lead, power
from analysis.statistics.words import plural

MOST_SEEDS = looks.MOST  # of a design with all its sizes; with fewer, further ones say more than FIRM_SEEDS
RESERVE = 0.15  # of every planned time: the same step takes longer when the machine does something else [H]
SMALLEST, FACTOR = 3, 4.0  # the smallest budget of a ladder, and at most so much from one to the next [H]
ORDER = (1, 3, 0, 2)  # in which rungs of a ladder are taken: few slices first, then all of them
FAINT = 1e-3  # s.d.: where the search for a detectable shift begins


@dataclass(frozen=True)
class Costs:
    """Seconds on this machine.

    Of one fine-tuning of each pipeline in one of `places` busy workers, of starting the workers, of making the
    page, and what has been spent already.
    """

    runs: Mapping[str, float]
    places: int
    start: float = 0.0
    page: float = 0.0
    spent: float = 0.0


@dataclass(frozen=True)
class Design:
    """A paired design: every pipeline at every budget with every seed.

    `seconds` is never less than it takes at the measured costs, and holds the reserve.
    """

    pipelines: tuple[str, ...]
    budgets: tuple[int, ...]
    seeds: int
    seconds: float

    @property
    def runs(self) -> int:
        """Fine-tunings that the design takes."""
        return len(self.pipelines) * len(self.budgets) * self.seeds

    @property
    def pairs(self) -> int:
        """Pairs that a verdict's family has: each pipeline against scratch and against supervised ImageNet."""
        return max(2 * len(self.pipelines) - 3, 1)


@dataclass(frozen=True)
class Foresight:
    """What a design can and cannot decide.

    Sentences, and `shift`, the difference that is called with 80 % power, in s.d. of the paired differences.
    """

    shift: float
    can: tuple[str, ...]
    cannot: tuple[str, ...]


def ladder(available: int) -> tuple[int, ...]:
    """Up to four budgets in equal ratios, from a few slices to all of `available`."""
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


def plan(limit: float, costs: Costs, sizes: Sequence[int], *, fixed: bool = False) -> Design | Refusal:
    """The design of most use among those that take at most `limit` seconds, `Costs.spent` left out.

    First five seeds, then sizes enough for the worth in slices, then more seeds, always as many as a verdict reads
    (`looks`). Designs of longer limits hold the runs of the shorter ones, as long as the sizes are the same.

    Args:
        sizes: budgets to choose from, ascending: see `ladder`.
        fixed: take all of them, and choose the seeds alone.
    """
    order = [sizes[i] for i in ORDER if i < len(sizes)]
    choices = [tuple(sorted(order[: k + 1])) for k in range(len(order))]
    found = [
        Design(tuple(costs.runs), budgets, seeds, seconds(costs, len(budgets), seeds))
        for budgets in ([tuple(sizes)] if fixed else choices)
        for seeds in looks.SHARES
        if seeds <= (MOST_SEEDS if len(budgets) == len(sizes) else FIRM_SEEDS)
    ]
    fitting = [design for design in found if design.seconds <= limit]
    if not fitting:
        least = min(found, key=lambda design: design.seconds)
        budgets = plural(len(least.budgets), "budget")
        return Refusal(
            f"the least that says anything, {len(least.pipelines)} pipelines x {budgets} x {least.seeds} seeds, takes about "
            f"{_minutes(costs, least.seconds)} minutes here, {(limit + costs.spent) / 60:.3g} were given"
        )
    return max(fitting, key=_use)


def _use(design: Design) -> tuple:
    firm = design.seeds >= FIRM_SEEDS
    return firm, firm and len(design.budgets) >= MIN_SIZES, design.runs, design.seeds


def foresee(design: Design, costs: Costs, sizes: Sequence[int]) -> Foresight:
    """What the page of a design will be able to say, before anything is run.

    Args:
        sizes: all budgets that could be run, for the minutes that a worth in slices would want.
    """
    n, error_rate = design.seeds, looks.error_rate(design.seeds, design.pairs)
    runs, freedom = n * len(design.budgets), max(len(design.pipelines) - 1, 2) * (n - 1)
    least = least_lead(n, runs, freedom) / 2**0.5  # in s.d. of the paired differences
    shift = _smallest(lambda d: power(d, n, error_rate, least))
    can = [
        f"better or worse: {n} seeds find a difference {shift:.2g} times as large as its s.d. over seeds in 80 of 100 studies, "
        f"where {plural(design.pairs, 'pair')} of pipelines {'are' if design.pairs > 1 else 'is'} compared"
    ]
    cannot = list[str]()
    told = f"equivalent: {CLEAR} runs of each pipeline without a collapse are wanted, these are {runs}"
    (can if runs >= CLEAR else cannot).append(told)
    _worth(design, costs, sizes, can, cannot)
    if n < FIRM_SEEDS:
        cannot.append(f"narrow intervals: with fewer than {FIRM_SEEDS} seeds all are {WIDE}")
    return Foresight(shift, tuple(can), tuple(cannot))


def _worth(design: Design, costs: Costs, sizes: Sequence[int], can: list[str], cannot: list[str]) -> None:
    here = f"{len(design.budgets)} x {design.seeds}"
    if len(design.budgets) >= MIN_SIZES and design.seeds >= MIN_SEEDS:
        can.append(
            f"worth in slices: a curve through {here} sizes and seeds ({MIN_SIZES} x {MIN_SEEDS} suffice)"
        )
        return
    told = f"worth in slices: a curve wants {MIN_SIZES} sizes x {MIN_SEEDS} seeds, these are {here}"
    if len(sizes) >= MIN_SIZES:
        minutes = _minutes(costs, seconds(costs, MIN_SIZES, max(design.seeds, FIRM_SEEDS)))
        told += f"; about {minutes} minutes would do"
    cannot.append(told)


def _smallest(power: Callable[[float], float]) -> float:
    """Smallest d with enough power, which grows with it."""
    high = FAINT
    while power(high) < POWER:
        high *= 2
    return float(brentq(lambda d: power(d) - POWER, high / 2, high)) if high > FAINT else high


def _minutes(costs: Costs, planned: float) -> int:
    """Whole minutes of a limit under which so many planned seconds fit."""
    return ceil((planned + costs.spent) / 60)


def minutes_for(costs: Costs, budgets: int, seeds: int) -> int:
    """Limit in whole minutes under which a design fits, counted as the one that is given."""
    return _minutes(costs, seconds(costs, budgets, seeds))
