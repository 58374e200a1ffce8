"""Masked modelling for CNNs (SparK, Tian et al. 2023): hidden patches are restored from what is visible.

    view, patches hidden -> encoder on visible places alone -> maps, a learned token where hidden
                         -> U-Net's decoder -> every hidden patch, standardised       mean squared error

The decoder is that of a fine-tuning's U-Net, and can be handed on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sslseg.config.flags import knob
from sslseg.config.names import ParamError
from sslseg.config.params import Pretrain, again, per_preset
from sslseg.config.wanted import Crops, Wanted
from sslseg.methods.restoration._unet import RATES, Restorer, decoder_knob

if TYPE_CHECKING:
    from sslseg.training.contract import Batch, Encoder, Metrics, Tensor

SMALL = {"decoder": (16, 8, 8, 8, 8), "patch": 8}


@dataclass(frozen=True, kw_only=True)
class Params(Pretrain):
    """Self-supervised pretraining by masked modelling."""

    decoder: tuple[int, ...] = decoder_knob()
    patch: int = knob(help="side of a patch, pixels; divides image_size", low=1, presets=per_preset(32, 16),
                      source="SparK 3.1: as wide as the encoder shrinks; cpu, demo: [H] 16 patches of 64 pixels")  # fmt: skip
    hidden: float = knob(0.6, "share of the patches that is hidden", low=0.01, high=0.99, source="SparK 4.1: 60 %")  # fmt: skip
    crop_scale: tuple[float, float] = again("crop_scale", (0.67, 1.0),
                                          source="SparK's code: RandomResizedCrop(0.67, 1)")  # fmt: skip
    optimizer: str = again("optimizer", "adamw", source="SparK 4.1: LAMB; [H] AdamW, which it is made of")
    lr: float = again("lr", presets=RATES, source="[H] of AdamW on a whole U-Net")
    weight_decay: float = again("weight_decay", 0.04, source="SparK's code: 0.04 at first")
    clip: float = again("clip", 5.0, source="SparK's code: 5")


class Method:
    """A U-Net that restores what it does not see."""

    DECODER = True  # handed on beside the encoder

    @staticmethod
    def wanted(p: Params) -> Wanted:
        """One view of each slice, its brightness as it is."""
        return Wanted((Crops(1, jitter=False),))

    def __init__(self, encoder: Encoder, p: Params, *, seed: int):
        """Build a U-Net around a copy of `encoder` (headless timm network, [B,C,S,S] -> [B,F]).

        Raises:
            ParamError: patches do not tile a view, or none is hidden or visible.
        """
        import torch

        from sslseg.data import streams

        self.side = p.image_size // p.patch
        self.count = round(p.hidden * self.side**2)
        if p.image_size % p.patch or not 0 < self.count < self.side**2:
            raise ParamError(
                f"patch: wanted patches that tile {p.image_size} pixels, some hidden and some visible; {p.patch} pixels "
                f"and hidden={p.hidden} hide {self.count} of {self.side**2}"
            )
        self.unet, self.patch = Restorer(encoder, p.decoder, seed=seed), p.patch
        draw = streams.torch_generator(seed, "initialisation", 1)
        tokens = [
            0.02 * torch.randn(1, c, 1, 1, generator=draw) for c in self.unet.net.encoder.out_channels[1:]
        ]
        self.modules = self.unet.modules | {"tokens": torch.nn.ParameterList(tokens)}
        self.exports = self.unet.exports

    def mask(self, view: Tensor) -> Tensor:
        """Float [B,1,S,S], 1 where visible: as many patches hidden in each view, which ones torch's generator says."""
        import torch

        order = torch.rand(len(view), self.side**2, device=view.device).argsort(1)
        shown = (order >= self.count).to(view.dtype).view(-1, 1, self.side, self.side)
        return shown.repeat_interleave(self.patch, 2).repeat_interleave(self.patch, 3)

    def maps(self, view: Tensor, mask: Tensor) -> list[Tensor]:
        """The encoder's maps of what is visible; zero where nothing is."""
        from sslseg.methods.restoration import _sparse

        with _sparse.visible_only(self.modules["online"], mask):
            return self.unet.maps(view * mask)

    def loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """Mean squared error over the hidden patches, each standardised (SparK 3.4)."""
        from sslseg.methods.restoration import _sparse
        from sslseg.training import losses, vitals

        (view,) = batch.views
        mask = self.mask(view)
        seen = self.maps(view, mask)
        filled = [seen[0]] + [
            m + (1 - _sparse.at(mask, m)) * token
            for m, token in zip(seen[1:], self.modules["tokens"].parameters(), strict=True)
        ]
        value = losses.hidden_patches(self.unet.restored(filled), view, mask, self.patch)
        return value, vitals.of_batch(seen[-1].mean((2, 3)))
