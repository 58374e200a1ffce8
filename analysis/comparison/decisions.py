"""What a researcher has to decide, as records: worth in slices, verdicts, advice."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean
from typing import TypeVar

import numpy as np

from analysis.comparison import families, headline, scope
from analysis.comparison.cells import Study
from analysis.comparison.families import Table
from analysis.comparison.measures import PRIMARY, Measures, errors
from analysis.statistics.laws import knee
from analysis.statistics.laws.advice import Advice, advise
from analysis.statistics.laws.interpolate import Joined, joined
from analysis.statistics.laws.knee import Knee
from analysis.statistics.laws.worth import Worth, worth
from analysis.statistics.records import MIN_SEEDS, Refusal, Score, grouped
from analysis.statistics.verdicts.collapse import collapsed
from analysis.statistics.verdicts.records import Verdict
from analysis.statistics.words import plural

T = TypeVar("T")
# scores and name of a pipeline, its units -> what is fitted
Fit = Callable[[list[Score], str, Mapping[int, int] | None], T | Refusal]


@dataclass(frozen=True)
class Curves:
    """Per pipeline: the joined means of 1 − test IoU that decisions use, and their knee."""

    fitted: dict[str, Joined | Refusal]
    knees: dict[str, Knee | Refusal]


@dataclass(frozen=True)
class WorthRow:
    """Worth of one pipeline at one budget, in slices of one reference."""

    pipeline: str
    reference: str
    budget: int
    worth: Worth | Refusal


@dataclass(frozen=True)
class Choice:
    """The pipeline of least mean error at `budget`, and the verdict on it against the next one that may be as good.

    `certain`: it is better than every other, by intervals that are simultaneous over these.
    """

    budget: int
    pipeline: str
    error: float
    runner_up: str
    lead: Verdict | Refusal | None
    certain: bool


@dataclass(frozen=True)
class Recommended:
    """The pipeline for the user's budget, and what every pipeline's curve says about more slices."""

    budget: int
    choice: Choice | Refusal
    advice: tuple[Advice | Refusal, ...]


@dataclass(frozen=True)
class Decisions:
    """All of it, in the page's order."""

    headline: str
    budget: int
    worth: tuple[WorthRow, ...]
    verdicts: tuple[Table, ...]
    advice: Recommended
    collapsed: tuple[Score, ...] = ()  # runs with less than half the test IoU of the others of their pipeline
    tuned: tuple[Table, ...] = ()  # verdicts at settings that a search has found, where there are such runs
    tested: int = 0  # patients that the test scores are of; 0 = not known


def curves(study: Study) -> Curves:
    """Curve and knee of every pipeline, from the test IoU of the structures."""
    return Curves(by_pipeline(study, joined), by_pipeline(study, over_units(knee.knee)))


def by_pipeline(study: Study, fit: Fit[T]) -> dict[str, T | Refusal]:
    """A fit to the errors of every pipeline, or why there is none."""
    scores, found = grouped((s.pipeline, s) for s in errors(study)), dict[str, T | Refusal]()
    for label in (arm.label for arm in study.arms):
        mine, none = scores.get(label), Refusal.insufficient("has no run with a test score", label)
        found[label] = fit(mine, label, scope.pretrainings(study, label)) if mine else none
    return found


def over_units(fit: Callable[[list[Score], str], T | Refusal]) -> Fit[T]:
    """The fit to one score a pretraining, where there are several of a pipeline."""
    return lambda mine, label, units: fit(scope.averaged(mine, units), label)


def worths(study: Study, found: Curves, tables: Sequence[Table] = ()) -> tuple[WorthRow, ...]:
    """Every pipeline at every budget, counted in slices of scratch and of ImageNet; as open as its verdict in `tables`."""
    called = {table.budget: table.either for table in tables if table.metric == PRIMARY}
    labels, against = [arm.label for arm in study.arms], families.references(study)
    return tuple(
        WorthRow(label, other, budget, _worth(found, label, other, budget, called.get(budget)))
        for other, label, budget in product(against, labels, study.budgets)
        if label != other
    )


def _worth(
    found: Curves, label: str, reference: str, budget: int, called: Mapping[tuple[str, str], Verdict] | None
) -> Worth | Refusal:
    mine, other = found.fitted[label], found.fitted[reference]
    if isinstance(mine, Refusal):
        return mine
    if isinstance(other, Refusal):
        return other
    own = worth(mine, other, budget)
    if isinstance(own, Refusal) or called is None:
        return own
    return families.opened(own, called.get((label, reference)))


def choose(
    study: Study, measures: Measures, found: Curves, budget: int, tables: Sequence[Table] = ()
) -> Choice | Refusal:
    """The pipeline for a budget: by the runs at it, read off the joined means elsewhere.

    Its place is what `tables` say, where they have its pairs, else tested.
    """
    at = _means(study, budget) if budget in study.budgets else {}
    if not at:
        able = [f for f in found.fitted.values() if isinstance(f, Joined)]
        able = [f for f in able if f.sizes[0] <= budget <= f.sizes[-1]]
        at = {f.pipeline: float(f.error(np.array([float(budget)]))[0]) for f in able}
    if not at:
        return Refusal.insufficient(
            f"no pipeline has test scores of {MIN_SEEDS} seeds at {plural(budget, study.unit)}, nor a curve that spans it"
        )
    first = [arm.label for arm in study.arms].index  # of equal ones the simpler
    best, *others = sorted(at, key=lambda name: (at[name], first(name)))
    if not others:
        return Choice(budget, best, at[best], "", None, False)
    pairs = [(best, other) for other in others]
    leads = families.verdicts_on(measures, PRIMARY, budget, pairs, *families.scopes(study))
    said = next((table.either for table in tables if table.primary and table.budget == budget), {})
    leads = tuple(said.get(pair, lead) for pair, lead in zip(pairs, leads, strict=True))
    left = [i for i, v in enumerate(leads) if not (isinstance(v, Verdict) and v.call == "better")]
    place = left[0] if left else 0
    return Choice(budget, best, at[best], others[place], leads[place], not left)


def _means(study: Study, budget: int) -> dict[str, float]:
    """Mean error of every pipeline with enough seeds at a budget; a seed's runs on several subsets are one."""
    by_seed = grouped(((s.pipeline, s.seed), s.value) for s in errors(study) if s.budget == budget)
    means = grouped((label, fmean(values)) for (label, _), values in by_seed.items())
    return {label: fmean(values) for label, values in means.items() if len(values) >= MIN_SEEDS}


def decide(
    study: Study,
    measures: Measures,
    found: Curves,
    budget: int | None = None,
    minutes_per_slice: float | None = None,
    tuned: Measures | None = None,
    at_a_time: int = 1,
    every_pair: bool = False,
    tested: int = 0,
) -> Decisions:
    """All decisions; the same whatever the order of the runs.

    Args:
        found: `curves` of the same study.
        budget: slices that the reader could annotate; None = the middle one of those that were run.
        minutes_per_slice: what one costs.
        tuned: of `study.tuned`.
        at_a_time: runs that are done at once.
        every_pair: verdicts on all pairs of pipelines, not on each against the references.
        tested: patients that the test scores are of; 0 = not known.
    """
    budget = budget or study.budgets[len(study.budgets) // 2]
    tables = families.verdicts(study, measures, budget, every_pair, at_a_time)
    rows = worths(study, found, tables)
    told = tuple(
        advise(
            found.fitted[arm.label],
            found.knees[arm.label],
            budget=budget,
            minutes_per_slice=minutes_per_slice,
        )
        for arm in study.arms
    )
    advice = Recommended(budget, choose(study, measures, found, budget, tables), told)
    fallen = collapsed(measures.of(PRIMARY.key), PRIMARY.worst or 0.0)
    beside = families.tuned_verdicts(study, tuned, budget, every_pair)
    first = sentence(study, rows, advice, tested)
    return Decisions(first, budget, rows, tables, advice, fallen, beside, tested)


def sentence(study: Study, rows: Sequence[WorthRow], advice: Recommended, tested: int = 0) -> str:
    """The first sentence of the page: what the best pipeline reaches and saves at the reader's budget."""
    n, choice = advice.budget, advice.choice
    if isinstance(choice, Refusal):
        return headline.so_far(study, n, tested)
    open_ = choice.runner_up and not choice.certain
    rival = headline.rivalry(choice.runner_up, choice.lead) if open_ else ""
    worths = _of(rows, choice.pipeline, n)
    return headline.decided(study, n, choice.pipeline, 1 - choice.error, worths, rival, tested)


def worth_of(study: Study, found: Decisions, label: str) -> str:
    """One sentence on one pipeline at the reader's budget: what an encoder's card says first; '' of references."""
    worths = _of(found.worth, label, found.budget)
    return headline.worth_sentence(study, label, found.budget, worths, found.tested)


def _of(rows: Sequence[WorthRow], label: str, budget: int) -> list[tuple[str, Worth | Refusal]]:
    return [(row.reference, row.worth) for row in rows if (row.pipeline, row.budget) == (label, budget)]
