"""Whether a network can read images of a size: some read one size alone, others none that is small."""

from collections.abc import Iterable

import torch
from torch import nn

from sslseg.config.names import EncoderError
from sslseg.models import encoder
from sslseg.models.modes import evaluating


def check(net: nn.Module, architecture: str, channels: int, sizes: Iterable[tuple[int, int]]) -> None:
    """Send one black image of each size (height, width) through a network that is still on the CPU.

    Raises:
        EncoderError: it cannot read one of them; says which it is made for.
    """
    with evaluating(net):
        for height, width in dict.fromkeys(sizes):
            try:
                net(torch.zeros(1, channels, height, width))
            except (AssertionError, RuntimeError, ValueError, IndexError) as error:
                raise EncoderError(_sentence(architecture, height, width, error)) from error


def _sentence(architecture: str, height: int, width: int, error: Exception) -> str:
    cfg = encoder.skeleton(architecture, 3).pretrained_cfg
    made = " x ".join(map(str, cfg["input_size"][1:]))
    only = f"it reads images of {made} alone" if cfg.get("fixed_input_size") else f"timm made it for {made}"
    why = str(error).strip().partition("\n")[0]
    return (
        f"{architecture} cannot read an image of {height} x {width} pixels: {only}"
        f"{f' ({why[:120]})' if why else ''}. image_size sets the size of views; slices are validated and tested whole, "
        "padded to multiples of 32. Networks without a size of their own (resnet50, tf_efficientnet_lite0) read any"
    )
