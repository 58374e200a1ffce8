"""The folder a fine-tuned U-Net is kept in; all that prediction needs is in it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
from torch import nn

from sslseg.config.names import DECODER_FILE, EncoderError
from sslseg.data.slices.intensity import Intensity
from sslseg.models import canary, encoder, folders, unet
from sslseg.models.audit import audit
from sslseg.models.encoder import State
from sslseg.models.modes import Unfilled

KEYS = ("architecture", "classes", "decoder_channels", "law", "spacing")
MOST_CLASSES = 254  # values of a uint8 mask, without the one that is ignored
DECODER = "decoder."  # of the names of a decoder's tensors among a U-Net's
WIDEST = 4096  # channels of a decoder stage


def save(
    net: smp.Unet,
    folder: Path | str,
    *,
    architecture: str,
    channels: int,
    classes: Sequence[str],
    decoder_channels: Sequence[int],
    normalisation: Intensity,
    spacing: float,
    extra: Mapping[str, Any] | None = None,
) -> str:
    """Write a segmenter folder.

    Args:
        classes: names, background first; their number is the network's output channels.
        normalisation: of the input.
        spacing: in-plane spacing the network was trained at, mm; 0 = each slice's own.
        extra: JSON values, kept under "sslseg" (image domain, run ID …).

    Returns:
        sha256 of the weights file.

    Raises:
        EncoderError: the network is not what the arguments describe, or its weights are not finite.
    """
    config: dict[str, Any] = {
        "architecture": architecture,
        "model_args": {"in_chans": channels},
        "classes": list(classes),
        "decoder_channels": list(decoder_channels),
        "law": normalisation.to_json(),
        "spacing": float(spacing),
        "sslseg": {"format": 1, **(extra or {})},
    }
    wanted, state = unet.skeleton(*_shape(config)).state_dict(), net.state_dict()
    audit(wanted, state).raise_for_problems(f"saving a U-Net around {architecture}")
    config["sslseg"] |= canary.kept(canary.of_segmenter, net, channels)
    return folders.write(folder, state, config)


def load(folder: Path | str) -> tuple[smp.Unet, dict]:
    """The U-Net of a folder in evaluation mode, and its config.

    Raises:
        EncoderError: a file is absent or damaged, an encoder folder was given, tensors do not match, or see
            `canary.check`.
    """
    state, config = folders.read(folder)
    if absent := [key for key in KEYS if key not in config]:
        raise EncoderError(
            f"{folder}: not a segmenter, its config lacks {', '.join(absent)} (an encoder folder?)"
        )
    if faults := _faults(config):
        raise EncoderError(f"{folder}: {'; '.join(faults)}")
    shape = _shape(config)  # a config may name a network far beyond its weights: compared without storage
    audit(unet.skeleton(*shape).state_dict(), state).raise_for_problems(f"segmenter folder {folder}")
    with Unfilled():
        net = unet.empty(*shape)
    net.load_state_dict(state, strict=True)
    channels = encoder.channels_of(config)
    canary.check(config, canary.of_segmenter, net.eval(), channels, f"segmenter folder {folder}")
    return net, config


def _faults(config: dict) -> list[str]:
    """What no network could be made of, found before one is made."""
    classes, decoder, spacing = config["classes"], config["decoder_channels"], config["spacing"]
    named = isinstance(classes, list) and all(isinstance(name, str) and name for name in classes)
    numbers = isinstance(decoder, list) and all(type(n) is int and 1 <= n <= WIDEST for n in decoder)
    reading = config.get("sslseg", {}).get("reading", {})
    axis = reading.get("axis", 0) if isinstance(reading, dict) else None
    told = named and len(set(classes)) == len(classes) and 1 <= len(classes) <= MOST_CLASSES
    sound = {
        f"wanted 'classes', 1 to {MOST_CLASSES} names, all different": told,
        "wanted 'reading' under 'sslseg' with an axis 0, 1 or 2": str(axis) in ("0", "1", "2"),
        f"wanted 'decoder_channels', numbers from 1 to {WIDEST:,}": numbers,
        "wanted 'spacing' in mm, 0 = each slice's own": type(spacing) in (int, float) and 0 <= spacing < 1e3,
        "wanted an object under 'law'": isinstance(config["law"], dict),
    }
    return [sentence for sentence, fine in sound.items() if not fine]


def _shape(config: dict) -> tuple[str, int, int, tuple[int, ...]]:
    decoder = tuple(config["decoder_channels"])
    return config["architecture"], encoder.channels_of(config), len(config["classes"]), decoder


# ---------------------------------------------------------------- the decoder alone, handed on with an encoder
def write_decoder(folder: Path | str, decoder: nn.Module) -> None:
    """Write DECODER_FILE into an encoder's folder. Raises EncoderError: a tensor holds NaN or infinity."""
    folders.write_weights(Path(folder) / DECODER_FILE, decoder.state_dict())


def read_decoder(file: Path, architecture: str, channels: int, decoder_channels: Sequence[int]) -> State:
    """Tensors of the decoder in `file`, all of them: an encoder's DECODER_FILE, or a segmenter's weights.

    Raises:
        EncoderError: absent, damaged, or not the decoder of such a U-Net.
    """
    state = folders.read_weights(file)
    if file.name != DECODER_FILE:
        state = {k.removeprefix(DECODER): v for k, v in state.items() if k.startswith(DECODER)}
    wanted = unet.skeleton(architecture, channels, 1, tuple(decoder_channels)).decoder.state_dict()
    audit(wanted, state).raise_for_problems(f"decoder in {file}")
    return state
