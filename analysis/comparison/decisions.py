"""What a researcher has to decide, as records: worth in slices, verdicts, advice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean

from analysis.comparison.cells import Study
from analysis.comparison.measures import METRICS, Measures, Metric
from analysis.statistics.laws import knee, scaling
from analysis.statistics.laws.advice import Advice, Choice, advise, best_pipeline
from analysis.statistics.laws.interpolate import interpolated
from analysis.statistics.laws.knee import Knee
from analysis.statistics.laws.worth import MISFIT, Fitted, Worth, worth
from analysis.statistics.records import Estimate, Refusal, Score
from analysis.statistics.verdicts import compare
from analysis.statistics.verdicts.compare import Verdict

REFERENCES = ("scratch", "supervised")  # pipelines that worth is counted in
LEVELS = (("own", "95 % of its own final IoU"), ("common", "95 % of the common final IoU"))


@dataclass(frozen=True)
class Curves:
    """Per pipeline: the curve of test loss that decisions use, and its knee."""

    fitted: dict[str, Fitted | Refusal]
    knees: dict[str, Knee | Refusal]


@dataclass(frozen=True)
class WorthRow:
    """Worth of one pipeline at one budget, in slices of one reference."""

    pipeline: str
    reference: str
    budget: int
    worth: Worth | Refusal


@dataclass(frozen=True)
class Table:
    """Verdicts on all pairs for one metric; `budget` None = overall.

    `minutes` are those that the further seeds of a row would take; None where none are asked for, or no run
    tells.
    """

    metric: Metric
    budget: int | None
    rows: tuple[Verdict | Refusal, ...]
    minutes: tuple[float | None, ...] = ()


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
    tuned: tuple[Table, ...] = ()  # verdicts at settings that a search has found, where there are such runs


def curve_of(scores: Sequence[Score], label: str) -> Fitted | Refusal:
    """The scaling law; the joined means where the law is rejected (p < 0.01), or where there is no law."""
    if not any(s.pipeline == label for s in scores):
        return Refusal(f"insufficient evidence: {label} has no run with a test score")
    fitted = scaling.fit(scores, label)
    if isinstance(fitted, Refusal) or fitted.misfit_p < MISFIT:
        return interpolated(scores, label) or fitted
    return fitted


def curves(study: Study, measures: Measures) -> Curves:
    """Curve and knee of every pipeline, from test Jaccard loss."""
    scores = measures.of("test_loss")
    labels = [arm.label for arm in study.arms]
    tested = {s.pipeline for s in scores}
    none = Refusal("insufficient evidence: no run with a test score")
    knees = {label: knee.knee(scores, label) if label in tested else none for label in labels}
    return Curves({label: curve_of(scores, label) for label in labels}, knees)


def worths(study: Study, found: Curves) -> tuple[WorthRow, ...]:
    """Every pipeline at every budget, counted in slices of scratch and of ImageNet."""
    references = [arm.label for row in REFERENCES for arm in study.arms if arm.pipeline == row]
    return tuple(
        WorthRow(arm.label, reference, budget, _worth(found, arm.label, reference, budget))
        for reference in references
        for arm in study.arms
        if arm.label != reference
        for budget in study.budgets
    )


def _worth(found: Curves, label: str, reference: str, budget: int) -> Worth | Refusal:
    mine, other = found.fitted[label], found.fitted[reference]
    if isinstance(mine, Refusal):
        return mine
    return other if isinstance(other, Refusal) else worth(mine, other, budget)


def tuned_verdicts(study: Study, measures: Measures | None) -> tuple[Table, ...]:
    """Verdicts of `study.tuned`; overall only where both have the same budgets, or they would not be alike."""
    if study.tuned is None or measures is None:
        return ()
    found = verdicts(study.tuned, measures)
    return tuple(t for t in found if t.budget is not None or study.tuned.budgets == study.budgets)


def verdicts(study: Study, measures: Measures, at_a_time: int = 1) -> tuple[Table, ...]:
    """Every pair of pipelines, for every metric: overall, then budget by budget."""
    pairs = list(combinations([arm.label for arm in study.arms], 2))
    if not pairs:
        return ()
    places = [None, *study.budgets] if len(study.budgets) > 1 else list(study.budgets)
    tables = [
        Table(
            metric,
            budget,
            compare.compare(
                measures.of(metric.key), margin=metric.margin, higher_is_better=metric.higher_is_better,
                budget=budget, pairs=pairs,
            ),
        )
        for metric in METRICS
        for budget in places
    ]  # fmt: skip
    return tuple(
        replace(t, minutes=tuple(_minutes(measures, t, v) / at_a_time if _more(v) else None for v in t.rows))
        for t in tables
    )


def _more(verdict: Verdict | Refusal) -> int:
    """Further seeds that would decide; 0 = none asked for."""
    return verdict.more.seeds if isinstance(verdict, Verdict) and verdict.more else 0


def _minutes(measures: Measures, table: Table, verdict: Verdict) -> float:
    """Minutes of the further seeds of a pair, one run after the other: mean minutes at every budget."""
    spent: dict[tuple[str, int], list[float]] = {}
    for s in measures.of("minutes", (verdict.a, verdict.b), table.budget):
        spent.setdefault((s.pipeline, s.budget), []).append(s.value)
    return verdict.more.seeds * sum(fmean(values) for values in spent.values())


def recommend(study: Study, found: Curves, budget: int | None, minutes: float | None) -> Recommended:
    """Advice for `budget`, by default the middle one of those that were run."""
    budget = budget or study.budgets[len(study.budgets) // 2]
    fits = [found.fitted[arm.label] for arm in study.arms]
    advice = tuple(
        advise(fit, found.knees[arm.label], budget=budget, minutes_per_slice=minutes)
        for arm, fit in zip(study.arms, fits, strict=True)
    )
    return Recommended(budget, best_pipeline(fits, budget), advice)


def decide(
    study: Study,
    measures: Measures,
    found: Curves,
    budget: int | None = None,
    minutes_per_slice: float | None = None,
    tuned: Measures | None = None,
    at_a_time: int = 1,
) -> Decisions:
    """All decisions; the same whatever the order of the runs.

    Args:
        found: `curves` of the same study.
        budget: slices that the reader could annotate.
        minutes_per_slice: what one costs.
        tuned: of `study.tuned`.
        at_a_time: runs that are done at once.
    """
    rows = worths(study, found)
    advice = recommend(study, found, budget, minutes_per_slice)
    beside = tuned_verdicts(study, tuned)
    return Decisions(
        headline(study, rows, advice),
        advice.budget,
        rows,
        verdicts(study, measures, at_a_time),
        advice,
        beside,
    )


def headline(study: Study, rows: Sequence[WorthRow], advice: Recommended) -> str:
    """The first line of the page: what the best pipeline is worth at the reader's budget."""
    n, unit = advice.budget, study.unit
    if isinstance(advice.choice, Refusal):
        unfit = [a.reason for a in advice.advice if isinstance(a, Refusal)]
        reason = unfit[0] if len(unfit) == len(study.arms) else advice.choice.reason
        return f"At {n} {unit}s on {study.dataset}, {reason}."
    best = advice.choice.pipeline
    shown = [worth_text(row, unit) for row in rows if row.pipeline == best and row.budget == n]
    lead = (
        "has the least test error" if advice.choice.certain else "has the least fitted test error, not surely"
    )
    said = f"; it is worth {' and '.join(shown)}" if shown else ""
    return f"At {n} annotated {unit}s on {study.dataset}, {best} {lead}{said}."


def worth_of(study: Study, found: Decisions, label: str) -> str:
    """One sentence on one pipeline at the reader's budget: what an encoder's card says first; '' of references."""
    n, unit = found.budget, study.unit
    shown = [worth_text(row, unit) for row in found.worth if (row.pipeline, row.budget) == (label, n)]
    if not shown:
        return ""
    return f"Worth at {n} annotated {unit}s of {study.dataset}: {' and '.join(shown)}."


def worth_text(row: WorthRow, unit: str = "slice") -> str:
    """`+42 [25, > 1398] slices of scratch`."""
    if isinstance(row.worth, Refusal):
        return f"an unknown number of {unit}s of {row.reference} ({row.worth.reason})"
    return f"{row.worth.text} {unit}s of {row.reference}"


def interval(estimate: Estimate | None, digits: int = 3) -> str:
    """`0.12 [0.1, 0.14]`, with infinities as words."""
    if estimate is None:
        return "–"
    value, low, high = (_number(v, digits) for v in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def _number(value: float, digits: int) -> str:
    if value in (float("inf"), float("-inf")):
        return "beyond the data" if value > 0 else "below the data"
    return f"{value:.{digits}g}"
