"""Warm actors on a Ray cluster: a running one, or one that is started on this machine. Wants the extra `ray`.

Ray places the actors, on however many machines, and tells which are lost; here the jobs get their order. On
several machines all of them must see the same paths (code, data, cache) and one tracking server.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sslseg.config.names import ParamError, SslsegError
from sslseg.config.params import Workers
from sslseg.executors import RETRIES
from sslseg.plans.jobs import Graph, Job, Outcome, attempt
from sslseg.tracking import ownership

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
os.environ.setdefault("RAY_worker_register_timeout_seconds", "600")  # 60 s are few on a busy machine

try:
    import ray
    from ray.exceptions import RayError
except ImportError:
    raise ParamError(
        "executor: ray is not installed here; `pip install -e .[ray]`, or use executor=local"
    ) from None
from sslseg.executors import _cluster  # noqa: E402 imports ray

WAIT_SECONDS = 60.0  # without a word from any worker, until it is said that none has a machine


class _Worker:
    """One warm process. Its calls come one after the other, in its main thread."""

    def __init__(self, work: Callable[[Job], Any]):
        os.environ["TQDM_DISABLE"] = "1"
        self._work = work

    def begin(self) -> str:
        """Answers once the process is there: whose runs are its own."""
        return ownership.owner()

    def do(self, job: Job) -> tuple[Any, str]:
        """What the job returned and '', or None and why there is nothing."""
        return attempt(self._work, job)


@dataclass
class _Crew:
    """The workers: those that are being placed, those that wait, and those that have a job."""

    work: Callable[[Job], Any]
    options: dict[str, Any]
    uri: str
    owners: dict[Any, str] = field(default_factory=dict)  # worker -> its process, once it has begun
    idle: list[Any] = field(default_factory=list)
    calls: dict[Any, tuple[Any, Job | None]] = field(default_factory=dict)  # what Ray has been asked for

    def hire(self) -> None:
        """Ask for a worker. It may have to wait for a machine; the others do not wait for it."""
        actor: Any = ray.remote(**self.options)(_Worker)
        worker = actor.remote(self.work)
        self.calls[worker.begin.remote()] = (worker, None)

    def give(self, job: Job) -> None:
        """Let an idle worker do a job."""
        worker = self.idle.pop()
        self.calls[worker.do.remote(job)] = (worker, job)

    def next(self) -> tuple[Job | None, tuple[Any, str] | None, str]:
        """Wait for a call to end: its job, what came back (None = the worker is lost), and why it is lost."""
        ended: list[Any] = []
        while not ended:
            ended, _ = ray.wait(list(self.calls), timeout=WAIT_SECONDS)
            if not ended and not any(job for _, job in self.calls.values()):
                print("sslseg: waiting for a machine with room for a worker", file=sys.stderr, flush=True)
        (call,) = ended
        worker, job = self.calls.pop(call)
        try:
            found = ray.get(call)
        except RayError as error:  # died, cut off, out of memory: `do` itself raises nothing
            self.end(worker, "FAILED", "its worker process was lost")
            return job, None, str(error).strip().splitlines()[-1]
        if job is None:
            self.owners[worker] = found
        self.idle.append(worker)
        return job, found, ""

    def end(self, worker: Any, status: str, why: str) -> None:
        """End a worker for certain, then what it has left RUNNING."""
        from sslseg.tracking import session  # here, for a worker to start as light as a local one

        with suppress(Exception):  # the cluster itself may be gone
            ray.kill(worker)
        session.close_all(self.owners.pop(worker, ""), status, why, self.uri)

    def dismiss(self) -> None:
        """End all."""
        for worker in [*self.owners, *(worker for worker, _ in self.calls.values())]:
            self.end(worker, "KILLED", "the sweep was ended")
        self.calls.clear()


def places(p: Workers) -> tuple[int, int]:
    """As many workers as fit on this machine, or on the running cluster, unless the user said how many."""
    threads = p.threads or max(1, int(p.ray_cpus))
    if p.workers:
        return p.workers, threads
    if not p.ray_address:
        return max(1, int((os.cpu_count() or 1) / p.ray_cpus)), threads
    with _cluster.connected(p):
        return _cluster.fitting(_cluster.demand(p)), threads


def run(graph: Graph, work: Callable[[Job], Any], p: Workers) -> Iterator[Outcome]:
    """Run every job after those it needs; yields an Outcome per job as it ends.

    Raises:
        SslsegError: no cluster answers, it has no room for one worker, or its workers do not start.
    """
    uri = graph.context.get("uri", "")
    with _cluster.connected(p):
        demand = _cluster.demand(p)
        fitting = _cluster.fitting(demand)
        if not fitting:
            raise SslsegError(f"executor: no machine of the cluster has {demand} for a worker")
        _cluster.check_store(uri)
        crew = _Crew(work, demand | {"max_restarts": 0, "max_task_retries": 0}, uri)
        try:
            for _ in range(min(p.workers or fitting, len(graph.waiting))):
                crew.hire()
            yield from _drain(graph, crew)
        finally:
            crew.dismiss()


def _drain(graph: Graph, crew: _Crew) -> Iterator[Outcome]:
    """Keep the workers busy until all is done."""
    ready: list[Job] = []
    stillborn = 0
    while not graph.done():
        ready = sorted(ready + graph.ready(), key=graph.urgency)
        while ready and crew.idle:
            crew.give(ready.pop(0))
        for skipped in graph.unreachable():
            yield graph.close(skipped)
        if graph.done():
            return
        job, found, why = crew.next()
        if found is None:
            stillborn += job is None
            if stillborn > RETRIES:
                raise SslsegError(f"executor: {stillborn} workers in a row did not start: {why}")
            crew.hire()
        else:
            stillborn = 0
        if job:
            yield from [graph.close(Outcome(job, *found))] if found else graph.died(job, RETRIES)
