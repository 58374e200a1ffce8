"""Two archives in one store: halves of a study from two machines are one study, and nothing points elsewhere."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from analysis.comparison import cells
from sslseg.config import names
from sslseg.config.names import SslsegError
from sslseg.tracking import manifest, session
from sslseg.tracking import store as stores
from sslseg.tracking.capsule import pack
from sslseg.tracking.capsule import unpack as unpacking
from sslseg.tracking.capsule.unpack import unpack
from sslseg.tracking.history import frames
from sslseg.tracking.registry import logged, resolve
from tests.fixtures import planted, planted_study

NAME, ALIAS = "encoder-resnet18", "byol-photos"
Machine = Callable[[str], str]


@pytest.fixture
def machine(store_template: Path, tmp_path: Path) -> Machine:
    """Makes an empty store of that name; returns its URI."""

    def make(name: str) -> str:
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(store_template, folder / "mlflow.db")
        connection = sqlite3.connect(folder / "mlflow.db")
        connection.execute("update experiments set artifact_location = ?", (f"{folder}/mlruns/0",))
        connection.commit()
        connection.close()
        return f"sqlite:///{folder}/mlflow.db"

    return make


def pretrain(uri: str, folder: Path, alias: str = ALIAS) -> str:
    """Run ID of a pretraining that registers a version of NAME."""
    place = stores.ensure_experiment("study", uri)
    with (
        pytest.MonkeyPatch.context() as patch,
        session.open_run("pretrain", experiment_id=place, uri=uri) as run,
    ):
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        run.input_dataset("photos", "ab", "photos", "pretrain")
        resolve.log_encoder(run, folder, name=NAME, role="target", method="byol", dataset="photos",
                            lineage="byol@photos", epoch=1, step=3, alias=alias, card=f"as models:/{NAME}/1")  # fmt: skip
    return run.id


def use(uri: str, version: int) -> str:
    """Run ID of a stage that was told its encoder by number, everywhere that a number can stand."""
    reference = f"models:/{NAME}/{version}"
    place = stores.ensure_experiment("study", uri)
    with session.open_run("finetune", experiment_id=place, uri=uri) as run:
        run.params({"encoder": reference})
        run.tag("note", f"from {reference}, not {reference}0 or models:/other/{version}")
        written = {key: kind() for key, kind in manifest.SHAPE.items()} | {"format": 1, "stage": "finetune"}
        written["params"] = {"encoder": reference}
        run.text(json.dumps(written), manifest.FILE)
    return run.id


def packed(uri: str, tmp_path: Path, name: str) -> Path:
    file = tmp_path / f"{name}.tar.gz"
    pack.pack("study", file, uri)
    return file


def silent(_: str) -> None:
    """Says nothing."""


def test_versions_get_free_numbers_and_what_names_them_follows(
    machine: Machine, model_folder: Callable[..., Path], tmp_path: Path
):
    one, two, both = machine("one"), machine("two"), machine("both")
    first = [pretrain(one, model_folder(v)) for v in (1.0, 2.0)]
    second = [pretrain(two, model_folder(v), alias) for v, alias in ((3.0, ALIAS), (4.0, "own"))]
    used = use(two, 2)
    notes: list[str] = []
    unpack(packed(one, tmp_path, "one"), both, say=notes.append)
    assert notes == []
    new = unpack(packed(two, tmp_path, "two"), both, say=notes.append)
    assert sorted(new) == sorted([*second, used])

    api = MlflowClient(both)
    versions = {int(v.version): v for v in api.search_model_versions(f"name = '{NAME}'")}
    assert [versions[n].run_id for n in (1, 2, 3, 4)] == [*first, *second]
    for number, run_id in zip((1, 2, 3, 4), [*first, *second], strict=True):
        found = resolve.resolve(f"models:/{NAME}/{number}", uri=both)  # its digest is checked on the way
        assert found.run_id == run_id
        assert logged.model_id_of(versions[number]) == found.model_id
        assert stores.local_path(api.get_model_version_download_uri(NAME, str(number))) == found.path
        assert versions[number].description == f"as models:/{NAME}/{1 if number < 3 else 3}"
        assert api.get_run(run_id).inputs.dataset_inputs[0].dataset.name == "photos"
    (model,) = [m for m in api.search_logged_models(["1"]) if m.source_run_id == second[1]]
    assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": NAME, "version": "4"}]

    run = api.get_run(used)
    assert run.data.params["cfg.encoder"] == f"models:/{NAME}/4"
    assert run.data.tags["note"] == f"from models:/{NAME}/4, not models:/{NAME}/22 or models:/other/2"
    assert manifest.read(used, both)["params"]["encoder"] == f"models:/{NAME}/4"

    assert api.get_model_version_by_alias(NAME, ALIAS).version == 2  # stays, and is said
    assert api.get_model_version_by_alias(NAME, "own").version == 4
    assert notes == [
        f"{NAME}: versions 1, 2 of the archive are versions 3, 4 here",
        f"models:/{NAME}@{ALIAS} stays version 2; the archive's is models:/{NAME}/3",
    ]
    pretrain(both, model_folder(5.0))  # and the count goes on
    assert api.get_model_version_by_alias(NAME, ALIAS).version == 5
    assert len(resolve.versions("encoder", both)) == 5


def test_two_halves_of_a_study_are_one_study(machine: Machine, tmp_path: Path):
    """Seeds 0 and 1 here, 2 and 3 there, from the same encoders, which are in both archives."""
    whole = planted_study.make(("scratch", "byol@natural", "byol@target"), (3, 30), seeds=4)
    alone = planted_study.runs_of(whole)
    files = []
    for name, seeds in {"one": ("0", "1"), "two": ("2", "3")}.items():
        half = [run for run in whole if run.cfg.get("seed", seeds[0]) in seeds]
        uri = machine(name)
        experiment = int(stores.ensure_experiment("study", uri))
        planted.plant(uri, half, experiment)
        files.append(packed(uri, tmp_path, name))
    both, notes = machine("both"), []
    for file in files:
        unpack(file, both, say=notes.append)
    assert notes == ["2 of 14 runs were here already and are left as they are"]
    joined = frames.runs("study", uri=both, upstream=True)
    assert set(joined["run_id"]) == set(alone["run_id"])
    assert len(joined) == len(alone)
    study, expected = (cells.study(runs, "acdc") for runs in (joined, alone))
    assert study.missing == ()
    assert study.seeds == (0, 1, 2, 3)
    assert study.runs["test/iou"].tolist() == expected.runs["test/iou"].tolist()
    curves = frames.curves(set(study.runs["run_id"]), ["val/iou"], both)
    assert len(curves) == sum(len(run.metrics.get("val/iou", ())) for run in whole)


@pytest.mark.parametrize("went_on", ["one", "both"])
def test_an_archive_without_news_adds_nothing_and_a_run_with_two_histories_is_refused(
    machine: Machine, model_folder: Callable[..., Path], tmp_path: Path, went_on: str
):
    one, both = machine("one"), machine("both")
    pretrain(one, model_folder(1.0))
    file = packed(one, tmp_path, "first")
    unpack(file, both, say=silent)
    MlflowClient(both).rename_experiment(stores.ensure_experiment("study", both), "renamed")
    notes: list[str] = []
    assert unpack(file, both, say=notes.append) == []
    assert notes == ["1 of 1 runs were here already and are left as they are"]
    assert "study" not in {place.name for place in MlflowClient(both).search_experiments()}
    run_id = pretrain(one, model_folder(2.0))
    longer = MlflowClient({"one": one, "both": both}[went_on])
    longer.log_metric(session.search({}, uri=both)[0].info.run_id, "late", 1.0)
    with pytest.raises(SslsegError, match="and they differ in its metrics: one of them went on"):
        unpack(packed(one, tmp_path, "second"), both, say=silent)
    assert run_id not in {run.info.run_id for run in session.search({}, uri=both)}
    assert len(MlflowClient(both).search_model_versions(f"name = '{NAME}'")) == 1


def test_runs_that_are_here_keep_their_versions_and_their_files(
    machine: Machine, model_folder: Callable[..., Path], tmp_path: Path
):
    """The second machine began with the first one's archive, so its numbers go on from there."""
    one, two, both = machine("one"), machine("two"), machine("both")
    other = pretrain(both, model_folder(9.0))  # takes the number 1
    shared = pretrain(one, model_folder(1.0))
    file = packed(one, tmp_path, "one")
    for uri in (two, both):
        unpack(file, uri, say=silent)
    used = use(two, 1)
    own = pretrain(two, model_folder(2.0))
    notes: list[str] = []
    assert sorted(unpack(packed(two, tmp_path, "two"), both, say=notes.append)) == sorted([used, own])
    api = MlflowClient(both)
    owners = {int(v.version): v.run_id for v in api.search_model_versions(f"name = '{NAME}'")}
    assert owners == {1: other, 2: shared, 4: own}
    assert api.get_run(used).data.params["cfg.encoder"] == f"models:/{NAME}/2"
    assert notes[0] == "1 of 3 runs were here already and are left as they are"


def test_an_unpacking_that_was_killed_is_given_again(
    machine: Machine, model_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its files are in place, its rows are not; what somebody has changed since is left alone."""
    one, both = machine("one"), machine("both")
    run_id = pretrain(one, model_folder(1.0))
    file = packed(one, tmp_path, "one")

    def killed(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(unpacking.INSERT, "sqlite", killed)
        patch.setattr(unpacking.shutil, "rmtree", lambda *_, **__: None)  # nobody tidies up after SIGKILL
        with pytest.raises(KeyboardInterrupt):
            unpack(file, both, say=silent)
    (weights,) = (tmp_path / "both").glob(f"mlruns/*/models/*/artifacts/{names.WEIGHTS_FILE}")
    sound = weights.read_bytes()
    weights.write_bytes(b"another")
    with pytest.raises(SslsegError, match="is there already, and belongs to no run of this store"):
        unpack(file, both, say=silent)
    weights.write_bytes(sound)
    note = weights.with_name("note.txt")
    note.write_text("mine")
    with pytest.raises(SslsegError, match="is there already, and belongs to no run of this store"):
        unpack(file, both, say=silent)
    note.unlink()
    scratch = [tmp_path / "both" / f".unpack-{name}.db-x" for name in ("mlflow", "other")]
    for folder in scratch:
        folder.mkdir()
    assert unpack(file, both, say=silent) == [run_id]
    assert [folder.exists() for folder in scratch] == [False, True]  # of its own store alone
    assert resolve.resolve(run_id, uri=both).path.joinpath(names.WEIGHTS_FILE).read_bytes() == sound


def test_nothing_is_put_into_an_experiment_that_was_deleted(
    machine: Machine, model_folder: Callable[..., Path], tmp_path: Path
):
    one, both = machine("one"), machine("both")
    run_id = pretrain(one, model_folder(1.0))
    file = packed(one, tmp_path, "one")
    place = stores.ensure_experiment("study", both)
    MlflowClient(both).delete_experiment(place)
    with pytest.raises(SslsegError, match=f"experiment 'study' was deleted; .* restore -x {place}"):
        unpack(file, both, say=silent)
    MlflowClient(both).restore_experiment(place)
    assert unpack(file, both, say=silent) == [run_id]
    assert [run.info.run_id for run in session.search({}, uri=both)] == [run_id]
