"""SimCLR (Chen et al. 2020): two views of one slice attract, views of other slices repel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sslseg.config.flags import knob
from sslseg.config.params import Pretrain, per_preset
from sslseg.config.wanted import pair

if TYPE_CHECKING:
    from sslseg.training.contract import Batch, Encoder, Metrics, Tensor


@dataclass(frozen=True, kw_only=True)
class Params(Pretrain):
    """Self-supervised pretraining by SimCLR."""

    projector_hidden: int = knob(help="hidden width of the projector", low=1, presets=per_preset(2048, 1024, 512),
                                 source="SimCLR 2.1: as wide as ResNet-50's features; cpu, demo: [H]")  # fmt: skip
    projection_size: int = knob(128, "width of the projection", low=1, source="SimCLR 2.2: 128")
    temperature: float = knob(0.1, "temperature of the similarities", low=0.001, source="SimCLR table 5: 0.1")


class Method:
    """An encoder and a projector."""

    wanted = staticmethod(pair)

    def __init__(self, encoder: Encoder, p: Params, *, seed: int):
        """Take over `encoder` (headless timm network, [B,C,S,S] -> [B,F]); the projector is fresh."""
        from sslseg.models import heads

        self.temperature = p.temperature
        behind = (p.projector_hidden, p.projection_size)
        self.modules = heads.beside(
            encoder, seed, projector=lambda size, draw: heads.stack((size, *behind), draw)
        )

    def loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """NT-Xent over the 2B projections (SimCLR eq. 1)."""
        from sslseg.training import losses, vitals

        features = [self.modules["online"](view) for view in batch.views]
        one, other = (self.modules["projector"](feature) for feature in features)
        return losses.nt_xent(one, other, self.temperature), vitals.of_batch(features[0])
