"""A slice store that is not as it was written is refused, and made anew where that is asked for."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace

import pandas as pd
import pytest

from sslseg.config import files, params
from sslseg.config.files import sha256_of
from sslseg.config.names import DataError
from sslseg.data import training_set
from sslseg.data.slices import slice_store
from tests.fixtures.acdc_stores import prepare


def _table(change):
    def damage(path):
        frame = pd.read_parquet(path)
        change(frame)
        frame.to_parquet(path)

    return damage


def _swapped(frame):
    frame["patient"] = frame["patient"].replace({"patient001": "patient002", "patient002": "patient001"})


def _classes(path):
    meta = json.loads(path.read_text())
    meta["law"]["classes"] = [meta["law"]["classes"][k] for k in (0, 2, 1, 3)]
    path.write_text(json.dumps(meta))


def _flip(path):
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])


DAMAGE = {
    "codes zeroed": (slice_store.CODES, lambda path: path.write_bytes(bytes(path.stat().st_size))),
    "labels erased": (slice_store.LABELS, lambda path: path.write_bytes(bytes(path.stat().st_size))),
    "one bit": (slice_store.CODES, _flip),
    "a shard cut": (slice_store.LABELS, lambda path: os.truncate(path, path.stat().st_size - 2)),
    "patients swapped": (slice_store.INDEX, _table(_swapped)),
    "other percentiles": (slice_store.VOLUMES, _table(lambda frame: frame.update(frame[["p99_0"]] * 2))),
    "classes in another order": (slice_store.META, _classes),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_no_damaged_part_is_read_and_verify_makes_it_anew(tree, tmp_path, name):
    part, damage = DAMAGE[name]
    first = prepare(tree, tmp_path / "cache")
    good = {file.name: file.read_bytes() for file in first.path.iterdir()}
    damage(first.path / part)
    assert (first.path / part).read_bytes() != good[part]
    for _ in range(2):
        with pytest.raises(
            DataError, match=rf"changed after they were written \({re.escape(part)}\); .*verify=true"
        ):
            prepare(tree, tmp_path / "cache")
    assert [part in fault for fault in slice_store.faults(tmp_path / "cache")] == [True]
    again = prepare(tree, tmp_path / "cache", verify=True)
    assert {file.name: file.read_bytes() for file in again.path.iterdir()} == good
    assert sha256_of(again.parts) == sha256_of(first.parts)
    assert prepare(tree, tmp_path / "cache").path == first.path


def test_a_part_that_is_gone_is_said(tree, tmp_path):
    first = prepare(tree, tmp_path / "cache")
    (first.path / slice_store.VOLUMES).unlink()
    with pytest.raises(DataError, match=r"wanted a slice store .*volumes.parquet.*verify=true"):
        prepare(tree, tmp_path / "cache")
    assert prepare(tree, tmp_path / "cache", verify=True).path == first.path


def test_a_store_without_digests_is_refused_and_verify_makes_it_anew(tree, tmp_path):
    path = prepare(tree, tmp_path / "cache").path / slice_store.META
    meta = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in meta.items() if k not in ("parts", "seal")}))
    for _ in range(2):
        with pytest.raises(
            DataError, match="no digests, it was written by an earlier version; .*verify=true"
        ):
            prepare(tree, tmp_path / "cache")
    (fault,) = slice_store.faults(tmp_path / "cache")
    assert "no digests" in fault
    prepare(tree, tmp_path / "cache", verify=True)
    assert json.loads(path.read_text()) == meta


def test_a_store_without_its_description_is_made_anew_by_itself(tree, tmp_path):
    path = prepare(tree, tmp_path / "cache").path / slice_store.META
    meta = json.loads(path.read_text())
    path.unlink()
    prepare(tree, tmp_path / "cache")
    assert json.loads(path.read_text()) == meta


def test_a_store_with_the_digests_of_earlier_versions_is_read_and_checked_as_it_is(tree, tmp_path):
    first = prepare(tree, tmp_path / "cache")
    meta = json.loads((first.path / slice_store.META).read_text())
    assert {digest[:5] for digest in meta["parts"].values()} == {"xxh3:"}
    meta["parts"] = {name: files.sha256(first.path / name) for name in slice_store.PARTS}
    text = json.dumps(meta | {"seal": slice_store.seal(meta)})
    (first.path / slice_store.META).write_text(text)
    assert prepare(tree, tmp_path / "cache").parts == meta["parts"]
    assert (first.path / slice_store.META).read_text() == text
    _flip(first.path / slice_store.LABELS)
    with pytest.raises(DataError, match=r"changed after they were written \(labels.u1\)"):
        prepare(tree, tmp_path / "cache")


def test_what_is_written_into_an_open_store_is_seen_at_the_end(tree, tmp_path):
    store = prepare(tree, tmp_path / "cache")
    os.utime(store.path / slice_store.LABELS, (1, 1))
    store.check_read()  # touched, and the same
    with (store.path / slice_store.LABELS).open("r+b") as shard:
        shard.write(b"\1")
    with pytest.raises(DataError, match=r"labels.u1: was changed while this run read it"):
        store.check_read()


def test_a_warm_process_sees_damage_and_repair(tree, tmp_path):
    p = params.Prepare(dataset="acdc", data_root=str(tree), cache=str(tmp_path / "cache"), spacing=0.0)
    first = training_set.store(p)
    assert training_set.store(p) is first
    with (first.path / slice_store.CODES).open("r+b") as shard:
        shard.write(b"\1\1")
    with pytest.raises(DataError, match=r"changed after they were written \(codes.i2\)"):
        training_set.store(p)
    repaired = training_set.store(replace(p, verify=True))
    assert training_set.store(p).codes(0).tolist() == repaired.codes(0).tolist() != first.codes(0).tolist()
