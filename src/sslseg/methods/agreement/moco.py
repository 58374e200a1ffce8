r"""MoCo v2 (He et al. 2020, Chen et al. 2020): a view finds its other view among the keys of earlier batches.

    view a -> query encoder -> projector                  \
                                                           own key against a queue of keys
    view b -> key encoder -> key projector -> into the queue   (no gradient)

Key weights are a moving average of the query's. On one device its batch norms cannot be shuffled; see docs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sslseg.config.flags import knob
from sslseg.config.params import Pretrain, again, per_preset
from sslseg.config.wanted import pair

if TYPE_CHECKING:
    from sslseg.training.contract import Batch, Encoder, Metrics, Tensor

SMALL = {"queue": 16}


@dataclass(frozen=True, kw_only=True)
class Params(Pretrain):
    """Self-supervised pretraining by MoCo v2."""

    projector_hidden: int = knob(help="hidden width of the projector", low=1, presets=per_preset(2048, 1024, 512),
                                 source="MoCo v2 2: 2048; cpu, demo: [H]")  # fmt: skip
    projection_size: int = knob(128, "width of the projection", low=1, source="MoCo 3.1: 128")
    queue: int = knob(help="keys of earlier batches that are kept", low=1, presets=per_preset(65536, 1024, 256),
                      source="MoCo v2 3: 65,536 of 1.3 million images; cpu, demo: [H] fewer than there are slices")  # fmt: skip
    temperature: float = knob(0.2, "temperature of the similarities", low=0.001, source="MoCo v2 table 1: 0.2")  # fmt: skip
    tau: float = knob(help="momentum of the key encoder", low=0.0, high=1.0, presets=per_preset(0.999, 0.99),
                      source="MoCo 3.3: 0.999; cpu, demo: [H] it has to move in a few hundred steps")  # fmt: skip
    crop_scale: tuple[float, float] = again(
        "crop_scale", (0.2, 1.0), source="MoCo's code: RandomResizedCrop(0.2, 1)"
    )
    optimizer: str = again("optimizer", "sgd", source="MoCo 4: SGD")
    lr: float = again("lr", presets=per_preset(0.015, 0.03), source="MoCo 4: 0.03 at batch 256; cpu, demo: [H]")  # fmt: skip
    weight_decay: float = again("weight_decay", 1e-4, source="MoCo 4: 1e-4")


class Method:
    """Two encoders with their projectors, and the queue."""

    wanted = staticmethod(pair)

    def __init__(self, encoder: Encoder, p: Params, *, seed: int):
        """Take over `encoder` (headless timm network, [B,C,S,S] -> [B,F]) as the query's; the key's is a copy."""
        from sslseg.models import heads
        from sslseg.training import optim

        behind = (p.projector_hidden, p.projection_size)
        self.temperature = p.temperature
        nets = heads.beside(
            encoder,
            seed,
            projector=lambda size, draw: heads.stack((size, *behind), draw, norm=False),
            queue=lambda _, draw: heads.Queue(p.queue, p.projection_size, draw),
        )
        self.modules = nets | heads.targets(nets, "projector")
        self.after_step = lambda progress: optim.follow(self.modules, p.tau)

    def loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """InfoNCE of each query against its key and the queue (MoCo eq. 1); then its keys enter the queue."""
        import torch

        from sslseg.training import agreement, vitals

        nets = self.modules
        features = nets["online"](batch.views[0])
        query = nets["projector"](features)
        with torch.no_grad():
            key = nets["target_projector"](nets["target"](batch.views[1]))
        value = agreement.info_nce(query, key, nets["queue"](key), self.temperature)
        return value, vitals.of_batch(features)
