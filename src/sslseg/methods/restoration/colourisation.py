"""Colourisation (Zhang et al. 2016): a U-Net that sees a picture's lightness tells its colours.

    colour picture -> lightness -> U-Net -> shares of bins of the colour plane      cross entropy, rare colours weigh more
                   -> a, b of CIE Lab, at a quarter of the resolution

The encoder reads one channel, so it fits grey slices. How often a colour occurs is counted while it trains, where the
paper counted it on ImageNet. Zhang's 313 bins of side 10 hold some that no sRGB colour falls into; here are the 261 others.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sslseg.config.flags import knob
from sslseg.config.params import Pretrain, again, per_preset
from sslseg.config.wanted import Crops, Wanted
from sslseg.methods.restoration._unet import RATES, Restorer, decoder_knob

if TYPE_CHECKING:
    from sslseg.training.contract import Batch, Encoder, Metrics, Tensor

SHRINK = 4  # the colours' resolution against the picture's (Zhang et al., fig. 2)
GRID = 64  # steps of red, green and blue by which the bins are found that there are
SMALL = {"decoder": (16, 8, 8, 8, 8), "bin_side": 40}


@dataclass(frozen=True, kw_only=True)
class Params(Pretrain):
    """Self-supervised pretraining by colourisation."""

    decoder: tuple[int, ...] = decoder_knob()
    bin_side: int = knob(help="side of a bin, in a and b", low=1, high=50, presets=per_preset(10, 20),
                         source="Zhang et al. 2.1: 10; cpu, demo: [H]")  # fmt: skip
    softness: float = knob(0.5, "s.d. of a colour's Gaussian over bins, in sides of a bin", low=0.01,
                           source="Zhang et al. 2.1: 5 of 10")  # fmt: skip
    mixed: float = knob(0.5, "share of the uniform distribution in how often colours occur", low=0.01, high=1.0,
                        source="Zhang et al. 2.2: 1/2")  # fmt: skip
    memory: float = knob(0.99, "momentum of how often colours occur", low=0.0, high=1.0,
                         source="[H] the paper counts them beforehand")  # fmt: skip
    optimizer: str = again("optimizer", "adamw", source="Zhang et al., their code: Adam")
    lr: float = again("lr", presets=RATES, source="[H] of AdamW on a whole U-Net")
    weight_decay: float = again("weight_decay", 1e-3, source="Zhang et al., their code: 1e-3")


@functools.cache
def bins(side: int) -> Tensor:
    """Float [Q,2]: middles of the bins, on a grid of that side, that hold the colours of sRGB."""
    import torch

    from sslseg.data.views import colour

    axis = torch.linspace(0, 1, GRID)
    rgb = torch.cartesian_prod(axis, axis, axis).T[None, :, :, None]
    ab = colour.lab(rgb)[0, 1:, :, 0].T
    return (ab / side).round().unique(dim=0) * side


class Method:
    """A U-Net that tells colours, and how often they occur."""

    DECODER = True  # handed on beside the encoder

    @staticmethod
    def wanted(p: Params) -> Wanted:
        """One view of each picture, its colours as they are."""
        why = "colours are what it learns to tell, and grey images have none; dataset=colour_photos has them"
        return Wanted((Crops(1, jitter=False),), channels=3, grey=True, why=why)

    def __init__(self, encoder: Encoder, p: Params, *, seed: int):
        """Build a U-Net around a copy of `encoder` (headless timm network, [B,1,S,S] -> [B,F])."""
        from sslseg.models import heads

        self.constants, count = p, len(bins(p.bin_side))
        self.unet = Restorer(encoder, p.decoder, seed=seed, values=count)
        occurs = heads.Centre(count)
        occurs.value.fill_(1 / count)
        self.modules = self.unet.modules | {"occurs": occurs}
        self.exports = self.unet.exports

    def codes(self, rgb: Tensor) -> Tensor:
        """Shares of bins [B·h·w,Q] of a picture [B,3,S,S], at its quarter."""
        from torch.nn import functional

        from sslseg.data.views import colour
        from sslseg.training import losses

        ab = functional.avg_pool2d(colour.lab(rgb)[:, 1:], SHRINK).movedim(1, 3).flatten(0, 2)
        middles = bins(self.constants.bin_side).to(ab.device)
        return losses.colour_codes(ab, middles, self.constants.softness * self.constants.bin_side)

    def loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """Cross entropy of the colours, rare ones weighing more (Zhang et al. eq. 2-4); then they are counted."""
        import torch
        from torch.nn import functional

        from sslseg.data.views import colour
        from sslseg.training import losses, vitals

        (view,) = batch.views
        with torch.no_grad():
            codes = self.codes(view)
            occurs = self.modules["occurs"](codes, self.constants.memory)
            weights = losses.rebalancing(occurs, self.constants.mixed)
        maps = self.unet.maps(colour.lightness(view))
        small = functional.avg_pool2d(self.modules["decoder"](maps), SHRINK)
        told = self.modules["head"](small).movedim(1, 3).flatten(0, 2)
        return losses.coloured(told, codes, weights), vitals.of_batch(maps[-1].mean((2, 3)))
