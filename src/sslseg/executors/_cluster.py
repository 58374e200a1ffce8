"""A connection to Ray: a running cluster, or one that is started on this machine; what fits on it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from sslseg.config.names import SslsegError
from sslseg.config.params import Workers
from sslseg.executors import path
from sslseg.tracking import processes

STARTS = 3  # tries; Ray gives up when its agents take over 15 s, as on a busy machine: ray-project/ray#65983


@contextmanager
def connected(p: Workers) -> Iterator[None]:
    """Be a driver of the cluster; one that was started here ends with the block.

    Raises:
        SslsegError: no cluster answers at the address, or none can be started here.
    """
    given = {"logging_level": "WARNING", "runtime_env": {"env_vars": {"PYTHONPATH": path()}}}
    if p.ray_address:
        _join(p.ray_address, given)
    else:
        _start(given | {"include_dashboard": False})
    try:
        yield
    finally:
        ray.shutdown()


def _join(address: str, given: dict[str, Any]) -> None:
    try:
        ray.init(address, **given)
    except (ConnectionError, ValueError) as error:
        why = str(error).splitlines()[0]
        raise SslsegError(f"ray_address: no Ray cluster answers at {address!r} ({why})") from None


def _start(given: dict[str, Any]) -> None:
    for _ in range(STARTS):
        try:
            ray.init("local", **given)
            return
        except Exception as error:  # Ray has no class of its own for it
            why = str(error).strip().splitlines()[0]
            ray.shutdown()
            processes.end_daemons()
            print(f"sslseg: Ray did not start on this machine: {why}", file=sys.stderr, flush=True)
    raise SslsegError(
        f"executor: Ray did not start on this machine in {STARTS} tries ({why}); it may be too busy. "
        "Its logs are in /tmp/ray/session_latest/logs; executor=local needs no start"
    )


def machines() -> list[dict[str, Any]]:
    """Nodes that live, as Ray describes them."""
    return [node for node in ray.nodes() if node["Alive"]]


def demand(p: Workers) -> dict[str, float]:
    """What Ray reserves for one worker."""
    devices = any(node["Resources"].get("GPU") for node in machines()) and p.device != "cpu"
    return {"num_cpus": p.ray_cpus, "num_gpus": float(devices) if p.ray_gpus is None else p.ray_gpus}


def fitting(demand: dict[str, float]) -> int:
    """How many workers the machines have room for."""
    wanted = {"CPU": demand["num_cpus"], "GPU": demand["num_gpus"]}
    return sum(
        int(min(node["Resources"].get(kind, 0.0) / amount for kind, amount in wanted.items() if amount))
        for node in machines()
    )
