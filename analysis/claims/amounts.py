"""Claims on pipelines, amounts of data, time and examples: C0, C7 to C9, C11 and C12.

Thresholds that the paper does not give are named here and said on the page.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.claims.common import (
    BEST,
    FIVE,
    GENERALIST,
    MIXED,
    SPECIALIST,
    above,
    against_each,
    blend,
    inside,
    of_verdict,
    said,
    together,
    versus,
)
from analysis.claims.records import CONTRADICTED, INCONCLUSIVE, REPRODUCED, UNTESTED, Context, Outcome
from analysis.comparison.decisions import interval
from analysis.comparison.encoders import hop_name
from analysis.comparison.sameness import chain
from analysis.statistics.laws import knee
from analysis.statistics.laws.advice import near_full
from analysis.statistics.records import Refusal, students_t
from analysis.statistics.verdicts.judge import Verdict

LOW_DATA = 30  # slices; "below 2 % of the data", paper 5.2
TRANSITION = (30.0, 75.0)  # slices, paper 5.2
TRANSITION_SLACK = 3.0
CLOSE = 5.0  # per cent of the full-data score: our reading of "close to minimal error"
FEW = 100  # slices, paper abstract
MINUTES = 20.0  # of a fine-tuning, paper 4.1
MINUTES_SLACK = 1.5
GOOD_IOU = 0.75  # our reading of what Fig. 5 shows


def lineages(c: Context) -> Outcome:
    """C0: every pipeline's lineage, walked in the store, is the one it is called by."""
    gaps, wrong = [], []
    for row in FIVE:
        runs = c.study.of(c.labels[row])
        for start in sorted(set(runs["upstream_run_id"])):
            hops = list(chain(start, c.study.others))[::-1]
            walked = "+".join(map(hop_name, hops))
            if len(hops) < c.labels[row].count("+") + 1:
                gaps.append(c.labels[row])
            elif walked != c.labels[row]:
                wrong.append(f"{c.labels[row]} comes from {walked}")
    ids = c.runs(FIVE, c.study.budgets)
    if wrong:
        return Outcome(CONTRADICTED, "; ".join(wrong), run_ids=ids)
    if gaps:
        return Outcome(INCONCLUSIVE, f"upstream runs are gone from the store: {', '.join(gaps)}", run_ids=ids)
    return Outcome(REPRODUCED, "five pipelines, each with its lineage in the store: Fig. 1", run_ids=ids)


def generalist_in_low_data(c: Context) -> Outcome:
    """C7: up to 30 slices, generalist below hierarchical in test loss, supervised ImageNet below all."""
    low = [n for n in c.study.budgets if n <= LOW_DATA]
    if not low:
        return Outcome(UNTESTED, f"no budget of at most {LOW_DATA} slices was run")
    groups = versus(c, "test_loss", ("generalist", GENERALIST), ("hierarchical", (MIXED, BEST)), low)
    others = tuple(row for row in FIVE if row != "supervised")
    each, text, _ = against_each(c, "test_loss", "supervised", others, "better", low)
    call = together([of_verdict(groups, ("better",)), each])
    effect = groups.effect if isinstance(groups, Verdict) else None
    return Outcome(call, f"{said(groups)}; {text}", effect, c.runs(FIVE, low))


def transition(c: Context) -> Outcome:
    """C8: the knee of the generalist pipelines' mean test loss lies around 30 to 75 slices."""
    ids = c.runs(GENERALIST, c.study.budgets)
    scores = c.averaged("test_loss", GENERALIST, c.study.budgets)
    pooled = blend(scores, "generalist", [c.labels[r] for r in GENERALIST])
    found = knee.knee(pooled, "generalist") if pooled else Refusal("insufficient evidence: no common cell")
    if isinstance(found, Refusal):
        return Outcome(INCONCLUSIVE, found.reason, run_ids=ids)
    slopes = f"slope {found.slope_before:.2f} before, {found.slope_after:.2f} after"
    text = f"knee at {interval(found.size)} slices, {slopes}"
    if not found.evident:
        text += f"; one straight line is not rejected (p = {found.p:.2g})"
        return Outcome(INCONCLUSIVE, text, found.size, ids)
    slack = (TRANSITION[0] / TRANSITION_SLACK, TRANSITION[1] * TRANSITION_SLACK)
    return Outcome(inside(found.size, TRANSITION, slack), text, found.size, ids)


def few_slices_suffice(c: Context) -> Outcome:
    """C9: slices with which supervised ImageNet comes within 5 % of its full-data score."""
    fitted, ids = c.curves.fitted[c.labels["supervised"]], c.runs(("supervised",), c.study.budgets)
    if isinstance(fitted, Refusal):
        return Outcome(INCONCLUSIVE, fitted.reason, run_ids=ids)
    found = near_full(fitted, CLOSE).slices
    text = f"within {CLOSE:g} % of the score at {fitted.sizes[-1]} slices: {interval(found)} slices"
    call = REPRODUCED if found.high < FEW else CONTRADICTED if found.low >= FEW else INCONCLUSIVE
    return Outcome(call, text, found, ids)


def minutes(c: Context) -> Outcome:
    """C11: minutes of one fine-tuning; geometric mean over runs."""
    values, ids = np.array([s.value for s in c.scores("minutes", (BEST,))]), c.runs((BEST,))
    if len(values) < 3:
        return Outcome(INCONCLUSIVE, f"insufficient evidence: {len(values)} timed runs", run_ids=ids)
    found = students_t(np.log(values)).mapped(np.exp)
    slack = (MINUTES / MINUTES_SLACK, MINUTES * MINUTES_SLACK)
    text = f"{interval(found)} minutes a fine-tuning, n = {len(values)}"
    return Outcome(inside(found, slack, slack), text, found, ids)


def other_machine(c: Context) -> list[str]:
    """What the timings were taken on instead of the paper's machine and length."""
    runs, found = c.study.of(c.labels[BEST]), []
    devices = sorted(set(runs["device"]))
    if not all("V100" in d for d in devices):
        found.append(f"{', '.join(filter(None, devices)) or 'unknown device'} for a V100")
    steps = sorted({int(s) for s in pd.to_numeric(runs["cfg.steps"]).dropna()})
    return found + ([] if steps == [1050] else [f"{', '.join(map(str, steps))} steps for 1,050"])


def segments(c: Context) -> Outcome:
    """C12: test IoU after specialist pretraining, with its t interval over seeds or pretrainings."""
    values, ids = [s.value for s in c.averaged("test_iou", (SPECIALIST,))], c.runs((SPECIALIST,))
    if len(values) < 3:
        return Outcome(INCONCLUSIVE, f"insufficient evidence: {len(values)} tested runs", run_ids=ids)
    found = students_t(values)
    return Outcome(above(found, GOOD_IOU), f"test IoU {interval(found)}, n = {len(values)}", found, ids)
