"""SimCLR (Chen et al. 2020): two views of one slice attract, views of other slices repel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sslseg.config import params
from sslseg.config.flags import knob
from sslseg.config.wanted import PAIR, Wanted

if TYPE_CHECKING:
    from torch import Tensor

    from sslseg.models.encoder import Encoder
    from sslseg.training.contract import Batch, Metrics


@dataclass(frozen=True, kw_only=True)
class Params(params.Pretrain):
    """Self-supervised pretraining by SimCLR."""

    projector_hidden: int = knob(
        help="hidden width of the projector", low=1,
        presets={"paper": 2048, "paper-400": 2048, "cpu": 1024, "demo": 512},
        source="SimCLR 2.1: as wide as ResNet-50's features; cpu, demo: [H]",
    )  # fmt: skip
    projection_size: int = knob(128, "width of the projection", low=1, source="SimCLR 2.2: 128")
    temperature: float = knob(0.1, "temperature of the similarities", low=0.001, source="SimCLR table 5: 0.1")


class Method:
    """An encoder and a projector."""

    @staticmethod
    def wanted(p: Params) -> Wanted:
        """Two views of each slice."""
        return PAIR

    def __init__(self, encoder: Encoder, p: Params, *, seed: int):
        """Take over `encoder` (headless timm network, [B,C,S,S] -> [B,F]); the projector is fresh."""
        from sslseg.models import heads
        from sslseg.models.encoder import feature_size

        sizes = (feature_size(encoder), p.projector_hidden, p.projection_size)
        self.temperature = p.temperature
        self.modules = heads.beside(encoder, seed, projector=lambda draw: heads.mlp(*sizes, draw))

    def loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """NT-Xent over the 2B projections (SimCLR eq. 1).

        Args:
            batch: two views [B,C,S,S].

        Returns:
            the loss, and signs of life of the first view's features; the loop adds "train/" to the names.
        """
        from sslseg.training import losses, vitals

        features = [self.modules["online"](view) for view in batch.views]
        one, other = (self.modules["projector"](feature) for feature in features)
        return losses.nt_xent(one, other, self.temperature), vitals.of_batch(features[0])
