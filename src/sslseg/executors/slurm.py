"""Warm workers that a Slurm queue starts, through submitit. Wants the extra `slurm`.

The driver runs where jobs are submitted from, and has the queue start workers: job arrays of tasks with their GPUs,
cores and time. A worker does cell after cell, as the driver hands them out, the longest chain first; one without work
gives its device back after a minute. When its time is over Slurm queues it again, and the cell goes on from its
checkpoint, in whichever worker is free. All machines must see the same paths (code, data, cache) and one tracking server.
"""

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sslseg.config import caches
from sslseg.config.names import ParamError, SslsegError
from sslseg.config.params import Workers
from sslseg.executors import _crew, path
from sslseg.executors._tasks import Task
from sslseg.plans.cells import overrides
from sslseg.plans.jobs import Graph, Job, Outcome

try:
    import submitit
    from submitit.core import utils
except ImportError:
    raise ParamError(
        "executor: submitit is not installed here; `pip install -e .[slurm]`, or use executor=local"
    ) from None

TASKS = 8  # at a time, where workers= does not say
NOTICE_SECONDS = 90  # that Slurm tells a task before its time is over: a step, and what it has to write


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
            folder,
            p.slurm_cluster,
            slurm_max_num_timeout=_crew.EVICTIONS,
            local_max_num_timeout=_crew.EVICTIONS,
        )
        found.update_parameters(**parameters(p))
    except (TypeError, ValueError) as error:
        raise ParamError(f"executor: {str(error).splitlines()[0]}") from None
    return found


def run(graph: Graph, work: Callable[[Job], object], p: Workers) -> Iterator[Outcome]:
    """Run every job after those it needs; yields an Outcome per job as it ends.

    Raises:
        SslsegError: Slurm does not take the tasks, or they end before they call in.
    """
    folder = _folder(p)
    yield from _crew.run(
        graph, work, _Tasks(executor(p, folder), folder, p.slurm_cluster == "local"), places(p)[0]
    )
    shutil.rmtree(folder, ignore_errors=True)  # what failed keeps its logs


def _folder(p: Workers) -> Path:
    """Of tasks and their logs, its owner's alone: the key of the sweep lies there."""
    folder = (
        caches.cache_folder(p.cache).absolute() / "slurm" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    )
    folder.mkdir(parents=True, mode=0o700)
    return folder


class _Tasks:
    """Job arrays in the queue, or without a queue processes of this machine."""

    alone, idle, look = False, 60.0, 30.0

    def __init__(self, executor: submitit.AutoExecutor, folder: Path, here: bool):
        self.here, self._executor, self._folder = here, executor, folder

    def start(self, tasks: Sequence[Task]) -> list[submitit.Job]:
        try:
            with _python_path(), self._executor.batch():
                jobs = [self._executor.submit(task) for task in tasks]
        except (utils.FailedJobError, utils.FailedSubmissionError, OSError) as error:
            raise SslsegError(
                f"executor: Slurm does not take the tasks: {' '.join(str(error).split())[:500]}"
            ) from None
        array = str(jobs[0].job_id).partition("_")[0]
        said = f"sslseg: {len(tasks)} {'task' if len(tasks) == 1 else 'tasks'} in the queue, job {array}; logs: {self._folder}"
        print(said, file=sys.stderr, flush=True)
        return jobs

    def over(self, jobs: Sequence[submitit.Job]) -> list[bool]:
        if self.here or not jobs:
            return [job.done() for job in jobs]
        ids = [str(job.job_id) for job in jobs]
        command = ["squeue", "--noheader", "--array", "--format=%i", f"--jobs={','.join(ids)}"]
        try:
            found = subprocess.run(command, capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            return [False] * len(ids)  # the queue is away: asked again
        away = found.returncode and "Invalid job id" not in found.stderr
        return [not away and one not in found.stdout.split() for one in ids]

    def end(self, job: submitit.Job) -> None:
        job.cancel(check=False)

    def why(self, job: submitit.Job) -> str:
        try:
            return (job.stderr() or job.stdout() or "").strip().splitlines()[-1]
        except (OSError, IndexError):
            return f"their logs: {self._folder}"


@contextmanager
def _python_path() -> Iterator[None]:
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = path()
    try:
        yield
    finally:
        del os.environ["PYTHONPATH"]
        os.environ |= {} if before is None else {"PYTHONPATH": before}
