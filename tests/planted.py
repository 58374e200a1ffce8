"""Runs with known answers, written straight into the tables of a SQLite store (a thousand in a second)."""

from __future__ import annotations

import hashlib
import math
import sqlite3
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sslseg import names
from sslseg.store import sqlite_path

Points = Sequence[tuple[int, float]]


def run_id_of(text: str) -> str:
    """32 hex digits that stand for a text."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Planted:
    """One run. `metrics`: key -> (step, value) in the order of logging."""

    name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    cfg: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Points] = field(default_factory=dict)
    status: str = "FINISHED"
    stage: str = "active"
    start: int = 1_700_000_000_000

    @property
    def run_id(self) -> str:
        return run_id_of(self.name)


def plant(uri: str, runs: Iterable[Planted], experiment_id: int = 0) -> None:
    """Write the runs as MLflow 3.17 would."""
    connection = sqlite3.connect(sqlite_path(uri), timeout=20)
    with connection:
        for run in runs:
            _insert(connection, run, experiment_id)
    connection.close()


def _insert(c: sqlite3.Connection, run: Planted, experiment_id: int) -> None:
    place = c.execute(
        "select artifact_location from experiments where experiment_id = ?", (experiment_id,)
    ).fetchone()[0]
    c.execute(
        "insert into runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status,"
        " start_time, end_time, source_version, lifecycle_stage, artifact_uri, experiment_id)"
        " values (?, ?, 'LOCAL', '', '', 'x', ?, ?, ?, '', ?, ?, ?)",
        (run.run_id, run.name, run.status, run.start, run.start + 60_000, run.stage,
         f"{place}/{run.run_id}/artifacts", experiment_id),
    )  # fmt: skip
    tags = {"mlflow.runName": run.name, **run.tags}
    c.executemany("insert into tags values (?, ?, ?)", [(k, v, run.run_id) for k, v in tags.items()])
    params = [(names.CFG + key, value, run.run_id) for key, value in run.cfg.items()]
    c.executemany("insert into params values (?, ?, ?)", params)
    for key, points in run.metrics.items():
        rows = [(key, *_stored(v), run.start + i, run.run_id, step) for i, (step, v) in enumerate(points)]
        c.executemany(
            "insert into metrics (key, value, is_nan, timestamp, run_uuid, step) values (?, ?, ?, ?, ?, ?)",
            rows,
        )
        last = max(rows, key=lambda row: (row[5], row[3]))
        c.execute(
            "insert into latest_metrics (key, value, is_nan, timestamp, run_uuid, step)"
            " values (?, ?, ?, ?, ?, ?)",
            last,
        )


def _stored(value: float) -> tuple[float, bool]:
    if math.isnan(value):
        return 0.0, True
    return (math.copysign(sys.float_info.max, value) if math.isinf(value) else value), False
