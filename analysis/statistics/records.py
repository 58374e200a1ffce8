"""What goes in (scores) and what comes out (estimates, refusals), and the one way to write them as JSON."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from itertools import pairwise
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

K = TypeVar("K")
V = TypeVar("V")
WIDE = "wide, indicative"
MIN_SIZES = 4
MIN_SEEDS = 3
FIRM_SEEDS = 5
TAIL = 0.5 + 0.95 / 2  # every interval of a single number is one of 95 %: its upper end, as a quantile


def internal(**options: Any) -> Any:
    """Dataclass field that is needed for later arithmetic and is left out of the JSON."""
    return field(repr=False, compare=False, metadata={"json": False}, **options)


@dataclass(frozen=True)
class Score:
    """One number of one run.

    `budget` is the number of annotated slices, `seed` the seed of the run, `subset` what names the
    slices drawn (a digest or a seed). Runs are pairs when budget, seed and subset are equal.
    """

    pipeline: str
    budget: int
    seed: int
    subset: str
    value: float


_KEY = attrgetter("pipeline", "budget", "seed", "subset")
_FIELDS = attrgetter("pipeline", "budget", "seed", "subset", "value")  # faster than comparing records


@dataclass(frozen=True)
class Refusal:
    """Why no number is given. It takes the place of the result: insufficient evidence is an answer.

    Where it is runs that lack, `lacks` says what of them there is and what is wanted, and `who`, of which pipelines.
    """

    reason: str
    who: str = internal(default="")
    lacks: str = internal(default="")

    @classmethod
    def insufficient(cls, lacks: str, who: str = "") -> Refusal:
        """For want of runs: `who` is the subject of the sentence that `lacks` ends, where it has one."""
        return cls(f"insufficient evidence: {f'{who} {lacks}'.strip()}", who, lacks)

    @property
    def short(self) -> str:
        """The reason where it is clear that the evidence does not suffice."""
        return f"{self.who} {self.lacks}".strip() or self.reason

    def __bool__(self) -> bool:
        return False


@dataclass(frozen=True)
class Estimate:
    """A value and its interval, all in the same unit; infinite ends say 'outside of the data'."""

    value: float
    low: float
    high: float
    note: str = ""

    @classmethod
    def around(cls, value: float, reach: float, note: str = "") -> Estimate:
        """A symmetric interval."""
        return cls(float(value), float(value - reach), float(value + reach), note)

    def mapped(self, by: Callable[[float], float]) -> Estimate:
        """The same in another unit; `by` is increasing."""
        return replace(self, value=float(by(self.value)), low=float(by(self.low)), high=float(by(self.high)))


def students_t(values: ArrayLike) -> Estimate:
    """Mean of [N] with Student's interval (95 %); of fewer than two its ends are NaN."""
    values = np.sort(np.asarray(values, float))  # so that no order of runs moves the last digit
    mean = float(values.mean()) if len(values) else np.nan
    if len(values) < 2:
        return Estimate(mean, np.nan, np.nan)
    reach = float(stats.t.ppf(TAIL, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)
    return Estimate.around(mean, reach)


@dataclass(frozen=True)
class Cells:
    """Scores of one pipeline: `values` [S seeds, K sizes], NaN where a run is missing, sizes ascending."""

    pipeline: str
    sizes: np.ndarray
    seeds: tuple[int, ...]
    values: np.ndarray


def ordered(scores: Iterable[Score]) -> tuple[Score, ...]:
    """Scores in one order whatever the order of the runs, non-finite values dropped.

    Raises:
        ValueError: when two scores share pipeline, budget, seed and subset but not the value.
    """
    kept = sorted({s for s in scores if math.isfinite(s.value)}, key=_FIELDS)
    keys = [_KEY(s) for s in kept]
    for key, following in pairwise(keys):
        if key == following:
            raise ValueError(
                f"one score per pipeline, budget, seed and subset is wanted, two differ for {key}: "
                "choose the run to keep before calling"
            )
    return tuple(kept)


def cells(scores: Iterable[Score], pipeline: str) -> Cells:
    """Seeds-by-sizes table of one pipeline; several subsets of one seed and size are averaged.

    Raises:
        ValueError: when the pipeline has no finite score.
    """
    rows = [s for s in ordered(scores) if s.pipeline == pipeline]
    if not rows:
        raise ValueError(f"no finite score of pipeline {pipeline!r}: it must be among the scores given")
    sizes, seeds = sorted({s.budget for s in rows}), sorted({s.seed for s in rows})
    found = grouped(((s.seed, s.budget), s.value) for s in rows)
    values = np.array([[np.mean(found.get((seed, size), np.nan)) for size in sizes] for seed in seeds])
    return Cells(pipeline, np.asarray(sizes, float), tuple(seeds), values)


def grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """Key -> all its values, in their order."""
    found: dict[K, list[V]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


def generator(seed: int, name: str) -> np.random.Generator:
    """Named random stream of a resampling, so that no resampling depends on which ran before it."""
    return np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(name.encode())]))


def plain(value: object) -> object:
    """Records, arrays and numbers as JSON values: ten significant digits, infinities as text, NaN as null."""
    if is_dataclass(value) and not isinstance(value, type):
        shown = [f.name for f in fields(value) if f.metadata.get("json", True)]
        return {name: plain(getattr(value, name)) for name in shown}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in value]
    value = value.item() if isinstance(value, np.generic) else value
    return _number(value) if isinstance(value, float) else value


def _number(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return float(f"{value:.10g}") + 0.0  # + 0.0 turns a negative zero into zero


def to_json(value: object) -> str:
    """Canonical JSON: sorted keys, the numbers of `plain`, one newline at the end."""
    return json.dumps(plain(value), sort_keys=True, indent=1, allow_nan=False) + "\n"
