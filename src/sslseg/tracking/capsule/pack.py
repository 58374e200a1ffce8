"""A study in one file: its runs, metrics, artifacts and registry entries; `unpack.py` is back.

From a database with artifacts on this machine. Run IDs stay: lineage and references hold where it is unpacked.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mlflow.exceptions import MlflowException

from sslseg.config import names
from sslseg.config.names import SslsegError
from sslseg.tracking import session, store
from sslseg.tracking.capsule import archive, rows
from sslseg.tracking.history import frames
from sslseg.tracking.runs import PARENT

FOLLOWED = (names.TAG_UPSTREAM_RUN, names.TAG_PREPARE_RUN, names.TAG_RESUMED_AS)


def chosen(target: str, uri: str) -> list[str]:
    """IDs of the runs of a sweep (run ID) or of an experiment (name or ID), and of all that is upstream.

    Raises:
        SslsegError: neither is in the store, or some of the runs are still under way.
    """
    if rows.RUN_ID.fullmatch(target):
        found = {row["run_id"] for row in frames.cells(target, uri) if row["run_id"]} | {target}
        for tag in (names.TAG_SWEEP, PARENT):
            found |= {run.info.run_id for run in session.search({tag: target}, uri=uri)}
        links, place = f"tags.`{PARENT}` = '{target}' and tags.`{names.TAG_BORROWED}` LIKE '%'", None
    else:
        place = frames.experiment(target, uri)
        found = {run.info.run_id for run in session.search({}, place, uri)}
        links = f"tags.`{names.TAG_BORROWED}` LIKE '%'"
    linked = session.matching(links, place, uri, pointers=True)
    found |= {run.info.run_id for run in linked}  # what they point to is followed
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
            tags = api.get_run(run_id).data.tags
        except MlflowException:
            raise SslsegError(f"run {run_id} is needed, and not in {store.shown(uri)}") from None
        found.add(run_id)
        named = {tags.get(tag, "") for tag in FOLLOWED}
        waiting |= {i for i in named if rows.RUN_ID.fullmatch(i)} - found
    return found


def pack(target: str, path: Path, uri: str, artifacts: Path | None = None) -> tuple[int, int]:
    """Write the archive; returns the numbers of runs and of bytes.

    Args:
        artifacts: what the server before the database has as its `--artifacts-destination`.

    Raises:
        SslsegError: see `rows.connect` and `chosen`; or the artifacts are not on this machine.
    """
    with rows.connect(uri) as (connection, tables, schema):
        run_ids = chosen(target, uri)
        found = rows.read(connection, tables, run_ids)
    places = {f"runs/{row['run_uuid']}": row["artifact_uri"] for row in found["runs"]}
    places |= {f"models/{row['model_id']}": row["artifact_location"] for row in found["logged_models"]}
    files: dict[str, Path] = {}
    for prefix, place in places.items():
        files |= _files(prefix, rows.folder(place, artifacts))
    content = {"schema": schema, "rows": rows.portable(found)}
    return len(run_ids), archive.write(path, content, files)


def _files(prefix: str, folder: Path) -> dict[str, Path]:
    inside = [f for f in folder.rglob("*") if f.is_file() and not f.is_symlink()]
    named = {f"{prefix}/{f.relative_to(folder).as_posix()}": f for f in inside}
    for name in named:
        archive.check_name(name)
    return named
