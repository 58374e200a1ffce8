"""Denoising pretraining (Brempong et al. 2022): a U-Net names the noise that was added to a view.

    view x, noise e -> sqrt(g) x + sqrt(1 - g) e -> U-Net -> e'      |e' - e|^2,  g = 1 / (1 + sigma^2)

The paper starts from a trained encoder and trains the decoder; here both learn, and both can be handed on. The authors
published no code; noise, its scale and the squared error are also those of the public reimplementation
`DecoderDenoisingModel` (noise_type "scaled", noise_std 0.22, loss "l2", Adam), whose rate of 1e-4 is lower than that here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sslseg.config.flags import knob
from sslseg.config.params import Pretrain, again
from sslseg.config.wanted import Crops, Wanted
from sslseg.methods.restoration._unet import RATES, Restorer, decoder_knob

if TYPE_CHECKING:
    from sslseg.training.contract import Batch, Encoder, Metrics, Tensor

SMALL = {"decoder": (16, 8, 8, 8, 8)}


@dataclass(frozen=True, kw_only=True)
class Params(Pretrain):
    """Self-supervised pretraining by denoising."""

    decoder: tuple[int, ...] = decoder_knob()
    sigma: float = knob(0.22, "s.d. of the noise, in s.d. of the image", low=0.001,
                        source="Brempong et al. 4.3: 0.22 is best")  # fmt: skip
    optimizer: str = again("optimizer", "adamw", source="Brempong et al. 4: Adam")
    lr: float = again("lr", presets=RATES, source="[H] of AdamW on a whole U-Net")


class Method:
    """A U-Net that names noise."""

    DECODER = True  # handed on beside the encoder

    @staticmethod
    def wanted(p: Params) -> Wanted:
        """One view of each slice."""
        return Wanted((Crops(1),))

    def __init__(self, encoder: Encoder, p: Params, *, seed: int):
        """Build a U-Net around a copy of `encoder` (headless timm network, [B,C,S,S] -> [B,F])."""
        self.unet = Restorer(encoder, p.decoder, seed=seed)
        self.modules, self.exports, self.sigma = self.unet.modules, self.unet.exports, p.sigma

    def loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """Mean squared error of the noise (Brempong et al. eq. 2 and 4)."""
        import torch

        from sslseg.training import losses, vitals

        (view,) = batch.views
        noise = torch.randn_like(view)
        maps = self.unet.maps(losses.noised(view, noise, self.sigma))
        found = self.unet.restored(maps)
        return (found.float() - noise).square().mean(), vitals.of_batch(maps[-1].mean((2, 3)))
