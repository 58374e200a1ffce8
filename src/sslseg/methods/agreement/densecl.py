"""DenseCL (Wang et al. 2021): MoCo for whole slices and, beside it, for every place of their maps.

    place of view a -> dense projector -> finds, among the places of view b, the one whose features are most alike,
                                          against a queue of dense keys

Key weights are a moving average of the query's. A slice's entry in the dense queue is the mean of its places' unit
vectors, where the authors' code takes the mean first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from sslseg.config.flags import knob
from sslseg.config.wanted import pair
from sslseg.methods.agreement import moco

if TYPE_CHECKING:
    from sslseg.training.contract import Batch, Encoder, Metrics, Tensor

SMALL = {"queue": 16, "image_size": 64}


@dataclass(frozen=True, kw_only=True)
class Params(moco.Params):
    """Self-supervised pretraining by DenseCL."""

    dense: float = knob(0.5, "share of the dense loss", low=0.0, high=1.0, source="DenseCL 3.3: 0.5")


class Method:
    """Two encoders, each with a projector for slices and one for places, and two queues."""

    wanted = staticmethod(pair)

    def __init__(self, encoder: Encoder, p: Params, *, seed: int):
        """Take over `encoder` (headless timm network, [B,C,S,S] -> [B,F]) as the query's; the key's is a copy."""
        from sslseg.models import heads
        from sslseg.training import optim

        maps = encoder.num_features  # of the last map; pooled features may be wider
        behind = (p.projector_hidden, p.projection_size)
        self.temperature, self.share = p.temperature, p.dense
        nets = heads.beside(
            encoder,
            seed,
            projector=lambda size, draw: heads.stack((size, *behind), draw, norm=False),
            dense=lambda _, draw: heads.stack((maps, *behind), draw, norm=False),
            queue=lambda _, draw: heads.Queue(p.queue, p.projection_size, draw),
            dense_queue=lambda _, draw: heads.Queue(p.queue, p.projection_size, draw),
        )
        self.modules = nets | heads.targets(nets, "projector", "dense")
        self.after_step = lambda progress: optim.follow(self.modules, p.tau)

    def _seen(self, view: Tensor, encoder: str, prefix: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Pooled features [B,F]; projection [B,D]; places [B,P,F']; dense projections [B,P,D]."""
        net = cast("Encoder", self.modules[encoder])
        maps = net.forward_features(view)
        pooled = net.forward_head(maps)
        places = maps.flatten(2).mT
        dense = self.modules[f"{prefix}dense"](places.flatten(0, 1)).unflatten(0, places.shape[:2])
        return pooled, self.modules[f"{prefix}projector"](pooled), places, dense

    def loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """InfoNCE of slices and of places, weighed (DenseCL eq. 1-4); then the keys enter their queues."""
        import torch
        from torch.nn import functional

        from sslseg.training import agreement, vitals

        nets = self.modules
        pooled, query, places, dense = self._seen(batch.views[0], "online", "")
        with torch.no_grad():
            _, key, others, dense_keys = self._seen(batch.views[1], "target", "target_")
            like = (
                functional.normalize(places.float(), dim=2) @ functional.normalize(others.float(), dim=2).mT
            )
            chosen = dense_keys.gather(1, like.argmax(2)[..., None].expand(-1, -1, dense_keys.shape[2]))
        whole = agreement.info_nce(query, key, nets["queue"](key), self.temperature)
        seen = functional.normalize(dense_keys.float(), dim=2).mean(1)
        by_place = agreement.info_nce(
            dense.flatten(0, 1), chosen.flatten(0, 1), nets["dense_queue"](seen), self.temperature
        )
        return (1 - self.share) * whole + self.share * by_place, vitals.of_batch(pooled)
