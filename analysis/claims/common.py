"""What several rules need: verdicts as calls, intervals against what is claimed."""

from collections.abc import Iterable, Sequence
from functools import partial

from analysis.claims.records import CONTRADICTED, INCONCLUSIVE, REPRODUCED, Context, Outcome
from analysis.comparison import scope
from analysis.comparison.measures import METRICS
from analysis.statistics.records import Estimate, Refusal, Score
from analysis.statistics.verdicts import compare
from analysis.statistics.verdicts.records import WORDS, Call, Verdict

METRIC = {metric.key: metric for metric in METRICS}


def judged(
    c: Context, key: str, scores: Sequence[Score], pairs: Sequence[tuple[str, str]], rows: Sequence[str] = (),
    overall: bool = False,
) -> tuple[Verdict | Refusal, ...]:  # fmt: skip
    """Verdicts of one family by a metric's own margin, at the largest budget or over all of them, as in the page's tables.

    Args:
        scores: of all budgets that a collapse may have been seen at.
        rows: whose pretrainings are counted; none = those of each pair.
    """
    metric = METRIC[key]
    units = (lambda *_: c.pretrainings(rows)) if rows else partial(scope.pretrainings, c.study)
    return compare.compare(
        scores, margin=metric.margin, higher_is_better=metric.higher_is_better,
        budget=None if overall else c.full, pairs=pairs, units=units, worst=metric.worst, counts=c.study.unit,
        missing=c.measures.holes,
    )  # fmt: skip


def interval(estimate: Estimate) -> str:
    """`0.12 [0.1, 0.14]`, with infinities as words."""
    words = {float("inf"): "beyond the data", float("-inf"): "below the data"}
    value, low, high = (words.get(v) or f"{v:.3g}" for v in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def outcome(found: Verdict | Refusal, wanted: Sequence[Call], run_ids: tuple[str, ...] = ()) -> Outcome:
    """Of a claim that says the verdict is one of `wanted`."""
    if isinstance(found, Refusal):
        return Outcome(INCONCLUSIVE, found.reason, run_ids=run_ids)
    text = f"{found.a} {WORDS[found.call]} {found.b}: difference {interval(found.effect)}, n = {found.seeds}"
    if found.call in wanted:
        return Outcome(REPRODUCED, text, found.effect, run_ids)
    if found.call == "undecided" or ("equivalent" in wanted and found.unproven):
        return Outcome(INCONCLUSIVE, "; ".join(filter(None, (text, found.note))), found.effect, run_ids)
    return Outcome(CONTRADICTED, text, found.effect, run_ids)


def against_each(
    c: Context, key: str, row: str, others: Sequence[str], wanted: Call, budgets: Sequence[int] = ()
) -> Outcome:
    """One pipeline against each other one, corrected as a family, with the effect that speaks least for the claim.

    At the largest budget, or over some `budgets`.
    """
    pairs = [(c.labels[row], c.labels[o]) for o in others]
    scores = c.scores(key, (row, *others), budgets or c.study.budgets)
    found = [outcome(v, (wanted,)) for v in judged(c, key, scores, pairs, overall=bool(budgets))]
    extreme = max if wanted == "worse" else min
    weakest = extreme((one.effect for one in found if one.effect), key=lambda e: e.value, default=None)
    return Outcome(together(one.call for one in found), "; ".join(one.text for one in found), weakest)


def together(calls: Iterable[str]) -> str:
    """Call of a claim of several parts: all must hold, one that does not is enough against it."""
    found = set(calls)
    if CONTRADICTED in found:
        return CONTRADICTED
    return REPRODUCED if found == {REPRODUCED} else INCONCLUSIVE


def above(found: Estimate, threshold: float) -> str:
    """Call of a claim that a number is larger."""
    return REPRODUCED if found.low > threshold else CONTRADICTED if found.high < threshold else INCONCLUSIVE


def inside(found: Estimate, claimed: tuple[float, float], slack: float = 1.0) -> str:
    """Disjoint from what is claimed: contradicted; inside of it, widened by the factor: reproduced; else inconclusive."""
    if found.high < claimed[0] or found.low > claimed[1]:
        return CONTRADICTED
    within = found.low >= claimed[0] / slack and found.high <= claimed[1] * slack
    return REPRODUCED if within else INCONCLUSIVE
