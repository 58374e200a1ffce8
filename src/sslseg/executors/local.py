"""Warm worker processes on this machine: one per set of cores or per CUDA device."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from sslseg import execute
from sslseg.config.params import Workers
from sslseg.executors import RETRIES, _mps
from sslseg.plans.jobs import Graph, Job, Outcome, attempt


def places(p: Workers) -> tuple[int, int]:
    """One worker per device, else per core, unless the user said how many; the cores are shared out."""
    cores = os.cpu_count() or 1
    workers = p.workers or devices(p) or cores
    return workers, p.threads or max(1, cores // workers)


def devices(p: Workers) -> int:
    """CUDA devices that workers may have."""
    if p.device == "cpu":
        return 0
    import torch  # two seconds that a sweep on CPUs has no use for

    return torch.cuda.device_count()


def _start(counter: Any, cards: int, shared: dict[str, str]) -> None:
    """Once per worker: it watches its parent, has no progress bars of its own, one CUDA device of its own."""
    execute.guard_worker()
    os.environ["TQDM_DISABLE"] = "1"
    with counter.get_lock():
        index = counter.value
        counter.value += 1
    if cards:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(index % cards)
    os.environ.update(shared)


def run(graph: Graph, work: Callable[[Job], Any], p: Workers) -> Iterator[Outcome]:
    """Run every job after those it needs; yields an Outcome per job as it ends.

    A job whose upstream failed is not run; a job whose worker process died is tried again, alone, so that
    the jobs that ran beside a killer are not taken for one.
    """
    workers, cards = places(p)[0], devices(p)
    with _mps.served(workers, cards) as shared:
        yield from _run(graph, work, workers, cards, shared)


def _run(
    graph: Graph, work: Callable[[Job], Any], workers: int, cards: int, shared: dict[str, str]
) -> Iterator[Outcome]:
    context = multiprocessing.get_context("spawn")
    while not graph.done():
        counter = context.Value("i", 0)
        pool = ProcessPoolExecutor(workers, context, initializer=_start, initargs=(counter, cards, shared))
        try:
            yield from _drain(graph, work, pool, workers)
            pool.shutdown()
        except BrokenProcessPool as error:
            pool.shutdown(cancel_futures=True)  # waits: the other workers are ended and close their runs
            for job in error.args[0]:
                yield from graph.died(job, RETRIES)
            graph.reopen()
        except BaseException:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _drain(
    graph: Graph, work: Callable[[Job], Any], pool: ProcessPoolExecutor, workers: int
) -> Iterator[Outcome]:
    """Keep the workers busy until all is done.

    Raises:
        BrokenProcessPool: a worker died; with the jobs that had one.
    """
    running: dict[Future, Job] = {}
    ready: list[Job] = []
    while not graph.done():
        ready = sorted(ready + graph.ready(), key=graph.urgency)
        for job in _next(graph, ready, list(running.values()), workers):
            ready.remove(job)
            running[_submit(pool, work, job)] = job
        for skipped in graph.unreachable():
            yield graph.close(skipped)
        if not running:
            continue
        ended, _ = wait(running, return_when=FIRST_COMPLETED)
        if any(isinstance(future.exception(), BrokenProcessPool) for future in ended):
            raise BrokenProcessPool(list(running.values()))
        for future in ended:
            yield graph.close(Outcome(running.pop(future), *future.result()))


def _next(graph: Graph, ready: list[Job], running: list[Job], workers: int) -> list[Job]:
    """The jobs to start: one per idle worker; suspects of having killed one last, and each alone."""
    if any(job.name in graph.deaths for job in running):
        return []
    sound = [job for job in ready if job.name not in graph.deaths]
    if sound or running:
        return sound[: workers - len(running)]
    return ready[:1]


@execute.guarded_worker()
def _do(work: Callable[[Job], Any], job: Job) -> tuple[Any, str]:
    return attempt(work, job)


def _submit(pool: ProcessPoolExecutor, work: Callable[[Job], Any], job: Job) -> Future:
    try:
        return pool.submit(_do, work, job)
    except BrokenProcessPool as error:  # an idle worker died before it got anything
        failed: Future = Future()
        failed.set_exception(error)
        return failed
