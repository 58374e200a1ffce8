"""Which patient trains, validates and tests. The unit is the patient, always."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import pandas as pd

from sslseg.config import plugins
from sslseg.config.names import DataError, ParamError
from sslseg.config.params import FOLD
from sslseg.config.texts import some
from sslseg.data.slices.slice_store import Slices
from sslseg.data.source import Description, Source
from sslseg.data.streams import stream

NAMES = ("train", "val", "test")
KINDS = ("kalapos2022", "stratified", "official", "file")
SHARE = 10  # stratified: one patient in ten validates, one in ten tests
FEWEST = 3  # one patient for each of train, val and test


def assign(patients: pd.DataFrame, kind: str, seed: int = 0) -> dict[str, str]:
    """patient -> "train", "val" or "test".

    Args:
        patients: columns patient, group and, for the data's own division, official ("train",
            "val", "test" or None);
            any number of rows per patient.
        kind: "kalapos2022": patient number mod 10, 1 tests and 2 validates ([C] of the paper);
            "stratified": seeded, about 80/10/10 of every group;
            "official": the dataset's own test patients; its own val, or drawn as in stratified;
            "file": all of it as the data's own files say;
            "fold:k/n": the k-th of n parts of every group tests, so that n runs test each patient once;
            a tenth of the others validates.
        seed: of stream "split"; not read by kalapos2022.

    Raises:
        ParamError: unknown kind, or one that this dataset cannot be divided by.
        DataError: a patient in two groups, or too few patients.
    """
    one = patients.drop_duplicates("patient").sort_values("patient")
    if kind == "kalapos2022":
        return _filled({p: _by_number(p) for p in one["patient"]}, kind)
    fold = re.fullmatch(FOLD, kind)
    if kind not in KINDS and not fold:
        raise ParamError(
            f"split: wanted one of {', '.join(KINDS)} or fold:1/5, got {kind!r} (auto is resolved by the dataset's SPLIT)"
        )
    groups = patients[["patient", "group"]].drop_duplicates()
    if groups["patient"].duplicated().any():
        twice = groups.loc[groups["patient"].duplicated(), "patient"].iloc[0]
        raise DataError(f"split: patient {twice} is in two groups")
    if fold:
        return _filled(_fold(one, seed, int(fold[1]), int(fold[2])), kind)
    if kind == "stratified":
        return _filled(_drawn(one, seed, ("test", "val")), kind)
    official = one.get("official", pd.Series([None] * len(one), index=one.index))
    told = dict(zip(one["patient"], official, strict=True))
    if kind == "file":
        return _told(told)
    test = official == "test"
    if not test.any():
        raise ParamError("split=official: this dataset names no test patients, use split=stratified")
    if (official == "val").any():
        return _filled({p: side or "train" for p, side in told.items()}, kind)
    drawn = _drawn(one[~test], seed, ("val",))
    return _filled(drawn | dict.fromkeys(one.loc[test, "patient"], "test"), kind)


def _by_number(patient: str) -> str:
    if (number := re.search(r"(\d+)$", patient)) is None:
        raise ParamError(f"split=kalapos2022: wanted patients that end in a number, got {patient!r}")
    return {1: "test", 2: "val"}.get(int(number[1]) % 10, "train")


def _fold(patients: pd.DataFrame, seed: int, k: int, folds: int) -> dict[str, str]:
    """Every n-th patient of the line tests, from the k-th on; of the others val is drawn as in stratified."""
    kind = f"fold:{k}/{folds}"
    if not (folds >= 2 and 1 <= k <= folds):
        raise ParamError(f"split: wanted fold:k/n with n of at least 2 and k from 1 to n, got {kind}")
    if len(patients) < folds:
        raise DataError(f"split={kind}: wanted at least {folds} patients, got {len(patients)}")
    test = set(_line(patients, seed)[k - 1 :: folds])
    rest = patients[~patients["patient"].isin(test)]
    if len(rest) < 2:
        raise DataError(f"split={kind}: wanted two patients besides the test ones, got {len(rest)}")
    return _drawn(rest, seed, ("val",)) | dict.fromkeys(test, "test")


def _line(patients: pd.DataFrame, seed: int) -> list[str]:
    """The groups end to end, in shuffled order, each shuffled."""
    rng = stream(seed, "split")
    groups = [g["patient"].to_numpy() for _, g in patients.groupby("group", sort=True)]
    return [p for g in rng.permutation(len(groups)) for p in rng.permutation(groups[g])]


def _drawn(patients: pd.DataFrame, seed: int, held: tuple[str, ...]) -> dict[str, str]:
    """Lay the groups end to end, shuffled, and hold out every tenth patient once per name of `held`.

    So each group gives a tenth, rounded up or down, and the rounding does not add up over groups.
    """
    line = _line(patients, seed)
    if len(line) <= len(held):
        hint = "patient_regex or csv in sslseg.json says who is in which file"
        raise DataError(
            f"split: wanted at least {FEWEST} patients for train, val and test, got {len(line)}; {hint}"
        )
    every = min(SHARE, len(line))
    places = {round(i * every / len(held)): name for i, name in enumerate(held)}
    return {p: places.get(i % every, "train") for i, p in enumerate(line)}


def _told(sides: dict[str, str | None]) -> dict[str, str]:
    """The division as it is written down, which has to name every patient."""
    missing = [p for p, side in sides.items() if side not in NAMES]
    if len(missing) == len(sides):
        raise ParamError("split=file: these data bring no file of splits, use split=stratified")
    if missing:
        without = some(missing, 8)
        raise DataError(f"split=file: wanted a side for every annotated patient, got none for {without}")
    return _filled({p: side for p, side in sides.items() if side}, "file")


def _filled(assigned: dict[str, str], kind: str) -> dict[str, str]:
    counts = {name: sum(v == name for v in assigned.values()) for name in NAMES}
    if not all(counts.values()):
        raise DataError(f"split={kind}: wanted patients in train, val and test, got {counts}")
    return {str(p): v for p, v in assigned.items()}


@dataclass(frozen=True)
class Listed:
    """What `divide` reads of a slice store, of volumes that are in none."""

    index: pd.DataFrame
    split: str
    sides: dict[str, str]


def divide(source: Slices | Listed, dataset: str, split: str) -> dict[str, np.ndarray]:
    """split -> rows of the index. Patients without any label train, unless the data say otherwise."""
    index = source.index
    module = plugins.load("datasets", dataset)
    if not index["labelled"].any():
        return {"train": np.arange(len(index)), "val": np.array([], int), "test": np.array([], int)}
    kind = (source.split or module.SPLIT) if split == "auto" else split
    patients = index.groupby("patient", sort=False).agg({"group": "first", "labelled": "any"}).reset_index()
    own: Callable[[str], str | None] | None
    own = source.sides.get if source.sides or kind == "file" else getattr(module, "official", None)
    if own is not None:
        patients = patients.assign(official=[own(p) for p in patients["patient"]])
    known = patients[patients["labelled"]]
    twins = {} if kind in ("official", "file") else _twins(module, set(known["patient"]))
    side = assign(known[~known["patient"].isin(twins)], kind)
    side |= {twin: side[first] for twin, first in twins.items()}
    bare = patients[~patients["labelled"]]
    told = own if kind in ("official", "file") else None
    side |= {p: (told(p) if told else None) or "train" for p in bare["patient"]}
    assigned = index["patient"].map(side)
    return {name: np.flatnonzero(assigned == name) for name in NAMES}


def _twins(module: ModuleType, there: set[str]) -> dict[str, str]:
    """Patients that a published dataset is known to have twice, by name -> the first of their names: one side for both."""
    known = getattr(module, "TWICE", ())
    return {twin: first for first, *others in known for twin in others if {first, twin} <= there}


def divide_sources(
    sources: Sequence[Source], about: Description, dataset: str, split: str
) -> dict[str, np.ndarray]:
    """split -> positions in `sources`: the patients fall on the sides that they have in training."""
    rows = [(s.patient, s.group, s.label is not None) for s in sources]
    index = pd.DataFrame(rows, columns=["patient", "group", "labelled"])
    return divide(Listed(index, about.split, about.sides), dataset, split)
