"""The doctor says what it would do, does it when told, and deletes nothing that is in use."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient

from sslseg import execute
from sslseg.config import caches, flags, names, params
from sslseg.tracking import ownership, session
from sslseg.tracking import store as stores
from sslseg.tracking.history import sql
from sslseg.tracking.registry import resolve
from sslseg.tracking.runs import PARENT
from sslseg.tracking.upkeep import claims, doctor
from tests.fixtures.doctoring import faults_of, run_doctor

DEAD = "elsewhere:1:0"


def _dead(store: str, stage: str = "finetune") -> str:
    """A run whose process is long gone."""
    api = MlflowClient(store)
    run_id = api.create_run("0", tags={names.TAG_STAGE: stage, names.TAG_PROCESS: DEAD}).info.run_id
    api.set_tag(run_id, names.TAG_HEARTBEAT, "1000")
    return run_id


def test_a_dead_run_is_named_first_and_closed_with_fix(store: str, tmp_cache: Path, capsys):
    dead, api = _dead(store), MlflowClient(store)
    folder = caches.checkpoint_folder(tmp_cache, dead)
    folder.mkdir(parents=True)
    (folder / "step").touch()
    with session.open_run("pretrain") as alive:
        with pytest.raises(names.SslsegError, match="faults that are left: 1; --fix"):
            run_doctor()
        assert api.get_run(dead).info.status == "RUNNING"  # only said
        out = capsys.readouterr().out
        assert f"run {dead} (finetune): RUNNING, its process 1 on elsewhere is gone" in out
        assert "the same command again goes on with it (--resume gives it)" in out
        run_doctor(fix=True)
        assert api.get_run(alive.id).info.status == "RUNNING"
    assert api.get_run(dead).info.status == "KILLED"
    run_doctor()
    assert "findings: 0" in capsys.readouterr().out


def test_a_flipped_byte_a_lost_file_and_a_half_made_model_are_found(store: str, tmp_cache: Path, log):
    with session.open_run("pretrain") as run:
        flipped, lost, good = (log(run, float(v), epoch=v, step=v) for v in (1, 2, 3))
        half = run.client.create_logged_model(
            "0", source_run_id=run.id, tags={names.MODEL_KIND: "encoder"}, model_type="encoder"
        ).model_id
        assert half not in str(faults_of(store, tmp_cache))  # its run is at work
    api = MlflowClient(store)
    bare = api.create_logged_model("0", source_run_id=run.id, tags={names.MODEL_KIND: "encoder"}).model_id
    api.finalize_logged_model(bare, "READY")
    weights = {
        i: stores.local_path(api.get_logged_model(i).artifact_location) / names.WEIGHTS_FILE
        for i in (flipped, lost)
    }
    content = bytearray(weights[flipped].read_bytes())
    content[-1] ^= 1
    weights[flipped].write_bytes(content)
    weights[lost].unlink()
    found = {key.split()[0].removeprefix("models:/"): f for key, f in faults_of(store, tmp_cache).items()}
    assert found.keys() == {flipped, lost, half, bare}
    assert "expected sha256 (no tag), actual (run " in found[bare].fault
    api.delete_logged_model(bare)
    wanted = api.get_logged_model(flipped).tags[names.MODEL_SHA]
    assert f"expected sha256 {wanted}, actual " in found[flipped].fault
    assert "No such file" in found[lost].fault
    found[half].mend()
    for i in (flipped, lost):
        assert found[i].mend is None
        [row] = [row for row in resolve.versions() if row["model_id"] == i]
        api.delete_model_version(row["name"], row["version"])
        api.delete_logged_model(i)
    left = faults_of(store, tmp_cache)
    assert [f.grave for f in left.values()] == [False, False]  # the folders of the deleted two
    assert all(Path(place).name in (flipped, lost) for place in left)


def test_a_store_that_was_moved_has_one_fault_and_a_link_mends_it(store: str, tmp_cache: Path, log):
    """MLflow keeps whole paths: the fault is the folder's, not that of each file in it."""
    with session.open_run("pretrain") as run:
        for value in (7.0, 8.0):
            log(run, value)
    place = Path(stores.local_path(MlflowClient(store).get_run(run.id).info.artifact_uri)).parents[1]
    before = faults_of(store, tmp_cache)
    moved = place.rename(place.with_name("moved"))
    try:
        found = [one for one in faults_of(store, tmp_cache).values() if str(place) in one.fault]
        assert [one.fault for one in found] == [f"their folder {place} is not there"]
        assert "ln -s NEW OLD" in found[0].action
        place.symlink_to(moved)
        assert faults_of(store, tmp_cache).keys() == before.keys()
    finally:
        place.unlink(missing_ok=True)
        moved.rename(place)


def test_leftovers_are_no_faults(store: str, tmp_cache: Path):
    with session.open_run("pretrain") as run:
        pass
    place, strange = (Path(store.removeprefix("sqlite:///")).parent / "mlruns" / "0" / (c * 32) for c in "fd")
    claims.mark(f"{place}/artifacts", store)
    strange.mkdir()
    for folder in (place, strange):  # of the second nobody knows whose it is
        (folder / "x").write_bytes(b"1234")
    for run_id in (run.id, "e" * 32):  # the second may be another store's
        caches.checkpoint_folder(tmp_cache, run_id).mkdir(parents=True)
    found = faults_of(store, tmp_cache)
    assert "4 bytes that belong to nothing" in found[str(place)].fault
    assert str(strange) not in found
    assert (
        "1 folders of no run and no model of this store (4 bytes): another" in found[str(place.parent)].fault
    )
    checkpoints = caches.checkpoint_folder(tmp_cache, run.id)
    assert found[str(checkpoints)].fault == "checkpoints of a FINISHED run"
    assert str(caches.checkpoint_folder(tmp_cache, "e" * 32)) not in found
    found[str(checkpoints)].mend()
    assert not checkpoints.exists()
    assert place.exists()


def test_what_another_store_of_the_same_folder_owns_is_never_proposed(
    store_template: Path, tmp_path: Path, log
):
    """Two stores, a copy of the first under another name, and a new one where the first was."""
    one, other, copy = (tmp_path / name for name in ("one.db", "other.db", "copy.db"))
    for path in (one, other):
        shutil.copy(store_template, path)
        with sqlite3.connect(path) as connection:
            connection.execute("update experiments set artifact_location = ?", (f"{tmp_path}/mlruns/0",))
        connection.close()
    first, second, third = (f"sqlite:///{path}" for path in (one, other, copy))
    with session.open_run("pretrain", uri=first) as run:
        claims.identity(first)
        with sqlite3.connect(one) as source, sqlite3.connect(copy) as target:
            source.backup(target)
        source.close(), target.close()
        model = log(run, 1.0, register=False)
        run.text("x", "x.txt")
    for uri in (second, third):
        found = list(doctor.orphans(uri))
        assert [(f.action, f.mend) for f in found] == [("", None)]
        assert "another store may own them" in found[0].fault
    assert list(doctor.orphans(first)) == []
    MlflowClient(first).delete_logged_model(model)
    assert [Path(f.subject).name for f in doctor.orphans(first)] == [model]
    claims.identity.cache_clear()
    MlflowClient(first).set_experiment_tag("0", names.STORE_ID, "of a new database of the same name")
    assert [f.action for f in doctor.orphans(first)] == [""]


def test_the_path_of_a_sound_store_may_hold_marks_of_an_address(store: str, tmp_path: Path):
    path = tmp_path / "study #2 (50%)" / "mlflow.db"
    path.parent.mkdir()
    shutil.copy(store.removeprefix("sqlite:///"), path)
    assert list(doctor.database(f"sqlite:///{path}")) == []
    assert sql.records(f"sqlite:///{path}", None, None) == []


def test_a_database_of_another_schema_or_without_wal_or_damaged(store: str, tmp_path: Path):
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("create table alembic_version (version_num text)")
    connection.execute("insert into alembic_version values ('abc')")
    connection.commit()
    connection.close()
    schema, journal = doctor.examine(f"sqlite:///{path}", tmp_path)  # and nothing behind it is read
    assert "schema abc, wanted" in schema.fault
    assert schema.mend is None
    journal.mend()
    assert [f.fault for f in doctor.database(f"sqlite:///{path}")] == [schema.fault]
    path.write_bytes(b"no database at all" * 100)
    [found] = doctor.database(f"sqlite:///{path}")
    assert "cannot be read" in found.fault
    assert list(doctor.database(store)) == []


def test_a_store_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(names.SslsegError, match="there is no tracking store"):
        run_doctor()
    assert list(tmp_path.iterdir()) == []


def test_closing_twice_does_no_harm(store: str):
    dead = _dead(store)
    for _ in range(2):
        ownership.close(dead, "KILLED", "gone", store)


def test_a_dead_cell_and_a_dead_trial_go_on_with_the_run_that_led_them(store: str, tmp_cache: Path):
    sweep, tuning, alone = _dead(store, names.SWEEP), _dead(store, names.TUNE), _dead(store)
    led = {_dead(store): sweep, _dead(store, names.TRIAL): tuning}
    for run_id, parent in led.items():
        MlflowClient(store).set_tag(run_id, PARENT, parent)
    for run_id in (tuning, *led):
        caches.checkpoint_folder(tmp_cache, run_id).joinpath("x").mkdir(parents=True)
    half = MlflowClient(store).create_logged_model(
        "0", source_run_id=alone, tags={names.MODEL_KIND: "encoder"}
    )
    (unfinished,) = doctor.unfinished_models(store, [half])
    unfinished.mend()
    found = {f.subject.split()[1]: f for f in doctor.abandoned(store, tmp_cache)}
    assert {run_id for run_id in found if found[run_id].run_id} == {sweep, tuning}
    assert {run_id for run_id in found if "--resume" in found[run_id].action} == {sweep, tuning, *led}
    for run_id in (sweep, tuning, alone, *led):
        found[run_id].mend()


def test_dead_runs_are_gone_on_with(store: str, tmp_cache: Path, monkeypatch, capsys):
    """A fine-tuning that was killed with a checkpoint, one without, and a trial, which its tuning leads."""
    api, seen = MlflowClient(store), []

    def run(p, run) -> None:
        seen.append(run.id)
        folder = caches.checkpoint_folder(tmp_cache, run.id)
        if len(seen) == 1:
            folder.mkdir(parents=True)
            (folder / "step").touch()
            raise MemoryError("killed here")

    module = SimpleNamespace(run=run, identify=lambda p: "one identity", fill=lambda p: p, TOLD=())
    monkeypatch.setattr(execute, "stage_module", lambda name: module)
    argv = ["--model", "0" * 32, "--input", __file__, "--output", "o", "--cache", str(tmp_cache)]
    with pytest.raises(MemoryError):
        execute.execute("predict", flags.resolve(flags.parse(params.Predict, argv)))
    [killed] = seen
    api.update_run(killed, status="RUNNING")
    for tag, value in ((names.TAG_PROCESS, DEAD), (names.TAG_HEARTBEAT, "1000")):
        api.set_tag(killed, tag, value)
    bare, trial = _dead(store), _dead(store, names.TRIAL)
    caches.checkpoint_folder(tmp_cache, trial).mkdir(parents=True)
    (caches.checkpoint_folder(tmp_cache, trial) / "step").touch()

    with pytest.raises(names.SslsegError, match="faults that are left: 3"):
        run_doctor(resume=True)
    assert f"would go on with run {killed}: the same predict again" in capsys.readouterr().out
    assert seen == [killed]
    run_doctor(resume=True, fix=True)
    assert seen == [killed, killed]
    assert f"done: run {killed}: gone on with to its end" in capsys.readouterr().out
    status = {i: api.get_run(i).info.status for i in (killed, bare, trial)}
    assert status == {killed: "FINISHED", bare: "KILLED", trial: "KILLED"}
    assert not caches.checkpoint_folder(tmp_cache, killed).exists()
