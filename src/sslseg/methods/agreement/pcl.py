"""PCL (Zeng et al. 2021): slices at about the same height of different volumes attract, all others repel.

In the authors' code neighbours of one volume attract, too; here those of other volumes do, which show another patient
or another time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sslseg.config.flags import knob
from sslseg.config.params import Pretrain, per_preset
from sslseg.config.wanted import Crops, Wanted

if TYPE_CHECKING:
    from sslseg.training.contract import Batch, Encoder, Metrics, Tensor


@dataclass(frozen=True, kw_only=True)
class Params(Pretrain):
    """Self-supervised pretraining by positional contrast of slices."""

    projector_hidden: int = knob(help="hidden width of the projector", low=1, presets=per_preset(2048, 1024, 512),
                                 source="PCL's code: as wide as the features; cpu, demo: [H]")  # fmt: skip
    projection_size: int = knob(help="width of the projection", low=1, presets=per_preset(512, 128),
                                source="PCL's run script: 512; cpu, demo: [H]")  # fmt: skip
    temperature: float = knob(0.1, "temperature of the similarities", low=0.001, source="PCL's run script: 0.1")  # fmt: skip
    reach: float = knob(0.1, "largest distance in height that attracts, share of the volume's", low=0.0, high=1.0,
                        source="PCL's run script: 0.1")  # fmt: skip


class Method:
    """An encoder and a projector."""

    @staticmethod
    def wanted(p: Params) -> Wanted:
        """Two views of each slice, and how high it lies."""
        return Wanted((Crops(2),), places=True)

    def __init__(self, encoder: Encoder, p: Params, *, seed: int):
        """Take over `encoder` (headless timm network, [B,C,S,S] -> [B,F]); the projector is fresh."""
        from sslseg.models import heads

        self.temperature, self.reach = p.temperature, p.reach
        behind = (p.projector_hidden, p.projection_size)
        self.modules = heads.beside(
            encoder, seed, projector=lambda size, draw: heads.stack((size, *behind), draw, norm=False)
        )

    def mates(self, batch: Batch) -> Tensor:
        """Bool [2B,2B]: views of one slice, and of slices of different volumes that lie within `reach` in height."""
        import torch

        assert batch.places is not None  # `wanted` asks for them
        height, volume = batch.places.height, batch.places.volume
        near = (height[:, None] - height[None]).abs() < self.reach
        own = torch.eye(len(height), dtype=torch.bool, device=height.device)
        return (own | near & (volume[:, None] != volume[None])).repeat(2, 2)

    def loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """Contrast with several positives (PCL eq. 1)."""
        import torch

        from sslseg.training import agreement, vitals

        features = [self.modules["online"](view) for view in batch.views]
        z = torch.cat([self.modules["projector"](feature) for feature in features])
        return agreement.positives(z, self.mates(batch), self.temperature), vitals.of_batch(features[0])
