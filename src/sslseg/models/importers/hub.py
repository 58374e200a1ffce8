"""Folders as hubs hand them out: `config.json` beside the weights, which may lie in several files.

Read are timm's, transformers' (ResNet, ConvNeXt, and its wrappers of timm), smp's `save_pretrained`, and this project's.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm

from sslseg.config.names import CONFIG_FILE, WEIGHTS_FILE, EncoderError
from sslseg.config.texts import some
from sslseg.models.canary import finite
from sslseg.models.exporters import twins
from sslseg.models.folders import read_json
from sslseg.models.importers import kinds

PREPROCESSOR = "preprocessor_config.json"
WHOLE = (WEIGHTS_FILE, "pytorch_model.bin")
SUFFIXES = (".safetensors", ".bin", ".pth", ".pt", ".ckpt", ".tar")
PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.\w+")  # of a checkpoint in several files
# of timm's model_args: they change no encoder
IGNORED = {"in_chans", "num_classes", "global_pool", "img_size"}
KNOWN = ("resnet", "convnext", "convnextv2")  # of transformers' model_type: they are found by their tensors
# of its resnets that stride elsewhere, by the same names
STRIDES = ("downsample_in_bottleneck", "downsample_in_first_stage")


@dataclass(frozen=True)
class Described:
    """What a config says of the weights beside it."""

    architecture: str = ""  # timm's name
    normalisation: dict[str, Any] | None = None  # mean and std on [0, 1]
    unknown: str = ""  # a kind of network of transformers whose names are not known
    tag: str = ""  # timm's of the weights: a1_in1k


def files(source: Path) -> tuple[list[Path], list[Path]]:
    """The files of weights of a source, and the texts that describe them: those of a folder, or beside a file.

    Texts beside a file describe it if it is what its folder would be read for.

    Raises:
        EncoderError: no weights, several that could be meant, a part is missing, or a part is the source.
    """
    if source.is_dir():
        return _of_folder(source)
    if (part := PART.fullmatch(source.name)) and part[3] != "00001":
        raise EncoderError(
            f"{source}: one of {int(part[3])} parts of a checkpoint; the folder is what is given as the source"
        )
    texts = _texts(source.parent)
    try:
        described = texts and (source.name in WHOLE or _of_folder(source.parent)[0] == [source])
    except EncoderError:  # one of several networks
        described = False
    return [source], texts if described else []


def _texts(folder: Path) -> list[Path]:
    return [folder / name for name in (CONFIG_FILE, PREPROCESSOR) if (folder / name).is_file()]


def _of_folder(folder: Path) -> tuple[list[Path], list[Path]]:
    inside = sorted(folder.iterdir())
    found = [file for file in inside if file.suffix in SUFFIXES and file.is_file()]
    # a hub's own, with accelerate's further networks, and then in parts
    own = (name.replace(".", more) for name in WHOLE for more in (r"(_\d+)?\.", r"-\d{5}-of-\d{5}\."))
    known = ([file for file in found if re.fullmatch(name, file.name)] for name in own)
    found = next(filter(None, known), found)
    matches = [PART.fullmatch(file.name) for file in found]
    parts = {match.groups()[::2] for match in matches if match}  # name, number of parts
    whole = len(parts) == 1 and all(matches) and len(found) == int(next(iter(parts))[1])
    if whole or (len(found) == 1 and not parts):
        return found, _texts(folder)
    names = some((file.name for file in found), 6)
    if parts:
        wanted = ", ".join(f"{stem}-*-of-{count}" for stem, count in sorted(parts))
        raise EncoderError(f"{folder}: wanted all parts of {wanted}; found {names}")
    wanted = f"{folder}: wanted {' or '.join(WHOLE)}, or one file of weights; found"
    if found:
        raise EncoderError(f"{wanted} {names}: name one of them")
    if kind := kinds.named(file.name for file in inside):
        raise EncoderError(f"{folder}: it holds {kind}")
    below = [f.name for f in inside if f.is_dir() and not f.name.startswith(".")]
    raise EncoderError(
        f"{wanted} none" + (f"; folders in it are not entered: {some(below)}" if below else "")
    )


def describe(texts: list[Path]) -> Described:
    """What config.json and preprocessor_config.json say; nothing where there is none.

    Raises:
        EncoderError: not JSON, or it asks for a variant of the network that timm's name alone does not build.
    """
    told = {text.name: read_json(text) for text in texts}
    config, seen = told.get(CONFIG_FILE, {}), told.get(PREPROCESSOR, {})
    given, own, kind = config.get("pretrained_cfg"), config.get("law"), config.get("model_type")
    cfg = given if isinstance(given, dict) else config
    normalisation = (
        _normalisation(cfg, "mean", "std")
        or _normalisation(seen, "image_mean", "image_std")
        or _normalisation(own if isinstance(own, dict) else {}, "mean", "std")
    )
    architecture, tag = _architecture(config)
    strange = set(config["model_args"]) - IGNORED if isinstance(config.get("model_args"), dict) else set()
    if architecture and strange:
        raise EncoderError(
            f"{texts[0]}: it builds its network with {some(sorted(map(str, strange)))}, and so another "
            "one than timm's name alone says; this project builds networks by name"
        )
    tag = cfg.get("tag") or tag
    known = architecture or (kind in KNOWN and not any(map(config.get, STRIDES)))
    unknown = kind if isinstance(kind, str) and not known else ""
    return Described(architecture, normalisation, unknown, tag if isinstance(tag, str) else "")


def _normalisation(table: Mapping, mean: str, std: str) -> dict[str, Any] | None:
    values: list[Any] = [table.get(mean), table.get(std)]
    sound = all(isinstance(v, list) and 1 <= len(v) <= 64 and finite(v) for v in values)
    if not sound or min(values[1]) <= 0:
        return None
    means, stds = ([float(x) for x in v] for v in values)
    return {"mean": means, "std": stds, "known_from": "its config"}


def _architecture(config: Mapping) -> tuple[str, str]:
    """timm's name of the network that a config names, and the tag behind it; "" where there is none."""
    for key in ("architecture", "backbone"):  # timm's folders, transformers' wrappers of timm
        name, _, tag = str(config.get(key)).partition(".")
        if timm.is_model(name):
            return name, tag
    name = str(config.get("encoder_name")).removeprefix("tu-").removeprefix("timm-")  # smp
    name = {theirs: ours for ours, theirs in twins.SMP.items()}.get(name, name)
    return name if timm.is_model(name) else "", ""
