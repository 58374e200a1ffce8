"""The same sums as timm, smp and torch make, in fewer steps on a CPU: the one door to them, and its switch.

`SSLSEG_CPU_KERNELS=off` leaves every network and optimiser as timm, smp and torch make it. Tensors on any other device
never come here: each kernel looks where its images are, and Adam where its weights are.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from sslseg.config import switches

if TYPE_CHECKING:
    import torch
    from torch import nn

SWITCH = "SSLSEG_CPU_KERNELS"


def active() -> bool:
    """Whether networks and optimisers that are made from now on get these kernels.

    Raises:
        ParamError: the switch is neither on nor off.
    """
    return switches.on(SWITCH)


@contextlib.contextmanager
def switched_off() -> Iterator[None]:
    """Networks that are made inside are timm's and smp's own: what is handed on to other programs."""
    before = os.environ.get(SWITCH)
    os.environ[SWITCH] = "off"
    try:
        yield
    finally:
        os.environ.pop(SWITCH)
        if before is not None:
            os.environ[SWITCH] = before


def lighten(net: nn.Module) -> None:
    """Give an encoder or a U-Net these kernels, in place; weights and their names stay."""
    if not active():
        return
    from sslseg.models.cpu import convolution, decoder

    if hasattr(net, "decoder"):
        decoder.lighten(net)
    convolution.lighten(net)


def fused_adam(parameters: Iterable[nn.Parameter], lr: float) -> torch.optim.Adam:
    """torch's fused Adam; on a CPU the one that takes channels-last weights as they lie."""
    import torch

    from sslseg.models.cpu.adam import ChannelsLastAdam

    parameters = list(parameters)
    here = active() and all(p.device.type == "cpu" for p in parameters)
    return (ChannelsLastAdam if here else torch.optim.Adam)(parameters, lr=lr, fused=True)
