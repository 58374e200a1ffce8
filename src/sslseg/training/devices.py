"""Threads and device of a stage, set once at its start.

torch is imported where it is asked: the driver of a sweep on CPUs ends before that would have paid.
"""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, TypeVar

from sslseg.config.names import ParamError
from sslseg.config.params import Machine
from sslseg.models import cpu

if TYPE_CHECKING:
    import torch

T = TypeVar("T", bound=Machine)


def threads(p: Machine) -> int:
    """CPU threads that the stage will use."""
    return p.threads or (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )


def fill(p: T) -> T:
    """The parameters with the number of threads that will really be used, so that it is logged."""
    return dataclasses.replace(p, threads=threads(p))


def of(p: Machine) -> torch.device:
    """The device of the stage.

    Raises:
        ParamError: cuda was asked for and there is none.
    """
    import torch

    if p.device == "cuda" and not torch.cuda.is_available():
        raise ParamError("device: cuda was asked for, torch sees no CUDA device; use device=cpu")
    return torch.device("cuda" if p.device != "cpu" and torch.cuda.is_available() else "cpu")


def name(p: object) -> str:
    """What the manifest calls the device; a stage without the knob uses the CPU."""
    if getattr(p, "device", "cpu") == "cpu" or of(p).type == "cpu":
        return "cpu" if cpu.active() else "cpu, plain kernels"
    import torch

    return f"cuda: {torch.cuda.get_device_name()}"


def use(p: Machine) -> None:
    """Set thread counts; weights are equal to the bit only at equal threads, so they are logged."""
    import cv2
    import torch

    torch.set_num_threads(threads(p))
    cv2.setNumThreads(0)  # one batch row is far too small to share out
    of(p)
