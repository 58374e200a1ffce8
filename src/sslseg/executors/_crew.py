"""The loop that all back-ends share: they start tasks, whose workers call in, and get jobs handed out one by one."""

import math
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Generic, Protocol, TypeVar

from sslseg.config.names import SslsegError
from sslseg.executors import RETRIES
from sslseg.executors._tasks import DONE, EVICTED, HELLO, Desk, Task, Worker
from sslseg.plans.jobs import Graph, Job, Outcome
from sslseg.tracking import session, store

Ticket = TypeVar("Ticket")
SAY_SECONDS = 60.0  # without any worker, until that is said
END_SECONDS = 20.0  # for workers to close their runs
EVICTIONS = 100  # times that a cell's task may run out of time


class Queue(Protocol[Ticket]):
    """What starts tasks somewhere. A ticket is whatever it knows one of them by."""

    here: bool  # tasks are processes of this machine alone, whose end is waited for
    alone: bool  # a job that has lost a worker is tried again beside no other: memory may have been short
    idle: float  # seconds without work, after which a worker is sent away
    look: float  # seconds between two looks at its tasks

    def start(self, tasks: Sequence[Task]) -> list[Ticket]:
        """Their tickets; they begin when there is room for them."""

    def over(self, tickets: Sequence[Ticket]) -> list[bool]:
        """Whether each has ended, or is lost: no worker of it is there, or will be."""

    def end(self, ticket: Ticket) -> None:
        """End a task, as by a user: its worker closes its run."""

    def why(self, ticket: Ticket) -> str:
        """What is known of the end of a task that is over."""


def run(graph: Graph, work: Callable[[Job], object], queue: Queue[Ticket], most: int) -> Iterator[Outcome]:
    """Run every job after those it needs, with at most so many workers; yields an Outcome per job as it ends.

    Raises:
        SslsegError: tasks end before they call in.
    """
    crew = Crew(queue, Desk(queue.here), work, graph.context.get("uri", ""))
    try:
        yield from crew.drain(graph, most)
    finally:
        crew.dismiss()


class Crew(Generic[Ticket]):
    """Tasks that were asked for, and workers that have called in from them."""

    def __init__(self, queue: Queue[Ticket], desk: Desk, work: Callable[[Job], object], uri: str):
        self.queue, self.desk, self.work, self.uri = queue, desk, work, uri
        self.tickets: dict[int, Ticket] = {}  # number of a task -> its ticket, until its worker is gone
        self._started: list[Ticket] = []  # all tickets that there have been
        self._stillborn = 0
        self._looked = self._missed = time.monotonic()

    def drain(self, graph: Graph, most: int) -> Iterator[Outcome]:
        """Keep the workers busy until all is done."""
        ready: list[Job] = []
        while True:
            ready = sorted(
                ready + graph.ready(), key=lambda job: (self._suspect(graph, job), graph.urgency(job))
            )
            self._give(graph, ready)
            while skipped := graph.unreachable():
                yield from map(graph.close, skipped)
            if graph.done():
                return
            self._hire(min(most, len(self._busy()) + len(ready)) - len(self.tickets))
            awaited = len(self.desk.workers) < len(self.tickets)
            for line, said in self.desk.next(0.1 if awaited else 1.0):
                yield from self._heard(graph, line, said)
            yield from self._look(graph)
            for line, worker in self.desk.workers.items():
                since = time.monotonic() - worker.free_since
                if since > self.queue.idle and not (worker.job or worker.leaving):
                    self.desk.give(line, None)

    def _busy(self) -> list[Job]:
        return [worker.job for worker in self.desk.workers.values() if worker.job]

    def _suspect(self, graph: Graph, job: Job) -> bool:
        return self.queue.alone and job.name in graph.deaths

    def _give(self, graph: Graph, ready: list[Job]) -> None:
        for line, worker in self.desk.workers.items():
            if worker.job or worker.leaving or not ready:
                continue
            busy = self._busy()
            if busy and any(self._suspect(graph, job) for job in [*busy, ready[0]]):
                return
            self.desk.give(line, ready.pop(0))

    def _hire(self, count: int) -> None:
        if count <= 0:
            return
        free = (number for number in range(len(self.tickets) + count) if number not in self.tickets)
        tasks = [Task(number, self.desk.addresses, self.desk.key, self.work) for number in free][:count]
        tickets = self.queue.start(tasks)
        self._started += tickets
        self.tickets |= dict(zip((task.number for task in tasks), tickets, strict=True))

    def _heard(self, graph: Graph, line: Connection, said: tuple | None) -> Iterator[Outcome]:
        """What follows from a worker's word, or from its silence."""
        worker = self.desk.workers.get(line)
        if worker is None:
            return
        kind = said[0] if said else ""
        if kind == HELLO:
            self._stillborn = 0
            self.check_store()
            for other, before in list(self.desk.workers.items()):
                if other is not line and before.number == worker.number:
                    yield from self._lost(graph, other, again=True)  # its task was started again
        elif kind == EVICTED:
            worker.leaving = worker.queued = True  # it closes its run; when it is gone, its cell is free
        elif said and kind == DONE and worker.job:
            job, worker.job, worker.free_since = worker.job, None, time.monotonic()
            yield graph.close(Outcome(job, *said[1:]))
        else:
            yield from self._lost(graph, line, again=worker.queued)

    def _lost(self, graph: Graph, line: Connection, again: bool) -> Iterator[Outcome]:
        """A worker is gone, to come again from its task or not."""
        worker: Worker = self.desk.workers.pop(line)
        line.close()
        ticket = None if again else self.tickets.pop(worker.number, None)
        if ticket is not None and not worker.leaving:
            self._end(ticket)  # else the queue starts it again, beside its successor
        if worker.job:
            evicted = "its task ran out of time {} times; slurm_minutes= gives it more"
            limit = (EVICTIONS, evicted) if worker.queued else (RETRIES,)
            given_up = list(graph.died(worker.job, *limit))
            status = "FAILED" if given_up else "KILLED"  # by no fault of its own, and to be tried again
            session.close_all(worker.owner, status, "its worker process was lost", self.uri)
            yield from given_up

    def _look(self, graph: Graph) -> Iterator[Outcome]:
        """Strike off the tasks that have ended, or are lost, without a word.

        Raises:
            SslsegError: so many in a row before they called in that none will come.
        """
        now = time.monotonic()
        if self.desk.workers:
            self._missed = now
        elif now - self._missed > SAY_SECONDS:
            self._missed = math.inf
            print("sslseg: waiting for a machine with room for a worker", file=sys.stderr, flush=True)
        if now - self._looked < self.queue.look:
            return
        self._looked = now
        lines = {worker.number: line for line, worker in self.desk.workers.items()}
        over = dict(zip(self.tickets, self.queue.over(list(self.tickets.values())), strict=True))
        for number in [number for number, ended in over.items() if ended]:
            if number not in lines:
                ticket = self.tickets.pop(number)
                self._stillborn += 1
                if self._stillborn > RETRIES:
                    raise SslsegError(
                        f"executor: {self._stillborn} tasks in a row ended before they called in; "
                        f"{self.queue.why(ticket)}"
                    )
            elif not lines[number].poll():  # else its last word, or its end, is still to be heard
                yield from self._lost(graph, lines[number], again=False)

    def _end(self, ticket: Ticket) -> None:
        with suppress(Exception):  # it may have ended, or the queue be away
            self.queue.end(ticket)

    def check_store(self) -> None:
        """See `store.check_shared`."""
        hosts = {worker.host for worker in self.desk.workers.values()} | {socket.gethostname()}
        store.check_shared(self.uri, len(hosts))

    def dismiss(self) -> None:
        """End all: those without a job are told, the others are ended and close their runs."""
        owners = [worker.owner for worker in self.desk.workers.values() if worker.job]
        idle = {worker.number for worker in self.desk.workers.values() if not worker.job}
        for line in [line for line, worker in self.desk.workers.items() if not worker.job]:
            self.desk.give(line, None)
        for number, ticket in self.tickets.items():
            if number not in idle:
                self._end(ticket)
        until = time.monotonic() + END_SECONDS
        while time.monotonic() < until and (
            self.desk.workers or self.queue.here and not all(self.queue.over(self._started))
        ):
            for line, said in self.desk.next(0.1):
                if said is None:
                    self.desk.workers.pop(line, None)
        self.desk.close()
        for owner in owners:
            session.close_all(owner, "KILLED", "the sweep was ended", self.uri)
