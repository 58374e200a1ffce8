"""A volume in, its mask on its own grid out.

The way there is the slice store's, to the bit: sliced along the axis of training, resampled in plane to
the network's spacing, coded as int16, clipped and scaled by the normalisation the network was trained under with
the volume's own p1 and p99, padded to multiples of 32. The way back: padding cut off, logits resampled to the input's grid, and
only then one class for each pixel.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

from sslseg.config.names import EncoderError
from sslseg.data.slices.encode import encode
from sslseg.data.slices.intensity import Intensity
from sslseg.data.source import Volume
from sslseg.data.views.render import MULTIPLE
from sslseg.models import segmenter, tiling
from sslseg.models.modes import evaluating


@dataclass(frozen=True)
class Model:
    """A trained segmenter: `spacing` in mm (0 = each volume's own), `facts` as its folder states them."""

    net: nn.Module
    classes: tuple[str, ...]
    channels: int
    normalisation: Intensity
    spacing: float
    facts: dict[str, Any]

    @property
    def reading(self) -> dict[str, Any]:
        """How the training data were read: axis, spacing and colour of `sslseg.json`, where they were said."""
        return self.facts.get("reading", {})

    @property
    def axis(self) -> int:
        """The axis that volumes were sliced along for training: 0 z, 1 y, 2 x."""
        return int(self.reading.get("axis", 0))


def open_model(folder: Path | str, device: torch.device | str = "cpu") -> Model:
    """The model of a segmenter folder, in evaluation mode on `device`. Raises EncoderError: see `segmenter.load`."""
    net, config = segmenter.load(folder)
    return Model(
        net=net.to(device),
        classes=tuple(config["classes"]),
        channels=int(config["model_args"]["in_chans"]),
        normalisation=Intensity.from_json(config["law"]),
        spacing=float(config["spacing"]),
        facts=dict(config.get("sslseg", {})),
    )


def segment(
    models: Sequence[Model],
    image: np.ndarray,
    spacing: tuple[float, float, float],
    *,
    batch_size: int = 16,
    mirror: bool = False,
    tile: int = 0,
    sliced: int = 0,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """The class of every voxel, uint8 [Z, Y, X].

    Args:
        models: one, or several whose logits are averaged on the input's grid.
        image: [C, Z, Y, X], any integer type or float, finite.
        spacing: (z, y, x) in mm; slices are segmented one by one, along the models' axis.
        mirror: average with the logits of the slices mirrored left to right.
        tile: slices longer than this are segmented in tiles (`tiling`), pixels of the network; 0 = never.
        sliced: the axis of the file that comes first in `image` (`folder.along`); 0 = as the file has it.

    Raises:
        EncoderError: a model reads another number of channels, or the models differ in classes or axis.
        DataError: see `encode`.
    """
    _check(models, len(image))
    order = turn(sliced, models[0].axis)
    image = image.transpose(0, *(1 + k for k in order))
    z, y, x = (spacing[k] for k in order)
    inputs = [network_input(model, image, (z, y, x)) for model in models]
    depth, grid = image.shape[1], image.shape[2:]
    mask = np.empty((depth, *grid), np.uint8)
    with evaluating(*(model.net for model in models)):
        for start in range(0, depth, batch_size):
            part = slice(start, start + batch_size)
            given = (torch.from_numpy(one[part]).to(device) for one in inputs)
            first, *rest = (_logits(m.net, x, grid, mirror, tile) for m, x in zip(models, given, strict=True))
            mask[part] = sum(rest, first).argmax(1).to(torch.uint8).cpu().numpy()
    return mask.transpose(np.argsort(order))


def turn(first: int, wanted: int) -> tuple[int, int, int]:
    """Order in which axes of a volume sliced along `first` are taken to have it sliced along `wanted`."""
    now, then = ([axis, *(a for a in range(3) if a != axis)] for axis in (first, wanted))
    z, y, x = (now.index(axis) for axis in then)
    return z, y, x


def _check(models: Sequence[Model], channels: int) -> None:
    for model in models:
        if model.channels != channels:
            raise EncoderError(
                f"the model reads {model.channels} channel(s), the input has {channels}"
                f" (model of run {model.facts.get('run_id', 'unknown')})"
            )
        for wanted, first, own in (
            ("have the same classes", models[0].classes, model.classes),
            ("be trained on slices along one axis", models[0].axis, model.axis),
        ):
            if first != own:
                raise EncoderError(f"models of one ensemble must {wanted}: {first}, {own}")


def network_input(model: Model, image: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """float32 [Z, C, H, W] at the network's spacing, normalised, not yet padded."""
    coded = encode(Volume(image, None, spacing), model.spacing, len(model.classes))
    levels = (a[None] for a in (coded.scale, coded.intercept, coded.p1, coded.p99))
    low, high, scale, offset = (a[0][:, None, None] for a in model.normalisation.affine_of(*levels))
    return np.clip(coded.codes.astype(np.float32), low, high) * scale + offset


def _logits(net: nn.Module, x: Tensor, grid: tuple[int, int], mirror: bool, tile: int) -> Tensor:
    """float32 [B, K, *grid] of [B, C, H, W]."""
    height, width = x.shape[2:]
    padded = functional.pad(x, (0, -width % MULTIPLE, 0, -height % MULTIPLE))
    found = tiling.apply(net, padded, tile)
    if mirror:
        found = found + tiling.apply(net, padded.flip(-1), tile).flip(-1)  # twice the mean
    found = found[:, :, :height, :width]
    if (height, width) == tuple(grid):
        return found
    shrinks = grid[0] < height or grid[1] < width
    # pixel centres are matched, as cv2 matched them on the way in
    return functional.interpolate(found, size=tuple(grid), mode="bilinear", antialias=shrinks)


def largest_components(mask: np.ndarray, classes: int) -> np.ndarray:
    """`mask` [Z, Y, X] with, of every foreground class, its largest part only (26 neighbours in 3D)."""
    out, neighbours = mask.copy(), np.ones((3, 3, 3), bool)
    for k in range(1, classes):
        parts, count = ndimage.label(mask == k, neighbours)
        if count > 1:
            kept = 1 + np.bincount(parts.ravel())[1:].argmax()
            out[(parts > 0) & (parts != kept)] = 0
    return out
