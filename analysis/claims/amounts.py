"""Claims on pipelines, amounts of data, time and examples: C0, C7 to C9, C11 and C12.

Thresholds that the paper does not give are named here and said on the page.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.claims.common import above, against_each, inside, interval, judged, outcome, together
from analysis.claims.records import CONTRADICTED, INCONCLUSIVE, REPRODUCED, UNTESTED, Context, Outcome
from analysis.claims.rows import BEST, FIVE, GENERALIST, MIXED, SPECIALIST
from analysis.comparison.encoders import hop_name
from analysis.comparison.sameness import chain
from analysis.statistics.laws import knee
from analysis.statistics.laws.advice import near_full
from analysis.statistics.records import MIN_SEEDS, Estimate, Refusal, Score, grouped, students_t
from analysis.statistics.words import plural

LOW_DATA = 30  # slices; "below 2 % of the data", paper 5.2
TRANSITION = (30.0, 75.0)  # slices, paper 5.2
TRANSITION_SLACK = 3.0
CLOSE = 5.0  # per cent of the full-data score: our reading of "close to minimal error"
FEW = 100  # slices, paper abstract
MINUTES = 20.0  # of a fine-tuning, paper 4.1
MINUTES_SLACK = 1.5
GOOD_IOU = 0.75  # our reading of what Fig. 5 shows


def every(c: Context) -> tuple[int, ...]:
    """All sizes that were run."""
    return c.study.budgets


def low(c: Context) -> tuple[int, ...]:
    """The sizes that count as little data."""
    return tuple(n for n in c.study.budgets if n <= LOW_DATA)


def lineages(c: Context) -> Outcome | Refusal:
    """C0: every pipeline's lineage, walked in the store, is the one it is called by."""
    gaps, wrong = [], []
    for label in (c.labels[row] for row in FIVE):
        for start in sorted(set(c.study.of(label)["upstream_run_id"])):
            hops = list(chain(start, c.study.others))[::-1]
            walked = "+".join(map(hop_name, hops))
            if len(hops) < label.count("+") + 1:
                gaps.append(label)
            elif walked != label:
                wrong.append(f"{label} comes from {walked}")
    if wrong:
        return Outcome(CONTRADICTED, "; ".join(wrong))
    if gaps:
        return Refusal(f"upstream runs are gone from the store: {', '.join(gaps)}")
    return Outcome(REPRODUCED, "five pipelines, each with its lineage in the store: Fig. 1")


def generalist_in_low_data(c: Context) -> Outcome:
    """C7: up to 30 slices, generalist below hierarchical in test loss, supervised ImageNet below all.

    Of a group the mean over its pipelines counts, and over several budgets a seed's mean.
    """
    if not (sizes := low(c)):
        return Outcome(UNTESTED, f"no budget of at most {LOW_DATA} slices was run")
    key, rows = "test_loss", (*GENERALIST, MIXED, BEST)
    groups = {"generalist": GENERALIST, "hierarchical": (MIXED, BEST)}
    scores = c.scores(key, rows, sizes)
    both = [s for name, own in groups.items() for s in _blend(scores, name, [c.labels[row] for row in own])]
    apart = outcome(
        judged(c, key, both, [("generalist", "hierarchical")], rows, overall=True)[0], ("better",)
    )
    others = tuple(row for row in FIVE if row != "supervised")
    each = against_each(c, key, "supervised", others, "better", sizes)
    return Outcome(together([apart.call, each.call]), f"{apart.text}; {each.text}", apart.effect)


def _blend(scores: Sequence[Score], name: str, labels: Sequence[str]) -> list[Score]:
    """Mean over several pipelines, cell by cell; cells that one of them lacks are left out."""
    own = sorted((s for s in scores if s.pipeline in labels), key=lambda s: s.pipeline)
    cells = grouped(((s.budget, s.seed, s.subset), s.value) for s in own)
    whole = sorted(key for key, values in cells.items() if len(values) == len(labels))
    return [Score(name, *key, float(np.mean(cells[key]))) for key in whole]


def transition(c: Context) -> Outcome | Refusal:
    """C8: the knee of the generalist pipelines' mean test loss lies around 30 to 75 slices."""
    scores = c.averaged("test_loss", GENERALIST, c.study.budgets)
    pooled = _blend(scores, "generalist", [c.labels[row] for row in GENERALIST])
    none = Refusal.insufficient("there is no size and seed that all of them were run with")
    found = knee.knee(pooled, "generalist") if pooled else none
    if isinstance(found, Refusal):
        return found
    slopes = f"slope {found.slope_before:.2f} before, {found.slope_after:.2f} after"
    text = f"knee at {interval(found.size)} slices, {slopes}"
    if not found.evident:
        text += f"; a straight line is not ruled out (p = {found.p:.2g})"
        return Outcome(INCONCLUSIVE, text, found.size)
    return Outcome(inside(found.size, TRANSITION, TRANSITION_SLACK), text, found.size)


def few_slices_suffice(c: Context) -> Outcome | Refusal:
    """C9: the fewest slices with which supervised ImageNet comes within 5 % of its full-data score."""
    fitted = c.curves.fitted[c.labels["supervised"]]
    if isinstance(fitted, Refusal):
        return fitted
    found = near_full(fitted, CLOSE).slices
    text = f"the fewest slices within {CLOSE:g} % of the score at {fitted.sizes[-1]}: {interval(found)}"
    call = REPRODUCED if found.high < FEW else CONTRADICTED if found.low >= FEW else INCONCLUSIVE
    return Outcome(call, text, found)


def minutes(c: Context) -> Outcome | Refusal:
    """C11: minutes of one fine-tuning; geometric mean over runs."""
    values = [s.value for s in c.scores("minutes", (BEST,))]
    found = _mean(list(np.log(values)), "timed")
    if isinstance(found, Refusal):
        return found
    spent, claimed = found.mapped(np.exp), (MINUTES / MINUTES_SLACK, MINUTES * MINUTES_SLACK)
    said = f"{interval(spent)} minutes a fine-tuning, n = {len(values)}"
    return Outcome(inside(spent, claimed), said, spent)


def other_machine(c: Context) -> list[str]:
    """What the timings were taken on instead of the paper's machine and length."""
    runs, found = c.study.of(c.labels[BEST]), []
    devices = sorted(set(runs["device"]))
    if not all("V100" in d for d in devices):
        found.append(f"{', '.join(filter(None, devices)) or 'unknown device'} for a V100")
    steps = sorted({int(s) for s in pd.to_numeric(runs["cfg.steps"]).dropna()})
    return found + ([] if steps == [1050] else [f"{', '.join(map(str, steps))} steps for 1,050"])


def segments(c: Context) -> Outcome | Refusal:
    """C12: test IoU after specialist pretraining, with its t interval over seeds or pretrainings."""
    values = [s.value for s in c.averaged("test_iou", (SPECIALIST,))]
    found = _mean(values, "tested")
    if isinstance(found, Refusal):
        return found
    return Outcome(above(found, GOOD_IOU), f"test IoU {interval(found)}, n = {len(values)}", found)


def _mean(values: Sequence[float], what: str) -> Estimate | Refusal:
    if len(values) < MIN_SEEDS:
        return Refusal.insufficient(f"{plural(len(values), f'{what} run')}, at least {MIN_SEEDS} are wanted")
    return students_t(values)
