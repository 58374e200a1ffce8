"""Signals, the processes that started this one and those it has started, and a terminal that goes away.

Why a watching thread and not PR_SET_PDEATHSIG: `mlflow run` starts `bash -c "python …"`, so the
launcher is the grandparent, and its death sends the kernel's signal to nobody.
"""

import io
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import connection
from typing import Any, TextIO

import psutil

from sslseg.config import early

WATCH_SECONDS = 0.5
GRACE_SECONDS = 10.0
RAY = re.compile(r"/ray/(core|dashboard|_private|autoscaler)/")
SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ash"})


class Terminated(BaseException):
    """SIGTERM or SIGHUP arrived. Like KeyboardInterrupt not an Exception: only the end of a run catches it."""

    def __init__(self, number: int = signal.SIGTERM):
        self.number = number

    def __str__(self) -> str:
        return signal.Signals(self.number).name


def launcher() -> psutil.Process | None:
    """The process that started this one, through the shells between; None when it is gone."""
    try:
        parent = psutil.Process().parent()
        # `bash -c …`, not a terminal's
        while parent and parent.name() in SHELLS and len(parent.cmdline()) > 1:
            parent = parent.parent()
        return parent
    except psutil.Error:  # gone, or another user's in a /proc that hides those
        return None


def watch_launcher(started_by: psutil.Process | None) -> None:
    """Send SIGTERM to this process once `started_by` is gone (a daemon thread looks twice a second)."""
    if started_by is None:
        return

    def wait() -> None:
        with suppress(psutil.NoSuchProcess):
            while started_by.is_running() and started_by.status() != psutil.STATUS_ZOMBIE:
                time.sleep(WATCH_SECONDS)

    _end_after(wait, "watch-launcher")


def watch_parent() -> None:
    """In a process of a pool: end with the process that made the pool, at once if that is gone already."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return  # no pool made this process
    if connection.wait([parent.sentinel], 0):
        os._exit(128 + signal.SIGTERM)
    _end_after(lambda: connection.wait([parent.sentinel]), "watch-parent")


def _end_after(wait: Callable[[], object], name: str) -> None:
    """Send SIGTERM to this process when `wait`, called in a thread of its own, returns."""

    def watch() -> None:
        wait()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name=name, daemon=True).start()


_holding = 0  # blocks of `held` that the main thread is in
_waiting: list[int] = []  # signals that have arrived in them


@contextmanager
def held() -> Iterator[None]:
    """A signal that arrives in the block is raised at its end: an import is not broken off, a run is known.

    It needs `raise_on_signals`, which handles them.
    """
    global _holding
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _holding += 1
    try:
        yield
    finally:
        _holding -= 1
        if _waiting and not _holding:
            _raise(_waiting.pop())


def raise_early() -> None:
    """Raise a signal that came before `raise_on_signals`."""
    if early.kept:
        _raise(early.kept.pop())


def _raise(number: int) -> None:
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated(number)


def raise_on_signals(idle: Callable[[], bool] = lambda: False) -> None:
    """SIGTERM and SIGHUP raise Terminated in the main thread, SIGINT KeyboardInterrupt; children get SIGTERM first.

    The second signal and later ones are ignored, so that they cannot break the closing of the run. A SIGHUP
    that is ignored already, as under nohup, stays so.

    Args:
        idle: True where there is nothing to be closed: the process ends at once, without a word.
    """
    numbers = [signal.SIGTERM, signal.SIGINT]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)

    def handle(number: int, frame: object) -> None:
        # not SIG_IGN: of one that has arrived with this one Python would print a traceback
        for one in numbers:
            signal.signal(one, lambda *_: None)
        _signal_children()
        if idle():
            os._exit(128 + number)
        if _holding:
            _waiting.append(number)
        else:
            _raise(number)

    for one in numbers:
        signal.signal(one, handle)


class _Output:
    """A text stream whose reader may go, as that of `| head -1` does: then nothing fails, and nothing is shown."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._try(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, call: Callable, *given: str) -> None:
        try:
            call(*given)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


def outlive_reader() -> None:
    """A closed stdout or stderr, or one whose encoding has no dash, fails nothing from now on."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and stream is getattr(sys, f"__{name}__"):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
            setattr(sys, name, _Output(stream))


def _is_daemon(child: psutil.Process) -> bool:
    """Whether it is a part of Ray, not a worker: without them nobody can end the workers."""
    return bool(RAY.search(" ".join(child.cmdline())))


def end_daemons() -> None:
    """Kill what is left of a Ray that could not be started."""
    for child in _descendants():
        try:
            if _is_daemon(child):
                child.kill()
        except psutil.Error:
            continue


def _descendants() -> list[psutil.Process]:
    try:
        return psutil.Process().children(recursive=True)
    except psutil.AccessDenied:  # /proc with hidepid=1: workers that watch their driver end all the same
        return []


def _signal_children() -> list[psutil.Process]:
    ended = []
    for child in _descendants():
        try:
            if "resource_tracker" in " ".join(child.cmdline()) or _is_daemon(child):
                continue  # multiprocessing's own: ignores SIGTERM and goes with its parent, as Ray's do
            child.terminate()
            ended.append(child)
        except psutil.Error:
            continue
    return ended


def end_children() -> None:
    """End every descendant: SIGTERM, ten seconds of grace to close their runs, SIGKILL."""
    _, alive = psutil.wait_procs(_signal_children(), timeout=GRACE_SECONDS)
    for child in alive:
        with suppress(psutil.NoSuchProcess):
            child.kill()
