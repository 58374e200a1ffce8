"""Which verdicts a page has: each pipeline against the references, metric by metric, of which one family is primary."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from itertools import combinations, product
from math import inf
from statistics import fmean

from analysis.comparison import scope
from analysis.comparison.cells import Study
from analysis.comparison.measures import METRICS, STEPS, Measures, Metric, steps_pair
from analysis.statistics.laws.worth import NOT_SETTLED, Worth
from analysis.statistics.records import Estimate, Refusal, grouped
from analysis.statistics.verdicts.compare import Units, compare
from analysis.statistics.verdicts.judge import judge
from analysis.statistics.verdicts.records import Call, Verdict

OTHER_WAY: dict[Call, Call] = {"better": "worse", "worse": "better"}
REFERENCES = ("scratch", "supervised")  # rows of pipelines.ROWS that the others are put against


@dataclass(frozen=True)
class Table:
    """Verdicts on one family: a metric at a budget; `budget` None = overall.

    `primary` has the one family whose error rate is that of the page; the others describe. `minutes` are those to
    the next look that could decide a row; None where none could, or no run tells.
    """

    metric: Metric
    budget: int | None
    rows: tuple[Verdict | Refusal, ...]
    primary: bool = False
    minutes: tuple[float | None, ...] = ()

    @cached_property
    def either(self) -> dict[tuple[str, str], Verdict]:
        """(a, b) -> the verdict, said of either of a pair."""
        found = [v for v in self.rows if isinstance(v, Verdict)]
        return {(v.b, v.a): turned(v) for v in found} | {(v.a, v.b): v for v in found}


def turned(v: Verdict) -> Verdict:
    """The same verdict, said of the other one."""
    other = Estimate(-v.effect.value, -v.effect.high, -v.effect.low, v.effect.note)
    return replace(v, a=v.b, b=v.a, call=OTHER_WAY.get(v.call, v.call), effect=other)


def references(study: Study) -> list[str]:
    """Labels of scratch and of supervised ImageNet, where they were run."""
    return [arm.label for row in REFERENCES for arm in study.arms if arm.pipeline == row]


def family(study: Study, every_pair: bool = False) -> list[tuple[str, str]]:
    """Each pipeline against scratch and against supervised ImageNet; every pair where asked, or without these two."""
    labels, against = [arm.label for arm in study.arms], references(study)
    if every_pair or not against:
        return [(b, a) for a, b in combinations(labels, 2)]
    asked = [(label, other) for label in labels for other in against if label != other]
    return [p for p in asked if p[::-1] not in asked or against.index(p[0]) > against.index(p[1])]


def tuned_verdicts(
    study: Study, measures: Measures | None, budget: int, every_pair: bool = False
) -> tuple[Table, ...]:
    """Verdicts of `study.tuned`; overall only where both have the same budgets, or they would not be alike."""
    if study.tuned is None or measures is None:
        return ()
    found = verdicts(study.tuned, measures, budget, every_pair)
    return tuple(t for t in found if t.budget is not None or study.tuned.budgets == study.budgets)


def verdicts(
    study: Study, measures: Measures, budget: int, every_pair: bool = False, at_a_time: int = 1
) -> tuple[Table, ...]:
    """Every metric's family at the run budget nearest to the reader's; overall; then at the other budgets.

    The first is the primary one.
    """
    if not (pairs := family(study, every_pair)):
        return ()
    units, about = scopes(study)
    nearest = study.nearest(budget)
    others, tables = [n for n in study.budgets if n != nearest], list[Table]()
    for n, m in product((nearest, *([None] if others else []), *others), METRICS):
        rows = verdicts_on(measures, m, n, pairs, units, about)
        minutes = tuple(_minutes(measures, n, row, at_a_time) for row in rows)
        tables.append(Table(m, n, rows, not tables, minutes))
    return tuple(tables)


def scopes(study: Study) -> tuple[Units, Callable[[str, str], str]]:
    """Which seeds count as one, and of what a verdict is, for two pipelines; each pair is looked up once."""
    return cache(partial(scope.pretrainings, study)), cache(partial(scope.about, study))


def verdicts_on(
    measures: Measures,
    metric: Metric,
    budget: int | None,
    pairs: Sequence[tuple[str, str]],
    units: Units,
    about: Callable[[str, str], str],
) -> tuple[Verdict | Refusal, ...]:
    """One family; seeds that start from one of several pretrainings count as one."""
    if metric.key == STEPS:
        found = [steps_pair(measures, a, b, budget, units(a, b)) for a, b in pairs]
        told = judge(found, margin=metric.margin, budget=budget, counts=measures.counts)
    else:
        told = compare(
            measures.of(metric.key), margin=metric.margin, higher_is_better=metric.higher_is_better,
            budget=budget, pairs=pairs, worst=metric.worst, units=units, missing=measures.holes, counts=measures.counts,
        )  # fmt: skip
    return tuple(replace(v, about=about(v.a, v.b)) if isinstance(v, Verdict) else v for v in told)


def opened(found: Worth, verdict: Verdict | None) -> Worth:
    """Worth that leaves open what the verdict at its size leaves open.

    An interval of worth stands by itself, at one look; a verdict keeps its error rate over its family and all looks, and
    heeds collapses. An end at zero or beyond, where the verdict does not call, is therefore open.
    """
    call, (low, high) = verdict.call if verdict else "", (found.more.low, found.more.high)
    low = -inf if low >= 0 and call != "better" else low
    high = inf if high <= 0 and call != "worse" else high
    if (low, high) == (found.more.low, found.more.high):
        return found
    match = replace(found.match, low=low + found.budget, high=high + found.budget)
    text, short = NOT_SETTLED
    return replace(found, match=match, more=replace(found.more, low=low, high=high), text=text, short=short)


def _minutes(
    measures: Measures, budget: int | None, verdict: Verdict | Refusal, at_a_time: int
) -> float | None:
    """Minutes of the least further seeds of a pair, so many runs at a time: mean minutes at every budget.

    None of further pretrainings, of which the fine-tunings are the smaller part.
    """
    if isinstance(verdict, Refusal) or not (verdict.more and verdict.more.least) or verdict.unit != "seed":
        return None
    runs = measures.of("minutes", (verdict.a, verdict.b), budget)
    spent = grouped(((s.pipeline, s.budget), s.value) for s in runs)
    return verdict.more.least * sum(fmean(values) for values in spent.values()) / at_a_time
