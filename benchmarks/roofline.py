"""How near a step comes to what the processor can do: its FLOPs a second against a matrix product's."""

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.compare import Times

SIDE, REPEATS = 1024, 4


def product() -> Callable[[], None]:
    """A call that multiplies float32 matrices of 1024 x 1024 four times: a variant beside the others."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(SIDE, SIDE, generator=generator) for _ in range(2))
    out = torch.empty(SIDE, SIDE)

    def multiply() -> None:
        for _ in range(REPEATS):
            torch.mm(a, b, out=out)

    return multiply


def flops(step: Callable[[], object]) -> int:
    """Floating point operations of the convolutions and matrix products in one call."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def share(times: Times, variant: str, operations: int) -> float:
    """Percent of the speed of "product", which ran in the same rounds."""
    reached = operations / times.median(variant)
    return 100 * reached / (2 * SIDE**3 * REPEATS / times.median("product"))
