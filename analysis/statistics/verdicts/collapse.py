"""Runs that lie far below the others of their pipeline, and what runs without one say about how often it happens."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, log
from statistics import median

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from analysis.statistics.records import MIN_SEEDS, Score, grouped, ordered
from analysis.statistics.words import plural

FAR = 5.0  # robust s.d. below the median of the runs of the same pipeline and budget
_MAD = 1.4826  # s.d. over median absolute deviation of a normal distribution
RARE, BELIEF = 0.1, 0.95  # "equivalent" excludes a collapse in one of ten runs with this confidence
CLEAR = ceil(log(1 - BELIEF) / log(1 - RARE))  # runs without one that do so: 29
# of collapses that no run has shown: a lead has to be more than such a pipeline would have
RATES = (RARE, 0.2)
SHARED = 0.3  # of the variance of a run is that of its seed, where this is not known
DEEP = 20 / (1 - SHARED) ** 0.5  # s.d. beside their seed (`scatter`) that one of them costs: 20 of a run
LEAST = 1e-5  # chance below which it is not told how small it is: SciPy's noncentral t warns further out
NOISY = 9.0  # times the median variance of the pipelines


@dataclass(frozen=True)
class Sinking:
    """What a collapse costs a pipeline at a budget (infinite: not known), and how many of its runs, at all budgets, fell.

    `cost` is the most that one of those cost which did: all of `depth` where it collapsed, else how far below it lies.
    `pretrainings` are those most of whose runs did, and all, where the pipeline has several: the runs that start from a
    pretraining collapse together where it has collapsed, so there are no more chances to see it than pretrainings.
    """

    depth: float
    cost: float
    how: str
    fallen: int
    runs: int
    pretrainings: tuple[int, int] | None = None

    @property
    def chances(self) -> int:
        """Runs, or pretrainings, that could have collapsed independently of one another."""
        return self.pretrainings[1] if self.pretrainings else self.runs

    @property
    def open(self) -> float:
        """Rate of collapses that those which were seen leave open."""
        of_runs = open_rate(self.runs, self.fallen) if self.fallen else 0.0
        sunk, there = self.pretrainings or (0, 1)
        return max(of_runs, open_rate(there, sunk) if sunk else 0.0)

    def read(self, share: float) -> tuple[float, str]:
        """The chances of a share of the seeds, and in words: `12 runs`, `3 pretrainings`."""
        chances = self.chances * share
        return chances, plural(round(chances), "pretraining" if self.pretrainings else "run")


def far_below(
    scores: Iterable[Score], *, higher_is_better: bool, worst: float | None = None
) -> tuple[Score, ...]:
    """Runs whose score is `FAR` worse than what their pipeline reaches at their budget: see `_fallen`."""
    return tuple(_fallen(scores, higher_is_better, worst))


def losses(scores: Sequence[Score], worst: float) -> dict[Score, float]:
    """Runs far below what their pipeline reaches, and how far: infinitely where more than half of it over `worst` is lost."""
    higher = worst < max((s.value for s in scores), default=worst)
    levels = _fallen(scores, higher, worst)
    lost = {s: (abs(level - worst), abs(s.value - worst)) for s, level in levels.items()}
    return {s: reached - left if left >= reached / 2 else np.inf for s, (reached, left) in lost.items()}


def _fallen(scores: Iterable[Score], higher_is_better: bool, worst: float | None) -> dict[Score, float]:
    """Runs that are `FAR` worse than what the runs of their pipeline and budget reach, and that score.

    It is their median, and the score of the best where the median has lost more than half of that over `worst`: then most have
    collapsed. The s.d. is the larger of the cell's own and that of all cells, from absolute deviations: with three
    seeds a cell alone does not know it.
    """
    sign = 1.0 if higher_is_better else -1.0
    groups = grouped(((s.pipeline, s.budget), s) for s in ordered(scores))
    cells = [group for group in groups.values() if len(group) >= MIN_SEEDS]
    middles = [median(s.value for s in cell) for cell in cells]
    moved = [abs(s.value - m) for cell, m in zip(cells, middles, strict=True) for s in cell if s.value != m]
    pooled, found = median(moved) if moved else 0.0, dict[Score, float]()
    for cell, middle in zip(cells, middles, strict=True):
        far = FAR * _MAD * max(pooled, median(abs(s.value - middle) for s in cell))
        level, best = middle, sign * max(sign * s.value for s in cell)
        if worst is not None and abs(middle - worst) < abs(best - worst) / 2 and abs(best - middle) > far:
            level = best
        found |= {s: level for s in cell if sign * (s.value - level) < -far}
    return found


def collapsed(scores: Sequence[Score], worst: float) -> tuple[Score, ...]:
    """Runs far below what their pipeline reaches that also lost more than half of it over `worst`."""
    return tuple(s for s, lost in losses(scores, worst).items() if np.isinf(lost))


def open_rate(runs: int, fallen: int = 0) -> float:
    """Share of collapsing runs that so many runs, of which some collapsed, do not exclude (95 %; Clopper and Pearson 1934)."""
    return float(stats.beta.ppf(BELIEF, fallen + 1, runs - fallen)) if fallen < runs else 1.0


def scatter(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """S.d. [...] of runs [..., P, S] beside what a seed does to all of them, and its degrees of freedom.

    A pipeline that is much noisier than most is left out: it says nothing about the others. Of two pipelines, which say little
    about their seeds, these are taken for `SHARED` of the variance.
    """
    own = values.var(axis=-1, ddof=1)
    if values.shape[-2] == 2:
        freedom = 2 * (values.shape[-1] - 1)
        return np.sqrt((1 - SHARED) * own.mean(axis=-1)), np.full(own.shape[:-1], freedom)
    kept = own <= NOISY * np.median(own, axis=-1, keepdims=True)
    count, those = kept.sum(axis=-1), kept[..., None]
    left = values - values.mean(axis=-1, keepdims=True)
    left = (left - (left * those).sum(axis=-2, keepdims=True) / count[..., None, None]) * those
    freedom = (count - 1) * (values.shape[-1] - 1)
    return np.sqrt((left**2).sum(axis=(-2, -1)) / freedom), freedom


def unseen(
    lead: ArrayLike,
    seeds: int,
    runs: float,
    spread: ArrayLike,
    freedom: ArrayLike,
    depth: ArrayLike = np.inf,
    averaged: float = 1.0,
) -> np.ndarray:
    """Chance that a pipeline of equal mean, better for it where it does not collapse, shows such a `lead` and no collapse.

    For each of `RATES` [2, ...]: that none of its `runs` collapses, times the tail of the noncentral t of the mean over `seeds`.
    A collapse costs `DEEP` s.d. of a run, which are `averaged` times `spread` where several runs are one number, and no
    more than `depth`.
    """
    noise, one = (2 / seeds) ** 0.5, np.maximum(spread, 1e-12)
    deep, t = np.minimum(DEEP * averaged, depth / one), np.abs(lead) / one / noise
    least = np.sqrt(stats.chi2.ppf(LEAST, freedom) / freedom)  # that the s.d. is underestimated by
    return np.array([
        (1 - rate) ** runs * stats.nct.sf(np.minimum(t, (shift + 5) / least), freedom, shift)
        for rate, shift in ((rate, deep * rate / noise) for rate in RATES)
    ])  # fmt: skip
