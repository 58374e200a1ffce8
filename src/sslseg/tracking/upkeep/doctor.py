"""What is wrong with a tracking store, and what can be done about it. Finding changes nothing.

Each check yields findings; a finding that can be mended carries the action, which its reader calls.
"""

import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelStatus, ViewType
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException
from tqdm import tqdm

from sslseg.config import caches, flags, mlproject, names
from sslseg.config.references import MODEL_ID, RUN_ID
from sslseg.tracking import lineage, manifest, ownership, runs, session, store
from sslseg.tracking.history import frames, records, sql
from sslseg.tracking.ownership import State
from sslseg.tracking.registry import logged
from sslseg.tracking.registry.files import lacks, stored_sha
from sslseg.tracking.registry.resolve import versions
from sslseg.tracking.upkeep import claims, sqlite

# files of a model -> tag with their sha256, which the weights always have
DIGESTS = {names.WEIGHTS_FILE: names.MODEL_SHA, names.EXPOSURE_FILE: names.MODEL_EXPOSURE,
           names.DECODER_FILE: names.MODEL_DECODER}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One fault: of what, which, and what mends it."""

    subject: str
    fault: str
    action: str = ""
    mend: Callable[[], object] | None = None  # None = by hand, if at all
    grave: bool = True  # False: takes room, and harms nothing
    run_id: str = ""  # of a dead run that its own command, given again, goes on with


def examine(uri: str, cache: Path, download: bool = False) -> Iterator[Finding]:
    """Every check, the database first: when that is not sound, nothing behind it is read; `download` from a server to hash."""
    faults = list(database(uri))
    yield from faults
    if any(fault.mend is None for fault in faults):
        return
    yield from abandoned(uri, cache)
    models = logged.every(uri)
    yield from unfinished_models(uri, models)
    here = [model for model in models if download or store.local_path(model.artifact_location)]
    yield from changed_files(uri, here)
    yield from lost_versions(uri, models)
    yield from gone_runs(uri, models)
    yield from contradictions(uri, models)
    yield from orphans(uri)
    yield from old_checkpoints(uri, cache)


def database(uri: str) -> Iterator[Finding]:
    """Schema, integrity and journal of a SQLite store; other databases are their administrator's."""
    path = store.sqlite_path(uri)
    if path is None:
        return
    try:
        with closing(sqlite.connect(path)) as connection:
            (sound,) = connection.execute("pragma quick_check(1)").fetchone()
            (journal,) = connection.execute("pragma journal_mode").fetchone()
            schema = connection.execute("select version_num from alembic_version").fetchone()
    except sqlite3.DatabaseError as error:
        yield Finding(str(path), f"the database cannot be read: {error}", "restore it from a backup")
        return
    if sound != "ok":
        yield Finding(str(path), f"the database is damaged: {sound}", "restore it from a backup")
    if not schema or schema[0] not in sql.SCHEMAS:
        fault = f"schema {schema and schema[0]}, wanted {', '.join(sql.SCHEMAS)}"
        yield Finding(str(path), fault, "`mlflow db upgrade`, after a backup")
    if journal != "wal":
        mend = partial(sqlite.set_wal, path)
        yield Finding(str(path), f"journal mode {journal}", "set the write-ahead log", mend, grave=False)


def abandoned(uri: str, cache: Path) -> Iterator[Finding]:
    """Runs that say RUNNING although their process is gone."""
    running = session.search({}, uri=uri, status="RUNNING")
    dead = [run for run in running if session.is_abandoned(run)]
    for run in (run for run in running if ownership.state_of(run) == State.SILENT):
        after, tags = ownership.dead_after() / 60, run.data.tags
        fault = f"RUNNING, and silent for {(time.time() - ownership.heartbeat(run)) / 60:.0f} minutes"
        process = ownership.named(tags)
        seen = f"its {process} is not to be seen from here" if process else "no process is noted on it"
        action = f"counts as dead after {after:.0f} ({ownership.DEAD_AFTER}); {seen}"
        yield Finding(f"run {run.info.run_id}", fault, action, grave=False)
    ids = {run.info.run_id for run in dead}
    for run in dead:
        tags, run_id = run.data.tags, run.info.run_id
        stage = tags.get(names.TAG_STAGE) or _entry_point(run)
        subject = f"run {run_id} ({stage or 'not of this project'})"
        fault = f"RUNNING, its {ownership.named(tags) or 'process was never noted and'} is gone"
        if not stage:
            yield Finding(subject, fault, grave=False)
            continue
        # a trial's command is its tuning's
        goes_on = stage != names.TRIAL and caches.goes_on(stage, cache, run_id)
        led = tags.get(runs.PARENT) in ids  # goes on with the run that led it
        more = "; the same command again goes on with it (--resume gives it)" if goes_on or led else ""
        mend = partial(session.close_abandoned, run_id, "its process was gone (sslseg doctor)", uri)
        own = run_id if goes_on and not led else ""
        yield Finding(subject, fault, f"close it as KILLED{more}", mend, run_id=own)


def _entry_point(run: MlflowRun) -> str:
    """The stage of a run that `mlflow run` opened, whose command never began; '' where it is another project's."""
    known = {name: (script.partition(".")[0], knobs) for name, script, knobs in mlproject.entry_points()}
    stage, knobs = known.get(run.data.tags.get("mlflow.project.entryPoint", ""), ("", None))
    return stage if knobs and run.data.params.keys() <= flags.knobs(knobs).keys() else ""


def unfinished_models(uri: str, models: list[LoggedModel]) -> Iterator[Finding]:
    """Models whose files were never completed, by a run that is over."""
    api = store.client(uri)
    for model in (model for model in models if model.status == LoggedModelStatus.PENDING):
        with suppress(MlflowException):  # its run may be deleted for good
            run = api.get_run(model.source_run_id or "")
            if run.info.status == "RUNNING" and not session.is_abandoned(run):
                continue
        mend = partial(api.finalize_logged_model, model.model_id, LoggedModelStatus.FAILED)
        yield Finding(_subject(model), "was never completed, and its run is over", "mark it FAILED", mend)


def _subject(model: LoggedModel) -> str:
    return f"models:/{model.model_id} ({model.name} of run {model.source_run_id})"


def changed_files(uri: str, models: list[LoggedModel]) -> Iterator[Finding]:
    """Stored files that no longer have the digest that was logged with them; a server sends each of them."""
    unpacked = session.matching(f"tags.`{names.TAG_ARCHIVE}` LIKE '%'", uri=uri)
    bare = {run.info.run_id for run in unpacked if lacks(run.info.artifact_uri, manifest.FILE)}
    ready = [model for model in models if model.status == LoggedModelStatus.READY]
    shown = [model for model in ready if model.source_run_id in bare and lacks(model.artifact_location)]
    if shown:
        fault = "out of an archive without any of their files, as `sslseg pack --public` writes it"
        yield Finding(f"{len(shown)} models", fault, "nothing starts from them", grave=False)
    places = {model.model_id: _experiment(model) for model in ready if model not in shown}
    gone = Counter(place for place in places.values() if place and not place.exists())
    for place, many in sorted(gone.items()):
        action = (
            "put it back; if it was moved with the store, a link at the old place is enough: ln -s NEW OLD"
        )
        yield Finding(f"{many} models", f"their folder {place} is not there", action)
    there = [model for model in ready if model.model_id in places and places[model.model_id] not in gone]
    for model in tqdm(there, "hashing", disable=None):
        for file, tag in DIGESTS.items():
            if not (wanted := model.tags.get(tag, "")) and tag != names.MODEL_SHA:
                continue
            try:
                actual = stored_sha(model, file, uri)
            except names.EncoderError as error:
                actual = f"({error})"
            if actual != wanted:
                fault = f"{file}: expected sha256 {wanted or '(no tag)'}, actual {actual}"
                yield Finding(_subject(model), fault, "restore the file; nothing starts from this model")


def _experiment(model: LoggedModel) -> Path | None:
    """The folder on this machine with all files of a model's experiment, …/models/m-…/artifacts below it."""
    place = store.local_path(model.artifact_location)
    return place.parents[2] if place and len(place.parents) > 2 else None


def lost_versions(uri: str, models: list[LoggedModel]) -> Iterator[Finding]:
    """Registered versions whose model is no longer in the store."""
    there = {model.model_id for model in models}
    for kind in (names.KIND_ENCODER, names.KIND_SEGMENTER):
        for row in versions(kind, uri):
            if row["model_id"] not in there and not _is_known(store.client(uri), row["model_id"]):
                subject = f"models:/{row['name']}/{row['version']}"
                mend = partial(store.client(uri).delete_model_version, row["name"], row["version"])
                yield Finding(subject, f"its model {row['model_id']} was deleted", "delete the version", mend)


def gone_runs(uri: str, models: list[LoggedModel]) -> Iterator[Finding]:
    """Runs that were deleted for good (`mlflow gc`) while their models, or runs that started from them, are there."""
    api = store.client(uri)
    there = session.search({}, uri=uri)
    used = Counter(run.data.tags.get(names.TAG_UPSTREAM_RUN, "") for run in there)
    named = {*used, *(model.source_run_id or "" for model in models)} - {run.info.run_id for run in there}
    for gone in sorted(filter(RUN_ID.fullmatch, named)):
        if not _is_known(api, gone):
            left = ", ".join(f"models:/{m.model_id}" for m in models if m.source_run_id == gone) or "none"
            fault = f"deleted for good; {used[gone]} runs started from it, and of its models there is {left}"
            told = "what started from it still loads, and its lineage is what these wrote down when they ran"
            yield Finding(f"run {gone}", fault, told, grave=False)


def contradictions(uri: str, models: list[LoggedModel]) -> Iterator[Finding]:
    """Lineage tags of runs and models that were changed by hand; a run that starts from such an encoder is refused."""
    runs = frames.runs(uri=uri)
    for sentence in records.contradicted(runs):
        yield Finding(names.TAG_LINEAGE, sentence, "put the tag back")
    told = runs.set_index("run_id")["lineage"].to_dict()
    for model in models:
        one, other = model.tags.get(names.MODEL_LINEAGE, ""), told.get(model.source_run_id, "")
        if not lineage.agree(one, other):
            yield Finding(
                _subject(model), f"its lineage tag says {one!r}, its run's {other!r}", "put the tag back"
            )


def orphans(uri: str) -> Iterator[Finding]:
    """Artifact folders of no run and no model, and whether this store has made them, see `claims`; never deleted here."""
    api = store.client(uri)
    for experiment in api.search_experiments(view_type=ViewType.ALL):
        root = store.local_path(experiment.artifact_location)
        if root is None or not root.is_dir():
            continue
        folders = [f for f in root.iterdir() if RUN_ID.fullmatch(f.name)]
        folders += [f for f in root.glob("models/*") if MODEL_ID.fullmatch(f.name)]
        known = {
            r.info.run_id for r in api.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL)
        }
        lost = [f for f in folders if f.name not in known and not _is_known(api, f.name)]
        sizes = {folder: size for folder in lost if (size := caches.size_of(folder))}
        foreign = [folder for folder in sizes if not claims.is_own(folder, uri)]
        for folder in (f for f in sizes if f not in foreign):
            fault = f"{sizes[folder]:,} bytes that belong to nothing in the store"
            yield Finding(str(folder), fault, "look, then delete it by hand", grave=False)
        if foreign:
            total = sum(sizes[folder] for folder in foreign)
            fault = f"{len(foreign)} folders of no run and no model of this store ({total:,} bytes)"
            yield Finding(str(root), f"{fault}: another store may own them, they are left alone", grave=False)


def _is_known(api: MlflowClient, name: str) -> bool:
    """Whether there is a run or model of that ID, in whichever experiment."""
    try:
        api.get_logged_model(name) if MODEL_ID.fullmatch(name) else api.get_run(name)
    except MlflowException as error:
        store.only_gone(error)
        return False
    return True


def old_checkpoints(uri: str, cache: Path) -> Iterator[Finding]:
    """Checkpoints of runs that have FINISHED. Those of unknown runs may be another store's: left alone."""
    folder = caches.checkpoint_folder(cache, "x").parent
    found = [f for f in folder.iterdir() if RUN_ID.fullmatch(f.name)] if folder.is_dir() else []
    finished = {run.info.run_id for run in session.search({}, uri=uri, status="FINISHED")} if found else set()
    for place in (folder for folder in found if folder.name in finished):
        mend = partial(shutil.rmtree, place)
        yield Finding(str(place), "checkpoints of a FINISHED run", "delete them", mend, grave=False)
