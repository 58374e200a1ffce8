"""Warm workers on a Ray cluster: a running one, or one that is started on this machine. Wants the extra `ray`.

Ray places the workers, on however many machines, and tells which are lost; here the jobs get their order. On
several machines all of them must see the same paths (code, data, cache) and one tracking server, and reach this one.
"""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sslseg.config.names import ParamError, SslsegError
from sslseg.config.params import Workers, cores
from sslseg.executors import _crew
from sslseg.executors._tasks import Task
from sslseg.plans.jobs import Graph, Job, Outcome

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
os.environ.setdefault("RAY_worker_register_timeout_seconds", "600")  # 60 s are few on a busy machine

try:
    import ray
except ImportError:
    raise ParamError(
        "executor: ray is not installed here; `pip install -e .[ray]`, or use executor=local"
    ) from None
from sslseg.executors import _cluster  # noqa: E402 imports ray
from sslseg.executors.local import room  # noqa: E402


def places(p: Workers) -> tuple[int, int]:
    """As many workers as fit on this machine, or on the running cluster, unless the user said how many."""
    threads = p.threads or max(1, int(p.ray_cpus))
    if p.workers:
        return p.workers, threads
    if not p.ray_address:
        return max(1, min(int(cores() / p.ray_cpus), room())), threads
    with _cluster.connected(p):
        return _cluster.fitting(_cluster.demand(p)), threads


def run(graph: Graph, work: Callable[[Job], object], p: Workers) -> Iterator[Outcome]:
    """Run every job after those it needs; yields an Outcome per job as it ends.

    Raises:
        SslsegError: no cluster answers, it has no room for one worker, or its workers do not start.
    """
    with _cluster.connected(p):
        demand = _cluster.demand(p)
        fitting = _cluster.fitting(demand)
        if not fitting:
            raise SslsegError(f"executor: no machine of the cluster has {demand} for a worker")
        yield from _crew.run(graph, work, _Placed(demand, not p.ray_address), p.workers or fitting)


def _begin(task: Task) -> None:
    task()


class _Placed:
    """Tasks that Ray has placed, or will once there is room."""

    alone, idle, look = False, math.inf, 1.0

    def __init__(self, demand: dict[str, float], here: bool):
        self.here = here
        options: dict[str, Any] = {"max_retries": 0, **demand}
        self._begin: Any = ray.remote(**options)(_begin)

    def start(self, tasks: Sequence[Task]) -> list[Any]:
        return [self._begin.remote(task) for task in tasks]

    def over(self, calls: Sequence[Any]) -> list[bool]:
        ended, _ = ray.wait(list(calls), num_returns=len(calls), timeout=0) if calls else ((), ())
        return [call in ended for call in calls]

    def end(self, call: Any) -> None:
        ray.cancel(call, force=True)

    def why(self, call: Any) -> str:
        try:
            ray.get(call)
        except Exception as error:
            return str(error).strip().splitlines()[-1]
        return "Ray does not say why"
