"""Mean errors of one pipeline, joined on log-log: what worth and advice are decided by, with no law assumed.

Intervals use only the sizes that were run and that the mean error does not rise with the slices: between two sizes
the curve lies between their errors, however it bends.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from analysis.statistics.laws.scaling import usable
from analysis.statistics.records import (
    FIRM_SEEDS,
    MIN_SEEDS,
    WIDE,
    Cells,
    Estimate,
    Refusal,
    Score,
    grouped,
    internal,
    students_t,
)


@dataclass(frozen=True)
class Joined:
    """Mean errors [K] of one pipeline at its `sizes`, and the `values` [S, K] they are means of.

    `units` says which seeds count as one: those that start from one of several pretrainings; None: no two.
    """

    pipeline: str
    sizes: tuple[int, ...]
    means: np.ndarray
    note: str
    values: np.ndarray = internal()
    seeds: tuple[int, ...] = internal()
    units: Mapping[int, int] | None = internal(default=None)

    def error(self, n: np.ndarray) -> np.ndarray:
        """Mean error [G] at sizes `n` [G] in slices, linear in log-log between the sizes."""
        return np.exp(np.interp(np.log(n), np.log(self.sizes), np.log(self.means)))

    def by_seed(self, size: int) -> dict[int, float]:
        """Error of each seed that was run at this size."""
        column = self.values[:, self.sizes.index(size)]
        return {s: float(v) for s, v in zip(self.seeds, column, strict=True) if np.isfinite(v)}


def joined(
    scores: Iterable[Score] | Cells, pipeline: str, units: Mapping[int, int] | None = None
) -> Joined | Refusal:
    """Mean errors of one pipeline; refused below 4 sizes with 3 seeds, and with a mean error of zero."""
    table = usable(scores, pipeline)
    if isinstance(table, Refusal):
        return table
    means = np.nanmean(table.values, axis=0)
    if means.min() <= 0:
        where = f"{table.sizes[means.argmin()]:.0f}"
        return Refusal(
            f"{table.pipeline} makes no error at size {where}, and no curve on logarithmic axes reaches zero"
        )
    counted = np.array([units[s] if units else s for s in table.seeds])
    fewest = min(len(set(counted[there])) for there in np.isfinite(table.values).T)
    sizes = tuple(int(n) for n in table.sizes)
    note = WIDE if fewest < FIRM_SEEDS else ""
    return Joined(table.pipeline, sizes, means, note, table.values, table.seeds, units)


def mean_difference(
    a: dict[int, float], b: dict[int, float], *units: Mapping[int, int] | None, factor: float = 1.0
) -> Estimate:
    """Mean of `factor`·a − b over the seeds that both have, with its t interval; endless below three.

    Seeds that are one in each of the `units` of the two pipelines count as one: their differences are averaged.
    """
    both = sorted(set(a) & set(b))
    groups = grouped((tuple(u[s] for u in units if u) or (s,), factor * a[s] - b[s]) for s in both)
    d = np.array([fmean(group) for group in groups.values()])
    if len(d) < MIN_SEEDS:
        return Estimate(float(d.mean()) if len(d) else 0.0, -np.inf, np.inf)
    return students_t(d)
