"""Floor 1b: the folder a fine-tuned U-Net is kept in; all that prediction needs is in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp

from sslseg.models import folders, unet
from sslseg.models.audit import audit
from sslseg.names import EncoderError

KEYS = ("architecture", "classes", "decoder_channels", "law", "spacing")


def save(
    net: smp.Unet,
    folder: Path | str,
    *,
    architecture: str,
    channels: int,
    classes: Sequence[str],
    decoder_channels: Sequence[int],
    law: Mapping[str, Any] | Any,
    spacing: float,
    extra: Mapping[str, Any] | None = None,
) -> str:
    """Write a segmenter folder.

    Args:
        classes: names, background first; their number is the network's output channels.
        law: intensity law, a mapping or a dataclass.
        spacing: in-plane spacing the network was trained at, mm; 0 = each slice's own.
        extra: JSON values, kept under "sslseg" (image domain, run ID …).

    Returns:
        sha256 of the weights file.

    Raises:
        EncoderError: the network is not what the arguments describe, or its weights are not finite.
    """
    law = dataclasses.asdict(law) if dataclasses.is_dataclass(law) else dict(law)
    config = {
        "architecture": architecture,
        "model_args": {"in_chans": channels},
        "classes": list(classes),
        "decoder_channels": list(decoder_channels),
        "law": law,
        "spacing": float(spacing),
        "sslseg": {"format": 1, **(extra or {})},
    }
    audit(_empty(config).state_dict(), net.state_dict()).raise_for_problems(
        f"saving a U-Net around {architecture}"
    )
    return folders.write(folder, net.state_dict(), config)


def load(folder: Path | str) -> tuple[smp.Unet, dict]:
    """The U-Net of a folder in evaluation mode, and its config.

    Raises:
        EncoderError: a file is absent or damaged, an encoder folder was given, or tensors do not match.
    """
    state, config = folders.read(folder)
    absent = [key for key in KEYS if key not in config]
    if absent:
        raise EncoderError(
            f"{folder}: not a segmenter, its config lacks {', '.join(absent)} (an encoder folder?)"
        )
    net = _empty(config)
    audit(net.state_dict(), state).raise_for_problems(f"segmenter folder {folder}")
    net.load_state_dict(state, strict=True)
    return net.eval(), config


def _empty(config: dict) -> smp.Unet:
    channels = config["model_args"]["in_chans"]
    return unet.empty(config["architecture"], channels, len(config["classes"]), config["decoder_channels"])
