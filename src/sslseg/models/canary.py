"""A network's answer to a fixed batch, kept in its folder and asked for again at every load.

A sha256 says that the file is the same. This says that the program still makes the same network of it: another
release of timm, smp or torch that builds, names or computes something else is found before anything is trained on it.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn

from sslseg.config.names import EncoderError
from sslseg.data import streams
from sslseg.models.modes import evaluating

if TYPE_CHECKING:
    from sslseg.models.encoder import Encoder

KEY = "canary"  # of "sslseg" in config.json
TOLERANCE = 1e-3  # of their scale: other machines and releases add up in another order
SAME = 1e-6  # same weights, same program, same machine: anything above it is another network
IMAGES = 4
CANARY_SIZE = 96  # pixels; the smallest view of a preset, and enough for every stem of timm
Answer = list[float]


def of_encoder(encoder: nn.Module, channels: int) -> Answer:
    """Of the deepest features of each image: their size, and one mixture of them.

    Raises:
        EncoderError: NaN, infinite, or a network that offers no features.
    """
    return _summary(canary(encoder, channels))


def of_segmenter(net: nn.Module, channels: int) -> Answer:
    """The same of the logits, through the decoder. Raises EncoderError: NaN or infinite."""
    return _summary(canary(net, channels, features=lambda model, batch: model(batch).flatten(1)))


def _summary(features: torch.Tensor) -> Answer:
    values = features.double()
    mixed = values @ torch.cos(torch.arange(values.shape[1], dtype=torch.float64))
    return [float(f"{v:.9g}") for v in (*values.norm(dim=1).tolist(), *mixed.tolist())]


def kept(answer: Callable[[nn.Module, int], Answer], net: nn.Module, channels: int) -> dict[str, Answer]:
    """What goes into a config; nothing for a network that gives no answer at this size (a ViT, say).

    Computed on the CPU, where it will be asked for: convolutions of a CUDA device round to TF32.
    """
    if next(net.parameters()).device.type != "cpu":
        net = copy.deepcopy(net).cpu()
    try:
        return {KEY: answer(net, channels)}
    except (EncoderError, AssertionError, RuntimeError):
        return {}


def check(
    config: dict, answer: Callable[[nn.Module, int], Answer], net: nn.Module, channels: int, context: str
) -> None:
    """Compare the network's answer with the one in its config; configs from before there were any pass.

    Raises:
        EncoderError: it is another one.
    """
    own = config.get("sslseg")
    wanted = own.get(KEY) if isinstance(own, dict) else None
    if wanted is None:
        return
    if not isinstance(wanted, list) or len(wanted) != 2 * IMAGES or not finite(wanted):
        raise EncoderError(
            f"{context}: wanted {2 * IMAGES} numbers under {KEY!r} in its config, got something else"
        )
    try:
        got = answer(net, channels)
    except (AssertionError, RuntimeError) as error:
        raise EncoderError(
            f"{context}: it takes no image of {CANARY_SIZE} px ({error}), yet has {KEY!r}"
        ) from None
    scale = max(1e-30, *(abs(v) for v in wanted[:IMAGES]))
    gap = max(abs(a - b) for a, b in zip(wanted, got, strict=True)) / scale
    if not gap <= TOLERANCE:
        raise EncoderError(
            f"{context}: this machine computes other features from these weights than the one that saved them: "
            f"{gap:.2g} of their size apart, allowed {TOLERANCE:g}; compare the releases of timm, smp and torch with "
            "those in the run's manifest"
        )


def finite(values: list) -> bool:
    """Whether a list out of a config holds finite numbers alone."""
    return all(type(v) in (int, float) and math.isfinite(v) for v in values)


# ---------------------------------------------------------------- the features themselves
def canary(
    model: nn.Module,
    channels: int,
    features: Callable[[nn.Module, torch.Tensor], torch.Tensor] | None = None,
    size: int = CANARY_SIZE,
) -> torch.Tensor:
    """Features of a fixed batch: the deepest trunk map in evaluation mode, averaged over space.

    Args:
        model: a timm encoder, or a U-Net whose `encoder` is one (its decoder is not run).
        channels: input channels.
        features: model, batch -> [4, F]; None: the deepest trunk map, averaged over space.
        size: side of the batch's images, pixels.

    Returns:
        float32 [4, F].

    Raises:
        EncoderError: the features are NaN or infinite, or the network offers no trunk map.
    """
    noise = streams.stream(0, "canary").standard_normal((IMAGES, channels, size, size))
    batch = torch.from_numpy(noise).float().to(next(model.parameters()).device)
    with evaluating(model):
        found = (features or _deepest)(model, batch).float().cpu()
    if not torch.isfinite(found).all():
        raise EncoderError(
            "the encoder's features of a fixed batch are NaN or infinite: its weights are damaged"
        )
    return found


def _deepest(model: nn.Module, batch: torch.Tensor, width: int = 0) -> torch.Tensor:
    """Of the trunk's last map; of the last that is `width` channels wide where a network has some behind it."""
    if trunk := getattr(model, "encoder", None):
        return trunk(batch)[-1].mean(dim=(2, 3))
    if (maps_of := getattr(model, "forward_intermediates", None)) is None:
        raise EncoderError(f"{type(model).__name__} offers no intermediate features; wanted a timm CNN")
    maps = maps_of(batch, intermediates_only=True)
    return [m for m in maps if width in (0, m.shape[1])][-1].mean(dim=(2, 3))


def same_features(donor: Encoder, consumer: nn.Module, channels: int, *, context: str) -> None:
    """Prove that both networks compute the same.

    Raises:
        EncoderError: features of the canary batch differ by more than 1e-6 of their scale.
    """
    trunk = getattr(consumer, "encoder", None)
    width = trunk.out_channels[-1] if trunk else 0
    features = functools.partial(_deepest, width=width)
    size = _size(donor, channels)
    sent = canary(donor, channels, features, size)
    arrived = canary(consumer, channels, features, size)
    if sent.shape != arrived.shape:
        raise EncoderError(f"{context}: wanted features {tuple(sent.shape)}, got {tuple(arrived.shape)}")
    gap, scale = (sent - arrived).abs().max().item(), max(1.0, sent.abs().max().item())
    if gap > SAME * scale:
        raise EncoderError(
            f"{context}: features of a fixed batch differ by {gap:.3g} (allowed {SAME * scale:.3g})"
        )


def _size(model: Encoder, channels: int) -> int:
    """Side of an image that the network reads: the canary's, or the one it is made for."""
    try:
        canary(model, channels)
    except (AssertionError, RuntimeError):
        return int(model.pretrained_cfg["input_size"][1])
    return CANARY_SIZE
