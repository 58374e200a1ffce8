"""The U-Net that a restoring method trains: encoder, decoder and a head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sslseg.config.flags import knob
from sslseg.config.params import per_preset

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sslseg.models.encoder import Encoder

DECODER = per_preset((256, 128, 64, 32, 16), (128, 64, 32, 16, 16))  # fmt: skip
RATES = per_preset(1e-3, 1e-3)


def decoder_knob() -> Any:
    """The line `decoder` of a method's parameters: as in fine-tuning, so that the decoder fits there."""
    return knob(
        help="channels of the decoder's stages, deepest first", low=1, presets=DECODER,
        source="as fine-tuning: smp's default around ResNet-50; cpu, demo: [H]",
    )  # fmt: skip


class Restorer:
    """A U-Net around a copy of a timm encoder, and the tensors of it that a U-Net has no place for."""

    def __init__(self, encoder: Encoder, channels: tuple[int, ...], *, seed: int, values: int = 0):
        """Build it. `values`: of the head, for each pixel; 0 = one for each channel of the encoder's images."""
        from sslseg.models import encoder as encoders
        from sslseg.models import unet

        architecture, state = encoder.pretrained_cfg["architecture"], encoder.state_dict()
        read = state[f"{encoders.first_convolutions(architecture)[0]}.weight"].shape[1]
        self.config = {"architecture": architecture, "model_args": {"in_chans": read}}
        self.net, self.carried = unet.build(
            state, self.config, classes=values or read, decoder_channels=channels, seed=seed
        )
        self.modules: dict[str, nn.Module] = {
            "online": self.net.encoder,
            "decoder": self.net.decoder,
            "head": self.net.segmentation_head,
        }
        for module in self.modules.values():
            module.train().requires_grad_(True)

    def maps(self, images: Tensor) -> list[Tensor]:
        """[B,C,S,S] -> the encoder's maps, the finest first."""
        return self.net.encoder(images)

    def restored(self, maps: list[Tensor]) -> Tensor:
        """The encoder's maps -> [B,C,S,S]."""
        return self.net.segmentation_head(self.net.decoder(maps))

    def exports(self) -> dict[str, nn.Module]:
        """Role -> the timm encoder, as a copy on its device."""
        from sslseg.models import encoder as encoders
        from sslseg.models import unet

        found = encoders.from_state(unet.encoder_state(self.net, self.carried), self.config)
        return {"online": found.to(next(self.net.parameters()).device)}
