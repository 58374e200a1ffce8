"""A curve without a law: mean errors joined on log-log, for pipelines that α·n^−β + γ does not fit.

It offers what `worth` and `advice` read of a fitted law, at the price of wider intervals and of a small
bias where the true curve bends between two sizes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from analysis.statistics.laws.scaling import problem_of, usable
from analysis.statistics.records import FIRM_SEEDS, WIDE, Cells, Refusal, Score, cells, internal


@dataclass(frozen=True)
class Interpolated:
    """Mean errors of one pipeline; ``seeds`` is the harmonic mean of the seeds per size."""

    pipeline: str
    sizes: tuple[int, ...]
    seeds: float
    means: np.ndarray
    note: str
    units: np.ndarray = internal()
    seed_names: tuple[int, ...] = internal()
    misfit_p: float = 1.0
    misfit_size: int = 0

    @property
    def freedom(self) -> float:
        """Degrees of freedom of every t interval made from this curve."""
        return self.seeds - 1

    def error(self, n: np.ndarray) -> np.ndarray:
        """Mean error [G] at sizes ``n`` [G] in slices, linear in log-log between the sizes."""
        return np.exp(np.interp(np.log(n), np.log(self.sizes), np.log(self.means)))

    def influence(self, n: np.ndarray) -> np.ndarray:
        """Each seed's part [S, G] in the estimation error of `error`."""
        weights = np.stack([np.interp(np.log(n), np.log(self.sizes), row) for row in np.eye(len(self.sizes))])
        return (self.units / self.means) @ weights * self.error(n)


def interpolated(scores: Iterable[Score] | Cells, pipeline: str) -> Interpolated | Refusal:
    """Mean errors of one pipeline as a curve; refused like `scaling.fit`, and with a mean error of zero."""
    table = usable(scores if isinstance(scores, Cells) else cells(scores, pipeline))
    if isinstance(table, Refusal):
        return table
    problem = problem_of(table)
    if problem.means.min() <= 0:
        return Refusal("a curve on log-log needs mean errors above zero")
    seeds = len(table.sizes) / float(np.sum(1 / problem.counts))
    units = (problem.values - problem.means) * problem.present / problem.counts
    notes = ["means joined, no law", *([WIDE] if seeds < FIRM_SEEDS else [])]
    sizes = tuple(int(n) for n in table.sizes)
    return Interpolated(table.pipeline, sizes, seeds, problem.means, "; ".join(notes), units, table.seeds)
