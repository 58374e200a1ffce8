"""How the tracking store bears a study: `python -m benchmarks.scale [--runs 600 6000] [--postgres]`.

Runs of the shape of a fine-tuning are written straight into the tables, then read as this project and MLflow's UI
do: CPU seconds of this process (a server's own are not in them), the median of three. `--postgres` starts a
server of its own (team/postgres.py), for the length of the measurement.
"""

import argparse
import hashlib
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from benchmarks import compare, subjects

KEYS, POINTS = 14, 176  # 2,464 rows a run, as docs/how-to/scale.md reckons for a fine-tuning of the paper
PARAMS, TAGS = 55, 30
AT_ONCE = 50  # runs in one insert


def identity_of(name: str) -> str:
    """The identity that a planted run has."""
    return hashlib.sha256(name.encode()).hexdigest()


def rows(first: int, last: int) -> dict[str, list[dict[str, Any]]]:
    """Table -> rows of the runs `first` to `last` - 1."""
    from sslseg.config import names

    found: dict[str, list[dict[str, Any]]] = {
        t: [] for t in ("runs", "tags", "params", "metrics", "latest_metrics")
    }
    for i in range(first, last):
        run, start = f"{i:032x}", 1_700_000_000_000 + 60_000 * i
        found["runs"].append({
            "run_uuid": run, "name": f"run{i}", "source_type": "LOCAL", "source_name": "", "entry_point_name": "",
            "user_id": "x", "status": "FINISHED", "start_time": start, "end_time": start + 60_000,
            "source_version": "", "lifecycle_stage": "active", "artifact_uri": f"/nowhere/{run}/artifacts",
            "experiment_id": 0,
        })  # fmt: skip
        tags = {names.TAG_STAGE: names.FINETUNE, names.TAG_IDENTITY: identity_of(f"run{i}")}
        tags |= {f"tag{j}": "some words of text" for j in range(TAGS - 2)}
        found["tags"] += [{"key": k, "value": v, "run_uuid": run} for k, v in tags.items()]
        knobs = {f"cfg.knob{j}": "0.001" for j in range(PARAMS)}
        found["params"] += [{"key": k, "value": v, "run_uuid": run} for k, v in knobs.items()]
        for j in range(KEYS):
            points = [
                {"key": f"val/m{j}", "value": s / 7, "is_nan": False, "timestamp": start + s, "run_uuid": run, "step": s}
                for s in range(POINTS)
            ]  # fmt: skip
            found["metrics"] += points
            found["latest_metrics"].append(points[-1])
    return found


def plant(uri: str, runs: int) -> None:
    """Fill an empty store; the planner's statistics are brought up to date as a server's would be."""
    engine = sa.create_engine(uri)
    meta = sa.MetaData()
    meta.reflect(engine, only=list(rows(0, 0)))
    for first in range(0, runs, AT_ONCE):
        with engine.begin() as connection:
            for table, content in rows(first, min(first + AT_ONCE, runs)).items():
                connection.execute(meta.tables[table].insert(), content)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("analyze"))
    engine.dispose()


def size(uri: str) -> int:
    """Bytes that the database takes on disk."""
    engine = sa.create_engine(uri)
    law = "select pg_database_size(current_database())"
    if engine.dialect.name == "sqlite":
        law = "select page_count * page_size from pragma_page_count(), pragma_page_size()"
    with engine.connect() as connection:
        found = int(connection.execute(sa.text(law)).scalar())
    engine.dispose()
    return found


def seconds(call: Callable[[], object]) -> float:
    """Median of three, after one that is not counted."""
    call()
    taken = []
    for _ in range(3):
        start = compare.cpu()
        call()
        taken.append(compare.cpu() - start)
    return statistics.median(taken)


def write_one(uri: str) -> None:
    """One run of that shape through this project's own way."""
    from sslseg.tracking import session

    with session.open_run("finetune", uri=uri) as run:
        run.params({f"knob{j}": 0.001 for j in range(PARAMS)})
        run.tags({f"tag{j}": "some words of text" for j in range(TAGS)})
        for s in range(POINTS):
            run.log({f"val/m{j}": s / 7 for j in range(KEYS)}, s)


def measure(uri: str, runs: int, empty: int) -> Iterator[tuple[str, float, str]]:
    """(what, number, unit)."""
    from mlflow import MlflowClient

    from sslseg.tracking import session
    from sslseg.tracking.history import frames

    yield "database", (size(uri) - empty) / runs / 1e3, "kB a run"
    yield "write a run", seconds(lambda: write_one(uri)), "CPU s"
    yield "find one cell among all", seconds(lambda: session.find(identity_of("run7"), uri=uri)), "CPU s"
    api = MlflowClient(uri)
    order = ["attributes.start_time DESC"]
    yield (
        "the UI's first page, 100 runs",
        seconds(lambda: api.search_runs(["0"], max_results=100, order_by=order)),
        "CPU s",
    )
    yield "table of all runs", seconds(lambda: frames.runs(uri=uri)), "CPU s"
    ids = [f"{i:032x}" for i in range(runs)]
    yield "one curve of all runs", seconds(lambda: frames.curves(ids, ["val/m0"], uri=uri)), "CPU s"


def study(uri: str, runs: int, name: str) -> None:
    """Fill, measure and print."""
    from mlflow import MlflowClient

    MlflowClient(uri).search_experiments()  # makes the tables where `ensure_store` leaves that to a server
    empty = size(uri)
    plant(uri, runs)
    for what, number, unit in measure(uri, runs, empty):
        print(f"| {name} | {runs:,} | {what} | {number:.3g} {unit} |", flush=True)


def main(argv: list[str] | None = None) -> int:
    """Print one line of a table per measurement."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--runs", type=int, nargs="+", default=[600, 6000])
    parser.add_argument("--postgres", action="store_true")
    asked = parser.parse_args(argv)
    from sslseg.tracking.store import ensure_store

    for runs in asked.runs:
        study(ensure_store(f"sqlite:///{Path(subjects.folder())}/mlflow.db"), runs, "SQLite")
    if asked.postgres:
        from team import postgres

        if why := postgres.missing():
            print(f"PostgreSQL: not measured, {why}")
            return 0
        with postgres.started(*(f"scale{runs}" for runs in asked.runs)) as server:
            for runs in asked.runs:
                study(server.uri(f"scale{runs}"), runs, "PostgreSQL")
    return 0


if __name__ == "__main__":
    sys.exit(main())
