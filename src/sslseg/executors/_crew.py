"""Tasks in a queue of Slurm, through submitit, and the workers that have called in from them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import submitit
from submitit.core import utils

from sslseg.config.names import SslsegError
from sslseg.executors import RETRIES, _tasks, path
from sslseg.plans.jobs import Job
from sslseg.tracking import session, store

LOOK_SECONDS = 30.0  # between two looks at the queue for tasks that never called in
END_SECONDS = 20.0  # for workers to close their runs


class Crew:
    """Tasks in the queue, and workers that have called in."""

    def __init__(
        self, executor: submitit.AutoExecutor, desk: _tasks.Desk, work: Callable[[Job], Any], uri: str, folder: Path
    ):  # fmt: skip
        self.executor, self.desk, self.work, self.uri, self.folder = executor, desk, work, uri, folder
        self.tasks: dict[int, submitit.Job] = {}  # number -> its place in the queue, until its worker is gone
        self.here: list[submitit.Job] = []  # all that this machine runs itself, without a queue
        self.stillborn = 0
        self._hired, self._looked = 0, time.monotonic()

    @property
    def waiting(self) -> list[int]:
        """Tasks whose worker has not called in, or not again."""
        here = {worker.number for worker in self.desk.workers.values()}
        return [number for number in self.tasks if number not in here]

    def hire(self, count: int) -> None:
        """Put tasks into the queue: an array of as many."""
        numbers = range(self._hired, self._hired + count)
        self._hired += count
        tasks = [_tasks.Task(n, self.desk.addresses, self.desk.key, self.work) for n in numbers]
        try:
            with _python_path(), self.executor.batch():
                jobs = [self.executor.submit(task) for task in tasks]
        except (utils.FailedJobError, utils.FailedSubmissionError, OSError) as error:
            raise SslsegError(
                f"executor: Slurm does not take the tasks: {' '.join(str(error).split())[:500]}"
            ) from None
        self.tasks |= dict(zip(numbers, jobs, strict=True))
        self.here += [job for job in jobs if not isinstance(job, submitit.SlurmJob)]
        array = str(jobs[0].job_id).partition("_")[0]
        said = f"sslseg: {count} tasks in the queue, job {array}; logs: {self.folder}"
        print(said, file=sys.stderr, flush=True)

    def check_store(self) -> None:
        """See `store.check_shared`."""
        hosts = {worker.host for worker in self.desk.workers.values()} | {socket.gethostname()}
        store.check_shared(self.uri, len(hosts))

    def look(self) -> None:
        """Strike off tasks that have left the queue without a word.

        Raises:
            SslsegError: so many in a row that none will come.
        """
        waiting = self.waiting
        if not waiting or time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        queued = _queued([self.tasks[n] for n in waiting])
        for number in waiting:
            job = self.tasks[number]
            if str(job.job_id) in queued:
                continue
            self.tasks.pop(number)
            self.stillborn += 1
            if self.stillborn > RETRIES:
                why = f"their logs: {self.folder}"
                with suppress(Exception):
                    why = (job.stderr() or job.stdout() or "").strip().splitlines()[-1]
                raise SslsegError(
                    f"executor: {self.stillborn} tasks in a row ended before they called in; {why}"
                )

    def dismiss(self) -> None:
        """End all: those without a job are told, the others are cancelled and close their runs."""
        owners = [worker.owner for worker in self.desk.workers.values() if worker.job]
        for line, worker in self.desk.workers.items():
            if not worker.job:
                self.desk.give(line, None)
        idle = {worker.number for worker in self.desk.workers.values() if not worker.job}
        for number, job in self.tasks.items():
            if number not in idle:
                with suppress(Exception):  # it may have ended, or the queue be away
                    job.cancel(check=False)
        until = time.monotonic() + END_SECONDS
        while (self.desk.workers or not all(j.done() for j in self.here)) and time.monotonic() < until:
            for line, said in self.desk.next(0.5):
                if said is None:
                    self.desk.workers.pop(line, None)
        self.desk.close()
        for owner in owners:
            session.close_all(owner, "KILLED", "the sweep was ended", self.uri)


def _queued(jobs: list[submitit.Job]) -> set[str]:
    """IDs of those that wait in the queue or run."""
    if not isinstance(jobs[0], submitit.SlurmJob):
        return {str(job.job_id) for job in jobs if not job.done()}
    ids = ",".join(str(job.job_id) for job in jobs)
    command = ["squeue", "--noheader", "--array", "--format=%i", f"--jobs={ids}"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return {str(job.job_id) for job in jobs}  # the queue is away: asked again
    if found.returncode and "Invalid job id" not in found.stderr:
        return {str(job.job_id) for job in jobs}
    return set(found.stdout.split())


@contextmanager
def _python_path() -> Iterator[None]:
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = path()
    try:
        yield
    finally:
        del os.environ["PYTHONPATH"]
        os.environ |= {} if before is None else {"PYTHONPATH": before}
