"""The store is made once, whoever comes first, and survives being busy."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, TEMPORARILY_UNAVAILABLE
from mlflow.utils.file_utils import local_file_uri_to_path

import sslseg
from sslseg.config import names
from sslseg.config.names import SslsegError
from sslseg.stages.tune import trials
from sslseg.tracking import client, lineage, session, store
from sslseg.tracking.capsule import rows
from sslseg.tracking.client import retry
from sslseg.tracking.registry import references, worth

WORKER = """
import sys
from sslseg.tracking import session
with session.open_run("prepare", uri=sys.argv[1]) as run:
    run.log({"x": 1.0})
"""


@pytest.mark.slow
def test_parallel_workers_on_a_fresh_store_do_not_collide(tmp_path: Path):
    uri = f"sqlite:///{tmp_path}/deep/mlflow.db"
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, uri], stderr=subprocess.PIPE, text=True, env=_env())
        for _ in range(3)
    ]
    for worker in workers:
        _, errors = worker.communicate(timeout=300)
        assert worker.returncode == 0, errors
    runs = MlflowClient(uri).search_runs(["0"])
    assert [r.info.status for r in runs] == ["FINISHED"] * 3
    connection = sqlite3.connect(tmp_path / "deep" / "mlflow.db")
    assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
    connection.close()
    assert MlflowClient(uri).get_experiment("0").artifact_location == f"{tmp_path}/deep/mlruns/0"


def _env() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": "src", "OMP_NUM_THREADS": "1"}


def test_named_experiment_is_made_once_with_an_absolute_place(store: str):
    from sslseg.tracking.store import ensure_experiment

    made = ensure_experiment("A study: 1/2", store)
    assert ensure_experiment("A study: 1/2", store) == made
    place = MlflowClient(store).get_experiment(made).artifact_location
    assert Path(place).is_absolute()
    assert Path(place).parent.name == "mlruns"
    MlflowClient(store).delete_experiment(made)
    with pytest.raises(names.SslsegError, match=f"was deleted; .* -x {made}"):
        ensure_experiment("A study: 1/2", store)


def test_what_a_killed_command_left_goes_and_marks_in_a_path_are_no_code(tmp_path: Path, monkeypatch):
    """`a%41b` is no `aAb`, to SQLAlchemy and MLflow likewise; files of other names are not touched."""
    place = tmp_path / "a%41b #1"
    place.mkdir()
    left = [
        place / f".part-0123456789ab-{name}" for name in ("mlflow.db", "mlflow.db-journal", "my-mlflow.db")
    ]
    for file in left:
        file.write_bytes(b"half")
    monkeypatch.chdir(place)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with session.open_run("prepare", experiment_id=store.ensure_experiment("own")) as run:
        run.text("x", "a.txt")
        api = run.client
    assert [file.exists() for file in left] == [False, False, True]
    assert store.sqlite_path(run.uri) == place / "mlflow.db"
    (stored,) = place.glob("mlruns/own-*/*/artifacts/a.txt")
    assert store.local_path(api.get_run(run.id).info.artifact_uri) == stored.parent
    assert Path(api.download_artifacts(run.id, "a.txt", str(tmp_path))).read_text() == "x"
    assert MlflowClient(run.uri).get_experiment("0").artifact_location.endswith("/a%2541b %231/mlruns/0")
    with rows.connect(run.uri) as (_, tables, _):
        assert "runs" in tables


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("/a #1/b?c/mlruns/0", "/a #1/b?c/mlruns/0"),
        ("/a %231/mlruns/0", "/a #1/mlruns/0"),
        ("file:///a%20b%231/c", "/a b#1/c"),
        ("mlflow-artifacts:/0", None),
    ],
)
def test_an_address_means_the_folder_that_mlflow_means(address: str, path: str | None):
    assert store.local_path(address) == (path and Path(path))
    if path:
        assert local_file_uri_to_path(address) == path


def test_relative_sqlite_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert store.tracking_uri() == f"sqlite:///{tmp_path}/mlflow.db"
    assert store.tracking_uri("sqlite:///a/b.db") == f"sqlite:///{tmp_path}/a/b.db"


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1", "https://x", "postgresql+psycopg://u@h/db"])
def test_servers_are_left_to_those_who_run_them(uri: str):
    assert store.ensure_store(uri) == uri
    assert not store.lock(uri, "resume").is_locked


def test_retry_waits_for_a_lock_and_only_for_that():
    slept: list[float] = []
    answers = [OSError("database is locked"), OSError("(x) Database table is LOCKED"), "done"]

    def action() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert retry(action, sleep=slept.append) == "done"
    assert len(slept) == 2
    assert 0.05 <= slept[0] <= 0.15 < 0.3 >= slept[1]
    with pytest.raises(ValueError, match="no such thing"):
        retry(lambda: _raise(ValueError("no such thing")), sleep=slept.append)
    assert len(slept) == 2


def test_what_mlflow_has_retried_itself_is_not_retried():
    assert client.is_transient(OSError("connection refused"))
    assert not client.is_transient(OSError("Max retries exceeded with url: / (Connection refused)"))


def test_retry_gives_up():
    slept: list[float] = []
    with pytest.raises(OSError, match="locked"):
        retry(lambda: _raise(OSError("database is locked")), sleep=slept.append)
    assert client.RETRY_SECONDS <= sum(slept) <= client.RETRY_SECONDS + 15


def _raise(error: Exception) -> None:
    raise error


def test_options_of_a_sqlite_address_are_kept_and_no_part_of_the_file(tmp_path: Path):
    uri = f"sqlite:///{tmp_path}/m.db?timeout=60"
    assert store.tracking_uri(uri) == uri
    assert store.sqlite_path(uri) == tmp_path / "m.db"


@pytest.mark.parametrize("uri", ["mlruns", "file:///tmp/mlruns", "./runs"])
def test_a_store_of_files_is_refused_before_anything_is_done(uri: str):
    for ask in (store.ensure_store, store.existing, store.client):
        with pytest.raises(SslsegError, match="a folder of files is no store for this"):
            ask(uri)


def test_a_server_that_is_down_is_said_at_once():
    with pytest.raises(SslsegError, match="the tracking server does not answer"):
        store.client("http://127.0.0.1:9")


def test_a_store_of_another_mlflow_and_a_file_that_is_none_are_said(store_template: Path, tmp_path: Path):
    path = tmp_path / "newer.db"
    shutil.copy(store_template, path)
    connection = sqlite3.connect(path)
    connection.execute("update alembic_version set version_num = 'ffff'")
    connection.commit()
    connection.close()
    with pytest.raises(SslsegError, match="its tables are of schema ffff, this MLflow"):
        store.client(f"sqlite:///{path}")
    (tmp_path / "text.db").write_text("no database " * 100)
    with pytest.raises(SslsegError, match="wanted a tracking store, this is none"):
        store.client(f"sqlite:///{tmp_path}/text.db")


def test_a_store_whose_making_was_killed_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made = []

    def killed(uri: str, _: str) -> None:
        connection = sqlite3.connect(uri.removeprefix("sqlite:///"))
        connection.execute("create table alembic_version (version_num text)")
        connection.execute("insert into alembic_version values ('on the way')")
        connection.commit()
        connection.close()
        made.append(uri)
        raise KeyboardInterrupt

    monkeypatch.setattr("mlflow.store.tracking.sqlalchemy_store.SqlAlchemyStore", killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            store.ensure_store(f"sqlite:///{tmp_path}/mlflow.db")
    assert len(made) == 2


def test_another_program_s_database_is_left_as_it_is(tmp_path: Path):
    path = tmp_path / "theirs.db"
    connection = sqlite3.connect(path)
    connection.execute("create table patients (name text)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    for ask, said in ((store.existing, "there is no tracking store"), (store.client, "with tables patients")):
        with pytest.raises(SslsegError, match=said):
            ask(f"sqlite:///{path}")
    assert path.read_bytes() == before


def test_reading_makes_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    for read in (sslseg.encoders, lambda: sslseg.load_encoder("a" * 32), sslseg.read_runs):
        with pytest.raises(SslsegError, match="is read from the folder you stand in"):
            read()
    assert not list(tmp_path.iterdir())


def test_workers_that_log_one_dataset_at_once_take_turns(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow looks for a dataset, then inserts it: two at once end in a UNIQUE constraint (seen in a sweep)."""
    from filelock import Timeout

    held = []

    def log_inputs(run_id: str, datasets: list) -> None:
        with pytest.raises(Timeout):
            session.store.lock(store, "inputs").acquire(timeout=0)
        held.append(run_id)

    with session.open_run("prepare", uri=store) as run:
        monkeypatch.setattr(run.client, "log_inputs", log_inputs)
        run.input_dataset("demo", "digest", "somewhere", "finetune")
    assert held == [run.id]


def test_an_experiment_that_was_never_made_is_named(store: str):
    with (
        pytest.raises(SslsegError, match="experiment 99: unknown, sqlite:"),
        session.open_run("finetune", experiment_id="99"),
    ):
        pass


@pytest.mark.parametrize("uri", ["sqlite://", "htp://127.0.0.1:5000"])
def test_a_store_in_memory_or_of_no_kind_is_refused(uri: str):
    """What is in memory is gone with the process."""
    for opened in (store.existing, store.ensure_store):
        with pytest.raises(
            SslsegError, match=f"{uri}: wanted sqlite:///<file>, or an address that begins with http"
        ):
            opened(uri)


def test_a_scheme_that_a_plug_in_of_mlflow_brings_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    known = tmp_path / "plugged-1.0.dist-info"
    known.mkdir()
    (known / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n")
    (known / "entry_points.txt").write_text("[mlflow.tracking_store]\nplugged = plugged:Store\n")
    with pytest.raises(SslsegError, match="begins with http, https, mssql, mysql, postgresql$"):
        store.existing("plugged://somewhere")
    monkeypatch.syspath_prepend(tmp_path)
    assert store.existing("plugged://somewhere") == "plugged://somewhere"
    monkeypatch.setattr(store.metadata, "entry_points", Mock(side_effect=AssertionError("looked for again")))
    assert store.existing("plugged://somewhere") == "plugged://somewhere"


@pytest.mark.parametrize("kind", ["mysql+pymysql", "postgresql+unheard"])
def test_a_database_without_its_driver_is_refused(kind: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pymysql", None)  # as where it is not installed
    with pytest.raises(SslsegError, match=rf"^{re.escape(kind)}://me:\*\*\*@host/db: there is no driver"):
        store.ensure_store(f"{kind}://me:secret@host/db")


@pytest.mark.parametrize("kind", ["a folder", "read-only"])
def test_a_store_that_cannot_be_opened_is_not_called_absent(kind: str, tmp_path: Path, monkeypatch):
    file = tmp_path / "mlflow.db"
    if kind == "a folder":
        file.mkdir()
    else:  # where the folder of a write-ahead log may not be written; root may write everywhere
        file.touch()
        refused = sqlite3.OperationalError("attempt to write a readonly database")
        refused.sqlite_errorcode = sqlite3.SQLITE_READONLY_DIRECTORY
        monkeypatch.setattr(store.sqlite, "connect", Mock(side_effect=refused))
    for opened in (store.existing, store.ensure_store):
        with pytest.raises(SslsegError, match=f"^{file}: cannot be opened .*Even to read it"):
            opened(f"sqlite:///{file}")


@pytest.mark.parametrize("code", [TEMPORARILY_UNAVAILABLE, INTERNAL_ERROR])
@pytest.mark.usefixtures("store")
def test_a_store_that_is_away_does_not_say_that_nothing_is_there(code: int, monkeypatch):
    """Else a trial that runs would be taken over, and a lineage lose its roles."""

    def away(*_: object) -> None:
        raise MlflowException("database or disk is full", code)

    model = "m-" + "0" * 32
    trial = SimpleNamespace(
        datetime_start=datetime.now(), user_attrs={trials.OWNER: "x", trials.RUN: "0" * 32}
    )
    looks = {
        "get_run": (lambda: store.run("0" * 32), lambda: trials._alive(trial)),
        "get_logged_model": (lambda: lineage._model_tags(model, None), lambda: worth.put(model, ""),
                             lambda: references._model(model, model, None)),
    }  # fmt: skip
    for call, ways in looks.items():
        for look in ways:
            with suppress(SslsegError):
                look()  # nothing is there
            with monkeypatch.context() as patch:
                patch.setattr(MlflowClient, call, away)
                with pytest.raises(MlflowException, match="disk is full"):
                    look()
    assert not trials._alive(trial)
