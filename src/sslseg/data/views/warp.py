"""Views whose geometry is more than a crop: one map from the view to the slice, for the image and for its mask.

A view's crop, resize, flip, rotation and scale are one affine map, to which the elastic displacement is added. The
image is resampled once, with the filter of `resample.py` turned along with the view: a triangle as wide as the
shrinkage, at least one pixel, cut at the slice and normalised. A pixel whose centre lies outside the slice is 0, the
mean of the normalised data, and background in the mask, as in nnU-Net.
"""

import functools
import math

import numpy as np
import torch
from scipy.interpolate import CubicSpline

from sslseg.data.views.augment import NODES
from sslseg.data.views.draw import ViewParams


@functools.lru_cache(maxsize=8)
def _spline(size: int) -> np.ndarray:
    """Weights [S, N] of a natural cubic spline through N nodes from edge to edge."""
    nodes = np.linspace(0, 1, NODES)
    return CubicSpline(nodes, np.eye(NODES), bc_type="natural")((np.arange(size) + 0.5) / size)


def centres(p: ViewParams) -> tuple[np.ndarray, np.ndarray]:
    """Where in the slice the pixels of views lie: rows and columns, float64 [B, S, S]; pixel n is from n to n + 1."""
    assert p.changes is not None  # what has none is an upright crop
    across = (np.arange(p.size) + 0.5) / p.size - 0.5  # of the view, in its sides
    shift_y, shift_x = np.moveaxis(_spline(p.size) @ p.changes.nodes @ _spline(p.size).T, 1, 0)
    mirror = np.where(p.flip, -1.0, 1.0)[:, None, None]
    height, width, cos, sin, _, _ = (v[:, None, None] for v in _frame(p))
    y = (across[:, None] + shift_y) * height
    x = (across + shift_x) * width * mirror
    middle_y, middle_x = (v[:, None, None] for v in (p.top + p.height / 2, p.left + p.width / 2))
    return middle_y + cos * y - sin * x, middle_x + sin * y + cos * x


def _frame(p: ViewParams) -> tuple[np.ndarray, ...]:
    """Sides of what is shown, cosine and sine of its angle, and half the filter's height and width: [B] each."""
    assert p.changes is not None
    height, width = p.height * p.changes.zoom, p.width * p.changes.zoom
    reach = (np.maximum(side / p.size, 1.0) for side in (height, width))
    return height, width, np.cos(p.changes.angle), np.sin(p.changes.angle), *reach


def filters(p: ViewParams) -> np.ndarray:
    """Cosine, sine and half height and width of the filter of each view: float64 [B, 4]."""
    return np.stack(_frame(p)[2:], 1)


def inside(y: np.ndarray, x: np.ndarray, heights: np.ndarray | int, widths: np.ndarray | int) -> np.ndarray:
    """Which pixels [..., S, S] of views lie in their slices; heights and widths one, or [..., 1, 1]."""
    return (y >= 0) & (y < heights) & (x >= 0) & (x < widths)


def pixels(
    codes: torch.Tensor, start: torch.Tensor, sides: torch.Tensor, where: torch.Tensor, frame: np.ndarray,
    levels: tuple[torch.Tensor, ...],
) -> torch.Tensor:  # fmt: skip
    """Views of moved geometry on a device, before shift and normalisation: float32 [B, C, S, S], 0 outside.

    Args:
        codes: int16, the flat shard.
        start: int64 [B, C], where the channels of the slices begin in it.
        sides: int64 [B, 2], rows and columns of the slices.
        where: float64 [B, 2, S, S], `centres`.
        frame: `filters`.
        levels: gain, low, high: float32 [B, C, 1, 1] each.
    """
    cos, sin, tall, broad = (torch.from_numpy(v).to(where)[:, None, None] for v in frame.T)
    reach = math.ceil(np.hypot(frame[:, 2], frame[:, 3]).max() - 0.5)  # from the middle of a pixel
    y, x = where[:, 0], where[:, 1]
    H, W = sides[:, 0, None, None], sides[:, 1, None, None]
    gain, low, high = levels
    total = torch.zeros(*start.shape, *y.shape[1:], device=codes.device)
    weights = torch.zeros(len(y), 1, *y.shape[1:], device=codes.device)
    row, column = y.floor().long(), x.floor().long()
    for j in range(-reach, reach + 1):
        for i in range(-reach, reach + 1):
            here_y, here_x = row + j, column + i
            down, across = here_y + 0.5 - y, here_x + 0.5 - x
            weight = (1 - (cos * down + sin * across).abs() / tall).clamp(min=0)
            weight = weight * (1 - (cos * across - sin * down).abs() / broad).clamp(min=0)
            there = (here_y >= 0) & (here_y < H) & (here_x >= 0) & (here_x < W)
            weight = (weight * there).float()[:, None]
            place = here_y.clamp(min=0).minimum(H - 1) * W + here_x.clamp(min=0).minimum(W - 1)
            value = codes[start[..., None, None] + place[:, None]].float()
            total += weight * (value * gain).maximum(low).minimum(high)
            weights += weight
    return total / weights.clamp(min=torch.finfo(torch.float32).tiny)
