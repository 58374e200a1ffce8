"""Which annotated slices a fine-tuning sees, the same for every pipeline of a seed."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TypeVar

import numpy as np
import pandas as pd

from sslseg.config.files import sha256_of
from sslseg.config.names import DataError, ParamError
from sslseg.data.streams import stream

KINDS, UNITS = ("nested", "random"), ("slice", "patient")
IDENTITY = ["patient", "frame", "phase", "z"]  # what a slice is, in whatever store
T = TypeVar("T")


@dataclass(frozen=True)
class Manifest:
    """A drawn subset, and how it was drawn."""

    rows: tuple[int, ...]  # slice numbers in the store, in the order of drawing
    kind: str
    unit: str
    seed: int
    sha256: str  # of kind, unit and the sorted (patient, frame, phase, z), never of row numbers


def draw(index: pd.DataFrame, budget: int | None, unit: str, kind: str, seed: int) -> Manifest:
    """Draw `budget` slices, or all labelled slices of `budget` patients.

    nested: the subset of n is a prefix of that of any m > n. Groups take turns in a seeded order,
        within a group its patients do, so that early slices come from many patients; the first
        one shows foreground.
    random: uniform without replacement over all slices (or patients), drawn anew for every
        budget, as in [P] 5.2.

    Args:
        index: labelled train rows of `Slices.index`; its own index holds the slice numbers.
        budget: None = all of it.

    Raises:
        ParamError: unknown unit or kind, or a budget that is not there.
        DataError: no labelled slice, or none with foreground (nested).
    """
    if kind not in KINDS or unit not in UNITS:
        raise ParamError(f"subset: wanted one of {KINDS} counted in {UNITS}, got {kind!r} in {unit!r}")
    if not len(index):
        raise DataError("subset: wanted labelled train slices, got none")
    index = index.sort_values(IDENTITY, kind="stable")  # the draw does not depend on row numbers
    available = len(index) if unit == "slice" else index["patient"].nunique()
    wanted = available if budget is None else budget
    if not 1 <= wanted <= available:
        raise ParamError(f"budget: wanted 1 to {available} ({unit}s of train with labels), got {wanted}")
    if kind == "nested":
        order = _nested(index, unit, stream(seed, "subset"))
    else:
        units = index.index.to_numpy() if unit == "slice" else index["patient"].unique()
        order = stream(seed, "subset", wanted).permutation(units).tolist()
    units = order[:wanted]
    if unit == "patient":
        units = [row for patient in units for row in index.index[index["patient"] == patient]]
    rows = tuple(map(int, units))
    return Manifest(rows, kind, unit, seed, _sha256(index.loc[list(rows)], kind, unit))


def to_csv(manifest: Manifest, index: pd.DataFrame) -> str:
    """The subset as text: row, group, patient, frame, phase, z, foreground, in the order of drawing."""
    return index.loc[list(manifest.rows), ["group", *IDENTITY, "foreground"]].rename_axis("row").to_csv()


def _nested(index: pd.DataFrame, unit: str, rng: np.random.Generator) -> list:
    """Patients or slices: groups and their patients in seeded order, and the slices of each patient."""
    groups = [g["patient"].unique() for _, g in index.groupby("group", sort=True)]
    queues = [rng.permutation(groups[g]).tolist() for g in rng.permutation(len(groups))]
    shown = index[index["foreground"] > 0]
    if unit == "patient":
        return _foreground_first(_take_turns(queues), set(shown["patient"]))
    for k, patients in enumerate(queues):
        rows = [rng.permutation(index.index[index["patient"] == p]).tolist() for p in patients]
        queues[k] = _take_turns(rows)
    return _foreground_first(_take_turns(queues), set(shown.index))


def _take_turns(queues: Iterable[Sequence[T]]) -> list[T]:
    """First of each, second of each …; a queue that has run dry is passed over."""
    return [item for turn in zip_longest(*queues) for item in turn if item is not None]


def _foreground_first(order: list[T], foreground: set[Hashable]) -> list[T]:
    if (first := next((i for i, item in enumerate(order) if item in foreground), None)) is None:
        wanted = "wanted at least one labelled train slice with foreground"
        raise DataError(f"subset=nested: {wanted}, got none: all of their masks are background")
    return [order[first], *order[:first], *order[first + 1 :]]


def _sha256(rows: pd.DataFrame, kind: str, unit: str) -> str:
    each = rows[IDENTITY].itertuples(index=False)
    slices = sorted((str(r.patient), int(r.frame), str(r.phase), int(r.z)) for r in each)
    return sha256_of([kind, unit, slices])
