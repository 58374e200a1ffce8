"""Worth in slices: how many more slices a reference pipeline would need to match another one.

A label-equivalent gain: at budget n the pipeline has error ε(n), the reference reaches the same error at m
slices, the pipeline is worth m − n. No method of the literature is copied; the interval is Fieller's.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isinf

import numpy as np
from scipy import stats

from analysis.statistics.laws.interpolate import Interpolated
from analysis.statistics.laws.inversion import crossing, size_grid, spread
from analysis.statistics.laws.scaling import Scaling
from analysis.statistics.records import Estimate, Refusal, plural

MISFIT = 0.01
Fitted = Scaling | Interpolated


@dataclass(frozen=True)
class Worth:
    """``match``: slices with which the reference equals the pipeline; ``more``: that minus the budget.

    ``limit`` is the largest, ``least`` the smallest size that the reference was run at: infinite ends of
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


def worth(pipeline: Fitted, reference: Fitted, budget: int, *, level: float = 0.95) -> Worth | Refusal:
    """Worth of ``pipeline`` over ``reference`` at ``budget`` slices.

    For every candidate m, ε_reference(m) − ε_pipeline(n) is tested with Student's t over seeds, a seed's
    parts of both fits being subtracted first, so that what a seed does to both pipelines drops out. The
    candidates not rejected are the interval. Either curve may be `interpolate.interpolated` instead of a
    fitted law, which is the one to show when ``misfit_p`` is below 0.01.

    Returns
    -------
    `Worth`, or a `Refusal` when the budget lies outside of the sizes that the pipeline was run at.
    """
    if not pipeline.sizes[0] <= budget <= pipeline.sizes[-1]:
        return Refusal(
            f"insufficient evidence: {pipeline.pipeline} was run at {pipeline.sizes[0]} to "
            f"{pipeline.sizes[-1]} slices, {budget} is outside"
        )
    grid = size_grid(reference.sizes[0], reference.sizes[-1])
    here = np.array([float(budget)])
    delta = reference.error(grid) - pipeline.error(here)
    units, both = paired_units(pipeline, reference, here, grid)
    freedom = min(pipeline.freedom, reference.freedom)
    match = crossing(grid, delta, spread(units), float(stats.t.ppf(0.5 + level / 2, freedom)))
    more = Estimate(match.value - budget, match.low - budget, match.high - budget)
    return Worth(
        pipeline.pipeline,
        reference.pipeline,
        budget,
        reference.sizes[0],
        reference.sizes[-1],
        both,
        match,
        more,
        _text(more, budget, reference.sizes[0], reference.sizes[-1]),
        _note(pipeline, reference),
    )


def paired_units(a: Fitted, b: Fitted, here: np.ndarray, grid: np.ndarray) -> tuple[np.ndarray, int]:
    """Per-seed parts [S, G] of the error of ε_b(grid) − ε_a(here), and how many seeds are in both."""
    seeds = sorted(set(a.seed_names) | set(b.seed_names))
    parts = np.zeros((len(seeds), len(grid)))
    parts[[seeds.index(s) for s in b.seed_names]] += b.influence(grid)
    parts[[seeds.index(s) for s in a.seed_names]] -= a.influence(here)
    return parts, len(set(a.seed_names) & set(b.seed_names))


def _note(pipeline: Fitted, reference: Fitted) -> str:
    poor = [f for f in (pipeline, reference) if f.misfit_p < MISFIT]
    notes = [f"the law does not fit {f.pipeline} at {plural(f.misfit_size, 'slice')}" for f in poor]
    notes += sorted({f.note for f in (pipeline, reference) if f.note})
    return "; ".join(notes)


def _text(more: Estimate, budget: int, least: int, limit: int) -> str:
    """Numbers as a reader wants them: ``+42 [25, > 1398]`` slices, both limits from the data's own sizes."""

    def show(value: float) -> str:
        if isinf(value):
            return f"> {limit - budget}" if value > 0 else f"< {least - budget}"
        return f"{value:+.0f}"

    return f"{show(more.value)} [{show(more.low)}, {show(more.high)}]"
