"""Tiles of a grid of three by three cells, each somewhere in its cell, so that edges do not tell what lies beside."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from sslseg.training.contract import Metrics

GRID = 3


def cut(view: Tensor, tile: int, low: int, high: int) -> Tensor:
    """[B,C,S,S] -> tiles [B,9,C,tile,tile], row by row, each by itself of mean 0 and s.d. 1.

    Args:
        low, high: least and largest offset of a tile in its cell, both axes, which torch's generator draws.

    Source: Noroozi and Favaro 2016, 3.3 and Doersch et al. 2015, 3.1 on gaps, jitter and normalising tile by tile.
    """
    import torch

    cell = view.shape[-1] // GRID
    batch = torch.arange(len(view), device=view.device)[:, None, None]
    pixel = torch.arange(tile, device=view.device)
    tiles = []
    for row in range(GRID):
        for column in range(GRID):
            offset = torch.randint(low, high + 1, (2, len(view)), device=view.device)
            y = (row * cell + offset[0])[:, None] + pixel
            x = (column * cell + offset[1])[:, None] + pixel
            tiles.append(view[batch, :, y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2))
    found = torch.stack(tiles, 1).float()
    mean = found.mean((2, 3, 4), keepdim=True)
    spread = found.std((2, 3, 4), keepdim=True, correction=0)
    return (found - mean) / spread.clamp_min(1e-6)


def told(modules: Mapping[str, nn.Module], tiles: Tensor, which: Tensor) -> tuple[Tensor, Metrics]:
    """Cross entropy of the answers that the head gives to the tiles' features; and the features' signs of life.

    Args:
        tiles: [B,T,C,t,t], seen one by one by the encoder, together by the head.
        which: int64 [B], the right answers.
    """
    from torch.nn import functional

    from sslseg.training import vitals

    features = modules["online"](tiles.flatten(0, 1))
    answers = modules["head"](features.reshape(len(tiles), -1))
    return functional.cross_entropy(answers.float(), which), vitals.of_batch(features)


@functools.cache
def permutations(count: int) -> np.ndarray:
    """int64 [count, 9]: orders that differ in as many places as can be, always the same ones.

    Greedy, as Noroozi and Favaro 2016, algorithm 1, but among random candidates, and by the least distance to those before
    instead of the sum.
    """
    import numpy as np

    from sslseg.data import streams

    rng = streams.stream(0, "permutations")
    candidates = np.unique(
        rng.permuted(np.tile(np.arange(GRID**2), (max(4000, 8 * count), 1)), axis=1), axis=0
    )
    chosen = [0]
    least = (candidates != candidates[0]).sum(1)
    for _ in range(count - 1):
        chosen.append(int(least.argmax()))
        least = np.minimum(least, (candidates != candidates[chosen[-1]]).sum(1))
    return candidates[chosen]
