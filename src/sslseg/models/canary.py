"""Floor 1b: a network's answer to a fixed batch, kept in its folder and asked for again at every load.

A sha256 says that the file is the same. This says that the program still makes the same network of it: another
release of timm, smp or torch that builds, names or computes something else is found before anything is trained on it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from sslseg.models import audit
from sslseg.names import EncoderError

KEY = "canary"  # of "sslseg" in config.json
TOLERANCE = 1e-3  # of their scale: other machines and releases add up in another order
IMAGES = audit.CANARY_BATCH
Answer = list[float]


def of_encoder(encoder: nn.Module, channels: int) -> Answer:
    """Of the deepest features of each image: their size, and one mixture of them.

    Raises:
        EncoderError: NaN, infinite, or a network that offers no features.
    """
    return _summary(audit.canary(encoder, channels))


def of_segmenter(net: nn.Module, channels: int) -> Answer:
    """The same of the logits, through the decoder.

    Raises:
        EncoderError: NaN or infinite.
    """
    return _summary(audit.canary(net, channels, features=lambda model, batch: model(batch).flatten(1)))


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
    if not _numbers(wanted):
        raise EncoderError(
            f"{context}: wanted {2 * IMAGES} numbers under {KEY!r} in its config, got something else"
        )
    try:
        got = answer(net, channels)
    except (AssertionError, RuntimeError) as error:
        raise EncoderError(
            f"{context}: it takes no image of {audit.CANARY_SIZE} px ({error}), yet has {KEY!r}"
        ) from None
    scale = max(1e-30, *(abs(v) for v in wanted[:IMAGES]))
    gap = max(abs(a - b) for a, b in zip(wanted, got, strict=True)) / scale
    if not gap <= TOLERANCE:
        raise EncoderError(
            f"{context}: this machine computes other features from these weights than the one that saved them: "
            f"{gap:.2g} of their size apart, allowed {TOLERANCE:g}; compare the releases of timm, smp and torch with "
            "those in the run's manifest"
        )


def _numbers(values: Any) -> bool:
    return (
        isinstance(values, list) and len(values) == 2 * IMAGES
        and all(type(v) in (int, float) and math.isfinite(v) for v in values)
    )  # fmt: skip
