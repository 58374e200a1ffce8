"""The database rows of some runs, read from one store to be written to another.

Run and model IDs stay, because lineage is made of them. What depends on the machine does not travel: every
artifact location is made anew from the place of the new store.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import sqlalchemy
from mlflow.entities import LoggedModelStatus
from sqlalchemy import Connection, MetaData, Table, select

from sslseg.config.names import STORE_ID, SslsegError, quoted
from sslseg.config.references import MODEL_ID, RUN_ID
from sslseg.tracking import store
from sslseg.tracking.history import sql

Rows = dict[str, list[dict[str, Any]]]
# table -> (column, which IDs choose its rows); in an order in which foreign keys hold
CHOSEN_BY = {
    "experiments": ("experiment_id", "experiments"),
    "experiment_tags": ("experiment_id", "experiments"),
    "runs": ("run_uuid", "runs"),
    "params": ("run_uuid", "runs"),
    "tags": ("run_uuid", "runs"),
    "metrics": ("run_uuid", "runs"),
    "latest_metrics": ("run_uuid", "runs"),
    "logged_models": ("source_run_id", "runs"),
    "logged_model_tags": ("model_id", "models"),
    "logged_model_params": ("model_id", "models"),
    "logged_model_metrics": ("model_id", "models"),
    "registered_models": ("name", "names"),
    "registered_model_tags": ("name", "names"),
    "model_versions": ("run_id", "runs"),
    "model_version_tags": ("name", "names"),
    "registered_model_aliases": ("name", "names"),
    "inputs": ("source_id", "runs"),
    "datasets": ("dataset_uuid", "datasets"),
    "input_tags": ("input_uuid", "inputs"),
}
VERSIONED = ("model_versions", "model_version_tags", "registered_model_aliases")
TAKEN: dict[type, Any] = {float: int | float, bool: int}  # what JSON, or SQLite, makes of a type
KINDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
MOST = 1 << 63  # databases have no larger number
# what MLflow knows in a column of texts or numbers; a run that goes on is in no archive
ALLOWED: dict[tuple[str, str], tuple] = {
    ("runs", "status"): ("FINISHED", "FAILED", "KILLED"),
    ("runs", "lifecycle_stage"): ("active", "deleted"),
    ("experiments", "lifecycle_stage"): ("active", "deleted"),
    ("logged_models", "lifecycle_stage"): ("active", "deleted"),
    ("logged_models", "status"): tuple(status.to_int() for status in LoggedModelStatus),
    ("model_versions", "status"): ("READY", "PENDING_REGISTRATION", "FAILED_REGISTRATION"),
    ("model_versions", "current_stage"): ("None", "Staging", "Production", "Archived"),
}
CHUNK = 500
DRIVER = "postgresql+psycopg://"
PROXY = "mlflow-artifacts"
PLACES = {"experiments": "artifact_location", "runs": "artifact_uri", "logged_models": "artifact_location",
          "model_versions": "storage_location"}  # fmt: skip


@contextmanager
def connect(uri: str) -> Iterator[tuple[Connection, dict[str, Table], str]]:
    """(connection in a transaction, tables, schema) of a SQLite or PostgreSQL store.

    Raises:
        SslsegError: another kind of store, or a schema that this was not tested with.
    """
    if store.sqlite_path(uri) is None and not uri.startswith(DRIVER):
        raise SslsegError(
            f"{uri.partition(':')[0]}: wanted the database itself, as MLFLOW_TRACKING_URI=sqlite:///… or {DRIVER}…: "
            "a server does not hand out its rows. A server's machine has both, and --artifacts names its files"
        )
    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        schema = connection.execute(sqlalchemy.text("select version_num from alembic_version")).scalar()
        if schema not in sql.SCHEMAS:
            raise SslsegError(f"{store.shown(uri)}: schema {schema} is not one of {', '.join(sql.SCHEMAS)}")
        held = MetaData()
        held.reflect(connection, only=list(CHOSEN_BY))
        yield connection, dict(held.tables), schema


def read(connection: Connection, tables: Mapping[str, Table], run_ids: Sequence[str]) -> Rows:
    """Every row that belongs to the runs."""

    def rows(name: str, ids: set, column: str = "") -> list[dict[str, Any]]:
        table = tables[name]
        wanted, parts = sorted(ids), []
        for start in range(0, len(wanted), CHUNK):
            where = table.c[column or CHOSEN_BY[name][0]].in_(wanted[start : start + CHUNK])
            parts += [dict(row) for row in connection.execute(select(table).where(where)).mappings()]
        return parts

    ids: dict[str, set] = {"runs": set(run_ids)}
    found: Rows = {"runs": rows("runs", ids["runs"]), "logged_models": rows("logged_models", ids["runs"])}
    found["model_versions"] = rows("model_versions", ids["runs"])
    ids["experiments"] = {r["experiment_id"] for r in found["runs"]}
    ids["models"] = {r["model_id"] for r in found["logged_models"]}
    ids["names"] = {r["name"] for r in found["model_versions"]}
    linked = rows("inputs", ids["runs"]) + rows("inputs", ids["runs"], "destination_id")
    found["inputs"] = list({r["input_uuid"]: r for r in linked}.values())
    ids["inputs"] = {r["input_uuid"] for r in found["inputs"]}
    ids["datasets"] = {r["source_id"] for r in found["inputs"] if r["source_type"] == "DATASET"}
    for name, (_, by) in CHOSEN_BY.items():
        if name not in found:
            found[name] = rows(name, ids[by])
    kept = {(r["name"], r["version"]) for r in found["model_versions"]}
    for name in ("model_version_tags", "registered_model_aliases"):
        found[name] = [r for r in found[name] if (r["name"], r["version"]) in kept]
    ids["experiments"] |= {r["experiment_id"] for r in found["datasets"]}
    found["experiments"] = rows("experiments", ids["experiments"])
    return {name: found[name] for name in CHOSEN_BY}


def portable(rows: Rows) -> Rows:
    """The same without the places of this machine."""
    out = {name: [dict(row) for row in some] for name, some in rows.items()}
    for name, column in PLACES.items():
        for row in out[name]:
            row[column] = ""
    out["experiment_tags"] = [row for row in out["experiment_tags"] if row["key"] != STORE_ID]
    for row in out["datasets"]:
        row["dataset_source"] = Path(row["dataset_source"]).name
    return out


def folder(location: str, artifacts: Path | None) -> Path:
    """The folder on this machine that an artifact address means.

    Args:
        artifacts: the --artifacts-destination of the server that made the address, if one did.

    Raises:
        SslsegError: it lies elsewhere.
    """
    parsed = urlparse(location)
    if parsed.scheme == PROXY and artifacts:
        return artifacts / unquote(parsed.path).lstrip("/")
    if found := store.local_path(location):
        return found
    raise SslsegError(
        f"{location}: these artifacts are not on this machine. Where a server hands them out, "
        "--artifacts names its --artifacts-destination, on the server's own machine"
    )


def check(rows: Rows, tables: Mapping[str, Table]) -> None:
    """Rows from an archive: known tables and columns, and IDs that are IDs.

    Raises:
        SslsegError: something else.
    """
    if rows.keys() != CHOSEN_BY.keys():
        raise SslsegError(f"archive: wanted the tables {', '.join(CHOSEN_BY)}")
    for name, some in rows.items():
        columns = set(tables[name].c.keys())
        if any(row.keys() != columns for row in some):
            raise SslsegError(f"archive: table {name}: wanted rows of {', '.join(sorted(columns))}")
        numbers = [row["version"] for row in some] if name in VERSIONED else []
        if strange := [n for n in numbers if not isinstance(n, int)]:
            raise SslsegError(f"archive: {quoted(strange[0])} is not the number of a version")
        for row in some:
            _check_row(name, row, tables[name])
    bad = [r["run_uuid"] for r in rows["runs"] if not RUN_ID.fullmatch(r["run_uuid"])]
    bad += [r["model_id"] for r in rows["logged_models"] if not MODEL_ID.fullmatch(r["model_id"])]
    if bad:
        raise SslsegError(f"archive: {bad[0]!r} is not an ID")

    _check_owners(rows)


def _check_owners(rows: Rows) -> None:
    """Every row belongs to the archive: it may not write into a run that the store has already."""
    ids = {"runs": {r["run_uuid"] for r in rows["runs"]}, "models": {r["model_id"] for r in rows["logged_models"]},
           "names": {r["name"] for r in rows["registered_models"]}, "inputs": {r["input_uuid"] for r in rows["inputs"]},
           "experiments": {r["experiment_id"] for r in rows["experiments"]},
           "datasets": {r["dataset_uuid"] for r in rows["datasets"]}}  # fmt: skip
    for name, (column, by) in CHOSEN_BY.items():
        for row in rows[name]:
            either = {row[column], row["destination_id"]} if name == "inputs" else {row[column]}
            if not either & ids[by]:
                raise SslsegError(
                    f"archive: table {name}: a row of {quoted(row[column])}, which is not in the archive"
                )


def _check_row(name: str, row: Mapping[str, Any], table: Table) -> None:
    """SQLite takes a text for a number, and MLflow then fails at whatever reads it."""
    for column, value in row.items():
        kind = table.c[column].type.python_type
        fits = isinstance(value, TAKEN.get(kind, kind)) or (
            value is None and table.c[column].nullable is True
        )
        fits &= not isinstance(value, int) or abs(value) < MOST
        allowed = ALLOWED.get((name, column))
        if not fits or (allowed and value not in allowed):
            wanted = f"one of {', '.join(map(str, allowed))}" if allowed else KINDS.get(kind, kind.__name__)
            raise SslsegError(f"archive: table {name}: {column}: wanted {wanted}, got {quoted(value)}")
