"""Who owns a run, is it alive, and how to end with the launcher. Needs psutil, nothing else.

Why a watching thread and not PR_SET_PDEATHSIG: `mlflow run` starts `bash -c "python …"`, so the
launcher is the grandparent, and its death sends the kernel's signal to nobody.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time

import psutil

WATCH_SECONDS = 0.5
STALE_SECONDS = 1800.0  # a heartbeat this old, on another machine, counts as dead
GRACE_SECONDS = 10.0
RAY = re.compile(r"/ray/(core|dashboard|_private|autoscaler)/")
SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ash"})


class Terminated(BaseException):
    """SIGTERM arrived. Like KeyboardInterrupt not an Exception: only the end of a run catches it."""


def owner() -> str:
    """host:pid:start of this process; the start tells it from a later one with the same pid."""
    return f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.0f}"


def is_alive(owner_text: str, heartbeat: float, now: float | None = None) -> bool:
    """Whether the process that wrote `owner_text` and `heartbeat` (s since the epoch) still runs.

    On this machine the process table decides; of another machine only the heartbeat is known.
    """
    host, _, rest = owner_text.partition(":")
    pid, _, start = rest.partition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return (time.time() if now is None else now) - heartbeat < STALE_SECONDS
    try:
        process = psutil.Process(int(pid))
        same = not start or abs(process.create_time() - float(start)) < 2
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def launcher() -> psutil.Process | None:
    """The process that started this one, through the shells between; None when it is gone."""
    try:
        parent = psutil.Process().parent()
        while (
            parent and parent.name() in SHELLS and len(parent.cmdline()) > 1
        ):  # `bash -c …`, not a terminal's
            parent = parent.parent()
        return parent
    except psutil.NoSuchProcess:
        return None


def watch_launcher(started_by: psutil.Process | None) -> None:
    """Send SIGTERM to this process once `started_by` is gone (a daemon thread looks twice a second)."""

    def gone() -> bool:
        try:
            return not started_by.is_running() or started_by.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    def watch() -> None:
        while not gone():
            time.sleep(WATCH_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    if started_by is not None:
        threading.Thread(target=watch, name="watch-launcher", daemon=True).start()


def raise_on_signals() -> None:
    """SIGTERM raises Terminated in the main thread, SIGINT KeyboardInterrupt; children get SIGTERM first.

    The second signal and later ones are ignored, so that they cannot break the closing of the run.
    """

    def handle(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _signal_children()
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise Terminated

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)


def _is_daemon(child: psutil.Process) -> bool:
    """Whether it is a part of Ray, not a worker: without them nobody can end the workers."""
    return bool(RAY.search(" ".join(child.cmdline())))


def end_daemons() -> None:
    """Kill what is left of a Ray that could not be started."""
    for child in psutil.Process().children(recursive=True):
        try:
            if _is_daemon(child):
                child.kill()
        except psutil.NoSuchProcess:
            continue


def _signal_children() -> list[psutil.Process]:
    ended = []
    for child in psutil.Process().children(recursive=True):
        try:
            if "resource_tracker" in " ".join(child.cmdline()) or _is_daemon(child):
                continue  # multiprocessing's own: ignores SIGTERM and goes with its parent, as Ray's do
            child.terminate()
            ended.append(child)
        except psutil.NoSuchProcess:
            continue
    return ended


def end_children() -> None:
    """End every descendant: SIGTERM, ten seconds of grace to close their runs, SIGKILL."""
    _, alive = psutil.wait_procs(_signal_children(), timeout=GRACE_SECONDS)
    for child in alive:
        child.kill()
