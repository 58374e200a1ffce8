"""Barlow Twins (Zbontar et al. 2021): the projections of two views correlate, and their dimensions do not repeat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sslseg.config.flags import knob
from sslseg.config.params import Pretrain, again, per_preset
from sslseg.config.wanted import pair

if TYPE_CHECKING:
    from sslseg.training.contract import Batch, Encoder, Metrics, Tensor

WIDTH = per_preset(8192, 512, 256)


@dataclass(frozen=True, kw_only=True)
class Params(Pretrain):
    """Self-supervised pretraining by Barlow Twins."""

    projection_size: int = knob(help="width of the projector's three layers", low=2, presets=WIDTH,
                                source="Barlow Twins 2.2: 8192; cpu, demo: [H]")  # fmt: skip
    trade: float = knob(0.005, "weight of the terms off the diagonal", low=0.0,
                        source="Barlow Twins 2.2: 5e-3; its code: 0.0051")  # fmt: skip
    weight_decay: float = again("weight_decay", 1.5e-6, source="Barlow Twins 2.2: 1.5e-6; its code: 1e-6")


class Method:
    """An encoder and a projector."""

    wanted = staticmethod(pair)

    def __init__(self, encoder: Encoder, p: Params, *, seed: int):
        """Take over `encoder` (headless timm network, [B,C,S,S] -> [B,F]); the projector is fresh."""
        from sslseg.models import heads

        self.trade = p.trade
        behind = [p.projection_size] * 3
        self.modules = heads.beside(
            encoder, seed, projector=lambda size, draw: heads.stack((size, *behind), draw)
        )

    def loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """Distance of the cross-correlation from the identity (Barlow Twins eq. 1)."""
        from sslseg.training import agreement, vitals

        features = [self.modules["online"](view) for view in batch.views]
        one, other = (self.modules["projector"](feature) for feature in features)
        return agreement.barlow(one, other, self.trade), vitals.of_batch(features[0])
