"""Noise, blur and gamma of finished views, in nnU-Net's order. One implementation, on the CPU or where the views are."""

import numpy as np
import torch
from torch.nn import functional

from sslseg.data.views.augment import Changes

REACH = 4.0  # of a blur's kernel, in its s.d.; scipy's default
LEAST = 1e-7  # range or s.d. of a view that is as good as constant


def apply(views: torch.Tensor, changes: Changes) -> torch.Tensor:
    """Change views [B, C, S, S] in place, and return them.

    A view without noise, blur and gamma keeps its bits.
    """
    for b in np.flatnonzero(changes.noise):
        views[b] += torch.from_numpy(noise(changes, int(b), tuple(views.shape[1:]))).to(views.device)
    for b in np.flatnonzero(changes.blur):
        views[b] = blurred(views[b], float(changes.blur[b]))
    for b in np.flatnonzero(changes.gamma != 1):
        views[b] = curved(views[b], float(changes.gamma[b]))
    return views


def noise(changes: Changes, b: int, shape: tuple[int, ...]) -> np.ndarray:
    """The noise of view `b`, float32; made on the CPU, so that it is the same on every device."""
    rng = np.random.Generator(np.random.Philox(int(changes.noise_seed[b])))
    return rng.standard_normal(shape, np.float32) * np.float32(changes.noise[b])


def blurred(view: torch.Tensor, sigma: float) -> torch.Tensor:
    """A view [C, S, S] under a Gaussian of `sigma` pixels, mirrored at its borders."""
    reach = min(int(REACH * sigma + 0.5), view.shape[-1] - 1)
    x = torch.arange(-reach, reach + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    kernel = (kernel / kernel.sum()).float().to(view.device)
    padded = functional.pad(view[:, None], (reach,) * 4, mode="reflect")
    down = functional.conv2d(padded, kernel[None, None, :, None])
    return functional.conv2d(down, kernel[None, None, None])[:, 0]


def curved(view: torch.Tensor, gamma: float) -> torch.Tensor:
    """Grey levels of a view [C, S, S], mapped to 0 to 1, to the power of `gamma`; mean and s.d. as before.

    Source: batchgeneratorsv2, GammaTransform with p_retain_stats=1, each channel by itself.
    """
    low, high = view.amin((1, 2), keepdim=True), view.amax((1, 2), keepdim=True)
    span = (high - low).clamp(min=LEAST)
    new = ((view - low) / span) ** gamma
    mean, sd = (view.mean((1, 2), keepdim=True), view.std((1, 2), keepdim=True, correction=0))
    new_mean, new_sd = new.mean((1, 2), keepdim=True), new.std((1, 2), keepdim=True, correction=0)
    return (new - new_mean) / new_sd.clamp(min=LEAST) * sd + mean
