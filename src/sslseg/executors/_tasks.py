"""Workers that a back-end starts somewhere, and the desk that gives them jobs over one connection each.

A worker calls in when it has been started, on whatever machine, and is warm from then on. Both sides prove that
they know the sweep's key before anything else is read; where it lies in a folder of tasks, that is its owner's alone.
"""

import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import AuthenticationError, connection
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

import psutil
from tqdm import tqdm

from sslseg import execute
from sslseg.config.names import SslsegError
from sslseg.plans.jobs import Job, attempt
from sslseg.tracking import ownership

REACH_SECONDS = 10.0  # for one address to answer
WATCH_SECONDS = 0.5
GONE_SECONDS = 120  # without any answer, after which a machine counts as gone
HELLO, DONE, EVICTED = "hello", "done", "evicted"  # what a worker says
Address = tuple[str, int]


@dataclass
class Task:
    """What one task does: call in, then do job after job in this process until told to end."""

    number: int
    addresses: Sequence[Address]
    key: bytes
    work: Callable[[Job], object]
    environment: dict[str, str] = field(default_factory=dict)  # variables that are its own

    def __call__(self) -> None:
        """Work until there is nothing more to do; ends at once when the desk is gone."""
        os.environ.update(self.environment, TQDM_DISABLE="1")
        # tqdm's own lock is between processes, and left over where a worker is ended
        tqdm.set_lock(threading.RLock())
        execute.guard_worker()
        notice = getattr(signal, "SIGUSR2", None)  # Windows has none
        if notice and callable(theirs := signal.getsignal(notice)):
            signal.signal(notice, partial(_then_end, theirs))
        self._line = _call(self.addresses, self.key)
        listening = threading.Lock()  # free while a job runs
        with listening, suppress(EOFError, OSError):
            threading.Thread(target=self._watch, args=(listening,), name="watch-desk", daemon=True).start()
            self._line.send((HELLO, self.number, ownership.owner()))
            while (job := self._line.recv()) is not None:
                listening.release()
                try:
                    with execute.guarded_worker():
                        found = attempt(self.work, job)
                finally:
                    listening.acquire()
                self._line.send((DONE, *found))

    def _watch(self, listening: threading.Lock) -> None:
        """While a job runs the desk says nothing: what can be read then is its end."""
        while True:
            time.sleep(WATCH_SECONDS)
            with listening, suppress(OSError):
                if self._line.poll():
                    os.kill(os.getpid(), signal.SIGTERM)  # as by a user: the run is closed as KILLED
                    return

    def checkpoint(self) -> Any:
        """Called by submitit when the task's time is over: the job goes back to the desk, the task to the queue."""
        from submitit.helpers import DelayedSubmission

        with suppress(OSError):
            self._line.send((EVICTED,))
        return DelayedSubmission(replace(self))  # without its line


def _then_end(theirs: Callable, number: int, frame: FrameType | None) -> None:
    """What submitit does when a task's time is over. It exits then; the run is not at fault, and ends as KILLED."""
    with suppress(SystemExit):
        theirs(number, frame)
    signal.raise_signal(signal.SIGTERM)


def _call(addresses: Sequence[Address], key: bytes) -> Connection:
    """The first address that answers.

    Raises:
        SslsegError: none does.
    """
    for address in addresses:
        with suppress(OSError, EOFError, AuthenticationError):
            socket.create_connection(address, REACH_SECONDS).close()
            return _asked_after(connection.Client(address, authkey=key))
    tried = ", ".join(f"{host}:{port}" for host, port in addresses)
    raise SslsegError(
        f"executor: {socket.gethostname()} reaches the sweep's driver at none of {tried}; is it still running, and may "
        "machines of the cluster connect to that of the driver?"
    )


def _asked_after(line: Connection) -> Connection:
    """The line, with the kernel asking whether the machine at its other end lives: one without power says nothing."""
    every = max(1, GONE_SECONDS // 6)
    kept = {"KEEPIDLE": every, "KEEPINTVL": every, "KEEPCNT": 5, "USER_TIMEOUT": 1000 * GONE_SECONDS}
    with socket.socket(fileno=os.dup(line.fileno())) as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in kept.items():
            if option := getattr(socket, f"TCP_{name}", None):  # not all systems have all
                own.setsockopt(socket.IPPROTO_TCP, option, value)
    return line


@dataclass
class Worker:
    """One that has called in."""

    number: int
    owner: str
    job: Job | None = None
    free_since: float = 0.0
    leaving: bool = False  # it ends, and gets no further job
    queued: bool = False  # its time is over: its task waits in the queue again

    @property
    def host(self) -> str:
        return self.owner.partition(":")[0]


class Desk:
    """Where workers call in. `workers` are those that have proven the key and said hello."""

    def __init__(self, only_here: bool):
        self.key = secrets.token_bytes(32)
        self.workers: dict[Connection, Worker] = {}
        self._listener = connection.Listener(("127.0.0.1" if only_here else "0.0.0.0", 0), backlog=128)
        port = self._listener.address[1]
        self.addresses = [("127.0.0.1", port)] if only_here else [(host, port) for host in _hosts()]
        self._new: list[Connection] = []
        threading.Thread(target=self._accept, name="desk", daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                line = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._prove, args=(line,), daemon=True).start()

    def _prove(self, line: Connection) -> None:
        """Both know the key, or the line is cut; nothing is unpickled before."""
        try:
            connection.deliver_challenge(line, self.key)
            connection.answer_challenge(line, self.key)
        except (EOFError, OSError, AuthenticationError):
            line.close()
            return
        self._new.append(_asked_after(line))

    def next(self, seconds: float) -> list[tuple[Connection, tuple | None]]:
        """What workers have said within so many seconds; None = the line is dead."""
        found, lines = [], [*self._new, *self.workers]
        heard = connection.wait(lines, seconds)
        for line in filter(heard.__contains__, lines):
            said: tuple | None
            try:
                said = line.recv()
            except (EOFError, OSError):
                said = None
            if line in self._new:
                self._new.remove(line)
                if said:
                    self.workers[line] = Worker(said[1], said[2], free_since=time.monotonic())
            found.append((line, said))
        return found

    def give(self, line: Connection, job: Job | None) -> None:
        """A job, or None: to end. A line that is dead meanwhile is found so by `next`."""
        self.workers[line].job, self.workers[line].leaving = job, job is None
        with suppress(OSError):
            line.send(job)

    def close(self) -> None:
        """Cut all lines: who is at a job ends its run as KILLED."""
        self._listener.close()
        for line in [*self._new, *self.workers]:
            line.close()


def _hosts() -> list[str]:
    """How other machines may reach this one: by name, then by each of its addresses."""
    found = [socket.getfqdn(), socket.gethostname()]
    for addresses in psutil.net_if_addrs().values():
        found += [a.address for a in addresses if a.family == socket.AF_INET]
    return list(dict.fromkeys(sorted(found, key=lambda host: host.startswith(("127.", "localhost")))))
