"""What `mlflow.pyfunc.load_model` gives for a registered model: arrays in, masks or features out.

MLflow finds this module by its name in MLmodel (`tracking/registry/flavor.py`) and calls `_load_pyfunc`; nothing of MLflow
is needed here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from sslseg.config.names import DataError
from sslseg.data.slices.intensity import Intensity
from sslseg.models import encoder, folders, inference
from sslseg.models.inference import Model
from sslseg.models.modes import evaluating

BATCH = 16  # slices that go through the network at once
WIDEST = 1000  # mm that a pixel may have
TILE = 1024  # pixels of a side: longer slices go through in tiles, as `-e predict` has it


def _volume(model: Model, images: ArrayLike) -> np.ndarray:
    """Images [B, C, H, W] as one volume [C, B, H, W]. Raises DataError: another number of axes or channels."""
    try:
        images = np.asarray(images)
    except ValueError as error:  # lists of unequal length
        raise DataError(f"wanted images [B, {model.channels}, H, W]: {error}") from error
    if images.ndim != 4 or images.shape[1] != model.channels:
        raise DataError(
            f"wanted images [B, {model.channels}, H, W], got an array of shape {list(images.shape)}"
        )
    return images.transpose(1, 0, 2, 3)


@dataclass(frozen=True)
class Masks:
    """A fine-tuned U-Net."""

    model: Model
    device: str

    def predict(self, images: ArrayLike, params: dict[str, Any] | None = None) -> np.ndarray:
        """The class of every pixel, uint8 [B, H, W].

        Args:
            images: float32 [B, C, H, W], raw intensities: the slices of one volume, scaled by that volume's percentiles
                as in training. Images that do not belong together are to be sent one at a time.
            params: "spacing": [y, x] in mm; [0, 0] = the images have the network's own resolution.

        Raises:
            DataError: another shape, values that are not finite, or a spacing that is not two numbers.
        """
        asked = (params or {}).get("spacing", (0.0, 0.0))
        try:
            given = np.ravel(np.asarray(asked, float)).tolist()
        except (TypeError, ValueError):
            given = []
        if len(given) != 2 or not all(0 <= v < WIDEST for v in given):
            raise DataError(f"spacing: wanted [y, x] in mm, below {WIDEST}, or [0, 0], got {str(asked)[:80]}")
        own = self.model.spacing or 1.0
        spacing = (1.0, given[0] or own, given[1] or own)
        return inference.segment(
            [self.model], _volume(self.model, images), spacing, batch_size=BATCH, tile=TILE, sliced=self.model.axis,
            device=self.device,
        )  # fmt: skip


@dataclass(frozen=True)
class Features:
    """An encoder."""

    model: Model
    device: str

    def predict(self, images: ArrayLike, params: dict[str, Any] | None = None) -> np.ndarray:
        """Pooled features, float32 [B, F], of float32 [B, C, H, W], scaled as in `Masks`.

        Raises:
            DataError: another shape, or values that are not finite.
        """
        volume = _volume(self.model, images)
        inputs = torch.from_numpy(inference.network_input(self.model, volume, (1.0, 1.0, 1.0)))
        with evaluating(self.model.net):
            found = [self.model.net(part.to(self.device)).float().cpu() for part in inputs.split(BATCH)]
        return torch.cat(found).numpy()


def _load_pyfunc(path: str) -> Masks | Features:
    """The model of a stored folder, on a CUDA device where there is one.

    Raises:
        EncoderError: see `segmenter.load` and `encoder.load`.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if "classes" in folders.read_config(path):
        return Masks(inference.open_model(path, device), device)
    return Features(_encoder(Path(path), device), device)


def _encoder(folder: Path, device: str) -> Model:
    """An encoder as inference has its models: what it was trained under is in its config."""
    config = folders.read_config(folder)
    own, cfg = config.get("sslseg", {}).get("law"), config.get("pretrained_cfg", {})
    kind = "paper-code" if isinstance(own, dict) and own.get("kind") == "paper-code" else "encoder"
    law = {"kind": kind, "mean": cfg.get("mean"), "std": cfg.get("std")}
    return Model(
        net=encoder.load(folder).eval().to(device), classes=(), channels=encoder.channels_of(config),
        normalisation=Intensity.from_json(law), spacing=0.0, facts={},
    )  # fmt: skip
