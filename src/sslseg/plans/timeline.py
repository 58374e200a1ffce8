"""When cells would begin and end: the sweep's own scheduler on a clock that is only counted. Pure."""

import heapq
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from sslseg.plans.cells import Cell
from sslseg.plans.jobs import Graph, Job, Outcome


@dataclass(frozen=True)
class Span:
    """One cell on one worker, seconds from the start."""

    name: str
    worker: int
    start: float
    end: float


def simulate(
    cells: Iterable[Cell], seconds: Callable[[Cell], float], workers: int, *, in_grid_order: bool = False
) -> list[Span]:
    """What each worker would do, in the order of the ends.

    Args:
        cells: their upstream cells among them.
        seconds: how long a cell takes on one of the workers.
        in_grid_order: start free cells as the grid lists them, instead of the longest chain first: to compare.
    """
    graph = Graph(list(cells), {})
    place = {name: i for i, name in enumerate(graph.waiting)}
    spans: list[Span] = []
    ready, idle, now = [], list(range(workers)), 0.0
    busy: list[tuple[float, int, int, float, Job]] = []  # end, place, worker, start
    while not graph.done():
        ready += graph.ready()
        ready.sort(key=(lambda job: place[job.name]) if in_grid_order else graph.urgency)
        while ready and idle:
            job, worker = ready.pop(0), heapq.heappop(idle)
            heapq.heappush(busy, (now + seconds(job.cell), place[job.name], worker, now, job))
        now, _, worker, start, job = heapq.heappop(busy)
        heapq.heappush(idle, worker)
        spans.append(Span(job.name, worker, start, now))
        graph.close(Outcome(job, "there"))
    return spans


def remaining(cells: Iterable[Cell], ended: Collection[str]) -> list[Cell]:
    """The cells that have not ended, free of an upstream that has."""
    return [
        replace(cell, upstream="" if cell.upstream in ended else cell.upstream)
        for cell in cells
        if cell.name not in ended
    ]


def seconds_left(
    cells: Iterable[Cell], ended: Collection[str], seconds: Callable[[Cell], float | None], workers: int
) -> float | None:
    """Until the last of them has ended; None while nothing tells how long one of them takes."""
    left = remaining(cells, ended)
    known = {cell.name: found for cell in left if (found := seconds(cell)) is not None}
    if len(known) < len(left):
        return None
    return max((span.end for span in simulate(left, lambda c: known[c.name], workers)), default=0.0)
