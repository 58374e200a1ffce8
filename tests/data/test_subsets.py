"""Annotated subsets: prefixes, strata, foreground, identity."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslseg.config.names import DataError, ParamError
from sslseg.data import subsets

BUDGETS = (1, 3, 7, 15, 30, 75)


def train(patients: int = 20, groups: int = 5, empty: float = 0.3) -> pd.DataFrame:
    rng = np.random.default_rng(patients)
    rows = [
        (f"p{n:02d}", f"g{n % groups}", frame, phase, z, int(rng.random() > empty) * 9)
        for n in range(patients)
        for frame, phase in ((1, "ED"), (8, "ES"))
        for z in range(3 + n % 4)
    ]
    index = pd.DataFrame(rows, columns=["patient", "group", "frame", "phase", "z", "foreground"])
    return index.set_index(np.arange(len(index)) * 3 + 11)  # row numbers of a store with other slices


TRAIN = train()


@pytest.mark.parametrize("unit", subsets.UNITS)
@given(st.integers(0, 2**20), st.data())
def test_nested_is_a_prefix_with_foreground(unit, seed, data):
    most = len(TRAIN) if unit == "slice" else TRAIN["patient"].nunique()
    n, m = sorted(data.draw(st.lists(st.integers(1, most), min_size=2, max_size=2)))
    small, large = (subsets.draw(TRAIN, k, unit, "nested", seed) for k in (n, m))
    assert large.rows[: len(small.rows)] == small.rows
    assert len(set(large.rows)) == len(large.rows)
    chosen = TRAIN.loc[list(small.rows)]
    assert (chosen["foreground"] > 0).any()
    if unit == "slice":
        assert TRAIN.loc[small.rows[0], "foreground"] > 0
        counts = chosen.groupby("group").size().reindex(TRAIN["group"].unique(), fill_value=0)
        if n <= 5 * 18:  # while no group has run out
            assert counts.max() - counts.min() <= 1
        assert chosen["patient"].nunique() >= min(n, 19)
    else:
        assert chosen["patient"].nunique() == n
        assert len(chosen) == TRAIN["patient"].isin(chosen["patient"]).sum()


def test_random_is_uniform_over_slices():
    few = TRAIN.iloc[:12]
    counts = np.zeros(12)
    for seed in range(600):
        for row in subsets.draw(few, 2, "slice", "random", seed).rows:
            counts[few.index.get_loc(row)] += 1
    expected = 600 * 2 / 12
    assert ((counts - expected) ** 2 / expected).sum() < 31.26  # chi-square, 11 degrees, p = 0.001


def test_random_is_drawn_anew_for_every_budget():
    rows = [subsets.draw(TRAIN, n, "slice", "random", 0).rows for n in BUDGETS]
    assert [len(set(r)) for r in rows] == list(BUDGETS)
    assert any(rows[-1][: len(r)] != r for r in rows[:-1])


@pytest.mark.parametrize("kind", subsets.KINDS)
@pytest.mark.parametrize("unit", subsets.UNITS)
def test_a_draw_can_be_repeated_and_knows_no_row_numbers(kind, unit):
    one = subsets.draw(TRAIN, 7, unit, kind, 5)
    assert one == subsets.draw(TRAIN.sample(frac=1, random_state=1), 7, unit, kind, 5)
    moved = subsets.draw(TRAIN.set_index(TRAIN.index + 1000), 7, unit, kind, 5)
    assert moved.sha256 == one.sha256
    assert moved.rows == tuple(r + 1000 for r in one.rows)
    assert len({subsets.draw(TRAIN, 7, unit, kind, seed).sha256 for seed in range(20)}) == 20


def test_sha256_tells_kind_unit_and_slices_apart():
    seen = [subsets.draw(TRAIN, None, u, k, 0) for u in subsets.UNITS for k in subsets.KINDS]
    assert len({m.sha256 for m in seen}) == 4
    assert {frozenset(m.rows) for m in seen} == {frozenset(TRAIN.index)}
    assert seen[0].sha256 == subsets.draw(TRAIN, len(TRAIN), "slice", "nested", 9).sha256


def test_faults():
    with pytest.raises(ParamError, match=rf"wanted 1 to {len(TRAIN)} .*got 9999"):
        subsets.draw(TRAIN, 9999, "slice", "nested", 0)
    with pytest.raises(ParamError, match="wanted 1 to 20 .*got 21"):
        subsets.draw(TRAIN, 21, "patient", "random", 0)
    with pytest.raises(ParamError, match="wanted 1 to 20 .*got 0"):
        subsets.draw(TRAIN, 0, "patient", "nested", 0)
    with pytest.raises(ParamError, match="got 'nested' in 'volume'"):
        subsets.draw(TRAIN, 1, "volume", "nested", 0)
    with pytest.raises(DataError, match="foreground"):
        subsets.draw(TRAIN.assign(foreground=0), 3, "slice", "nested", 0)
    with pytest.raises(DataError, match="got none"):
        subsets.draw(TRAIN.iloc[:0], None, "slice", "random", 0)
    with pytest.raises(ParamError, match="subset"):
        subsets.draw(TRAIN, 1, "slice", "sorted", 0)


def test_csv_lists_the_slices_in_order():
    manifest = subsets.draw(TRAIN, 3, "slice", "nested", 0)
    lines = subsets.to_csv(manifest, TRAIN).splitlines()
    assert lines[0] == "row,group,patient,frame,phase,z,foreground"
    assert [int(line.split(",")[0]) for line in lines[1:]] == list(manifest.rows)
