"""Worth in slices: how many more slices a reference pipeline would need to match another one.

A label-equivalent gain: at budget n the pipeline has error ε(n), the reference reaches the same error at m
slices, the pipeline is worth m − n. No method of the literature is copied.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isinf

import numpy as np

from analysis.statistics.laws.interpolate import Joined, mean_difference
from analysis.statistics.laws.inversion import crossing
from analysis.statistics.records import Estimate, Refusal


@dataclass(frozen=True)
class Worth:
    """`match`: slices with which the reference equals the pipeline; `more`: that minus the budget.

    `limit` is the largest, `least` the smallest size that the reference was run at: infinite ends of
    the estimates mean beyond it, and nothing is said about how far.
    """

    pipeline: str
    reference: str
    budget: int
    least: int
    limit: int
    paired_seeds: int
    match: Estimate
    more: Estimate
    text: str
    note: str


def worth(pipeline: Joined, reference: Joined, budget: int) -> Worth | Refusal:
    """Worth of `pipeline` over `reference` at `budget` slices.

    At every size m of the reference, ε_reference(m) − ε_pipeline(n) is a paired t interval over the units of both;
    the answer lies between the last size that is surely too small and the first that surely is not (`crossing`).

    Returns:
        `Worth`, or a `Refusal` when the pipeline was not run at the budget.
    """
    if budget not in pipeline.sizes:
        return Refusal(
            f"insufficient evidence: {pipeline.pipeline} was run at {', '.join(map(str, pipeline.sizes))}, "
            f"not at {budget}"
        )
    mine = pipeline.by_seed(budget)
    units = (pipeline.units, reference.units)
    tested = [mean_difference(reference.by_seed(m), mine, *units) for m in reference.sizes]
    here = pipeline.error(np.array([float(budget)]))
    match = crossing(lambda grid: reference.error(grid) - here, reference.sizes, tested)
    more = Estimate(match.value - budget, match.low - budget, match.high - budget)
    least, limit = reference.sizes[0], reference.sizes[-1]
    both = len(set(pipeline.seeds) & set(reference.seeds))
    note = "; ".join(sorted({j.note for j in (pipeline, reference) if j.note}))
    text = _text(more, budget, least, limit)
    return Worth(pipeline.pipeline, reference.pipeline, budget, least, limit, both, match, more, text, note)


def _text(more: Estimate, budget: int, least: int, limit: int) -> str:
    """More slices in words: `+42, from +25 to +225`, or what the sizes that were run leave to be said."""
    low, high = more.low, more.high
    if low == inf:
        return f"more than {limit - budget:,}" if limit > budget else "more than were run"
    if high == -inf:
        return f"costs more than {budget - least:,}" if budget > least else "fewer than were run"
    if (isinf(high) and low < 0) or (isinf(low) and high > 0):
        return "not settled"
    if isinf(high):
        return f"at least {low:,.0f}" if low > 0 else "more"
    if isinf(low):
        return f"costs at least {-high:,.0f}" if high < 0 else "costs more"
    return f"{more.value:+,.0f}, from {low:+,.0f} to {high:+,.0f}" if low < high else f"{more.value:+,.0f}"
