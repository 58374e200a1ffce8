"""A study in one file: its runs, metrics, artifacts and registry entries; `unpack.py` is back.

From a database with artifacts on this machine. Run IDs stay: lineage and references hold where it is unpacked.
"""

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from sslseg.config import names
from sslseg.config.names import SslsegError
from sslseg.tracking import session, store
from sslseg.tracking.capsule import archive, publish, rows
from sslseg.tracking.history import frames
from sslseg.tracking.runs import PARENT

FOLLOWED = (names.TAG_UPSTREAM_RUN, names.TAG_PREPARE_RUN, names.TAG_RESUMED_AS)


def chosen(target: str, uri: str) -> tuple[list[str], list[str]]:
    """IDs of the runs of a sweep (run ID) or of an experiment (name or ID), and of all that is upstream.

    Returns:
        Those that have ended; and those that are under way or follow one that is.

    Raises:
        SslsegError: neither is in the store, or none of the runs has ended.
    """
    if rows.RUN_ID.fullmatch(target):
        found = {row["run_id"] for row in frames.cells(target, uri) if row["run_id"]} | {target}
        found |= {run.info.run_id for run in session.search({PARENT: target}, uri=uri)}
        links, place = f"tags.`{PARENT}` = '{target}' and tags.`{names.TAG_BORROWED}` LIKE '%'", None
    else:
        place = frames.experiment(target, uri)
        found = {run.info.run_id for run in session.search({}, place, uri)}
        links = f"tags.`{names.TAG_BORROWED}` LIKE '%'"
    linked = session.matching(links, place, uri, pointers=True)
    found |= {run.info.run_id for run in linked}  # what they point to is followed
    above = _with_upstream(found, uri)
    going = {run_id for run_id, (status, _) in above.items() if status == "RUNNING"}
    while later := {run_id for run_id, (_, named) in above.items() if named & going} - going:
        going |= later
    if going == set(above):
        raise SslsegError(f"no run of {target} has ended yet; `sslseg doctor` closes those that are dead")
    return sorted(set(above) - going), sorted(going)


def _with_upstream(run_ids: Iterable[str], uri: str) -> dict[str, tuple[str, set[str]]]:
    """Run ID -> status, and the runs that it names; of these and of all that is upstream."""
    found, waiting = dict[str, tuple[str, set[str]]](), set(run_ids)
    while waiting:
        run_id = waiting.pop()
        try:
            run = store.run(run_id, uri)
        except store.UnknownRunError:
            raise SslsegError(f"run {run_id} is needed, and not in {store.shown(uri)}") from None
        named = {run.data.tags.get(tag, "") for tag in FOLLOWED}
        found[run_id] = run.info.status, {i for i in named if rows.RUN_ID.fullmatch(i)}
        waiting |= found[run_id][1] - found.keys()
    return found


def pack(
    target: str, path: Path, uri: str, artifacts: Path | None = None, public: bool = False
) -> tuple[int, int, list[str]]:
    """Write the archive; returns the numbers of runs and of bytes, and the runs left out because they are under way.

    Args:
        artifacts: what the server before the database has as its `--artifacts-destination`.
        public: as anyone may read it, see `publish`.

    Raises:
        SslsegError: see `rows.connect` and `chosen`; or the artifacts are not on this machine.
    """
    with rows.connect(uri) as (connection, tables, schema):
        run_ids, going = chosen(target, uri)
        found = rows.read(connection, tables, run_ids)
    places = {f"runs/{row['run_uuid']}": row["artifact_uri"] for row in found["runs"]}
    if not public:
        places |= {f"models/{row['model_id']}": row["artifact_location"] for row in found["logged_models"]}
    folders = {prefix: rows.folder(place, artifacts) for prefix, place in places.items()}
    shown = publish.public(found) if public else rows.portable(found)
    with tempfile.TemporaryDirectory() as scratch:
        listed = _tables(folders, Path(scratch)) if public else _files(folders)
        return len(run_ids), archive.write(path, {"schema": schema, "rows": shown}, listed), going


def _files(folders: Mapping[str, Path]) -> dict[str, Path]:
    named = {
        f"{prefix}/{file.relative_to(folder).as_posix()}": file
        for prefix, folder in folders.items()
        for file in folder.rglob("*")
        if file.is_file() and not file.is_symlink()
    }
    for name in named:
        archive.check_name(name)
    return named


def _tables(folders: Mapping[str, Path], scratch: Path) -> dict[str, Path]:
    """The one file of a sweep that anyone may read."""
    return {
        f"{prefix}/{names.CELLS}": publish.cells(folder / names.CELLS, scratch / f"{number}.json")
        for number, (prefix, folder) in enumerate(folders.items())
        if (folder / names.CELLS).is_file()
    }
