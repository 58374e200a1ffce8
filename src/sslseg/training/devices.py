"""Threads, device and compiler of a stage, set once at its start.

torch is imported where it is asked: the driver of a sweep on CPUs ends before that would have paid.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar

from sslseg.config.names import ParamError
from sslseg.config.params import COMPILE_FROM, Finetune, Machine, Pretrain, cores
from sslseg.models import cpu

if TYPE_CHECKING:
    import torch

T = TypeVar("T", bound=Machine)
BACKEND = "inductor"  # of torch.compile
EXACT = ("eager", "aot_eager")  # backends that call the same kernels in the same order


def threads(p: Machine) -> int:
    """CPU threads that the stage will use."""
    return p.threads or cores()


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
    how = ", compiled" if isinstance(p, Machine) and compiles(p) else ""
    if not isinstance(p, Machine) or p.device == "cpu" or of(p).type == "cpu":
        return ("cpu" if cpu.active() else "cpu, plain kernels") + how
    import torch

    return f"cuda: {torch.cuda.get_device_name()}{how}"


def compiles(p: Machine) -> bool:
    """Whether the networks of a training are compiled; the same for a run that goes on as for one that begins.

    Raises:
        ParamError: compile=on, and what the compiler needs is not there.
    """
    if (
        not isinstance(p, Pretrain | Finetune)
        or p.compile == "off"
        or (p.compile == "auto" and p.steps < COMPILE_FROM)
    ):
        return False
    kind = of(p).type
    lacking = _lacking(kind)
    if p.compile == "on" and lacking:
        raise ParamError(f"compile: on was asked for, {lacking}; use compile=off")
    return p.compile == "on" or (kind == "cuda" and not lacking)


def numerics(p: Machine) -> str:
    """What of the way networks are executed changes their numbers, as part of a run's identity; "" = nothing."""
    return "compiled" if compiles(p) and BACKEND not in EXACT else ""


def _lacking(kind: str) -> str:
    """What the compiler needs on a kind of device and does not find; "" = nothing."""
    if BACKEND in EXACT:
        return ""
    if kind == "cuda":
        return "" if find_spec("triton") else "torch has no triton, which makes its kernels for a CUDA device"
    asked = os.environ.get("CXX", "")
    found = any(map(shutil.which, filter(None, (asked, "g++", "clang++", "cl"))))
    return "" if found else "torch finds no C++ compiler (g++, clang++, or the one that CXX names)"


def use(p: Machine) -> None:
    """Set thread counts; weights are equal to the bit only at equal threads, so they are logged."""
    import cv2
    import torch

    torch.set_num_threads(threads(p))
    cv2.setNumThreads(0)  # one batch row is far too small to share out
    of(p)
