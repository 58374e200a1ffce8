"""SwAV (Caron et al. 2020): from one view the cluster of another is told; views are large and small.

    view -> encoder -> projector -> similarity to prototypes
                                    Sinkhorn: the large views' clusters, all equally often   (no gradient)

Small views are cheap, and each tells the clusters of both large ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sslseg.config.flags import knob
from sslseg.config.params import Pretrain, again, per_preset
from sslseg.methods.agreement import _multicrop

if TYPE_CHECKING:
    from sslseg.training.contract import Batch, Encoder, Metrics, Tensor

SMALL = {"small_size": 32, "small_views": 2, "prototypes": 8}


@dataclass(frozen=True, kw_only=True)
class Params(Pretrain):
    """Self-supervised pretraining by SwAV."""

    projector_hidden: int = knob(help="hidden width of the projector", low=1, presets=per_preset(2048, 1024, 512),
                                 source="SwAV A.1: 2048; cpu, demo: [H]")  # fmt: skip
    projection_size: int = knob(128, "width of the projection", low=1, source="SwAV A.1: 128")
    prototypes: int = knob(help="clusters", low=2, presets=per_preset(300, 32, 16),
                           source="[H] SwAV A.1 has 3,000 for batches of 4,096; no more than a batch fills")  # fmt: skip
    temperature: float = knob(0.1, "temperature of the predicted clusters", low=0.001, source="SwAV A.1: 0.1")
    epsilon: float = knob(0.05, "entropy of the told clusters", low=0.001, source="SwAV A.1: 0.05")
    iterations: int = knob(3, "steps of Sinkhorn", low=1, source="SwAV A.1: 3")
    small_views: int = knob(help="small views of each slice", low=0, presets=per_preset(6, 4, 2),
                            source="SwAV 4.1: 6; cpu, demo: [H]")  # fmt: skip
    small_size: int = knob(help="side of a small view, pixels", low=16, presets=per_preset(96, 32),
                           source="SwAV 4.1: 96 of 224; cpu, demo: [H]")  # fmt: skip
    small_scale: tuple[float, float] = knob((0.05, 0.14), "area of a small view, share of the slice", low=0.001, high=1.0,
                                          source="SwAV A.2: 0.05 to 0.14")  # fmt: skip
    crop_scale: tuple[float, float] = knob((0.14, 1.0), "area of a large view, share of the slice", low=0.001, high=1.0,
                                         source="SwAV A.2: 0.14 to 1")  # fmt: skip
    weight_decay: float = again("weight_decay", 1e-6, source="SwAV A.1: 1e-6")


class Method:
    """An encoder, a projector and prototypes."""

    wanted = staticmethod(_multicrop.wanted)

    def __init__(self, encoder: Encoder, p: Params, *, seed: int):
        """Take over `encoder` (headless timm network, [B,C,S,S] -> [B,F]); projector and prototypes are fresh."""
        from sslseg.models import heads

        self.constants = p
        self.modules = heads.beside(
            encoder,
            seed,
            projector=lambda size, draw: heads.stack((size, p.projector_hidden, p.projection_size), draw),
            prototypes=lambda _, draw: heads.linear(p.projection_size, p.prototypes, draw, bias=False),
        )

    def loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """The swapped prediction (SwAV eq. 2 and 6). Views of one size go through the networks together."""
        import torch
        from torch.nn import functional

        from sslseg.training import agreement, vitals

        with torch.no_grad():
            weight = self.modules["prototypes"].get_parameter("weight")
            weight.copy_(functional.normalize(weight, dim=1))
        size, features = len(batch.views[0]), _multicrop.features(self.modules["online"], batch.views)
        z = functional.normalize(self.modules["projector"](features).float(), dim=1)
        scores = self.modules["prototypes"](z).split(size)
        value = agreement.swapped(
            list(scores), targets=_multicrop.LARGE, temperature=self.constants.temperature,
            epsilon=self.constants.epsilon, iterations=self.constants.iterations,
        )  # fmt: skip
        return value, vitals.of_batch(features[:size])
