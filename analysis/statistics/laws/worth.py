"""Worth in slices: how many more slices a reference pipeline would need to match another one.

A label-equivalent gain: at budget n the pipeline has error ε(n), the reference reaches the same error at m
slices, the pipeline is worth m − n. No method of the literature is copied.
"""

from dataclasses import dataclass
from math import inf, isinf

import numpy as np

from analysis.statistics.laws.interpolate import Joined, mean_difference
from analysis.statistics.laws.inversion import crossing
from analysis.statistics.records import Estimate, Refusal, internal

NOT_SETTLED = "not settled", "?"  # text and short text of worth that may be more and may be less than nothing


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
    short: str = internal(default="")  # the text in a small cell


def worth(pipeline: Joined, reference: Joined, budget: int) -> Worth | Refusal:
    """Worth of `pipeline` over `reference` at `budget` slices.

    At every size m of the reference, ε_reference(m) − ε_pipeline(n) is a paired t interval over the units of both;
    the answer lies between the last size that is surely too small and the first that surely is not (`crossing`).

    Returns:
        `Worth`, or a `Refusal` when the pipeline was not run at the budget.
    """
    if budget not in pipeline.sizes:
        ran = f"was run at {', '.join(map(str, pipeline.sizes))}, not at {budget}"
        return Refusal.insufficient(ran, pipeline.pipeline)
    mine = pipeline.by_seed(budget)
    units = (pipeline.units, reference.units)
    tested = [mean_difference(reference.by_seed(m), mine, *units) for m in reference.sizes]
    here = pipeline.error(np.array([float(budget)]))
    match = crossing(lambda grid: reference.error(grid) - here, reference.sizes, tested)
    more = Estimate(match.value - budget, match.low - budget, match.high - budget)
    least, limit = reference.sizes[0], reference.sizes[-1]
    both = len(set(pipeline.seeds) & set(reference.seeds))
    note = pipeline.note or reference.note
    text, short = in_words(more, budget, least, limit)
    return Worth(
        pipeline.pipeline, reference.pipeline, budget, least, limit, both, match, more, text, note, short
    )


def in_words(more: Estimate, budget: int, least: int, limit: int) -> tuple[str, str]:
    """More slices in words, and in as few as can be: what was found, or what the sizes that were run leave to be said."""
    value, low, high = f"{more.value:+,.0f}", more.low, more.high
    if low == inf:
        most = f"{limit - budget:,}"
        return (f"more than {most}", f"> {most}") if limit > budget else ("more than were run", "not reached")
    if high == -inf:
        most = f"{budget - least:,}"
        told = f"costs more than {most}", f"costs > {most}"
        return told if budget > least else ("fewer than were run", "costs some")
    if (isinf(high) and low < 0) or (isinf(low) and high > 0):
        return NOT_SETTLED
    if isinf(high):
        return (f"at least {low:,.0f}", f"≥ {low:,.0f}") if low > 0 else ("more", "0 or more")
    if isinf(low):
        told = f"costs at least {-high:,.0f}", f"costs ≥ {-high:,.0f}"
        return told if high < 0 else ("costs more", "0 or fewer")
    told = f"{value}, from {low:+,.0f} to {high:+,.0f}", f"? {value}" if low < 0 < high else value
    return told if low < high else (value, value)
