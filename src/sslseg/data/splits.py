"""Floor 1b: which patient trains, validates and tests. The unit is the patient, always."""

from __future__ import annotations

import re

import pandas as pd

from sslseg.data.streams import stream
from sslseg.names import DataError, ParamError

NAMES = ("train", "val", "test")
KINDS = ("kalapos2022", "stratified", "official")
SHARE = 10  # stratified: one patient in ten validates, one in ten tests
FEWEST = 3  # one patient for each of train, val and test


def assign(patients: pd.DataFrame, kind: str, seed: int = 0) -> dict[str, str]:
    """patient -> "train", "val" or "test".

    Args:
        patients: columns patient, group and, for "official", official ("train", "test" or None);
            any number of rows per patient.
        kind: "kalapos2022": patient number mod 10, 1 tests and 2 validates ([C] of the paper);
            "stratified": seeded, about 80/10/10 of every group;
            "official": the dataset's own test patients, val drawn from the rest as in stratified.
        seed: of stream "split"; not read by kalapos2022.

    Raises:
        ParamError: unknown kind, or one that this dataset cannot be divided by.
        DataError: a patient in two groups, or too few patients.
    """
    one = patients.drop_duplicates("patient").sort_values("patient")
    if kind == "kalapos2022":
        return _filled({p: _by_number(p) for p in one["patient"]}, kind)
    if kind not in KINDS:
        hint = (
            "a file of splits cannot be given yet"
            if kind == "file"
            else "auto is resolved by the dataset's SPLIT"
        )
        raise ParamError(f"split: wanted one of {', '.join(KINDS)}, got {kind!r} ({hint})")
    groups = patients[["patient", "group"]].drop_duplicates()
    if groups["patient"].duplicated().any():
        twice = groups.loc[groups["patient"].duplicated(), "patient"].iloc[0]
        raise DataError(f"split: patient {twice} is in two groups")
    if kind == "stratified":
        return _filled(_drawn(one, seed, ("test", "val")), kind)
    official = one.get("official", pd.Series([None] * len(one), index=one.index))
    test = official == "test"
    if not test.any():
        raise ParamError("split=official: this dataset names no test patients, use split=stratified")
    drawn = _drawn(one[~test], seed, ("val",))
    return _filled(drawn | dict.fromkeys(one.loc[test, "patient"], "test"), kind)


def _by_number(patient: str) -> str:
    number = re.search(r"(\d+)$", patient)
    if number is None:
        raise ParamError(f"split=kalapos2022: wanted patients that end in a number, got {patient!r}")
    return {1: "test", 2: "val"}.get(int(number[1]) % 10, "train")


def _drawn(patients: pd.DataFrame, seed: int, held: tuple[str, ...]) -> dict[str, str]:
    """Lay the groups end to end, shuffled, and hold out every tenth patient once per name of `held`.

    So each group gives a tenth, rounded up or down, and the rounding does not add up over groups.
    """
    rng = stream(seed, "split")
    groups = [g["patient"].to_numpy() for _, g in patients.groupby("group", sort=True)]
    line = [p for g in rng.permutation(len(groups)) for p in rng.permutation(groups[g])]
    if len(line) <= len(held):
        raise DataError(f"split: wanted at least {FEWEST} patients for train, val and test, got {len(line)}")
    every = min(SHARE, len(line))
    places = {round(i * every / len(held)): name for i, name in enumerate(held)}
    return {p: places.get(i % every, "train") for i, p in enumerate(line)}


def _filled(assigned: dict[str, str], kind: str) -> dict[str, str]:
    counts = {name: sum(v == name for v in assigned.values()) for name in NAMES}
    if not all(counts.values()):
        raise DataError(f"split={kind}: wanted patients in train, val and test, got {counts}")
    return {str(p): v for p, v in assigned.items()}
