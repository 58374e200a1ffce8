"""The tracking store as data frames. FINISHED runs only; pointers and deleted runs are left out.

Three back-ends give the same frames: SQL on the database itself, the bulk call of `mlflow server`, and
MLflow's public client, which is always right and slow.
"""

import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException

from sslseg.config import names
from sslseg.config.files import read_json
from sslseg.tracking import session, store
from sslseg.tracking.history import cache as history_cache
from sslseg.tracking.history import http, sql
from sslseg.tracking.history.records import POINT_COLUMNS, Record, as_logged, curve_frame, frame
from sslseg.tracking.history.sql import UnreadableError

THREADS = 8
IDS_A_QUERY = 100


def runs(
    experiment_id: str | None = None,
    sweep: str | None = None,
    uri: str | None = None,
    *,
    upstream: bool = False,
) -> pd.DataFrame:
    """One row per FINISHED run, oldest first: see `records.FIXED`, then cfg.*, then metrics.

    `budget` counts what `unit` says (slices or patients) and is the number really used.

    Args:
        experiment_id: ID or name; None = every experiment. Runs of others that its sweeps have borrowed are read too.
        sweep: only the cells of this sweep run, in whichever experiment they were run.
        upstream: also the runs that encoders come from, in whichever experiment they were run.

    Raises:
        SslsegError: no such store, experiment or sweep.
    """
    uri = store.existing(uri)
    wanted = None
    if sweep:
        table = cells(sweep, uri)
        wanted = {row["run_id"] for row in table if row["run_id"]} if table else _tagged(sweep, uri)
    place = None if sweep or not experiment_id else experiment(experiment_id, uri)
    found = _records(uri, place, None if wanted is None else sorted(wanted))
    linked = {row["run_id"] for row in borrowed(place, uri)} if place else set()
    if absent := sorted(linked - {r.run_id for r in found}):
        found += _records(uri, None, absent)
    while upstream and (more := _upstream_of(found)):
        if not (added := _records(uri, None, more)):  # those are gone from the store, or have not FINISHED
            break
        found += added
    return frame([record for record in found if names.TAG_DAMAGED not in record.tags])


def _upstream_of(records: Sequence[Record]) -> list[str]:
    named = {r.tags.get(names.TAG_UPSTREAM_RUN, "") for r in records}
    return sorted(named - {r.run_id for r in records} - {"", names.SCRATCH})


def curves(
    run_ids: Iterable[str], keys: Iterable[str], uri: str | None = None, *, cache: Path | None = None
) -> pd.DataFrame:
    """Every step of some metrics: columns run_id, key, step, value, in this order of sorting.

    A step that was logged twice (after a resume) is there once, with the later value. NaN and ±inf are
    there as they were logged.

    Args:
        cache: folder that the curves of FINISHED runs are kept in; see `cache.py`.
    """
    uri = store.existing(uri)
    ids, wanted = sorted(set(run_ids)), sorted(set(keys))
    if not ids or not wanted:
        return curve_frame(pd.DataFrame(columns=POINT_COLUMNS))
    if cache is None:
        return curve_frame(points(uri, ids, wanted))
    known = _records(uri, None, ids)
    return history_cache.through(cache, known, ids, wanted, lambda *some: curve_frame(points(uri, *some)))


def points(uri: str, run_ids: Sequence[str], keys: Sequence[str]) -> pd.DataFrame:
    """Every value that was logged, those of a step that was logged twice included: see `POINT_COLUMNS`.

    Stores of before `names.DETAIL` have every metric under its own name.
    """
    if not len(run_ids) or not len(keys):
        return pd.DataFrame(columns=POINT_COLUMNS)
    asked = sorted({*keys, *map(names.stored, keys)})
    try:
        found = (http if _is_server(uri) else sql).points(uri, run_ids, asked)
    except UnreadableError:
        found = _points_by_client(uri, run_ids, asked)
    if set(asked) == set(keys):
        return found
    return found.assign(key=found["key"].str.removeprefix(names.DETAIL))


def cells(sweep: str, uri: str | None = None) -> list[dict[str, Any]]:
    """The table that a sweep wrote (cell, pipeline, run_id, error); [] while it has not.

    Of a sweep that has not come to its end, the cells that have since are filled in.

    Raises:
        SslsegError: no such run.
    """
    uri = store.existing(uri)
    try:
        status = store.run(sweep, uri).info.status
    except store.UnknownRunError as error:
        raise names.SslsegError(f"sweep: {error}") from None
    with tempfile.TemporaryDirectory() as scratch:
        path = artifact(sweep, names.CELLS, Path(scratch), uri)
        table = _table(path) if path else []
    if status == "FINISHED" or all(row["run_id"] for row in table):
        return table
    own = {cell: run_id for run_id, cell in _tagged(sweep, uri).items()}
    done = own | {row["cell"]: row["run_id"] for row in borrowed(None, uri) if row["sweep"] == sweep}
    return [
        row if row["run_id"] or row["cell"] not in done else row | {"run_id": done[row["cell"]], "error": ""}
        for row in table
    ]


def _table(path: Path) -> list[dict[str, Any]]:
    try:
        table = read_json(path)
    except (OSError, ValueError) as error:
        raise names.SslsegError(f"sweep: its {names.CELLS} cannot be read ({error})") from None
    rows = table if isinstance(table, list) else [None]
    if any(not isinstance(r, dict) or not isinstance(r.get("cell"), str) or "run_id" not in r for r in rows):
        raise names.SslsegError(f"sweep: its {names.CELLS} is no table of cells and their runs")
    return table


def borrowed(experiment_id: str | None, uri: str | None = None) -> list[dict[str, str]]:
    """Finished runs of other experiments that sweeps of this one have taken: sweep, cell, run_id, experiment (theirs).

    Args:
        experiment_id: None = of every experiment.
    """
    links = f"tags.`{names.TAG_BORROWED}` LIKE '%' and attributes.status = 'FINISHED'"
    found = session.matching(links, experiment_id, store.existing(uri), pointers=True)
    keys = {"sweep": names.TAG_SWEEP, "cell": names.TAG_CELL, "run_id": names.TAG_RESUMED_AS,
            "experiment": names.TAG_BORROWED}  # fmt: skip
    return [{k: run.data.tags.get(tag, "") for k, tag in keys.items()} for run in found]


def artifact(run_id: str, path: str, folder: Path, uri: str | None = None) -> Path | None:
    """Copy one artifact of a run into `folder`; None when the run has no such file."""
    api = store.client(store.existing(uri))
    parent = path.rpartition("/")[0]
    try:
        if path not in {f.path for f in api.list_artifacts(run_id, parent or None)}:
            return None
        return Path(api.download_artifacts(run_id, path, str(folder)))
    except (MlflowException, OSError):  # its files are not on this machine
        return None


def experiment(given: str, uri: str) -> str:
    """ID of the experiment of that name or ID."""
    api = store.client(uri)
    try:
        found = api.get_experiment_by_name(given)
    except MlflowException as error:
        raise names.SslsegError(f"experiment {given!r}: {error.message}") from None
    if found is None and given.isdigit():
        with suppress(MlflowException):
            found = api.get_experiment(given)
    if found and (gone := store.deleted_experiment(found.experiment_id, uri)):
        raise names.SslsegError(gone)
    if found is None:
        there = ", ".join(sorted(e.name for e in api.search_experiments()))
        raise names.SslsegError(f"experiment {given!r}: not in {store.shown(uri)}; there is {there}")
    return found.experiment_id


def _is_server(uri: str) -> bool:
    return uri.startswith(("http:", "https:"))


def _records(uri: str, experiment_id: str | None, run_ids: Sequence[str] | None) -> list[Record]:
    with suppress(UnreadableError):
        if not _is_server(uri):
            return sql.records(uri, experiment_id, run_ids)
    return _records_by_client(uri, experiment_id, run_ids)


def _tagged(sweep: str, uri: str) -> dict[str, str]:
    """Run ID -> cell of the FINISHED runs that a sweep has led."""
    found = session.search({names.TAG_SWEEP: sweep}, uri=uri, status="FINISHED")
    return {run.info.run_id: run.data.tags.get(names.TAG_CELL, "") for run in found}


def _records_by_client(uri: str, experiment_id: str | None, run_ids: Sequence[str] | None) -> list[Record]:
    wanted = ["attributes.status = 'FINISHED'"]
    if run_ids is not None:
        parts = (run_ids[i : i + IDS_A_QUERY] for i in range(0, len(run_ids), IDS_A_QUERY))
        quoted = (", ".join(f"'{run_id}'" for run_id in part) for part in parts)
        wanted = [f"{wanted[0]} and attributes.run_id in ({part})" for part in quoted]
    found = [run for where in wanted for run in session.matching(where, experiment_id, uri)]
    return [
        Record(run.info.run_id, run.info.experiment_id, run.info.run_name or "", run.info.start_time, run.info.end_time,
               dict(run.data.params), dict(run.data.tags), {k: as_logged(v) for k, v in run.data.metrics.items()})
        for run in found
    ]  # fmt: skip


def _points_by_client(uri: str, run_ids: Sequence[str], keys: Sequence[str]) -> pd.DataFrame:
    api = store.client(uri)

    def read(pair: tuple[str, str]) -> list[tuple]:
        run_id, key = pair
        history = api.get_metric_history(run_id, key)
        return [(run_id, key, m.step, m.timestamp, as_logged(m.value)) for m in history]

    with ThreadPoolExecutor(THREADS) as pool:
        parts = list(pool.map(read, ((run_id, key) for run_id in run_ids for key in keys)))
    return pd.DataFrame.from_records([row for part in parts for row in part], columns=POINT_COLUMNS)
