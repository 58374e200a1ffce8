"""Warm worker processes on this machine: one per set of cores or per CUDA device."""

import math
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from multiprocessing.process import BaseProcess

import psutil

from sslseg.config.params import Workers, cores, limits
from sslseg.executors import _crew, _mps
from sslseg.executors._tasks import Task
from sslseg.plans.jobs import Graph, Job, Outcome

WORKER = 3 * 2**29  # bytes; a worker of the demo held up to 1.3e9, measured on a CPU


def places(p: Workers) -> tuple[int, int]:
    """One worker per device, else per core, as memory allows, unless the user said how many; the cores are shared out."""
    workers = p.workers or devices(p) or min(cores(), room())
    return workers, p.threads or max(1, cores() // workers)


def room() -> int:
    """Workers on CPUs that fit into the memory that is free, or into that of this container or job of Slurm."""
    most = (number for name in ("memory.max", "memory.limit_in_bytes") for (number,) in limits(name))
    return max(1, min([psutil.virtual_memory().available, *most]) // WORKER)


def devices(p: Workers) -> int:
    """CUDA devices that workers may have."""
    if p.device == "cpu":
        return 0
    import torch  # two seconds that a sweep on CPUs has no use for

    return torch.cuda.device_count()


def run(graph: Graph, work: Callable[[Job], object], p: Workers) -> Iterator[Outcome]:
    """Run every job after those it needs; yields an Outcome per job as it ends."""
    workers, cards = places(p)[0], devices(p)
    with _mps.served(workers, cards) as shared:
        yield from _crew.run(graph, work, _Processes(cards, shared), workers)


class _Processes:
    """Processes of this machine, each with one CUDA device, if there is any."""

    here, alone, idle, look = True, True, math.inf, 1.0

    def __init__(self, cards: int, shared: dict[str, str]):
        self._cards, self._shared = cards, shared

    def start(self, tasks: Sequence[Task]) -> list[BaseProcess]:
        made = [self._process(task) for task in tasks]
        for process in made:
            process.start()
        return made

    def _process(self, task: Task) -> BaseProcess:
        own = {"CUDA_VISIBLE_DEVICES": str(task.number % self._cards)} if self._cards else {}
        task = replace(task, environment=self._shared | own)
        return multiprocessing.get_context("spawn").Process(target=task, name=f"worker {task.number}")

    def over(self, processes: Sequence[BaseProcess]) -> list[bool]:
        return [not process.is_alive() for process in processes]

    def end(self, process: BaseProcess) -> None:
        process.terminate()

    def why(self, process: BaseProcess) -> str:
        return f"the last one with code {process.exitcode}; what it said stands above"
