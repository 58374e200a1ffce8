"""Ray clusters of several nodes on this machine, and how one of their nodes is lost."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psutil
import pytest

SECONDS = 400  # until a worker has begun, on a busy machine


def agent_ports() -> dict[str, int]:
    """Free ports for the agents of a node."""
    names = (
        "metrics_agent_port",
        "metrics_export_port",
        "dashboard_agent_listen_port",
        "runtime_env_agent_port",
    )
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in names]
        for taken in sockets:
            taken.bind(("127.0.0.1", 0))
        return {name: taken.getsockname()[1] for name, taken in zip(names, sockets, strict=True)}


@contextmanager
def two_nodes() -> Iterator[Any]:
    """A head that runs nothing, and two nodes with room for one worker each.

    Its agents get ports beforehand: else a node waits 15 s for theirs and dies (ray-project/ray#65983).
    """
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    from ray.cluster_utils import Cluster

    import sslseg.executors.ray  # noqa: F401 its settings have to be there before the nodes are

    head = {"num_cpus": 0, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=head | agent_ports())
    for _ in range(2):
        made.add_node(num_cpus=1, **agent_ports())
    try:
        yield made
    finally:
        made.shutdown()


def once_killed(cluster: Any, busy: Callable[[], str | bool | None]) -> Callable[[], None]:
    """A thread that waits for `busy` to name a worker process, then kills that node without a word.

    Returns:
        a call that waits for it, and raises what it raised.
    """
    raised: list[BaseException] = []
    over = threading.Event()

    def kill() -> None:
        try:
            clock = threading.Event()
            for _ in range(SECONDS * 20):
                if pid := busy():
                    cluster.remove_node(node_of(cluster, int(pid)), allow_graceful=False)
                    return
                clock.wait(0.05)
            raise AssertionError("no worker has begun")
        except BaseException as error:
            raised.append(error)
        finally:
            over.set()

    threading.Thread(target=kill, daemon=True).start()

    def wait() -> None:
        assert over.wait(60)
        if raised:
            raise raised[0]

    return wait


def node_of(cluster: Any, pid: int) -> Any:
    """The node of the cluster that a worker process belongs to."""
    raylets = {n.all_processes["raylet"][0].process.pid: n for n in cluster.worker_nodes}
    return next(raylets[parent.pid] for parent in psutil.Process(pid).parents() if parent.pid in raylets)
