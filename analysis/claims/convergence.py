"""Claims on convergence, stability and final scores: C1 to C6 and C10.

Thresholds that the paper does not give are named here and said on the page.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy.stats import gmean

from analysis.claims.common import above, inside, interval, judged, outcome, together
from analysis.claims.records import INCONCLUSIVE, UNTESTED, Context, Outcome
from analysis.claims.rows import BEST, FIVE, GENERALIST, MIXED, SPECIALIST
from analysis.statistics.curves import Steps
from analysis.statistics.records import Estimate, Refusal, grouped
from analysis.statistics.verdicts import arrival, stability

TIMES = (4.0, 5.0)  # "4-5 times", paper abstract and 5.1
TIMES_SLACK = 1.5  # an interval inside of [4 / 1.5, 5 × 1.5] is called 4 to 5 times
EPOCHS = (3, 4)  # paper 5.3


def hierarchical_faster(c: Context) -> Outcome | Refusal:
    """C1: steps to 95 % of the own final IoU, of the others over the hierarchical pipelines: speed, whatever the level."""
    text = "the others take {} times the steps of the hierarchical ones"
    return _times(c, (*GENERALIST, SPECIALIST), (MIXED, BEST), text, lambda found: above(found, 1))


def times_as_long(c: Context, rows: Sequence[str]) -> Outcome | Refusal:
    """C2 and C3: steps to 95 % of the own final IoU, of `rows` (geometric mean) over the claim's pipeline."""
    text = f"{{}} times the steps of {c.labels[BEST]}"
    return _times(c, rows, (BEST,), text, lambda found: inside(found, TIMES, TIMES_SLACK))


def _times(
    c: Context, slow: Sequence[str], fast: Sequence[str], text: str, called: Callable[[Estimate], str]
) -> Outcome | Refusal:
    """Steps of some pipelines (geometric mean) over those of others, pair by pair.

    A run is there when its validation IoU first reaches 95 % of its own final one (first crossing, at the grid of
    validations). Pairs are seeds, or pretrainings where there are several.
    """
    units = c.units((*slow, *fast))
    own = grouped(((t.seed, t.subset), (t.pipeline, t.own)) for t in c.measures.learned if t.budget == c.full)
    sides = [[c.labels[row] for row in rows] for rows in (slow, fast)]
    pairs = grouped(
        (units[seed], [_middle([there[label] for label in side]) for side in sides])
        for (seed, _), there in sorted((key, dict(runs)) for key, runs in own.items())
        if {*sides[0], *sides[1]} <= set(there)
    )
    left, right = ([_middle([pair[k] for pair in some]) for some in pairs.values()] for k in (0, 1))
    found = arrival.ratio_of_steps(left, right)
    if isinstance(found, Refusal):
        return found
    said = f"{text.format(interval(found))}, n = {len(pairs)}"
    return Outcome(called(found), "; ".join(filter(None, (said, found.note))), found)


def _middle(times: Sequence[Steps]) -> Steps:
    """Geometric mean; censored as soon as one is."""
    steps, before = gmean([(t.steps, t.before) for t in times])
    return Steps(float(steps), all(t.reached for t in times), float(before))


def most_stable(c: Context) -> Outcome:
    """C1s: spread of the area over seeds or pretrainings, every other pipeline over BYOL natural + BYOL target."""
    found = {c.labels[row]: _spread_ratio(c, row) for row in FIVE[:-1]}
    words = "; ".join(
        f.reason if isinstance(f, Refusal) else f"{label} {interval(f)}" for label, f in found.items()
    )
    call = together(INCONCLUSIVE if isinstance(f, Refusal) else above(f, 1) for f in found.values())
    effects = [f for f in found.values() if isinstance(f, Estimate)]
    least = min(effects, key=lambda e: e.value, default=None)
    return Outcome(call, f"spread of the areas, in multiples of that of {c.labels[BEST]}: {words}", least)


def _spread_ratio(c: Context, row: str) -> Estimate | Refusal:
    """Over pretrainings where there are several, each the mean of the fine-tunings from it."""
    units = c.units((row, BEST))
    sides = [{(s.seed, s.subset): s.value for s in c.scores("area", (side,))} for side in (row, BEST)]
    both = sorted(set(sides[0]) & set(sides[1]))
    pairs = grouped((units[key[0]], (sides[0][key], sides[1][key])) for key in both)
    theirs, mine = np.array([np.mean(some, axis=0) for some in pairs.values()]).reshape(-1, 2).T
    level = 1 - 0.05 / len(FIVE[:-1])  # Bonferroni over the four
    return stability.ratio_of_spread(theirs, mine, level=level)


def few_epochs_suffice(c: Context) -> Outcome:
    """C10: area after 3 or 4 epochs of self-supervision on the target data against the last kept one."""
    rows = [e for e in c.measures.by_epoch if e.pipeline == c.labels[BEST]]
    epochs = {e.epoch for e in rows}
    few, last = max((e for e in epochs if e in EPOCHS), default=None), max(epochs, default=0)
    if few is None or last <= max(EPOCHS):
        kept = ", ".join(map(str, sorted(epochs))) or "none"
        return Outcome(UNTESTED, f"wanted encoders kept after 3 or 4 epochs and later ones; there is {kept}")
    names = {few: f"{few} epochs", last: f"{last} epochs"}
    used = [e for e in rows if e.epoch in names]
    scores = [replace(e.score("area"), pipeline=names[e.epoch]) for e in used]
    (found,) = judged(c, "area", scores, [(names[few], names[last])], (BEST,), overall=True)
    return outcome(found, ("better", "equivalent"), tuple(sorted(e.run_id for e in used)))
