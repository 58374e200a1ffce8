"""The decoder that an upstream run hands on with its encoder, for `decoder_from=upstream`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from sslseg.config import flags, names
from sslseg.config.files import known_sha256
from sslseg.config.names import EncoderError, ParamError
from sslseg.config.params import Finetune
from sslseg.tracking.registry import files
from sslseg.tracking.registry import resolve as registry
from sslseg.tracking.registry.resolve import Resolved

UPSTREAM = "upstream"


@dataclass(frozen=True)
class Handed:
    """Where a decoder lies, and what it is. Nothing of it has been read yet."""

    file: Path
    sha256: str
    channels: tuple[int, ...]


def of(p: Finetune, resolved: Resolved | None) -> Handed | None:
    """The decoder that a fine-tuning takes over; None where it draws its own.

    Raises:
        ParamError: from random weights there is none to be taken over.
        EncoderError: the upstream hands none on, or its file was changed.
    """
    if p.decoder_from != UPSTREAM:
        return None
    if resolved is None:
        raise ParamError("decoder_from=upstream: encoder=scratch has no upstream to take a decoder from")
    if sha := resolved.tags.get(names.MODEL_DECODER):
        file, channels = (
            resolved.path / names.DECODER_FILE,
            files.read_config(resolved.path)["sslseg"]["decoder"],
        )
        if not file.is_file() or known_sha256(file) != sha:
            raise EncoderError(
                f"run {resolved.run_id}: {file} was changed after it was logged: expected sha256 {sha}"
            )
        return Handed(file, sha, tuple(channels))
    if resolved.role != names.ROLE_FINE_TUNED:
        raise EncoderError(
            f"run {resolved.run_id}: it hands on an encoder alone, no decoder; leave decoder_from out, or take a "
            "fine-tuning or a method that trains a U-Net (masked, denoising) for its upstream"
        )
    whole = registry.resolve(resolved.run_id, kind=names.KIND_SEGMENTER, cache=p.cache)
    channels = files.read_config(whole.path)["decoder_channels"]
    return Handed(whole.path / names.WEIGHTS_FILE, whole.sha256, tuple(channels))


def settle(p: Finetune, handed: Handed | None) -> Finetune:
    """The parameters with the channels of the decoder that is taken over: what is logged, and in the identity.

    Raises:
        EncoderError: others were asked for, neither the preset's nor the upstream's.
    """
    if handed is None:
        return p
    if p.decoder not in (flags.usual(p, "decoder"), handed.channels):
        raise EncoderError(
            f"decoder: the upstream's has {flags.to_text(handed.channels)} channels, decoder={flags.to_text(p.decoder)} "
            "was asked for; leave decoder out"
        )
    return dataclasses.replace(p, decoder=handed.channels)
