"""Folders as hubs hand them out: `config.json` beside the weights, which may lie in several files.

Read are timm's, transformers' (ResNet, ConvNeXt, and its wrappers of timm), smp's `save_pretrained`, and this project's.
"""

from __future__ import annotations

import dataclasses
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
from sslseg.models.folders import CONFIG_LIMIT, read_json
from sslseg.models.importers.kinds import NAMES, TENSORFLOW
from sslseg.models.importers.naming import CONVNEXTS, RESNETS

PREPROCESSOR = "preprocessor_config.json"
WHOLE = (WEIGHTS_FILE, "pytorch_model.bin")
SUFFIXES = (".safetensors", ".bin", ".pth", ".pt", ".ckpt", ".tar")
PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.\w+")  # of a checkpoint in several files
DISTRIBUTED = (
    "a checkpoint of torch.distributed in shards; `python -m torch.distributed.checkpoint.format_utils dcp_to_torch` makes one "
    "file of it"
)
# names of files -> what a folder is that is none of these
OTHERS = {
    ".metadata": DISTRIBUTED, "*.distcp": DISTRIBUTED,
    "saved_model.pb": f"a SavedModel of TensorFlow; {TENSORFLOW}", "*.index": f"a checkpoint of TensorFlow; {TENSORFLOW}",
    "*.h5": f"a folder of Keras; {TENSORFLOW}", "*.msgpack": NAMES[r"\.msgpack"],
}  # fmt: skip
# of timm's model_args: they change no encoder
IGNORED = {"in_chans", "num_classes", "global_pool", "img_size"}


@dataclass(frozen=True)
class Described:
    """What a config says of the weights beside it."""

    architectures: tuple[str, ...] = ()  # timm names; shapes tell them apart
    normalisation: dict[str, Any] | None = None  # mean and std on [0, 1]
    unknown: str = ""  # a kind of network whose names are not known
    tag: str = ""  # timm's of the weights: a1_in1k
    files: tuple[str, ...] = ()  # what was read of the folder


def texts(file: Path) -> list[Path]:
    """The texts that describe a file of weights: those beside it, if it is what its folder would be read for.

    Raises:
        EncoderError: it is one of several parts.
    """
    if (part := PART.fullmatch(file.name)) and part[3] != "00001":
        raise EncoderError(
            f"{file}: one of {int(part[3])} parts of a checkpoint; the folder is what is given as the source"
        )
    if not (found := _texts(file.parent)):
        return []
    try:
        return found if file.name in WHOLE or files(file.parent)[0] == [file] else []
    except EncoderError:
        return []  # one of several networks


def beside(file: Path) -> Described:
    """What the texts beside a file of weights say of it.

    Raises:
        EncoderError: see `texts` and `describe`.
    """
    if not (found := texts(file)):
        return Described()
    return dataclasses.replace(describe(file.parent), files=(file.name, *(text.name for text in found)))


def _texts(folder: Path) -> list[Path]:
    return [folder / name for name in (CONFIG_FILE, PREPROCESSOR) if (folder / name).is_file()]


def files(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files of weights that are read, and the texts beside them that describe them.

    Raises:
        EncoderError: none, several that could be meant, or a part is missing.
    """
    texts = _texts(folder)
    for name in WHOLE:
        index = folder / f"{name}.index.json"
        if index.is_file():
            return _parts(index), [*texts, index]
        if (folder / name).is_file():
            more = folder.glob(name.replace(".", "_[0-9]*."))  # accelerate's second network
            if several := ", ".join(sorted(file.name for file in more)):
                raise EncoderError(
                    f"{folder}: several networks are in it, {name}, {several}: name the file that is meant"
                )
            return [folder / name], texts
    found = sorted(f for f in folder.iterdir() if f.suffix in SUFFIXES and f.is_file())
    matches = [PART.fullmatch(file.name) for file in found]
    parts = {match.groups()[::2] for match in matches if match}  # name, number of parts
    whole = len(parts) == 1 and all(matches) and len(found) == int(next(iter(parts))[1])
    if whole or (len(found) == 1 and not parts):
        return found, texts
    if parts:
        raise EncoderError(
            f"{folder}: wanted all parts of {', '.join(f'{s}-*-of-{n}' for s, n in sorted(parts))}, or their "
            f"index; found {some((file.name for file in found), 6)}"
        )
    if not found and (kind := next((said for name, said in OTHERS.items() if any(folder.glob(name))), "")):
        raise EncoderError(f"{folder}: {kind}")
    inside = sorted(f.name for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))
    raise EncoderError(
        f"{folder}: wanted {' or '.join(WHOLE)}, or one file of weights; found "
        + (", ".join(f.name for f in found) + ": name one of them" if found else "none")
        + ("" if found or not inside else f"; folders in it are not entered: {some(inside)}")
    )


def _parts(index: Path) -> list[Path]:
    table = read_json(index, most=16 * CONFIG_LIMIT).get("weight_map")
    if not isinstance(table, dict) or not table or not all(isinstance(name, str) for name in table.values()):
        raise EncoderError(f"{index}: wanted 'weight_map', tensors and the files they are in")
    parts = sorted(set(table.values()))
    absent = [name for name in parts if Path(name).name != name or not (index.parent / name).is_file()]
    if absent:
        raise EncoderError(
            f"{index}: {len(absent)} of {len(parts)} parts are not in the folder: {some(absent)}"
        )
    return [index.parent / name for name in parts]


def describe(folder: Path) -> Described:
    """What config.json and preprocessor_config.json say; nothing where there is none.

    Raises:
        EncoderError: not JSON, or it asks for a variant of the network that timm's name alone does not build.
    """
    told = {text.name: read_json(text) for text in _texts(folder)}
    config, seen = told.get(CONFIG_FILE, {}), told.get(PREPROCESSOR, {})
    given, own = config.get("pretrained_cfg"), config.get("law")
    cfg = given if isinstance(given, dict) else config
    normalisation = (
        _normalisation(cfg, "mean", "std")
        or _normalisation(seen, "image_mean", "image_std")
        or _normalisation(own if isinstance(own, dict) else {}, "mean", "std")
    )
    architectures = _architectures(config, folder)
    kind = config.get("model_type")
    name = config.get("architecture")
    tag = cfg.get("tag") or (name.partition(".")[2] if isinstance(name, str) else "")
    unknown = kind if isinstance(kind, str) and not architectures else ""
    return Described(architectures, normalisation, unknown, tag if isinstance(tag, str) else "")


def _normalisation(table: Mapping, mean: str, std: str) -> dict[str, Any] | None:
    values: list[Any] = [table.get(mean), table.get(std)]
    if (
        not all(isinstance(v, list) and 1 <= len(v) <= 64 and finite(v) for v in values)
        or min(values[1]) <= 0
    ):
        return None
    means, stds = ([float(x) for x in v] for v in values)
    return {"mean": means, "std": stds, "known_from": "its config"}


def _architectures(config: Mapping, folder: Path) -> tuple[str, ...]:
    for key in ("architecture", "backbone"):  # timm's folders, transformers' wrappers of timm
        name = config.get(key)
        if isinstance(name, str) and timm.is_model(name.partition(".")[0]):
            _check_arguments(config.get("model_args"), folder)
            return (name.partition(".")[0],)
    name = config.get("encoder_name")
    if isinstance(name, str):  # smp
        name = name.removeprefix("tu-").removeprefix("timm-")
        name = {theirs: ours for ours, theirs in twins.SMP.items()}.get(name, name)
        return (name,) if timm.is_model(name) else ()
    kind, depths, widths = (config.get(key) for key in ("model_type", "depths", "hidden_sizes"))
    if not isinstance(depths, list) or not all(type(n) is int for n in depths):
        return ()
    if kind == "resnet" and not any(
        map(config.get, ("downsample_in_bottleneck", "downsample_in_first_stage"))
    ):
        return RESNETS.get((tuple(depths), config.get("layer_type", "bottleneck") == "bottleneck"), ())
    if kind in ("convnext", "convnextv2") and isinstance(widths, list) and widths:
        size = CONVNEXTS.get((tuple(depths), widths[0])) if type(widths[0]) is int else None
        return (f"{kind}_{size}",) if size else ()
    return ()


def _check_arguments(arguments: object, folder: Path) -> None:
    strange = set(arguments) - IGNORED if isinstance(arguments, dict) else set()
    if strange:
        raise EncoderError(
            f"{folder / CONFIG_FILE}: it builds its network with {some(sorted(map(str, strange)))}, and so another "
            "one than timm's name alone says; this project builds networks by name"
        )
