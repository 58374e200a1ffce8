"""Supervised classification of a folder of images: in which of its folders does this one lie?

The generalist that ImageNet weights are, trained on a folder of one's own: a folder a class, `dog/1.jpg`. Of data with
groups (a diagnosis, a vendor) it tells these. Labels of train patients alone are seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sslseg.config import params
from sslseg.config.flags import knob
from sslseg.config.names import DataError
from sslseg.config.wanted import Crops, Wanted

if TYPE_CHECKING:
    from torch import Tensor

    from sslseg.models.encoder import Encoder
    from sslseg.training.contract import Batch, Metrics


@dataclass(frozen=True, kw_only=True)
class Params(params.Pretrain):
    """Supervised pretraining by classification of an image folder."""

    classes: int = knob(
        help="outputs of the head: at least as many as there are folders", low=2,
        presets={"paper": 1000, "paper-400": 1000, "cpu": 100, "demo": 10}, source="ImageNet-1k: 1,000; cpu, demo: [H]",
    )  # fmt: skip
    optimizer: str = knob("sgd", "what moves the weights", choices=params.OPTIMIZERS,
                          source="ResNet (He et al. 2016) 3.4: SGD")  # fmt: skip
    lr: float = knob(help="peak learning rate", low=0.0,
                     presets={"paper": 0.05, "paper-400": 0.05, "cpu": 0.05, "demo": 0.05},
                     source="ResNet 3.4: 0.1 at batch 256; cpu, demo: [H]")  # fmt: skip
    weight_decay: float = knob(
        1e-4, "weight decay; biases and norms are excluded", low=0.0, source="ResNet 3.4: 1e-4"
    )


class Method:
    """An encoder and a linear head."""

    @staticmethod
    def wanted(p: Params) -> Wanted:
        """One view of each image, and its folder."""
        why = "classes are the folders that the images lie in, one folder a class"
        return Wanted((Crops(1),), places=True, groups=2, why=why)

    def __init__(self, encoder: Encoder, p: Params, *, seed: int):
        """Take over `encoder` (headless timm network, [B,C,S,S] -> [B,F]); the head is fresh."""
        from sslseg.models import heads
        from sslseg.models.encoder import feature_size

        size, self.classes = feature_size(encoder), p.classes
        self.modules = heads.beside(encoder, seed, head=lambda draw: heads.linear(size, p.classes, draw))

    def loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """Cross entropy of the folder.

        Args:
            batch: one view [B,C,S,S], and the slices' places.

        Returns:
            the loss, the share of right answers, and signs of life of the features.

        Raises:
            DataError: there are more folders than outputs.
        """
        from torch.nn import functional

        from sslseg.training import vitals

        assert batch.places is not None  # `wanted` asks for them
        which = batch.places.group
        if int(which.max()) >= self.classes:
            raise DataError(
                f"classes: wanted at least one output for each folder, there is a folder number {int(which.max()) + 1} "
                f"and classes={self.classes}"
            )
        features = self.modules["online"](batch.views[0])
        told = self.modules["head"](features).float()
        right = (told.detach().argmax(1) == which).float().mean()
        return functional.cross_entropy(told, which), {"accuracy": right} | vitals.of_batch(features)
