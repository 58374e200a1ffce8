"""Splits: whole patients, the paper's rule, and shares of every group."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslseg.config.names import DataError, ParamError
from sslseg.data import splits


def cohort(*sizes: int) -> pd.DataFrame:
    rows = [(f"patient{g}{i:03d}", f"group{g}") for g, n in enumerate(sizes) for i in range(n)]
    return pd.DataFrame(rows, columns=["patient", "group"])


ACDC = pd.DataFrame(
    [(f"patient{n:03d}", ["DCM", "HCM", "MINF", "NOR", "RV"][(n - 1) // 20]) for n in range(1, 101)],
    columns=["patient", "group"],
)


def test_kalapos2022_is_the_papers_division_at_every_seed():
    assigned = splits.assign(ACDC, "kalapos2022", 7)
    assert assigned == splits.assign(ACDC, "kalapos2022", 0)
    by = {name: [p for p, v in assigned.items() if v == name] for name in splits.NAMES}
    assert by["test"] == [f"patient{n:03d}" for n in range(1, 100, 10)]
    assert by["val"] == [f"patient{n:03d}" for n in range(2, 100, 10)]
    assert len(by["train"]) == 80


def test_stratified_takes_a_tenth_of_every_group():
    assigned = splits.assign(ACDC, "stratified", 3)
    groups = dict(zip(ACDC["patient"], ACDC["group"], strict=True))
    counts = Counter((groups[p], v) for p, v in assigned.items())
    assert {counts[g, v] for g in set(groups.values()) for v in ("val", "test")} == {2}
    assert assigned != splits.assign(ACDC, "stratified", 4)
    assert assigned == splits.assign(ACDC.sample(frac=1, random_state=0), "stratified", 3)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(0, 99))
def test_stratified_holds_out_about_a_tenth_and_at_least_one(sizes, seed):
    patients = cohort(*sizes)
    if len(patients) < splits.FEWEST:
        with pytest.raises(DataError, match="at least 3 patients"):
            splits.assign(patients, "stratified", seed)
        return
    assigned = splits.assign(patients, "stratified", seed)
    assert set(assigned) == set(patients["patient"])
    counts = Counter(assigned.values())
    for held in ("val", "test"):
        assert 1 <= counts[held] <= -(-len(patients) // 10)


def test_rows_of_slices_give_the_same_as_rows_of_patients():
    slices = pd.concat([ACDC] * 3).sort_values("group")
    for kind in ("kalapos2022", "stratified"):
        assert splits.assign(slices, kind, 1) == splits.assign(ACDC, kind, 1)


def test_official_keeps_the_test_patients():
    patients = cohort(20, 20)
    test = set(patients["patient"][::4])
    patients["official"] = ["test" if p in test else None for p in patients["patient"]]
    assigned = splits.assign(patients, "official", 0)
    assert {p for p, v in assigned.items() if v == "test"} == test
    assert 1 <= Counter(assigned.values())["val"] <= 3
    with pytest.raises(ParamError, match="names no test patients"):
        splits.assign(ACDC, "official", 0)


@pytest.mark.parametrize("folds", [2, 3, 5, 10])
def test_folds_test_each_patient_once_and_keep_the_groups(folds: int):
    parts = [splits.assign(ACDC, f"fold:{k}/{folds}") for k in range(1, folds + 1)]
    groups = dict(zip(ACDC["patient"], ACDC["group"], strict=True))
    tested = [p for part in parts for p, side in part.items() if side == "test"]
    assert sorted(tested) == sorted(groups)
    for part in parts:
        assert set(part) == set(groups)
        counts = Counter((groups[p], side) for p, side in part.items())
        for group in set(groups.values()):
            assert abs(counts[group, "test"] - 20 / folds) < 1
        sides = Counter(part.values())
        assert abs(sides["val"] - (100 - 100 / folds) / 10) <= 1
    assert splits.assign(ACDC.sample(frac=1, random_state=0), "fold:1/5") == splits.assign(ACDC, "fold:1/5")


def test_folds_that_there_are_not():
    with pytest.raises(
        ParamError, match="fold:01/5"
    ):  # which would be another division than fold:1/5 by its name
        splits.assign(ACDC, "fold:01/5")
    for kind in ("fold:0/5", "fold:6/5", "fold:1/1"):
        with pytest.raises(
            ParamError, match=f"wanted fold:k/n with n of at least 2 and k from 1 to n, got {kind}"
        ):
            splits.assign(ACDC, kind)
    with pytest.raises(DataError, match="wanted at least 5 patients, got 4"):
        splits.assign(cohort(4), "fold:1/5")
    with pytest.raises(DataError, match="wanted two patients besides the test ones, got 1"):
        splits.assign(cohort(3), "fold:1/2")


def test_faults():
    with pytest.raises(ParamError, match="wanted one of"):
        splits.assign(ACDC, "auto", 0)
    with pytest.raises(ParamError, match="file of splits"):
        splits.assign(ACDC, "file", 0)
    with pytest.raises(ParamError, match="end in a number"):
        splits.assign(pd.DataFrame({"patient": ["anna"], "group": ["a"]}), "kalapos2022", 0)
    with pytest.raises(DataError, match=r"wanted patients in train, val and test, got .*'test': 0"):
        splits.assign(cohort(1), "kalapos2022", 0)
    with pytest.raises(DataError, match="two groups"):
        splits.assign(pd.concat([ACDC, ACDC.assign(group="x")]), "stratified", 0)


@pytest.mark.parametrize("split", ["stratified", *(f"fold:{k}/5" for k in range(1, 6))])
def test_a_patient_that_acdc_has_twice_lies_on_one_side(split: str):
    """Drawn by themselves, patients 074 and 076 of the real training set would be test and train in two folds of five."""
    names = [f"patient{i:03d}" for i in range(1, 101)]
    index = pd.DataFrame({"patient": names, "group": [n[-1] for n in names], "labelled": True})
    found = splits.divide(splits.Listed(index, "", {}), "acdc", split)
    sides = {names[row]: side for side, rows in found.items() for row in rows}
    assert len(sides) == 100
    assert sides["patient074"] == sides["patient076"]
    for alone in (index.drop(index=73), index.assign(labelled=index["patient"] != "patient074")):
        found = splits.divide(splits.Listed(alone.reset_index(drop=True), "", {}), "acdc", split)
        assert sum(map(len, found.values())) == len(alone)  # the other one is not lost with the first


def test_sides_that_the_data_bring_are_kept_by_file_and_by_official():
    """Slices of eight annotated patients, the first of each without a label, and of two bare ones."""
    names = np.repeat([f"patient{i:03d}" for i in (72, 73, 74, 75, 76, 77, 78, 79, 80, 81)], 2)
    index = pd.DataFrame({"patient": names, "group": "g", "labelled": np.arange(20) % 2 == 1})
    index.loc[index["patient"] > "patient079", "labelled"] = False
    told = {"patient074": "train", "patient076": "test", "patient077": "val", "patient080": "val"}

    def sides(split: str, **more: str) -> dict[str, str]:
        found = splits.divide(splits.Listed(index, split, told | more), "acdc", "auto")
        assert sorted(np.concatenate([*found.values()])) == list(range(20))
        return {names[row]: side for side, rows in found.items() for row in rows}

    official = sides("official")
    assert official == dict.fromkeys(names, "train") | told
    with pytest.raises(DataError, match="got none for patient072, patient073"):
        sides("file")
    rest = {name: "train" for name in names if name not in told}
    assert sides("file", **rest) == rest | told
    drawn = sides("stratified")
    assert drawn["patient080"] == drawn["patient081"] == "train"  # patients without a label train
    assert drawn["patient074"] == drawn["patient076"]
