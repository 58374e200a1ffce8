"""Warm workers that a Slurm queue starts, through submitit. Wants the extra `slurm`.

The driver runs where jobs are submitted from, and has the queue start workers: job arrays of tasks with their GPUs,
cores and time. A worker does cell after cell, as the driver hands them out, the longest chain first; one without work
gives its device back after a minute. When its time is over Slurm queues it again, and the cell goes on from its
checkpoint, in whichever worker is free. All machines must see the same paths (code, data, cache) and one tracking server.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sslseg.config import caches
from sslseg.config.names import TAG_PROCESS, ParamError, SslsegError
from sslseg.config.params import Workers
from sslseg.executors import RETRIES, _tasks
from sslseg.plans.cells import overrides
from sslseg.plans.jobs import Graph, Job, Outcome

try:
    import submitit
except ImportError:
    raise ParamError(
        "executor: submitit is not installed here; `pip install -e .[slurm]`, or use executor=local"
    ) from None

TASKS = 8  # at a time, where workers= does not say
IDLE_SECONDS = 60.0  # a worker without work, before it gives its device back
LOOK_SECONDS = 30.0  # between two looks at the queue for tasks that never called in
NOTICE_SECONDS = 90  # that Slurm tells a task before its time is over: a step, and what it has to write
EVICTIONS = 100  # times that a cell's task may run out of time
END_SECONDS = 20.0  # for workers to close their runs


def places(p: Workers) -> tuple[int, int]:
    """As many tasks as the user said, else `TASKS`; each with the cores of a task."""
    return p.workers or TASKS, p.threads or p.slurm_cpus


def parameters(p: Workers) -> dict[str, Any]:
    """What submitit is told of every task.

    Raises:
        ParamError: slurm_options is not option=value.
    """
    more = overrides(p.slurm_options, "slurm_options")
    known = {
        "timeout_min": p.slurm_minutes,
        "gpus_per_node": 0 if p.device == "cpu" else p.slurm_gpus,
        "cpus_per_task": p.slurm_cpus,
    }
    told = {
        "slurm_job_name": "sslseg",
        "slurm_signal_delay_s": min(NOTICE_SECONDS, 30 * p.slurm_minutes),
        "slurm_setup": [f"export PYTHONPATH={shlex.quote(_path())}"],
        "slurm_additional_parameters": {"requeue": True} | {k.replace("_", "-"): v for k, v in more.items()},
    }
    return {k: v for k, v in known.items() if v} | told


def _path() -> str:
    """Where the tasks find what this process can import, as multiprocessing hands it on."""
    return os.pathsep.join(os.path.abspath(folder) for folder in sys.path)


def executor(p: Workers, folder: Path) -> submitit.AutoExecutor:
    """submitit's executor for the tasks of a sweep.

    Raises:
        ParamError: no Slurm here, or an option that it does not know.
    """
    if p.slurm_cluster == "slurm" and not (shutil.which("sbatch") and shutil.which("srun")):
        raise ParamError(
            "executor: wanted the commands of Slurm (sbatch, srun), they are not on this machine; start the sweep on "
            "a login node, or try it with slurm_cluster=local"
        )
    try:
        found = submitit.AutoExecutor(
            folder, p.slurm_cluster, slurm_max_num_timeout=EVICTIONS, local_max_num_timeout=EVICTIONS
        )
        found.update_parameters(**parameters(p))
    except (TypeError, ValueError) as error:
        raise ParamError(f"executor: {str(error).splitlines()[0]}") from None
    return found


def run(graph: Graph, work: Callable[[Job], Any], p: Workers) -> Iterator[Outcome]:
    """Run every job after those it needs; yields an Outcome per job as it ends.

    Raises:
        SslsegError: Slurm does not take the tasks, or they end before they call in.
    """
    uri = next((job.context.get("uri", "") for job in graph.waiting.values()), "")
    folder = _folder(p)
    crew = _Crew(executor(p, folder), _tasks.Desk(p.slurm_cluster == "local"), work, uri, folder)
    try:
        yield from _drain(graph, crew, places(p)[0])
    finally:
        crew.dismiss()
    shutil.rmtree(folder, ignore_errors=True)  # what failed keeps its logs


def _folder(p: Workers) -> Path:
    """Of tasks and their logs, its owner's alone: the key of the sweep lies there."""
    folder = (
        caches.cache_folder(p.cache).absolute() / "slurm" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    )
    folder.mkdir(parents=True, mode=0o700)
    return folder


class _Crew:
    """Tasks in the queue, and workers that have called in."""

    def __init__(
        self,
        executor: submitit.AutoExecutor,
        desk: _tasks.Desk,
        work: Callable[[Job], Any],
        uri: str,
        folder: Path,
    ):
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
            with _environment(PYTHONPATH=_path()), self.executor.batch():
                jobs = [self.executor.submit(task) for task in tasks]
        except (
            submitit.core.utils.FailedJobError,
            submitit.core.utils.FailedSubmissionError,
            OSError,
        ) as error:
            raise SslsegError(
                f"executor: Slurm does not take the tasks: {' '.join(str(error).split())[:500]}"
            ) from None
        self.tasks |= dict(zip(numbers, jobs, strict=True))
        self.here += [job for job in jobs if not isinstance(job, submitit.SlurmJob)]
        array = str(jobs[0].job_id).partition("_")[0]
        print(
            f"sslseg: {count} tasks in the queue, job {array}; logs: {self.folder}",
            file=sys.stderr,
            flush=True,
        )

    def check_store(self) -> None:
        """SQLite cannot be shared between machines.

        Raises:
            SslsegError: that is what was asked for.
        """
        from sslseg.tracking import store

        hosts = {worker.host for worker in self.desk.workers.values()} | {socket.gethostname()}
        if self.uri and store.sqlite_path(self.uri) and len(hosts) > 1:
            raise SslsegError(
                f"executor: the sweep runs on {len(hosts)} machines and the tracking store is a SQLite file, which they "
                "cannot share; start a tracking server and set MLFLOW_TRACKING_URI to it"
            )

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
                with suppress(Exception):
                    why = (job.stderr() or job.stdout() or "").strip().splitlines()[-1]
                    raise SslsegError(
                        f"executor: {self.stillborn} tasks in a row ended before they called in: {why}"
                    )
                raise SslsegError(
                    f"executor: {self.stillborn} tasks in a row ended before they called in; their logs: {self.folder}"
                )

    def close_runs(self, owner: str, status: str, why: str) -> None:
        """End what a worker that is gone has left RUNNING: its work can be gone on with at once."""
        from sslseg.tracking import runs, session  # here, for a driver to start light

        if owner and self.uri:
            for run in session.search({TAG_PROCESS: owner}, uri=self.uri, status="RUNNING"):
                runs.close(run.info.run_id, status, why, self.uri)

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
            self.close_runs(owner, "KILLED", "the sweep was ended")


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
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _drain(graph: Graph, crew: _Crew, most: int) -> Iterator[Outcome]:
    """Keep the workers busy until all is done."""
    ready: list[Job] = []
    lost: dict[str, int] = {}
    evicted: dict[str, int] = {}
    desk = crew.desk
    while not graph.done():
        ready = sorted(ready + graph.ready(), key=graph.urgency)
        for line in [line for line, worker in desk.workers.items() if not worker.job]:
            if ready:
                desk.give(line, ready.pop(0))
        for skipped in graph.unreachable():
            yield graph.close(skipped)
        busy = sum(bool(worker.job) for worker in desk.workers.values())
        if (wanted := min(most, busy + len(ready)) - len(crew.tasks)) > 0:
            crew.hire(wanted)
        for line, said in desk.next(1.0):
            yield from _heard(graph, crew, line, said, ready, lost, evicted)
        for line, worker in list(desk.workers.items()):
            if not worker.job and not ready and time.monotonic() - worker.free_since > IDLE_SECONDS:
                desk.give(line, None)
                desk.workers.pop(line)
                crew.tasks.pop(worker.number, None)
        crew.look()


def _heard(
    graph: Graph,
    crew: _Crew,
    line: Any,
    said: tuple | None,
    ready: list[Job],
    lost: dict[str, int],
    evicted: dict[str, int],
) -> Iterator[Outcome]:
    """What follows from a worker's word, or from its silence."""
    worker = crew.desk.workers.get(line)
    if worker is None:
        return
    if said and said[0] == _tasks.HELLO:
        crew.stillborn = 0
        crew.check_store()
        return
    job, worker.job, worker.free_since = worker.job, None, time.monotonic()
    if said and said[0] == _tasks.DONE:
        yield graph.close(Outcome(job, *said[1:]))
        return
    crew.desk.workers.pop(line)
    if not said:
        crew.tasks.pop(worker.number, None)
    crew.close_runs(
        worker.owner, "FAILED", "its time in the queue was over" if said else "its worker process was lost"
    )
    if job is None:
        return
    counts, most = (evicted, EVICTIONS) if said else (lost, RETRIES)
    counts[job.name] = times = counts.get(job.name, 0) + 1
    if times <= most:
        ready.append(job)
        return
    why = (
        f"its task ran out of time {times} times; slurm_minutes= gives it more"
        if said
        else (f"its worker process died {times} times")
    )
    yield graph.close(Outcome(job, error=why))
