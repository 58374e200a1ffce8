"""Where and how fast anything runs."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sslseg.config import plugins
from sslseg.config.flags import knob

# of Linux, where Docker's and Slurm's limits stand
OWN_GROUPS, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def limits(name: str) -> Iterator[list[int]]:
    """The numbers in a control file of this process's group and of those around it; one without a limit says `max`."""
    with suppress(OSError):
        for line in OWN_GROUPS.read_text(encoding="utf-8").splitlines():
            # version 2 of the groups has no kinds, version 1 a tree for each
            _, kind, group = line.split(":", 2)
            own = Path(group.lstrip("/"))
            for place in (own, *own.parents):
                with suppress(OSError, ValueError):
                    text = (GROUPS / kind / place / name).read_text(encoding="ascii")
                    yield [int(word) for word in text.split()]


def cores() -> int:
    """Cores that this process may use: of the machine's, those of its affinity, and no more than its container's quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = (math.ceil(quota / period) for quota, period in limits("cpu.max"))
    return max(1, min([allowed, *quotas]))


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where and how fast a stage runs; never part of what it is."""

    seed: int = knob(0, "the one seed; initialisation, subset and order are separate streams of it", low=0)
    threads: int = knob(0, "CPU threads of torch; 0 = all cores", low=0, high=1024, runtime=True)
    device: str = knob("auto", "where tensors live", choices=("auto", "cpu", "cuda"), runtime=True)
    cache: str = knob(
        "", "folder of prepared data and checkpoints; '' = .sslseg in the working folder", runtime=True
    )


# steps; on an H200 the compiler took 77 s for the paper's U-Net and gained 34 ms a step (docs/results/gpu.md)
COMPILE_FROM = 2000


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """How the networks of a training are executed; what that does to their numbers is part of what it is."""

    compile: str = knob("auto", "compile the networks (torch.compile): auto = on a CUDA device, for 2,000 steps and more",
                        choices=("auto", "on", "off"), runtime=True)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Workers(Machine):
    """Who runs the cells of a sweep, or the trials of a tuning."""

    workers: int = knob(
        0,
        "warm worker processes; 0 = one per core that has 1.5 GiB of memory, as many per CUDA device as a measured step "
        "leaves room for, what fits the Ray cluster, or 8 tasks of Slurm",
        low=0,
        runtime=True,
    )
    executor: str = knob("local", "where cells run (file name in src/sslseg/executors)",
                         choices=plugins.names("executors"), runtime=True)  # fmt: skip
    ray_address: str = knob("", "executor=ray: host:port of a running cluster, or auto; '' = one started on the spot",
                            runtime=True)  # fmt: skip
    ray_cpus: float = knob(1.0, "executor=ray: cores that each worker reserves; may be a fraction", low=0.01,
                           runtime=True)  # fmt: skip
    ray_gpus: float | None = knob(
        None, "executor=ray: devices that each worker reserves; none = 1 where the cluster has any", low=0.0,
        runtime=True,
    )  # fmt: skip
    slurm_gpus: int = knob(
        1, "executor=slurm: GPUs of each task; none with device=cpu", low=0, high=64, runtime=True
    )
    slurm_cpus: int = knob(4, "executor=slurm: cores of each task", low=1, high=1024, runtime=True)
    slurm_minutes: int = knob(
        240, "executor=slurm: time of each task; then it is queued again, and its cell goes on from its checkpoint",
        low=3, high=100000, runtime=True,
    )  # fmt: skip
    slurm_options: str = knob("", "executor=slurm: further options of sbatch, as 'partition=gpu,account=lab,mem=32G'",
                              runtime=True)  # fmt: skip
    slurm_cluster: str = knob("slurm", "executor=slurm: local = tasks of this machine without a queue, to try it",
                              choices=("slurm", "local"), runtime=True)  # fmt: skip
