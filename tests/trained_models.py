"""A registered segmenter for tests: a real folder of a tiny U-Net, fresh or made to answer by brightness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from sslseg import names, registry, tracking
from sslseg.data.intensity import Intensity
from sslseg.models import segmenter, unet

SHAPE = (41, 30, 4)  # x, y, z: no multiple of 32, not square
CLASSES = ("background", "RV", "MYO", "LV")
ARCHITECTURE, DECODER = "test_resnet", (16, 16, 8, 8, 8)


class ByBrightness(torch.nn.Module):
    """Class 1 where the first channel is above the mean, else background: a network with a known answer."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.zeros_like(x[:, :1]), x[:, :1]], 1)


def folder(
    place: Path, *, channels: int = 1, classes: tuple = CLASSES, spacing: float = 2.0, seed: int = 0, **facts
):
    """Write a segmenter folder of a fresh U-Net."""
    net, _ = unet.scratch(ARCHITECTURE, channels, len(classes), DECODER, seed=seed)
    segmenter.save(net, place, architecture=ARCHITECTURE, channels=channels, classes=classes,
                   decoder_channels=DECODER, law=Intensity("dataset", (0.4,), (0.2,)), spacing=spacing,
                   extra=facts)  # fmt: skip
    return place


def register(place: Path, **settings) -> str:
    """Log a folder as a fine-tuning would; returns its run ID."""
    made = folder(place, **settings)
    with tracking.open_run(names.FINETUNE, tags={names.TAG_DATASET: "demo"}) as run:
        registry.log_segmenter(run, made, name="unet-test", role=names.ROLE_FINE_TUNED, method="supervised",
                               dataset="demo", lineage="supervised-demo")  # fmt: skip
    return run.id


def disc(shape=SHAPE, centre=(22, 13), radius=9) -> np.ndarray:
    """Bright cylinder on dark ground, int16 [X, Y, Z]."""
    x, y = np.mgrid[: shape[0], : shape[1]]
    inside = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= radius**2
    return np.repeat((100 + 900 * inside)[..., None], shape[2], axis=2).astype(np.int16)
