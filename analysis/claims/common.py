"""What several rules need: groups of pipelines, verdicts as calls, intervals against what is claimed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np

from analysis.claims.records import CONTRADICTED, INCONCLUSIVE, REPRODUCED, Context, Outcome
from analysis.comparison import scope
from analysis.comparison.decisions import interval
from analysis.comparison.measures import METRICS
from analysis.statistics.records import Estimate, Refusal, Score
from analysis.statistics.verdicts import compare
from analysis.statistics.verdicts.judge import Verdict

GENERALIST = ("supervised", "byol@natural")
SPECIALIST = "byol@target"
MIXED, BEST = "supervised+byol@target", "byol@natural+byol@target"
FIVE = (*GENERALIST, SPECIALIST, MIXED, BEST)
METRIC = {metric.key: metric for metric in METRICS}


def blend(scores: Sequence[Score], name: str, labels: Sequence[str]) -> list[Score]:
    """Mean over several pipelines, cell by cell; cells that one of them lacks are left out."""
    cells: dict[tuple[int, int, str], dict[str, float]] = {}
    for s in scores:
        if s.pipeline in labels:
            cells.setdefault((s.budget, s.seed, s.subset), {})[s.pipeline] = s.value
    whole = {key: values for key, values in cells.items() if len(values) == len(set(labels))}
    return [
        Score(name, *key, float(np.mean([whole[key][label] for label in sorted(whole[key])])))
        for key in sorted(whole)
    ]


def of_verdict(found: Verdict | Refusal, wanted: Sequence[str]) -> str:
    """Call of a claim that says the verdict is one of `wanted`."""
    if isinstance(found, Refusal) or found.call == "undecided":
        return INCONCLUSIVE
    return REPRODUCED if found.call in wanted else CONTRADICTED


def outcome(found: Verdict | Refusal, wanted: Sequence[str], run_ids: tuple[str, ...]) -> Outcome:
    """Of a claim that says the verdict is one of `wanted`."""
    effect = found.effect if isinstance(found, Verdict) else None
    return Outcome(of_verdict(found, wanted), said(found), effect, run_ids)


def together(calls: Iterable[str]) -> str:
    """Call of a claim of several parts: all must hold, one that does not is enough against it."""
    calls = list(calls)
    if CONTRADICTED in calls:
        return CONTRADICTED
    return REPRODUCED if calls and all(c == REPRODUCED for c in calls) else INCONCLUSIVE


def said(found: Verdict | Refusal) -> str:
    """One pair in words: the call, its interval and the seeds behind it, or why there is none."""
    if isinstance(found, Refusal):
        return found.reason
    return f"{found.a} is {found.call} than {found.b} by {interval(found.effect)}, n = {found.seeds}".replace(
        "equivalent than", "equivalent to"
    ).replace("undecided than", "undecided against")


def versus(
    c: Context,
    key: str,
    a: tuple[str, Sequence[str]],
    b: tuple[str, Sequence[str]],
    budgets: Sequence[int] | None = None,
) -> Verdict | Refusal:
    """Group `a` (name, rows) against group `b`; over several budgets a seed's mean counts."""
    rows = [*a[1], *b[1]]
    scores = c.scores(key, rows, budgets)
    both = [s for name, group in (a, b) for s in blend(scores, name, [c.labels[r] for r in group])]
    return judged(c, key, both, [(a[0], b[0])], lambda *_: c.pretrainings(rows), budgets)[0]


def judged(
    c: Context, key: str, scores: Sequence[Score], pairs: Sequence[tuple[str, str]], units: compare.Units,
    budgets: Sequence[int] | None = None,
) -> tuple[Verdict | Refusal, ...]:  # fmt: skip
    """Verdicts of one family by a metric's own margin, at the largest budget unless others are given."""
    metric = METRIC[key]
    return compare.compare(
        scores, margin=metric.margin, higher_is_better=metric.higher_is_better,
        budget=c.full if budgets is None else None, pairs=pairs, units=units,
    )  # fmt: skip


def against_each(
    c: Context, key: str, row: str, others: Sequence[str], wanted: str, budgets: Sequence[int] | None = None
) -> tuple[str, str, list[Verdict | Refusal]]:
    """One pipeline against each other one, corrected as a family."""
    pairs = [(c.labels[row], c.labels[o]) for o in others]
    scores, units = c.scores(key, (row, *others), budgets), partial(scope.pretrainings, c.study)
    found = list(judged(c, key, scores, pairs, units, budgets))
    refused = [v for v in found if isinstance(v, Refusal)]
    words = [said(v) for v in found if isinstance(v, Verdict)]
    if refused:
        words.append(said(refused[0]) + (f" (and {len(refused) - 1} more pairs)" if len(refused) > 1 else ""))
    return together(of_verdict(v, (wanted,)) for v in found), "; ".join(words), found


def above(found: Estimate, threshold: float) -> str:
    """Call of a claim that a number is larger."""
    return REPRODUCED if found.low > threshold else CONTRADICTED if found.high < threshold else INCONCLUSIVE


def inside(found: Estimate, claimed: tuple[float, float], slack: tuple[float, float]) -> str:
    """Disjoint from what is claimed: contradicted; within the slack: reproduced; else too wide to tell."""
    if found.high < claimed[0] or found.low > claimed[1]:
        return CONTRADICTED
    return REPRODUCED if found.low >= slack[0] and found.high <= slack[1] else INCONCLUSIVE
