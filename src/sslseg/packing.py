"""Floor 1a: a study in one file: its runs, metrics, artifacts and registry entries, and back.

SQLite stores with artifacts on this machine. Run IDs stay: lineage and references hold where it is unpacked.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from mlflow.exceptions import MlflowException
from sqlalchemy import Connection, Table, func, insert, select

from sslseg import archive, history, names, rows, store, tracking
from sslseg.names import SslsegError
from sslseg.runs import PARENT

SHARED = frozenset(
    {"experiment_tags", "registered_models", "registered_model_tags", "registered_model_aliases", "datasets"}
)
FOLLOWED = (names.TAG_UPSTREAM_RUN, names.TAG_PREPARE_RUN, names.TAG_RESUMED_AS)


def chosen(target: str, uri: str) -> list[str]:
    """IDs of the runs of a sweep (run ID) or of an experiment (name or ID), and of all that is upstream.

    Raises:
        SslsegError: neither is in the store, or some of the runs are still under way.
    """
    if rows.RUN_ID.fullmatch(target):
        found = {row["run_id"] for row in history.cells(target, uri) if row["run_id"]} | {target}
        for tag in (names.TAG_SWEEP, PARENT):
            found |= {run.info.run_id for run in tracking.search({tag: target}, uri=uri)}
    else:
        place = history._experiment(target, uri)
        found = {run.info.run_id for run in tracking.search({}, place, uri)}
    found = _with_upstream(found, uri)
    alive = [i for i in found if store.client(uri).get_run(i).info.status == "RUNNING"]
    if alive:
        raise SslsegError(
            f"{len(alive)} runs are RUNNING, {alive[0]} one of them; `sslseg doctor` closes dead ones"
        )
    return sorted(found)


def _with_upstream(run_ids: Iterable[str], uri: str) -> set[str]:
    api, found, waiting = store.client(uri), set(), set(run_ids)
    while waiting:
        run_id = waiting.pop()
        try:
            tags = store.retry(lambda run_id=run_id: api.get_run(run_id)).data.tags
        except MlflowException:
            raise SslsegError(f"run {run_id} is needed, and not in {uri}") from None
        found.add(run_id)
        named = {tags.get(tag, "") for tag in FOLLOWED}
        waiting |= {i for i in named if rows.RUN_ID.fullmatch(i)} - found
    return found


def pack(target: str, path: Path, uri: str) -> tuple[int, int]:
    """Write the archive; returns the numbers of runs and of bytes.

    Raises:
        SslsegError: see `chosen`; or the artifacts are not on this machine.
    """
    run_ids = chosen(target, uri)
    with rows.connect(uri) as (connection, tables, schema):
        found = rows.read(connection, tables, run_ids)
    files: dict[str, Path] = {}
    for row in found["runs"]:
        files |= _files(f"runs/{row['run_uuid']}", row["artifact_uri"])
    for row in found["logged_models"]:
        files |= _files(f"models/{row['model_id']}", row["artifact_location"])
    content = {"schema": schema, "rows": rows.portable(found)}
    return len(run_ids), archive.write(path, content, files)


def _files(prefix: str, place: str) -> dict[str, Path]:
    if urlparse(place).scheme not in ("", "file"):
        raise SslsegError(f"{place}: the artifacts are not on this machine")
    folder = Path(unquote(urlparse(place).path))
    inside = [f for f in folder.rglob("*") if f.is_file() and not f.is_symlink()]
    named = {f"{prefix}/{f.relative_to(folder).as_posix()}": f for f in inside}
    for name in named:
        archive.check_name(name)
    return named


def unpack(path: Path, uri: str) -> list[str]:
    """Add the runs of an archive to the store, all or nothing; returns their IDs.

    Raises:
        SslsegError: see `archive.read` and `rows.check`; or something of it is in the store already.
    """
    database = store.sqlite_path(uri)
    if database is None:
        raise SslsegError(f"{uri}: pack and unpack read and write SQLite stores alone")
    with tempfile.TemporaryDirectory(dir=database.parent, prefix=".unpack-") as scratch:
        content = archive.read(path, Path(scratch))
        with store.lock(uri, "register"), rows.connect(uri) as (connection, tables, schema):
            _check(content, schema, connection, tables)
            moved: list[Path] = []
            try:
                _insert(connection, tables, content["rows"], database.parent / "mlruns", Path(scratch), moved)
            except BaseException:
                for folder in moved:
                    shutil.rmtree(folder, ignore_errors=True)
                raise
    return sorted(row["run_uuid"] for row in content["rows"]["runs"])


def _check(content: dict[str, Any], schema: str, connection: Connection, tables: dict[str, Table]) -> None:
    if content.get("schema") != schema:
        raise SslsegError(f"archive: store schema {content.get('schema')}, this store has {schema}")
    rows.check(content["rows"], tables)
    there = rows.conflicts(connection, tables, content["rows"])
    if there:
        raise SslsegError(
            f"{len(there)} entries are in this store already, the first is {there[0]}; use a new store"
        )
    known = {("runs", r["run_uuid"]) for r in content["rows"]["runs"]}
    known |= {("models", r["model_id"]) for r in content["rows"]["logged_models"]}
    strange = [name for name in content["files"] if tuple(name.split("/")[:2]) not in known]
    if strange:
        raise SslsegError(f"archive: {strange[0]!r} belongs to no run and no model of it")


def _insert(
    connection: Connection,
    tables: dict[str, Table],
    found: rows.Rows,
    root: Path,
    files: Path,
    moved: list[Path],
) -> None:
    """Rows with their new places, experiments mapped by name; then the files, before the transaction ends."""
    places = _experiments(connection, tables["experiments"], found["experiments"], root)
    new = {row["experiment_id"]: place for row, place in zip(found["experiments"], places, strict=True)}
    for name in rows.CHOSEN_BY:
        for row in found[name] if name != "experiments" else ():
            if "experiment_id" in row:
                row["experiment_id"], place = new[row["experiment_id"]]
            if name == "runs":
                row["artifact_uri"] = f"{place}/{row['run_uuid']}/artifacts"
                _move(files / "runs" / row["run_uuid"], Path(row["artifact_uri"]), moved)
            if name == "logged_models":
                row["artifact_location"] = f"{place}/models/{row['model_id']}/artifacts"
                _move(files / "models" / row["model_id"], Path(row["artifact_location"]), moved)
    located = {f"models:/{r['model_id']}": r["artifact_location"] for r in found["logged_models"]}
    for row in found["model_versions"]:
        row["storage_location"] = located.get(row["source"], "")
    _same_datasets(connection, tables["datasets"], found)
    for name in rows.CHOSEN_BY:
        statement = insert(tables[name])
        if name in SHARED:  # this store's own entry stays
            statement = statement.prefix_with("OR IGNORE")
        if name != "experiments" and found[name]:
            connection.execute(statement, found[name])


def _experiments(
    connection: Connection, table: Table, wanted: Sequence[dict[str, Any]], root: Path
) -> list[tuple[int, str]]:
    """(ID, artifact location) here of each experiment: that of its name, else a new one, its ID if free."""
    places = []
    for row in wanted:
        there = connection.execute(select(table).where(table.c.name == row["name"])).mappings().first()
        if there is None:
            number = row["experiment_id"]
            if connection.execute(select(table).where(table.c.experiment_id == number)).first():
                number = connection.execute(select(func.max(table.c.experiment_id))).scalar() + 1
            location = str(root / store._folder(row["name"]))
            there = {**row, "experiment_id": number, "artifact_location": location}
            connection.execute(insert(table), there)
        places.append((there["experiment_id"], there["artifact_location"]))
    return places


def _same_datasets(connection: Connection, table: Table, found: rows.Rows) -> None:
    """Inputs point to the store's own row of a dataset that it knows already."""
    known = {(e, n, d): i for i, e, n, d in connection.execute(
        select(table.c.dataset_uuid, table.c.experiment_id, table.c.name, table.c.digest)
    )}  # fmt: skip
    own = {
        r["dataset_uuid"]: known.get((r["experiment_id"], r["name"], r["digest"])) for r in found["datasets"]
    }
    for row in found["inputs"]:
        row["source_id"] = own.get(row["source_id"]) or row["source_id"]


def _move(source: Path, target: Path, moved: list[Path]) -> None:
    if not source.is_dir():
        return
    if target.exists():
        raise SslsegError(
            f"{target} is there already, and belongs to no run of this store; `sslseg doctor` shows it"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    moved.append(target)
    shutil.move(source, target)
