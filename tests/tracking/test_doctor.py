"""The doctor says what it would do, does it when told, and deletes nothing that is in use."""

from __future__ import annotations

import shutil
import sqlite3
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from sslseg import execute
from sslseg.commands import doctor as command
from sslseg.commands import lineage as shown
from sslseg.config import caches, flags, names, params
from sslseg.tracking import lineage, ownership, session
from sslseg.tracking import store as stores
from sslseg.tracking.history import sql
from sslseg.tracking.registry import resolve
from sslseg.tracking.upkeep import claims, doctor, retention

DEAD = "elsewhere:1:0"


@pytest.fixture
def log(model_folder: Callable[..., Path]) -> Callable[..., str]:
    def one(run: session.Run, value: float, **facts) -> str:
        known = {"name": "encoder-resnet18", "role": "target", "method": "byol", "dataset": "photos"}
        return resolve.log_encoder(run, model_folder(value), **known | {"lineage": "byol@photos"} | facts)

    return one


def _dead(store: str, stage: str = "finetune") -> str:
    """A run whose process is long gone."""
    api = MlflowClient(store)
    run_id = api.create_run("0", tags={names.TAG_STAGE: stage, names.TAG_PROCESS: DEAD}).info.run_id
    api.set_tag(run_id, names.TAG_HEARTBEAT, "1000")
    return run_id


def _faults(store: str, cache: Path) -> dict[str, doctor.Finding]:
    return {found.subject: found for found in doctor.examine(store, cache)}


def _run(**given) -> None:
    none = {"fix": False, "resume": False, "cache": "", "prune": False, "download": False, "keep": ()}
    command.run(Namespace(**none | given))


def test_a_dead_run_is_named_first_and_closed_with_fix(store: str, tmp_cache: Path, capsys):
    dead, api = _dead(store), MlflowClient(store)
    folder = caches.checkpoint_folder(tmp_cache, dead)
    folder.mkdir(parents=True)
    (folder / "step").touch()
    with session.open_run("pretrain") as alive:
        with pytest.raises(names.SslsegError, match="1 faults are left; --fix"):
            _run()
        assert api.get_run(dead).info.status == "RUNNING"  # only said
        out = capsys.readouterr().out
        assert f"run {dead} (finetune): RUNNING, its process {DEAD} is gone" in out
        assert "the same command again goes on with it (--resume gives it)" in out
        _run(fix=True)
        assert api.get_run(alive.id).info.status == "RUNNING"
    assert api.get_run(dead).info.status == "KILLED"
    _run()
    assert "0 findings" in capsys.readouterr().out


def test_a_flipped_byte_a_lost_file_and_a_half_made_model_are_found(store: str, tmp_cache: Path, log):
    with session.open_run("pretrain") as run:
        flipped, lost, good = (log(run, float(v), epoch=v, step=v) for v in (1, 2, 3))
        half = run.client.create_logged_model(
            "0", source_run_id=run.id, tags={names.MODEL_KIND: "encoder"}, model_type="encoder"
        ).model_id
        assert half not in str(_faults(store, tmp_cache))  # its run is at work
    api = MlflowClient(store)
    weights = {
        i: stores.local_path(api.get_logged_model(i).artifact_location) / names.WEIGHTS_FILE
        for i in (flipped, lost)
    }
    content = bytearray(weights[flipped].read_bytes())
    content[-1] ^= 1
    weights[flipped].write_bytes(content)
    weights[lost].unlink()
    found = {key.split()[0].removeprefix("models:/"): f for key, f in _faults(store, tmp_cache).items()}
    assert found.keys() == {flipped, lost, half}
    wanted = api.get_logged_model(flipped).tags[names.MODEL_SHA]
    assert f"expected sha256 {wanted}, actual " in found[flipped].fault
    assert "No such file" in found[lost].fault
    found[half].mend()
    for i in (flipped, lost):
        assert found[i].mend is None
        [row] = [row for row in resolve.versions() if row["model_id"] == i]
        api.delete_model_version(row["name"], row["version"])
        api.delete_logged_model(i)
    left = _faults(store, tmp_cache)
    assert [f.grave for f in left.values()] == [False, False]  # the folders of the deleted two
    assert all(Path(place).name in (flipped, lost) for place in left)


def test_a_store_that_was_moved_has_one_fault_and_a_link_mends_it(store: str, tmp_cache: Path, log):
    """MLflow keeps whole paths: the fault is the folder's, not that of each file in it."""
    with session.open_run("pretrain") as run:
        for value in (7.0, 8.0):
            log(run, value)
    place = Path(stores.local_path(MlflowClient(store).get_run(run.id).info.artifact_uri)).parents[1]
    before = _faults(store, tmp_cache)
    moved = place.rename(place.with_name("moved"))
    try:
        found = [one for one in _faults(store, tmp_cache).values() if str(place) in one.fault]
        assert [one.fault for one in found] == [f"their folder {place} is not there"]
        assert "ln -s NEW OLD" in found[0].action
        place.symlink_to(moved)
        assert _faults(store, tmp_cache).keys() == before.keys()
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
    found = _faults(store, tmp_cache)
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


def test_prune_keeps_the_last_the_aliased_the_used_and_the_named(store: str, tmp_cache: Path, log, capsys):
    with session.open_run("pretrain") as run:
        first, second, third, fourth, last = (log(run, float(v), epoch=v, step=v) for v in range(5))
        alone = log(run, 9.0, epoch=0, step=0, role="online", register=False)
    api = MlflowClient(store)
    version = next(row for row in resolve.versions() if row["model_id"] == second)["version"]
    api.set_registered_model_alias("encoder-resnet18", "champion", version)
    with session.open_run("finetune") as tuned:
        tuned.tag(names.TAG_UPSTREAM_MODEL, third)
    assert {d.model_id for d in retention.plan()} >= {first, fourth}
    assert not {d.model_id for d in retention.plan()} & {second, third, last, alone}
    assert {d.model_id for d in retention.plan([f"models:/{first}"])} & {first, fourth} == {fourth}
    assert not {d.model_id for d in retention.plan([run.id])} & {first, fourth}
    folder = stores.local_path(api.get_logged_model(first).artifact_location)
    _run(prune=True)
    assert f"would delete models:/{first}, models:/encoder-resnet18/" in capsys.readouterr().out
    assert folder.is_dir()
    with (
        session.open_run("sweep"),
        pytest.raises(names.SslsegError, match="1 runs are under way .* nothing was deleted"),
    ):
        _run(prune=True, fix=True)
    _run(prune=True, fix=True)
    assert not folder.exists()
    with pytest.raises(MlflowException):
        api.get_logged_model(first)
    assert resolve.resolve(f"models:/{third}").model_id == third
    assert retention.plan() == []
    assert not [f for f in doctor.examine(store, tmp_cache) if f.grave]


def test_a_store_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(names.SslsegError, match="there is no tracking store"):
        _run()
    assert list(tmp_path.iterdir()) == []


def test_closing_twice_does_no_harm(store: str):
    dead = _dead(store)
    for _ in range(2):
        ownership.close(dead, "KILLED", "gone", store)


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

    with pytest.raises(names.SslsegError, match="3 faults are left"):
        _run(resume=True)
    assert f"would go on with run {killed}: the same predict again" in capsys.readouterr().out
    assert seen == [killed]
    _run(resume=True, fix=True)
    assert seen == [killed, killed]
    assert f"done: run {killed}: gone on with to its end" in capsys.readouterr().out
    status = {i: api.get_run(i).info.status for i in (killed, bare, trial)}
    assert status == {killed: "FINISHED", bare: "KILLED", trial: "KILLED"}
    assert not caches.checkpoint_folder(tmp_cache, killed).exists()


def test_after_a_run_was_deleted_for_good_all_readers_agree(store: str, tmp_cache: Path, log, capsys):
    api = MlflowClient(store)
    hop, texts = None, []
    for value in (21.0, 22.0, 23.0):
        texts.append(f"byol@{'photos' if hop is None else 'acdc'}:1")
        with session.open_run("pretrain") as run:
            run.tags({names.TAG_METHOD: "byol", names.TAG_DATASET: texts[-1][5:-2], names.TAG_LINEAGE: " > ".join(texts),
                      names.TAG_UPSTREAM_RUN: hop.run_id if hop else "scratch"})  # fmt: skip
            if hop:
                run.tags({names.TAG_UPSTREAM_MODEL: hop.model_id, names.TAG_UPSTREAM_SHA: hop.sha256})
            log(run, value, epoch=1, step=3, dataset=texts[-1][5:-2], lineage=" > ".join(texts))
        hop, before = resolve.resolve(run.id), hop
    whole = lineage.text(lineage.of_model(hop.run_id))
    assert whole == "byol@photos:1 > byol@acdc:1 > byol@acdc:1"
    with sqlite3.connect(store.removeprefix("sqlite:///")) as connection:  # as `mlflow gc` does
        for table in ("tags", "params", "metrics", "latest_metrics", "runs"):
            connection.execute(f"delete from {table} where run_uuid = ?", (before.run_id,))
    connection.close()
    assert lineage.text(lineage.of_model(hop.run_id)) == whole
    assert [check.ok for check in lineage.verify(lineage.of_model(hop.run_id))] == [True, True]
    assert lineage.text(lineage.of_model(f"models:/{before.model_id}")) == "byol@photos:1 > byol@acdc:1"
    left = f"deleted for good, and of its models there is still models:/{before.model_id}"
    with pytest.raises(names.EncoderError, match=left):
        resolve.resolve(before.run_id)
    found = _faults(store, tmp_cache)[f"run {before.run_id}"]
    assert not found.grave
    assert f"1 runs started from it, and of its models there is models:/{before.model_id}" in found.fault
    shown.run(Namespace(encoder=hop.run_id, epoch=None, role="target", kind="encoder"))
    assert "unchanged; the run was deleted for good" in capsys.readouterr().out
    api.delete_logged_model(before.model_id)  # and now nothing of it is left but words
    assert lineage.text(lineage.of_model(hop.run_id)) == whole
    assert [check.actual for check in lineage.verify(lineage.of_model(hop.run_id))][0] == ""
