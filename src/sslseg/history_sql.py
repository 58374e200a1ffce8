"""Floor 1a: read-only SQL on the store's own database, some hundred times faster than MLflow's client.

The tables are private to MLflow: a schema that this file was not tested with is not read
(`UnreadableError`), and `history` then asks the public client.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pandas as pd
import sqlalchemy
from sqlalchemy import bindparam, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from sslseg import names, store
from sslseg.history_records import POINT_COLUMNS, Record, as_logged

SCHEMES = ("sqlite", "postgresql", "mysql", "mssql")
SCHEMAS = ("dc11669786a5",)  # alembic revision of MLflow 3.17.2
INDEX = "index_metrics_run_uuid_key_step"  # of that schema; SQLite's planner prefers a worse one
CHUNK = 200  # runs at a time: bounds the memory, and the number of bound variables


class UnreadableError(Exception):
    """The database cannot be read in this way; MLflow's client may be able to."""


@contextmanager
def _connect(uri: str) -> Iterator[Connection]:
    path = store.sqlite_path(uri)
    address = f"sqlite:///file:{path}?mode=ro&uri=true" if path else uri
    try:
        engine = sqlalchemy.create_engine(address, poolclass=sqlalchemy.NullPool)
        with engine.connect() as connection:
            _check(connection)
            yield connection
    except (SQLAlchemyError, ImportError) as error:
        raise UnreadableError(str(error)) from error


def _check(connection: Connection) -> None:
    version = connection.execute(text("select version_num from alembic_version")).scalar()
    if version not in SCHEMAS:
        raise UnreadableError(f"schema {version} is not one of {', '.join(SCHEMAS)}")


def _rows(connection: Connection, query: str, **lists: Sequence) -> list[tuple]:
    """All rows, as the driver's plain tuples; `lists` are expanded into IN (…)."""
    bound = text(query).bindparams(*(bindparam(name, expanding=True) for name in lists))
    with connection.execute(bound, {name: list(values) for name, values in lists.items()}) as result:
        return result.cursor.fetchall()


def _chunks(run_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(run_ids), CHUNK):
        yield run_ids[start : start + CHUNK]


def records(uri: str, experiment_id: str | None, run_ids: Sequence[str] | None) -> list[Record]:
    """FINISHED, active runs that are no pointers: of `run_ids`, else of one experiment, else all.

    Raises:
        UnreadableError: another schema, no driver, or no right to read.
    """
    with _connect(uri) as connection:
        heads = [h for h in _heads(connection, experiment_id) if run_ids is None or h[0] in set(run_ids)]
        ids = [head[0] for head in heads]
        tags = _pairs(connection, "tags", ids)
        kept = [head for head in heads if names.TAG_RESUMED_AS not in tags.get(head[0], {})]
        params, metrics = _pairs(connection, "params", ids), _metrics(connection, ids)
    return [
        Record(i, str(e), name or "", start, end, params.get(i, {}), tags.get(i, {}), metrics.get(i, {}))
        for i, e, name, start, end in kept
    ]


def _heads(connection: Connection, experiment_id: str | None) -> list[tuple]:
    query = (
        "select r.run_uuid, r.experiment_id, r.name, r.start_time, r.end_time from runs r "
        "join experiments e on e.experiment_id = r.experiment_id where r.status = 'FINISHED' "
        "and r.lifecycle_stage = 'active' and e.lifecycle_stage = 'active'"
    )
    if experiment_id is None:
        return _rows(connection, query)
    return _rows(connection, f"{query} and r.experiment_id in :experiments", experiments=[int(experiment_id)])


def _pairs(connection: Connection, table: str, run_ids: Sequence[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    query = f"select run_uuid, {_quoted(connection)}, value from {table} where run_uuid in :runs"
    for some in _chunks(run_ids):
        for run_id, key, value in _rows(connection, query, runs=some):
            found.setdefault(run_id, {})[key] = value
    return found


def _metrics(connection: Connection, run_ids: Sequence[str]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    key = _quoted(connection)
    query = f"select run_uuid, {key}, value, is_nan from latest_metrics where run_uuid in :runs"
    for some in _chunks(run_ids):
        for run_id, key, value, is_nan in _rows(connection, query, runs=some):
            found.setdefault(run_id, {})[key] = as_logged(value, is_nan)
    return found


def points(uri: str, run_ids: Sequence[str], keys: Sequence[str]) -> pd.DataFrame:
    """Every logged value of `keys`, duplicates included: run_id, key, step, timestamp, value.

    Raises:
        UnreadableError: see `records`.
    """
    with _connect(uri) as connection:
        parts = [_points(connection, run_id, keys) for run_id in run_ids]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    run = np.repeat(np.asarray(run_ids, object), [len(part[0]) for part in parts])
    return pd.DataFrame(dict(zip(POINT_COLUMNS, (run, *columns), strict=True)))


def _points(connection: Connection, run_id: str, keys: Sequence[str]) -> tuple[np.ndarray, ...]:
    """key, step, timestamp and value of one run.

    A query a run: for a list of runs, SQLite would scan the whole of each metric every time. Arrays at
    once: a million row tuples would cost more in garbage collection than the reading does.
    """
    key = _quoted(connection)
    index = f"indexed by {INDEX}" if connection.dialect.name == "sqlite" else ""
    query = f"select {key}, step, timestamp, value, is_nan from metrics {index} where run_uuid in :run"
    rows = _rows(connection, f"{query} and {key} in :keys", run=[run_id], keys=keys)
    key, step, timestamp, value, is_nan = zip(*rows, strict=True) if rows else ((),) * 5
    return (
        np.asarray(key, object),
        np.asarray(step, np.int64),
        np.asarray(timestamp, np.int64),
        _restored(np.asarray(value, float), np.asarray(is_nan, bool)),
    )


def _restored(value: np.ndarray, is_nan: np.ndarray) -> np.ndarray:
    """`as_logged`, for a column."""
    endless = np.abs(value) >= np.finfo(float).max
    return np.where(is_nan, np.nan, np.where(endless, np.copysign(np.inf, value), value))


def _quoted(connection: Connection) -> str:
    """The column `key`, whose name is a reserved word of some databases."""
    return connection.dialect.identifier_preparer.quote("key")
