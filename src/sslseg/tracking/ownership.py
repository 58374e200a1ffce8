"""Who holds a RUNNING run, and does it live.

A run names the process that holds it, a token that is new each time the run is taken, and a heartbeat. On the machine of
that process its process table decides; anywhere else only the heartbeat is known. Who finds another token than its own
has lost the run, and writes nothing more: so a process that was taken for dead and wakes up cannot be a second writer.
"""

from __future__ import annotations

import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from sslseg.config import names
from sslseg.config.names import SslsegError

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

BEAT_SECONDS = 20.0
FRESH_SECONDS = 120.0  # a heartbeat this young, from anywhere, is of a process that lives
DEAD_AFTER = "SSLSEG_DEAD_AFTER"  # environment: minutes without a heartbeat
MINUTES = 30.0
FIRST_NAMESPACE = "4026531836"  # Linux's number of the PID namespace that is not a container's


class LostError(SslsegError):
    """Another process has taken the run: this one has to stop, and writes nothing more to it."""


class Shared(Exception):  # noqa: N818 no error: there is nothing left to do
    """Another process has done the same meanwhile; its run has the result."""

    def __init__(self, run_id: str):
        super().__init__(run_id)
        self.run_id = run_id


class State(Enum):
    """Of the process that holds a run."""

    ALIVE = "alive"
    DEAD = "dead"
    SILENT = "silent"  # on another machine, its heartbeat not fresh, and not old enough to be called dead


def dead_after() -> float:
    """Seconds after which a process of another machine without a heartbeat counts as dead.

    Raises:
        SslsegError: SSLSEG_DEAD_AFTER is no number of minutes from 5 up.
    """
    text = os.environ.get(DEAD_AFTER) or str(MINUTES)
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 5 <= minutes < float("inf"):  # below, a store locked for two minutes would make a process dead
        raise SslsegError(f"{DEAD_AFTER}: wanted minutes, at least 5, got {names.quoted(text)}")
    return 60 * minutes


def owner() -> str:
    """host:pid:start:boot:namespace of this process.

    The start tells it from a later process with the same pid; boot and PID namespace tell whether another
    process sees the same process table, whatever the host is called.
    """
    boot, namespace = _table()
    return f"{socket.gethostname()}:{os.getpid()}:{_start(os.getpid())}:{boot}:{namespace}"


def named(tags: Mapping[str, str]) -> str:
    """The process that a run's tags tell, for a person: `process 4711 on host`; '' = none is noted."""
    host, _, rest = tags.get(names.TAG_PROCESS, "").partition(":")
    return f"process {rest.partition(':')[0]} on {host}" if host else ""


def tags() -> dict[str, str]:
    """Of a run that this process takes: who it is, a token, and a fresh heartbeat."""
    beat = f"{time.time():.3f}"
    return {names.TAG_PROCESS: owner(), names.TAG_OWNER: uuid.uuid4().hex, names.TAG_HEARTBEAT: beat}


def state(owner_text: str, heartbeat: float, now: float | None = None) -> State:
    """Of the process that wrote `owner_text` and `heartbeat` (s since the epoch)."""
    host, pid, start, boot, namespace = (owner_text.split(":") + [""] * 5)[:5]
    if (boot, namespace) == _table() and pid.isdigit() and (runs := _runs(int(pid), start)) is not None:
        return State.ALIVE if runs else State.DEAD
    first = host == socket.gethostname() and namespace == _table()[1] == FIRST_NAMESPACE
    if first and heartbeat < psutil.boot_time():
        return State.DEAD  # this machine was started again since
    silent = (time.time() if now is None else now) - heartbeat
    return State.DEAD if silent >= dead_after() else State.ALIVE if silent < FRESH_SECONDS else State.SILENT


def state_of(run: MlflowRun) -> State:
    """Of the process that holds a RUNNING run."""
    return state(run.data.tags.get(names.TAG_PROCESS, ""), heartbeat(run))


def heartbeat(run: MlflowRun) -> float:
    """Seconds since the epoch of the last sign of life of a run."""
    text = run.data.tags.get(names.TAG_HEARTBEAT, "")
    return float(text) if re.fullmatch(r"\d{1,12}(\.\d+)?", text) else run.info.start_time / 1000


def _table() -> tuple[str, str]:
    """What two processes have in common that see one process table: the machine's boot and the PID namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return boot, os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:  # not Linux: no containers
        return f"{socket.gethostname()}-{psutil.boot_time():.0f}", "-"


def _start(pid: int) -> str:
    """When the process began, in ticks since the boot: a step of the clock does not change it. '' = no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except OSError:
        pass
    try:
        return "" if Path("/proc/self/stat").exists() else f"{psutil.Process(pid).create_time():.0f}"
    except psutil.Error:
        return ""


def _runs(pid: int, start: str) -> bool | None:
    """Whether the process that began at `start` is there; None = another user's, which /proc hides (hidepid)."""
    try:
        if there := _start(pid):
            return there == start and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        if os.name == "posix":  # elsewhere it would end the process
            os.kill(pid, 0)
    except PermissionError:
        return None
    except (psutil.NoSuchProcess, ProcessLookupError, OverflowError):
        pass
    return False


def close(run_id: str, status: str, reason: str = "", uri: str | None = None) -> None:
    """End a run that nobody holds (any more); who thinks to hold it finds that it is lost."""
    from sslseg.tracking import store  # here, as below: parameters are checked before MLflow is imported

    store.client(uri).set_tag(run_id, names.TAG_OWNER, "")
    end(run_id, status, reason, uri)


def end(run_id: str, status: str, reason: str, uri: str | None) -> None:
    """Write the status, and the reason if there is one."""
    from sslseg.tracking import store

    api = store.client(uri)
    if reason:
        api.set_tag(run_id, names.TAG_REASON, reason[:5000])
    api.set_terminated(run_id, status)


def claim(run_id: str, uri: str | None = None) -> str:
    """Make this process the owner of `run_id`: RUNNING, a fresh heartbeat, no reason of an earlier end.

    Returns:
        the token.

    Raises:
        LostError: another process has claimed it at the same moment.
    """
    from mlflow.entities import RunTag

    from sslseg.tracking import store

    api = store.client(uri)
    own = tags()
    api.log_batch(run_id, tags=[RunTag(key, value) for key, value in own.items()])
    api.update_run(run_id, status="RUNNING")
    there = api.get_run(run_id).data.tags
    if there.get(names.TAG_OWNER) != own[names.TAG_OWNER]:
        raise LostError(f"run {run_id}: {named(there)} has taken it at the same moment")
    if names.TAG_REASON in there:
        api.delete_tag(run_id, names.TAG_REASON)
    return own[names.TAG_OWNER]


class Heart:
    """Calls `beat` from a thread of its own, so that a run has a heartbeat whatever its process is doing."""

    def __init__(self, beat: Callable[[], None], seconds: float = BEAT_SECONDS):
        self._beat, self._seconds = beat, seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live, name="heartbeat", daemon=True)
        self._thread.start()

    def _live(self) -> None:
        while not self._over.wait(self._seconds):
            try:
                self._beat()
            except LostError:
                return  # the next write of the run says so
            except Exception:
                continue  # the store is away: the next beat tries again

    def stop(self) -> None:
        """No beat any more; waits for one that is under way."""
        self._over.set()
        self._thread.join(BEAT_SECONDS)
