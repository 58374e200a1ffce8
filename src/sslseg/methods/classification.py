"""Supervised classification of a folder of images: in which of its folders does this one lie?

The generalist that ImageNet weights are, trained on a folder of one's own: a folder a class, `dog/1.jpg`. Of data with
groups (a diagnosis, a vendor) it tells these. Labels of train patients alone are seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sslseg.config.flags import knob
from sslseg.config.params import Pretrain, again, per_preset
from sslseg.config.wanted import Crops, Wanted

if TYPE_CHECKING:
    from sslseg.training.contract import Batch, Encoder, Metrics, Tensor


@dataclass(frozen=True, kw_only=True)
class Params(Pretrain):
    """Supervised pretraining by classification of an image folder."""

    classes: int = knob(
        help="outputs of the head: at least as many as there are folders", low=2,
        presets=per_preset(1000, 100, 10), source="ImageNet-1k: 1,000; cpu, demo: [H]",
    )  # fmt: skip
    optimizer: str = again("optimizer", "sgd", source="ResNet (He et al. 2016) 3.4: SGD")
    lr: float = again("lr", presets=per_preset(0.05, 0.05), source="ResNet 3.4: 0.1 at batch 256; cpu, demo: [H]")  # fmt: skip
    weight_decay: float = again("weight_decay", 1e-4, source="ResNet 3.4: 1e-4")


class Method:
    """An encoder and a linear head."""

    @staticmethod
    def wanted(p: Params) -> Wanted:
        """One view of each image, and its folder."""
        why = "classes are the folders that the images lie in, one folder a class; classes= says for how many"
        return Wanted((Crops(1),), places=True, groups=2, most_groups=p.classes, why=why)

    def __init__(self, encoder: Encoder, p: Params, *, seed: int):
        """Take over `encoder` (headless timm network, [B,C,S,S] -> [B,F]); the head is fresh."""
        from sslseg.models import heads

        self.modules = heads.beside(encoder, seed, head=lambda size, draw: heads.linear(size, p.classes, draw))  # fmt: skip

    def loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """Cross entropy of the folder."""
        from torch.nn import functional

        from sslseg.training import vitals

        assert batch.places is not None  # `wanted` asks for them
        which = batch.places.group
        features = self.modules["online"](batch.views[0])
        told = self.modules["head"](features).float()
        right = (told.detach().argmax(1) == which).float().mean()
        return functional.cross_entropy(told, which), {"accuracy": right} | vitals.of_batch(features)
