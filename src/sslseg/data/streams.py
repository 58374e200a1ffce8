"""One seed, many independent streams of random numbers.

A stream is named after what it decides ("initialisation", "subset", "order", "views") and may be
indexed by the step, so that a resumed run draws what the uninterrupted one would have drawn and
no generator state has to be stored.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def _sequence(seed: int, name: str, step: int) -> np.random.SeedSequence:
    return np.random.SeedSequence((seed, zlib.crc32(name.encode()), step))


def stream(seed: int, name: str, step: int = 0) -> np.random.Generator:
    """The generator of stream `name` at `step`; equal arguments give equal numbers, always."""
    return np.random.Generator(np.random.Philox(_sequence(seed, name, step)))


def torch_seed(seed: int, name: str, step: int = 0) -> int:
    """A 63-bit seed for torch, from the same family of streams."""
    return int(_sequence(seed, name, step).generate_state(1, np.uint64)[0] >> np.uint64(1))


def torch_generator(seed: int, name: str, step: int = 0) -> torch.Generator:
    """A CPU torch generator seeded from stream `name`."""
    import torch

    return torch.Generator().manual_seed(torch_seed(seed, name, step))
