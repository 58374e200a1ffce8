"""What is judged, two pipelines' paired differences, and what comes out: verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from analysis.statistics.records import Estimate, Score, internal
from analysis.statistics.verdicts.collapse import Sinking
from analysis.statistics.verdicts.interval import Rest
from analysis.statistics.verdicts.power import MoreSeeds

Call = Literal["better", "worse", "equivalent", "undecided"]
SURE: tuple[Call, Call] = ("better", "worse")
WORDS: dict[Call, str] = {
    "better": "is better than",
    "worse": "is worse than",
    "equivalent": "is as good as",
    "undecided": "is neither surely better nor surely worse than",
}


@dataclass(frozen=True)
class Unproven:
    """Why a difference within the margin is not called equivalent; `runs` of each pipeline would do, 0 = no number of them."""

    why: str
    runs: int = 0


@dataclass(frozen=True)
class Verdict:
    """`a` against `b`; `effect` is the mean paired difference, positive when `a` is the better.

    The call is what `effect`'s interval says, at confidence `level` (of the family: 1 − α). `p` is that of the
    exact sign-flip permutation test of this pair alone, `least_p` the least that so many seeds can give: they warn,
    and decide nothing. `budget` None means overall; `margin` is the half-width that counts as equivalent.
    """

    a: str
    b: str
    budget: int | None
    call: Call
    effect: Estimate
    level: float
    p: float
    least_p: float
    seeds: int
    margin: float
    more: MoreSeeds | None
    note: str
    about: str = ""  # what varied between the runs, in words
    unit: str = "seed"  # of which `seeds` are counted: seed, or pretraining where there are several
    # where the difference is within the margin; in words in `note`
    unproven: Unproven | None = internal(default=None)


@dataclass(frozen=True)
class Pair:
    """Differences of two pipelines at `seeds` [S], known to lie between `low` [S] and `high` [S].

    `runs` is the smaller number of runs of the two, at all budgets (of pretrainings, of a pipeline with several);
    `fallen` are those runs that lie far below the others; `sinking` is what is known of collapses of `a` and of `b`; `rest`
    is what the other pipelines say about the variance; `scatter` is that of `collapse.scatter`, and `averaged` how many
    times as large that of a single run is; `unit` is what `seeds` are: seeds, or pretrainings;
    `missing` are cells of the two (name, budget, seed) that have no score.
    """

    a: str
    b: str
    seeds: Sequence[int]
    low: np.ndarray
    high: np.ndarray
    runs: int
    fallen: tuple[Score, ...] = ()
    sinking: tuple[Sinking, Sinking] | None = None
    rest: Rest | None = None
    scatter: tuple[float, float] = (0.0, 1.0)
    averaged: float = 1.0
    unit: str = "seed"
    missing: tuple[tuple[str, int, int], ...] = ()

    def counted(self, sinking: Sinking | None = None) -> str:
        """What collapses are counted in, of one pipeline or of both."""
        asked = (sinking,) if sinking else self.sinking or ()
        return "pretrainings" if any(s.pretrainings for s in asked) else "runs"
