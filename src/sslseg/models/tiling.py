"""A large slice through a network, in overlapping tiles whose logits are blended.

Tiles begin at multiples of 32, where the network's own grids begin. At a seam a tile counts for nothing
in the outer quarter of the overlap, where it misses its surroundings, and then rises linearly: a network
that reads no farther than that gives the same logits as on the whole slice.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from sslseg.data.views.render import MULTIPLE

OVERLAP = 0.5  # of a tile, as nnU-Net's default step
BLIND = 0.25  # of the overlap, at the edge of a tile


def apply(net: Callable[[Tensor], Tensor], x: Tensor, tile: int) -> Tensor:
    """float32 [B, K, H, W] of `x` [B, C, H, W], H and W multiples of 32.

    Args:
        tile: longest side that goes through the network at once, pixels, rounded up to a multiple of 32;
            0 = no limit.
    """
    side = -(-tile // MULTIPLE) * MULTIPLE
    height, width = x.shape[2:]
    if not side or max(height, width) <= side:
        return net(x).float()
    total, weight = x.new_zeros(()), x.new_zeros((height, width), dtype=torch.float32)
    for top in starts(height, side):
        for left in starts(width, side):
            part = x[:, :, top : top + side, left : left + side]
            found = net(part).float()
            mask = _ramp(top, part.shape[2], height, side)[:, None] * _ramp(left, part.shape[3], width, side)
            mask = mask.to(found)
            if not total.ndim:
                total = found.new_zeros((*found.shape[:2], height, width))
            total[:, :, top : top + side, left : left + side] += found * mask
            weight[top : top + side, left : left + side] += mask
    return total / weight


def _overlap(side: int) -> int:
    return int(side * OVERLAP) // MULTIPLE * MULTIPLE


def starts(length: int, side: int) -> list[int]:
    """First pixels of the tiles along one axis; the last tile ends with the axis."""
    last = max(0, length - side)
    return [*range(0, last, side - _overlap(side)), last]


def _ramp(start: int, size: int, length: int, side: int) -> Tensor:
    """Weight [size] of a tile along one axis: 1, and falling where another tile lies beside it."""
    overlap = _overlap(side)
    blind = int(overlap * BLIND)
    rise = ((torch.arange(size) + 0.5 - blind) / max(1, overlap - 2 * blind)).clamp(0, 1)
    weight = torch.ones(size)
    if start > 0:
        weight *= rise
    if start + size < length:
        weight *= rise.flip(0)
    return weight
