"""Warm worker processes on this machine: one per set of cores or per CUDA device."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from sslseg.executors.graph import Graph, Job, Outcome

RETRIES = 2  # a job whose worker died (killed, out of memory) goes on from its checkpoint


def _start(counter, devices: int) -> None:
    """Once per worker: no progress bars of its own, one CUDA device of its own."""
    os.environ["TQDM_DISABLE"] = "1"
    with counter.get_lock():
        index = counter.value
        counter.value += 1
    if devices:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(index % devices)


def run(
    graph: Graph, work: Callable[[Job], str], workers: int, devices: int = 0, address: str = ""
) -> Iterator[Outcome]:
    """Run every job after those it needs; yields an Outcome per job as it ends.

    A job whose upstream failed is not run; a job whose worker process died is tried again.
    """
    context = multiprocessing.get_context("spawn")
    lost: dict[str, int] = {}
    while not graph.done():
        counter = context.Value("i", 0)
        pool = ProcessPoolExecutor(workers, context, initializer=_start, initargs=(counter, devices))
        try:
            yield from _drain(graph, work, pool)
            pool.shutdown()
        except BrokenProcessPool:
            pool.shutdown(wait=False, cancel_futures=True)
            for job in graph.reopen():
                lost[job.name] = lost.get(job.name, 0) + 1
                if lost[job.name] > RETRIES:
                    yield graph.close(Outcome(job, error=f"its worker process died {lost[job.name]} times"))
        except BaseException:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _drain(graph: Graph, work: Callable[[Job], str], pool: ProcessPoolExecutor) -> Iterator[Outcome]:
    running: dict[Future, Job] = {}
    while not graph.done():
        for job in graph.ready():
            running[pool.submit(work, job)] = job
        for skipped in graph.unreachable():
            yield graph.close(skipped)
        if not running:
            continue
        ended, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in ended:
            job = running.pop(future)
            error = future.exception()
            if isinstance(error, BrokenProcessPool):
                raise error
            yield graph.close(
                Outcome(job, error=str(error)) if error else Outcome(job, run_id=future.result())
            )
