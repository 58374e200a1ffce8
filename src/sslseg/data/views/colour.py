"""Colours: CIE Lab of sRGB under D65, and the lightness that stands for a grey image."""

import torch
from torch import Tensor

from sslseg.data.slices.intensity import GREY

# IEC 61966-2-1: linear sRGB -> XYZ; the white point of D65, 2 degrees
XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
WHITE = (0.95047, 1.0, 1.08883)


def lab(rgb: Tensor) -> Tensor:
    """sRGB [B,3,H,W] of 0 to 1 -> L (0 to 100), a, b (about -86 to 98, -108 to 94)."""
    rgb = rgb.float().clamp(0, 1)
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    matrix, white = rgb.new_tensor(XYZ), rgb.new_tensor(WHITE)
    xyz = torch.einsum("ij,bjhw->bihw", matrix / white[:, None], linear)
    f = torch.where(xyz > 0.008856, xyz.clamp_min(1e-9) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = f.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def lightness(rgb: Tensor) -> Tensor:
    """sRGB [B,3,H,W] of 0 to 1 -> what an encoder of grey images reads, [B,1,H,W] normalised as `GREY` says."""
    (mean,), (std,) = GREY.mean, GREY.std
    return (lab(rgb)[:, :1] / 100 - mean) / std
