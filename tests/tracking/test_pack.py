"""A study in a file gives the same frames elsewhere; an archive that is not one reaches nothing."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import sqlite3
import tarfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

from sslseg.commands import pack, unpack
from sslseg.config import names
from sslseg.config.names import EncoderError, SslsegError
from sslseg.tracking import lineage, session
from sslseg.tracking import store as stores
from sslseg.tracking.capsule import pack as packing
from sslseg.tracking.capsule import unpack as unpacking
from sslseg.tracking.history import frames
from sslseg.tracking.registry import resolve
from sslseg.tracking.upkeep import doctor
from tests.fixtures.archives import archive_of


@pytest.fixture(scope="module")
def study(store: str, model_folder: Callable[..., Path]) -> tuple[str, str]:
    """(sweep, fine-tuned run): a sweep with a pretraining in another experiment upstream of its one cell."""
    other = stores.ensure_experiment("pretraining", store)
    with session.open_run("pretrain", experiment_id=other) as run:
        run.params({"steps": 4, "dataset": "photos"})
        for step, loss in enumerate((3.0, float("nan"), float("inf"), 0.1 + 0.2)):
            run.log({"train/loss": loss}, step)
        run.input_dataset("photos", "ab", "/somewhere/private/photos-ab", "pretrain")
        encoder = resolve.log_encoder(
            run, model_folder(1.5), name="encoder-resnet18", role="target", method="byol", dataset="photos",
            lineage="byol@photos", card="# card", epoch=1, step=3,
        )  # fmt: skip
    with session.open_run("sweep") as sweep:
        with session.open_run("finetune", parent_run_id=sweep.id, tags={names.TAG_SWEEP: sweep.id}) as tuned:
            tuned.tags({names.TAG_UPSTREAM_RUN: run.id, names.TAG_UPSTREAM_MODEL: encoder})
            tuned.params({"budget": 3, "seed": 1, "cache": "/somewhere/cache"})
            tuned.log({"test/iou": 1 / 3}, 4)
            tuned.input_model(encoder)
            tuned.text("a,b\n", "test/slices.csv")
        sweep.text(
            json.dumps([{"cell": "x", "pipeline": "p", "run_id": tuned.id, "error": ""}]), "cells.json"
        )
    place = stores.local_path(MlflowClient(store).get_run(tuned.id).info.artifact_uri)
    place.joinpath("link").symlink_to(place / "test" / "slices.csv")  # may lead anywhere: is not packed
    return sweep.id, tuned.id


@pytest.fixture(scope="module")
def whole(study: tuple[str, str], store: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of the study."""
    path = tmp_path_factory.mktemp("packed") / "whole.tar.gz"
    packing.pack(study[0], path, store)
    return path


@pytest.fixture
def elsewhere(store_template: Path, tmp_path: Path) -> str:
    """Another empty store, at another path."""
    folder = tmp_path / "else where"
    folder.mkdir()
    shutil.copy(store_template, folder / "mlflow.db")
    connection = sqlite3.connect(folder / "mlflow.db")
    connection.execute("update experiments set artifact_location = ?", (f"{folder}/mlruns/0",))
    connection.commit()
    connection.close()
    return f"sqlite:///{folder}/mlflow.db"


def test_unpacked_elsewhere_the_frames_are_equal(
    study, store: str, elsewhere: str, tmp_path: Path, monkeypatch, capsys
):
    sweep, tuned = study
    file = tmp_path / "study.tar.gz"
    pack.run(Namespace(study=sweep, file=file, public=False, artifacts=None))
    home = Path(store.removeprefix("sqlite:///")).parent
    before = frames.runs(sweep=sweep, upstream=True, uri=store)
    curves = frames.curves(before["run_id"], ["train/loss", "test/iou"], store)
    assert set(before["stage"]) == {"pretrain", "finetune"}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", elsewhere)
    shutil.move(home / "mlruns", home / "gone")
    try:
        unpack.run(Namespace(file=file, artifacts=None))
        after = frames.runs(sweep=sweep, upstream=True, uri=elsewhere)
        pd.testing.assert_frame_equal(after, before, check_exact=True)
        again = frames.curves(before["run_id"], ["train/loss", "test/iou"], elsewhere)
        pd.testing.assert_frame_equal(again, curves, check_exact=True)
        upstream = before.loc[before["stage"] == "pretrain", "run_id"].item()
        for reference in (upstream, "models:/encoder-resnet18@byol-photos", "models:/encoder-resnet18/1"):
            found = resolve.resolve(reference, uri=elsewhere)
            assert found.path.is_relative_to(tmp_path / "else where")
        api = MlflowClient(elsewhere)
        assert [f.path for f in api.list_artifacts(tuned, "test")] == ["test/slices.csv"]
        assert [i.dataset.source for i in api.get_run(upstream).inputs.dataset_inputs] == ["photos-ab"]
        assert api.get_run(tuned).inputs.model_inputs[0].model_id == found.model_id
        with tarfile.open(file) as tar:
            rows = json.load(tar.extractfile("store.json"))["rows"]
        del rows["params"]  # logged values stay as they were logged
        assert str(home) not in json.dumps(rows)
        unpack.run(Namespace(file=file, artifacts=None))
        assert "nothing to add: " in capsys.readouterr().out
        pd.testing.assert_frame_equal(frames.runs(sweep=sweep, upstream=True, uri=elsewhere), before)
    finally:
        shutil.move(home / "gone", home / "mlruns")


def test_links_are_not_packed(whole: Path):
    with tarfile.open(whole) as tar:
        assert not [name for name in tar.getnames() if name.endswith("link")]


def test_an_experiment_is_packed_by_name_and_keeps_its_name(
    study, store: str, elsewhere: str, tmp_path: Path
):
    MlflowClient(elsewhere).create_experiment("another")  # takes the ID 1
    runs, _, _ = packing.pack("pretraining", tmp_path / "p.tar.gz", store)
    assert len(unpacking.unpack(tmp_path / "p.tar.gz", elsewhere)) == runs
    found = frames.runs("pretraining", uri=elsewhere)
    assert len(found) == runs
    assert resolve.resolve(found["run_id"].iloc[-1], uri=elsewhere).epoch == 1


def test_of_a_study_under_way_what_has_ended_is_packed_and_the_rest_joins_it(
    store: str, elsewhere: str, tmp_path: Path, capsys: pytest.CaptureFixture
):
    def packed(name: str) -> tuple[Path, str]:
        pack.run(Namespace(study=sweep.id, file=tmp_path / name, public=False, artifacts=None))
        return tmp_path / name, capsys.readouterr().out

    with session.open_run("sweep") as sweep:
        with session.open_run("finetune", parent_run_id=sweep.id, tags={names.TAG_SWEEP: sweep.id}) as ended:
            ended.log({"test/iou": 0.5}, 4)
        with session.open_run("pretrain", parent_run_id=sweep.id, tags={names.TAG_SWEEP: sweep.id}) as going:
            tags = {names.TAG_SWEEP: sweep.id, names.TAG_UPSTREAM_RUN: going.id}
            with session.open_run("finetune", parent_run_id=sweep.id, tags=tags) as follows:
                follows.log({"test/iou": 0.6}, 4)
            first, said = packed("first.tar.gz")
            assert f"{first}: 1 runs, " in said
            rest = ", ".join(sorted((sweep.id, going.id, follows.id)))
            assert f"left out, for they have not ended or start from one that has not: {rest};" in said
        cells = [
            {"cell": x, "pipeline": "p", "run_id": run.id, "error": ""}
            for x, run in zip("ab", (ended, follows), strict=True)
        ]
        sweep.text(json.dumps(cells), "cells.json")
    second, said = packed("second.tar.gz")
    assert f"{second}: 4 runs, " in said
    assert "left out" not in said
    assert unpacking.unpack(first, elsewhere) == [ended.id]
    assert frames.runs(uri=elsewhere)["run_id"].tolist() == [ended.id]
    assert set(unpacking.unpack(second, elsewhere)) == {sweep.id, going.id, follows.id}
    whole = frames.runs(sweep=sweep.id, upstream=True, uri=elsewhere)
    assert set(whole["run_id"]) == {ended.id, follows.id, going.id}


def test_nothing_is_packed_of_a_study_of_which_nothing_has_ended_or_unknown(store: str, tmp_path: Path):
    with (
        session.open_run("sweep") as sweep,
        pytest.raises(SslsegError, match="has ended yet; `sslseg doctor`"),
    ):
        packing.pack(sweep.id, tmp_path / "x.tar.gz", store)
    for unknown in ("0" * 32, "no such experiment"):
        with pytest.raises(SslsegError, match="has no such run|not in"):
            packing.pack(unknown, tmp_path / "x.tar.gz", store)
    assert list(tmp_path.iterdir()) == []


def test_damaged_archives_and_rows(whole: Path, elsewhere: str, tmp_path: Path):
    short = tmp_path / "short.tar.gz"
    short.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (tmp_path / "no.tar.gz").write_bytes(b"hello")
    empty = hashlib.sha256(b"").hexdigest()
    twice = archive_of(
        tmp_path / "e.tar.gz", ("files/a", b""), ("files/a", b""), head={"files": {"a": empty}}
    )
    for path, sentence in [
        (short, "not an archive|missing"),
        (tmp_path / "no.tar.gz", "not an archive"),
        (twice, "is there twice"),
        (archive_of(tmp_path / "b.tar.gz"), "wanted the tables"),
        (archive_of(tmp_path / "c.tar.gz", head={"schema": "other"}), "store schema other"),
        (archive_of(tmp_path / "d.tar.gz", head={"files": {"runs/x/y": "00"}}), "1 files are missing"),
    ]:
        with pytest.raises(SslsegError, match=sentence):
            unpacking.unpack(path, elsewhere)
    assert MlflowClient(elsewhere).search_runs(["0"]) == []
    assert not list(Path(elsewhere.removeprefix("sqlite:///")).parent.glob(".unpack-*"))


def _changed(whole: Path, path: Path, change: Callable[[dict], object]) -> Path:
    """The archive with other rows."""
    with tarfile.open(whole) as tar, tarfile.open(path, "w:gz") as out:
        for member in tar:
            data = tar.extractfile(member).read()
            if member.name == "store.json":
                content = json.loads(data)
                change(content["rows"])
                data = json.dumps(content).encode()
                member.size = len(data)
            out.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize(
    ("table", "column", "value", "sentence"),
    [
        ("model_versions", "version", "1", "'1' is not the number of a version"),
        ("model_versions", "status", "good", "wanted one of READY"),
        ("logged_models", "status", 99, "wanted one of"),
        ("runs", "start_time", "yesterday", "start_time: wanted a whole number"),
        ("runs", "end_time", 1 << 70, "end_time: wanted a whole number"),
        ("runs", "run_uuid", None, "run_uuid: wanted a text, got None"),
        ("runs", "status", "RUNNING", "status: wanted one of FINISHED, FAILED, KILLED"),
        ("metrics", "value", "0.9", "value: wanted a number"),
        ("latest_metrics", "step", [1], "step: wanted a whole number"),
        ("params", "value", {"a": 1}, "value: wanted a text"),
        ("metrics", "run_uuid", "f" * 32, "which is not in the archive"),
        ("tags", "run_uuid", "f" * 32, "which is not in the archive"),
    ],
)
def test_a_value_that_no_store_would_hold_reaches_nothing(
    whole, elsewhere, tmp_path, table, column, value, sentence
):
    bad = _changed(whole, tmp_path / "bad.tar.gz", lambda rows: rows[table][0].__setitem__(column, value))
    with pytest.raises(SslsegError, match=re.escape(sentence)):
        unpacking.unpack(bad, elsewhere)
    assert MlflowClient(elsewhere).search_runs(["0"]) == []


def test_strange_tags_of_an_archive_stop_no_reader(whole: Path, elsewhere: str, tmp_path: Path, monkeypatch):
    """Numbers that are none in the tags that this project reads as numbers, and tables that are none."""

    def change(rows: dict) -> None:
        for row in rows["logged_model_tags"]:
            if row["tag_key"] in (names.MODEL_EPOCH, names.MODEL_STEP):
                row["tag_value"] = "x"
        for run in rows["runs"]:
            for key in (names.TAG_HEARTBEAT, names.TAG_ROW, names.TAG_LINEAGE, names.TAG_APART):
                rows["tags"] = [
                    r for r in rows["tags"] if (r["run_uuid"], r["key"]) != (run["run_uuid"], key)
                ]
                rows["tags"].append({"key": key, "value": "x > +@:y", "run_uuid": run["run_uuid"]})

    twice = _changed(whole, tmp_path / "twice.tar.gz", lambda rows: rows["params"].append(rows["params"][0]))
    with pytest.raises(SslsegError, match="its rows do not fit into a store"):
        unpacking.unpack(twice, elsewhere)
    assert not [*stores.sqlite_path(elsewhere).parent.rglob("artifacts")]
    with pytest.raises(SslsegError, match="--artifacts goes with a PostgreSQL"):
        unpacking.unpack(whole, elsewhere, tmp_path)
    unpacking.unpack(_changed(whole, tmp_path / "bad.tar.gz", change), elsewhere)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", elsewhere)
    grave = [found.fault for found in doctor.examine(elsewhere, tmp_path) if found.grave]
    assert grave
    assert all("'x > +@:y'" in fault for fault in grave)  # is no lineage, and told as such
    assert len(frames.runs(uri=elsewhere, upstream=True)) == 3
    (row,) = resolve.versions(uri=elsewhere)
    assert resolve.resolve(row["run_id"]).epoch is None
    with pytest.raises(EncoderError, match="written as 'x > \\+@:y'.* make 'byol@photos'"):
        lineage.of_model(row["run_id"])
    MlflowClient(elsewhere).set_tag(row["run_id"], names.TAG_LINEAGE, "byol@photos")
    assert lineage.text(lineage.of_model(row["run_id"])) == "byol@photos"
    cells = tmp_path / "cells.json"
    for text in ("[1]", "{}", "[" * 100_000, '[{"cell": 3, "run_id": ""}]'):
        cells.write_text(text)
        with pytest.raises(SslsegError, match=r"cells.json (cannot be read|is no table)"):
            frames._table(cells)
