"""The runs of an archive into a store, all of them or none, their artifacts in places of its own.

A store that has runs already is joined with the archive, see `join.py`.

SQLite keeps artifacts in `mlruns` beside the file. Behind a PostgreSQL they are where its `mlflow server` has
its `--artifacts-destination`, and the rows name them by the server's own `mlflow-artifacts:/` addresses.
"""

import filecmp
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.exc import SQLAlchemyError

from sslseg.config import names
from sslseg.config.files import sha256
from sslseg.config.names import SslsegError
from sslseg.tracking import store
from sslseg.tracking.capsule import archive, join, rows
from sslseg.tracking.upkeep import claims, sqlite

SHARED = frozenset(
    {"experiment_tags", "registered_models", "registered_model_tags", "registered_model_aliases", "datasets"}
)
INSERT: dict[str, Callable[[Table], sqlite_dialect.Insert | postgresql.Insert]]
INSERT = {"sqlite": sqlite_dialect.insert, "postgresql": postgresql.insert}


@dataclass
class Target:
    """The store that is written to, in one transaction."""

    connection: Connection
    tables: dict[str, Table]
    root: Path  # of the artifacts, on this machine
    proxy: bool  # a server hands them out
    uri: str
    moved: list[Path] = field(default_factory=list)

    def location(self, name: str, number: int) -> str:
        """Where a new experiment's artifacts are, as the store writes it."""
        return f"{rows.PROXY}:/{number}" if self.proxy else sqlite.in_address(self.root / store.folder(name))


def unpack(
    path: Path, uri: str, artifacts: Path | None = None, say: Callable[[str], None] = print
) -> list[str]:
    """Add the runs of an archive to the store, all or nothing; returns the IDs of those that are new to it.

    Args:
        artifacts: what the server before a PostgreSQL has as its `--artifacts-destination`.
        say: told what of the archive has another name here, or none, see `join`.

    Raises:
        SslsegError: see `archive.read`, `rows.check` and `join.join`.
    """
    database = store.sqlite_path(uri)
    if uri.startswith(("http:", "https:")):
        raise SslsegError(
            f"{store.shown(uri)}: a server gives runs new IDs, which would cut every lineage. On the server's machine, "
            "MLFLOW_TRACKING_URI=postgresql+psycopg://… and --artifacts take an archive with its IDs"
        )
    root = database.parent / "mlruns" if database else artifacts
    if root is None or (database and artifacts):
        raise SslsegError("--artifacts goes with a PostgreSQL: the server's --artifacts-destination")
    root = root.resolve()
    beside = root.parent if database else root
    beside.mkdir(parents=True, exist_ok=True)
    claims.identity(uri)  # before this process holds the database
    prefix = f".unpack-{database.name if database else ''}-"
    with store.lock(uri, "unpack"), tempfile.TemporaryDirectory(dir=beside, prefix=prefix) as scratch:
        for left in set(beside.glob(f"{prefix}*")) - {Path(scratch)} if database else ():  # by SIGKILL
            shutil.rmtree(left, ignore_errors=True)
        content = archive.read(path, Path(scratch))
        with store.lock(uri, "register"), rows.connect(uri) as (connection, tables, schema):
            _check(content, schema, tables)
            _mark(content["rows"], sha256(path))
            joined = join.join(connection, tables, content["rows"])
            join.follow(Path(scratch), joined.renumbered)
            target = Target(connection, tables, root, database is None, uri)
            try:
                if content["rows"]["runs"]:  # else an earlier unpacking has brought all of them
                    _insert(target, content["rows"], Path(scratch))
            except BaseException as error:
                for folder in target.moved:
                    shutil.rmtree(folder, ignore_errors=True)
                if isinstance(error, SQLAlchemyError | OverflowError):  # a row that contradicts another
                    raise SslsegError(
                        f"{path}: its rows do not fit into a store ({error})"[: names.SENTENCE]
                    ) from None
                raise
    for note in joined.notes:
        say(note)
    return sorted(row["run_uuid"] for row in content["rows"]["runs"])


def _mark(found: rows.Rows, digest: str) -> None:
    """Say on every run that it came out of an archive, whatever the archive says of it."""
    found["tags"] = [row for row in found["tags"] if row["key"] != names.TAG_ARCHIVE]
    found["tags"] += [
        {"key": names.TAG_ARCHIVE, "value": digest, "run_uuid": row["run_uuid"]} for row in found["runs"]
    ]


def _check(content: dict[str, Any], schema: str, tables: dict[str, Table]) -> None:
    if content.get("schema") != schema:
        raise SslsegError(f"archive: store schema {content.get('schema')}, this store has {schema}")
    rows.check(content["rows"], tables)
    known = {("runs", r["run_uuid"]) for r in content["rows"]["runs"]}
    known |= {("models", r["model_id"]) for r in content["rows"]["logged_models"]}
    strange = [name for name in content["files"] if tuple(name.split("/")[:2]) not in known]
    if strange:
        raise SslsegError(f"archive: {strange[0]!r} belongs to no run and no model of it")


def _insert(target: Target, found: rows.Rows, files: Path) -> None:
    """Rows with their new places, experiments mapped by name; then the files, before the transaction ends."""
    places = _experiments(target, found["experiments"])
    new = {row["experiment_id"]: place for row, place in zip(found["experiments"], places, strict=True)}
    for name in rows.CHOSEN_BY:
        for row in found[name] if name != "experiments" else ():
            if "experiment_id" in row:
                row["experiment_id"], place = new[row["experiment_id"]]
            if name == "runs":
                row["artifact_uri"] = f"{place}/{row['run_uuid']}/artifacts"
                _move(files / "runs" / row["run_uuid"], target, row["artifact_uri"])
            if name == "logged_models":
                row["artifact_location"] = f"{place}/models/{row['model_id']}/artifacts"
                _move(files / "models" / row["model_id"], target, row["artifact_location"])
    located = {f"models:/{r['model_id']}": r["artifact_location"] for r in found["logged_models"]}
    for row in found["model_versions"]:
        row["storage_location"] = located.get(row["source"], "")
    _same_datasets(target.connection, target.tables["datasets"], found)
    for name in rows.CHOSEN_BY:
        statement = INSERT[target.connection.dialect.name](target.tables[name])
        if name in SHARED:  # this store's own entry stays
            statement = statement.on_conflict_do_nothing()
        if name != "experiments" and found[name]:
            target.connection.execute(statement, found[name])


def _experiments(target: Target, wanted: Sequence[dict[str, Any]]) -> list[tuple[int, str]]:
    """(ID, artifact location) here of each experiment: that of its name, else a new one.

    Raises:
        SslsegError: that of its name was deleted, and nobody would see the runs in it.
    """
    table, connection = target.tables["experiments"], target.connection
    places = []
    for row in wanted:
        if there := connection.execute(select(table).where(table.c.name == row["name"])).mappings().first():
            if there["lifecycle_stage"] != row["lifecycle_stage"] == "active":
                raise SslsegError(store.deleted_experiment(str(there["experiment_id"]), target.uri))
            places.append((there["experiment_id"], there["artifact_location"]))
            continue
        number = _number(target, row)
        places.append((number, target.location(row["name"], number)))
        connection.execute(
            insert(table), {**row, "experiment_id": number, "artifact_location": places[-1][1]}
        )
    return places


def _number(target: Target, row: dict[str, Any]) -> int:
    """A free ID; on SQLite the one that the experiment had, if it is free."""
    table, connection = target.tables["experiments"], target.connection
    if connection.dialect.name == "postgresql":  # the ID has to be taken from the database's own counter
        counter = func.pg_get_serial_sequence("experiments", "experiment_id")
        return connection.execute(select(func.nextval(counter))).scalar_one()
    if not connection.execute(select(table).where(table.c.experiment_id == row["experiment_id"])).first():
        return row["experiment_id"]
    return connection.execute(select(func.max(table.c.experiment_id))).scalar_one() + 1


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


def _move(source: Path, target: Target, location: str) -> None:
    if not source.is_dir():
        return
    folder = rows.folder(location, target.root if target.proxy else None)
    if folder.exists():
        if not (claims.is_own(folder.parent, target.uri) and _equal(source, folder)):
            raise SslsegError(
                f"{folder} is there already, and belongs to no run of this store; `sslseg doctor` shows it"
            )
        shutil.rmtree(folder)  # of an unpacking that was killed before its rows were written
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not target.proxy:
        claims.mark(location, target.uri)
    target.moved.append(folder)
    shutil.move(source, folder)


def _equal(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files, byte by byte."""
    files, others = ({f.relative_to(root) for f in root.rglob("*") if f.is_file()} for root in (one, other))
    return files == others and not any(filecmp.cmpfiles(one, other, files, shallow=False)[1:])
