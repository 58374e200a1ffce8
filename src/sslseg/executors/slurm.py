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
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sslseg.config import caches
from sslseg.config.names import ParamError
from sslseg.config.params import Workers
from sslseg.executors import RETRIES, _tasks, path
from sslseg.plans.cells import overrides
from sslseg.plans.jobs import Graph, Job, Outcome
from sslseg.tracking import session

try:
    import submitit
except ImportError:
    raise ParamError(
        "executor: submitit is not installed here; `pip install -e .[slurm]`, or use executor=local"
    ) from None
from sslseg.executors._crew import Crew  # noqa: E402 imports submitit

TASKS = 8  # at a time, where workers= does not say
IDLE_SECONDS = 60.0  # a worker without work, before it gives its device back
NOTICE_SECONDS = 90  # that Slurm tells a task before its time is over: a step, and what it has to write
EVICTIONS = 100  # times that a cell's task may run out of time


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
        "slurm_signal_delay_s": NOTICE_SECONDS,
        "slurm_setup": [f"export PYTHONPATH={shlex.quote(path())}"],
        "slurm_additional_parameters": {"requeue": True} | {k.replace("_", "-"): v for k, v in more.items()},
    }
    return {k: v for k, v in known.items() if v} | told


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
    folder, desk = _folder(p), _tasks.Desk(p.slurm_cluster == "local")
    crew = Crew(executor(p, folder), desk, work, graph.context.get("uri", ""), folder)
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


def _drain(graph: Graph, crew: Crew, most: int) -> Iterator[Outcome]:
    """Keep the workers busy until all is done."""
    ready: list[Job] = []
    desk = crew.desk
    while not graph.done():
        ready = sorted(ready + graph.ready(), key=graph.urgency)
        for line in [line for line, w in desk.workers.items() if not (w.job or w.evicted)]:
            if ready:
                desk.give(line, ready.pop(0))
        for skipped in graph.unreachable():
            yield graph.close(skipped)
        busy = sum(bool(worker.job) for worker in desk.workers.values())
        if (wanted := min(most, busy + len(ready)) - len(crew.tasks)) > 0:
            crew.hire(wanted)
        for line, said in desk.next(1.0):
            yield from _heard(graph, crew, line, said)
        for line, worker in list(desk.workers.items()):
            if not worker.job and not ready and time.monotonic() - worker.free_since > IDLE_SECONDS:
                desk.give(line, None)
                desk.workers.pop(line)
                crew.tasks.pop(worker.number, None)
        crew.look()


def _heard(graph: Graph, crew: Crew, line: Connection, said: tuple | None) -> Iterator[Outcome]:
    """What follows from a worker's word, or from its silence."""
    worker = crew.desk.workers.get(line)
    if worker is None:
        return
    if said and said[0] == _tasks.HELLO:
        crew.stillborn = 0
        crew.check_store()
        return
    if said and said[0] == _tasks.EVICTED:
        worker.evicted = True  # it closes its run; when it is gone, its cell is free
        return
    job, worker.job, worker.free_since = worker.job, None, time.monotonic()
    if job and said and said[0] == _tasks.DONE:
        yield graph.close(Outcome(job, *said[1:]))
        return
    crew.desk.workers.pop(line)
    if not worker.evicted:
        crew.tasks.pop(worker.number, None)
    session.close_all(worker.owner, "FAILED", "its worker process was lost", crew.uri)
    if job and worker.evicted:
        yield from graph.died(
            job, EVICTIONS, "its task ran out of time {} times; slurm_minutes= gives it more"
        )
    elif job:
        yield from graph.died(job, RETRIES)
