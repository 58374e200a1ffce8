"""VICReg (Bardes et al. 2022): two views agree, every dimension varies, and none repeats another."""

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
    """Self-supervised pretraining by VICReg."""

    projection_size: int = knob(help="width of the expander's three layers", low=2, presets=WIDTH,
                                source="VICReg 4.2: 8192; cpu, demo: [H]")  # fmt: skip
    similar: float = knob(25.0, "weight of the invariance", low=0.0, source="VICReg 4.2: 25")
    vary: float = knob(25.0, "weight of the variance", low=0.0, source="VICReg 4.2: 25")
    decorrelate: float = knob(1.0, "weight of the covariance", low=0.0, source="VICReg 4.2: 1")
    weight_decay: float = again("weight_decay", 1e-6, source="VICReg 4.2: 1e-6")


class Method:
    """An encoder and an expander."""

    wanted = staticmethod(pair)

    def __init__(self, encoder: Encoder, p: Params, *, seed: int):
        """Take over `encoder` (headless timm network, [B,C,S,S] -> [B,F]); the expander is fresh."""
        from sslseg.models import heads

        self.weights = (p.similar, p.vary, p.decorrelate)
        behind = [p.projection_size] * 3
        self.modules = heads.beside(
            encoder, seed, projector=lambda size, draw: heads.stack((size, *behind), draw)
        )

    def loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """Invariance, variance and covariance, weighed (VICReg eq. 6)."""
        from sslseg.training import agreement, vitals

        features = [self.modules["online"](view) for view in batch.views]
        one, other = (self.modules["projector"](feature) for feature in features)
        return agreement.vicreg(one, other, *self.weights), vitals.of_batch(features[0])
