"""Read-only SQL on the store's own database, some hundred times faster than MLflow's client.

The tables are private to MLflow: a schema that this file was not tested with is not read
(`UnreadableError`), and `history` then asks the public client.
"""

import functools
import itertools
import operator
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy
from sqlalchemy import bindparam, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from sslseg.config import names
from sslseg.tracking import store
from sslseg.tracking.history.records import POINT_COLUMNS, Record, as_logged
from sslseg.tracking.upkeep import sqlite

SCHEMAS = ("dc11669786a5",)  # alembic revision of MLflow 3.17.2
# The index is of that schema; SQLite's planner prefers a worse one.
CURVE = (
    "select step, timestamp, case when is_nan then null else value end from metrics "
    "indexed by index_metrics_run_uuid_key_step where run_uuid = ? and key = ?"
)
METRICS = "latest_metrics"
KINDS = (np.int64, np.int64, np.float64)  # of step, timestamp and value
CHUNK = 200  # runs at a time: bounds the memory, and the number of bound variables
Part = tuple[str, np.ndarray, np.ndarray, np.ndarray]  # key; steps, timestamps and values of its points


class UnreadableError(Exception):
    """The store cannot be read in this way; MLflow's client may be able to."""


@contextmanager
def _connect(uri: str) -> Iterator[Connection]:
    path = store.sqlite_path(uri)
    given = {"creator": functools.partial(sqlite.connect, path)} if path else {}
    try:
        engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool, **given)
        with engine.connect() as connection:
            _check(connection)
            yield connection
    except (SQLAlchemyError, sqlite3.Error, ImportError) as error:
        raise UnreadableError(str(error)) from error


def _check(connection: Connection) -> None:
    version = connection.execute(text("select version_num from alembic_version")).scalar()
    if version not in SCHEMAS:
        raise UnreadableError(f"schema {version} is not one of {', '.join(SCHEMAS)}")


def _rows(connection: Connection, query: str, **lists: Sequence) -> list[tuple]:
    """All rows, as the driver's plain tuples; `lists` are expanded into IN (…)."""
    bound = text(query).bindparams(*(bindparam(name, expanding=True) for name in lists))
    with connection.execute(bound, {name: list(values) for name, values in lists.items()}) as result:
        return [*result.cursor.fetchall()]


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
        params, metrics = _pairs(connection, "params", ids), _pairs(connection, METRICS, ids)
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


def _pairs(connection: Connection, table: str, run_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Run ID -> key -> value."""
    found: dict[str, dict[str, Any]] = {}
    columns = f"{_quoted(connection)}, value{', is_nan' if table == METRICS else ''}"
    query = f"select run_uuid, {columns} from {table} where run_uuid in :runs"
    for start in range(0, len(run_ids), CHUNK):
        for run_id, key, value, *is_nan in _rows(connection, query, runs=run_ids[start : start + CHUNK]):
            found.setdefault(run_id, {})[key] = as_logged(value, *is_nan) if is_nan else value
    return found


def points(uri: str, run_ids: Sequence[str], keys: Sequence[str]) -> pd.DataFrame:
    """Every logged value of `keys`, duplicates included: run_id, key, step, timestamp, value.

    Raises:
        UnreadableError: see `records`.
    """
    with _connect(uri) as connection:
        read = _of_file if connection.dialect.name == "sqlite" else _of_server
        parts = [(run_id, *part) for run_id in run_ids for part in read(connection, run_id, keys)]
    runs, of_keys, *columns = zip(*parts, strict=True) if parts else ((),) * len(POINT_COLUMNS)
    counts = [len(step) for step in columns[0]]
    named = [np.repeat(np.asarray(column, object), counts) for column in (runs, of_keys)]
    arrays = [np.concatenate([np.empty(0, kind), *c]) for kind, c in zip(KINDS, columns, strict=True)]
    return pd.DataFrame(dict(zip(POINT_COLUMNS, (*named, *arrays[:-1], _endless(arrays[-1])), strict=True)))


def _of_file(connection: Connection, run_id: str, keys: Sequence[str]) -> Iterator[Part]:
    """The curves of one run from a SQLite file, key by key.

    What costs is the making of Python's objects, so there are few: three columns, NaN as null, made into
    arrays while they are hot, without SQLAlchemy between. One key at a time, for SQLite's planner would
    scan the whole of each metric for a list of them.
    """
    cursor = connection.connection.cursor()
    for key in keys:
        rows = cursor.execute(CURVE, (run_id, key)).fetchall()
        if rows:
            columns = zip(zip(*rows, strict=True), KINDS, strict=True)
            step, timestamp, value = (np.asarray(column, kind) for column, kind in columns)
            yield key, step, timestamp, value


def _of_server(connection: Connection, run_id: str, keys: Sequence[str]) -> Iterator[Part]:
    """The curves of one run, in one query: a server is some way off."""
    quoted = _quoted(connection)
    query = f"select {quoted}, step, timestamp, value, is_nan from metrics where run_uuid in :run"
    rows = _rows(connection, f"{query} and {quoted} in :keys order by {quoted}", run=[run_id], keys=keys)
    for key, some in itertools.groupby(rows, operator.itemgetter(0)):
        _, step, timestamp, value, is_nan = zip(*some, strict=True)
        values = np.where(np.asarray(is_nan, bool), np.nan, np.asarray(value, float))
        yield key, np.asarray(step, np.int64), np.asarray(timestamp, np.int64), values


def _endless(value: np.ndarray) -> np.ndarray:
    """±inf where MLflow has kept the largest float, as in `as_logged`."""
    endless = np.abs(value) >= np.finfo(float).max
    return np.where(endless, np.copysign(np.inf, value), value)


def _quoted(connection: Connection) -> str:
    """The column `key`, whose name is a reserved word of some databases."""
    return connection.dialect.identifier_preparer.quote("key")
