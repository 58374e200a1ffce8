"""RotNet (Gidaris et al. 2018): by how many quarter turns was a view turned?"""

from dataclasses import dataclass

from sslseg.config import params
from sslseg.config.wanted import Crops, Wanted


@dataclass(frozen=True, kw_only=True)
class Params(params.Pretrain):
    """Self-supervised pretraining by telling rotations."""


class Method:
    @staticmethod
    def wanted(p):
        return Wanted((Crops(1),))

    def __init__(self, encoder, p, *, seed):
        from sslseg.data import streams
        from sslseg.models import encoder as encoders
        from sslseg.models import heads

        drawn = streams.torch_generator(seed, "initialisation", 1)
        head = heads.linear(encoders.feature_size(encoder), 4, drawn)
        self.modules = {"online": encoder.train(), "head": head.train()}

    def loss(self, batch):
        import torch

        from sslseg.training import vitals

        (views,) = batch.views
        turns = torch.randint(4, (len(views),), device=views.device)
        turned = torch.stack([v.rot90(k, (1, 2)) for v, k in zip(views, turns.tolist(), strict=True)])
        encoder, head = self.modules.values()
        features = encoder(turned)
        return torch.nn.functional.cross_entropy(head(features), turns), vitals.of_batch(features)
