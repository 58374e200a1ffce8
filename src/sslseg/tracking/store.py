"""The tracking store: made once, under a lock, with absolute artifact locations.

MLflow would create the tables at first touch, in whichever of several workers comes first, and would
put the artifacts under the working folder of that process. Both are settled here beforehand.
"""

import functools
import hashlib
import os
import re
import tempfile
from importlib import metadata
from pathlib import Path
from typing import cast
from urllib.parse import unquote, urlparse

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException

from sslseg.config.names import SslsegError
from sslseg.tracking.client import Client, check_answers, check_driver
from sslseg.tracking.upkeep import sqlite

SQLITE = "sqlite:///"
SERVERS = ("http", "https")
DATABASES = ("postgresql", "mysql", "mssql")
PLUGINS = "mlflow.tracking_store"  # entry points by which other packages teach MLflow a scheme
UNKNOWN = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # MLflow's words for what is not there
DEFAULT_EXPERIMENT = "0"  # MLflow's own, always there
_ready: set[str] = set()  # stores that this process has seen complete


def tracking_uri(uri: str | None = None) -> str:
    """`uri`, else MLFLOW_TRACKING_URI, else mlflow.db in the working folder; SQLite paths made absolute."""
    uri = _asked(uri)
    path, (_, mark, options) = sqlite_path(uri), uri.partition("?")
    return f"{sqlite.address(path)}{mark}{options}" if path else uri


def _asked(uri: str | None) -> str:
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}mlflow.db"


def sqlite_path(uri: str) -> Path | None:
    """The database file of a SQLite URI, absolute and without options (`?timeout=60`); None for every other store."""
    if not uri.startswith(SQLITE):
        return None
    return Path(unquote(uri.removeprefix(SQLITE).partition("?")[0])).expanduser().resolve()


def local_path(uri: str) -> Path | None:
    """The file or folder that an artifact address means on this machine; None where it lies elsewhere."""
    parsed = urlparse(uri)
    # without a scheme `#` and `?` are letters: so `mlflow run` writes the folder of a store that it makes itself
    path = parsed.path if parsed.scheme else uri
    return Path(unquote(path)) if parsed.scheme in ("", "file") else None


def shown(uri: str) -> str:
    """The URI for a message: without the password that the address of a database holds."""
    return re.sub(r"//([^/@:]*):[^/@]*@", r"//\1:***@", uri)


class UnknownRunError(SslsegError):
    """A run ID that the store does not know."""


def run(run_id: str, uri: str | None = None) -> Run:
    """The MLflow run of that ID.

    Raises:
        UnknownRunError: there is none, or this account may not read it.
    """
    try:
        return client(uri).get_run(run_id)
    except MlflowException as error:
        only_gone(error)
        there = shown(tracking_uri(uri))
        raise UnknownRunError(f"run {run_id}: unknown, {there} has no such run{denied(error)}") from None


def only_gone(error: MlflowException) -> None:
    """Raise what a lookup has raised, unless it says that nothing is there: where the store is away, nobody knows."""
    if error.error_code not in UNKNOWN and not denied(error):
        raise error


def denied(error: MlflowException) -> str:
    """What a message adds when a server did not say whether something is there."""
    return ", or this account may not read it" if "Permission denied" in str(error) else ""


def lock(uri: str, purpose: str) -> FileLock:
    """A lock between the processes of one user on one machine: beside a SQLite file, else in a temporary folder.

    Beside a file that a group shares, the lock is the group's too, as far as umask lets it be.
    """
    path = sqlite_path(uri)
    if path is None:
        name = hashlib.sha256(uri.encode()).hexdigest()[:16]
        place = Path(tempfile.gettempdir()) / f"sslseg-{getattr(os, 'getuid', int)()}"
        place.mkdir(mode=0o700, exist_ok=True)
        return FileLock(place / f"{name}.{purpose}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(f"{path}.{purpose}.lock", mode=0o666 & ~_umask())


@functools.cache
def _umask() -> int:
    """The bits that this process leaves out of new files; reading them sets them for a moment."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def check_shared(uri: str, machines: int) -> None:
    """SQLite cannot be shared between machines.

    Raises:
        SslsegError: that is what was asked for.
    """
    if uri and sqlite_path(uri) and machines > 1:
        raise SslsegError(
            f"executor: the workers are on {machines} machines and the tracking store is a SQLite file, which they "
            "cannot share; start a tracking server and set MLFLOW_TRACKING_URI to it"
        )


def existing(uri: str | None = None) -> str:
    """The absolute URI of a store that is there: for readers, which make none.

    Raises:
        SslsegError: there is no such SQLite file. Whether a server answers shows when it is asked.
    """
    asked = _asked(uri)
    uri = tracking_uri(uri)
    _check_kind(uri)
    path = sqlite_path(uri)
    if path and not sqlite.complete(path):
        here = not asked.startswith(f"{SQLITE}/")
        relative = f" ({asked} is read from the folder you stand in)" if here else ""
        raise SslsegError(
            f"there is no tracking store {path}{relative}. The first stage makes it, say `mlflow run . -e prepare "
            "--env-manager local`; MLFLOW_TRACKING_URI names one that lies elsewhere"
        )
    return uri


def ensure_store(uri: str | None = None) -> str:
    """Make the store usable by any number of workers; returns its absolute URI.

    SQLite: tables, default experiment (artifacts in `mlruns` beside the file) and WAL, once, under a
    file lock. Servers and other databases are set up by who runs them: nothing is done.
    """
    uri = tracking_uri(uri)
    path = sqlite_path(uri)
    if uri in _ready:
        return uri
    _check_kind(uri)
    if path is None:
        return uri
    with lock(uri, "create"):
        if not sqlite.complete(path):
            sqlite.create(path)
        sqlite.set_wal(path)
    _ready.add(uri)
    return uri


def _check_kind(uri: str) -> None:
    """Refuse a store that cannot be used, before anything is done for it.

    Raises:
        SslsegError: a database of another MLflow; or see `_check_address`.
    """
    path = sqlite_path(uri)
    if path is not None:
        sqlite.check_schema(path)
    else:
        _check_address(uri)


@functools.cache  # a client is made for every look at a store
def _check_address(uri: str) -> None:
    """Raises SslsegError: files, memory, a kind that neither MLflow nor a plug-in of it knows, or a driver that is missing."""
    scheme = urlparse(uri).scheme
    if (kind := scheme.partition("+")[0]) in DATABASES:
        check_driver(uri, shown(uri))
    elif scheme in ("", "file"):
        raise SslsegError(
            f"{uri}: a folder of files is no store for this: its registry and searches are not MLflow's own any more. "
            f"Set MLFLOW_TRACKING_URI={SQLITE}mlflow.db, or to the address of a server"
        )
    elif kind not in (known := {*SERVERS, *metadata.entry_points(group=PLUGINS).names}):
        wanted = ", ".join(sorted({*DATABASES, *known}))
        raise SslsegError(f"{shown(uri)}: wanted {SQLITE}<file>, or an address that begins with {wanted}")


def client(uri: str | None = None) -> MlflowClient:
    """A `Client` of an existing or freshly made store. No global state, so one process holds many runs."""
    uri = ensure_store(uri)
    check_answers(uri, shown(uri))
    return cast(MlflowClient, Client(MlflowClient(uri)))


def experiments(uri: str | None = None, view: int = ViewType.ACTIVE_ONLY) -> list[str]:
    """IDs of every experiment that this account may see."""
    return [found.experiment_id for found in client(uri).search_experiments(view_type=view)]


def ensure_experiment(name: str, uri: str | None = None) -> str:
    """ID of the experiment `name`, made if absent, its artifacts at an absolute place beside a SQLite file.

    Raises:
        SslsegError: it was deleted.
    """
    uri = ensure_store(uri)
    api = client(uri)
    with lock(uri, "create"):
        found = api.get_experiment_by_name(name)
        if found is None:
            path = sqlite_path(uri)
            place = sqlite.in_address(path.parent / "mlruns" / folder(name)) if path else None
            try:
                return api.create_experiment(name, artifact_location=place)
            except MlflowException as error:  # made meanwhile, on another machine
                found = api.get_experiment_by_name(name)
                if found is None:
                    raise error
    if gone := deleted_experiment(found.experiment_id, uri):
        raise SslsegError(gone)
    return found.experiment_id


def deleted_experiment(experiment_id: str, uri: str | None = None) -> str:
    """A sentence on an experiment that was deleted, or never was; '' = it is there."""
    try:
        found = client(uri).get_experiment(experiment_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return f"experiment {experiment_id}: unknown, {shown(tracking_uri(uri))} has none of that ID"
    if found.lifecycle_stage == "active":
        return ""
    return f"experiment {found.name!r} was deleted; `mlflow experiments restore -x {experiment_id}` brings it back"


def folder(name: str) -> str:
    """Where the artifacts of the experiment `name` lie, below `mlruns`."""
    return re.sub(r"[^\w.-]+", "-", name) + "-" + hashlib.sha256(name.encode()).hexdigest()[:8]


def current_experiment(uri: str | None = None) -> str:
    """ID of the experiment that the environment names (MLFLOW_EXPERIMENT_ID, …_NAME), else the default."""
    if given := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return given
    if name := os.environ.get("MLFLOW_EXPERIMENT_NAME"):
        return ensure_experiment(name, uri)
    return DEFAULT_EXPERIMENT
