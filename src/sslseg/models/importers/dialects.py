"""An encoder out of somebody else's checkpoint, in timm's names and complete.

A file is read under every convention it could follow. None is believed: a reading counts only if each
tensor of the timm network is there under its name and with its shape, and nothing is left over but heads.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from sslseg.config.names import EncoderError
from sslseg.models import encoder
from sslseg.models.audit import Audit, audit
from sslseg.models.importers import torchfile
from sslseg.models.importers.conventions import (
    CONTAINERS,
    CONVENTIONS,
    DIALECTS,
    HEADS,
    UNKNOWN,
    Convention,
    resnet,
)

State = dict[str, torch.Tensor]
COUNTER = ".num_batches_tracked"  # files older than torch 0.4.1 lack it; batch norm with momentum ignores it


@dataclass(frozen=True)
class Imported:
    """An encoder in timm's names, complete, and what its file says of it."""

    state: State  # the timm network's order and types, own memory
    architecture: str
    channels: int  # input channels of the first convolution
    dialect: str
    role: str  # "target", "online", or "imported" where a file has one network only
    method: str  # "byol", "supervised", …; "unknown" where the file does not say
    dropped: tuple[str, ...] = ()  # tensors of the file that were not taken: heads, other networks
    filled: tuple[str, ...] = ()  # batch counters that an old file lacks, set to 0


@dataclass(frozen=True)
class _Reading:
    """A state dict under one convention, compared with a timm network."""

    convention: Convention
    tensors: State
    architecture: str
    channels: int
    audit: Audit

    @property
    def fits(self) -> bool:
        return self.audit.complete and bool(self.audit.matched)

    @property
    def share(self) -> str:
        found = self.audit
        return f"{len(found.matched)}/{len(found.matched) + len(found.missing) + len(found.mismatched)}"


def read(path: Path | str, *, architecture: str = "", dialect: str = "") -> Imported:
    """The encoder of a local checkpoint; nothing in it is unpickled or called.

    Args:
        architecture: timm name; "" = found from the file (ResNets, and files that name it).
        dialect: one of DIALECTS; "" = whichever fits, target networks first.

    Raises:
        EncoderError: the file is damaged, or no convention covers every tensor of the network.
    """
    if dialect and dialect not in DIALECTS:
        raise EncoderError(f"dialect: must be one of {', '.join(DIALECTS)}; not {dialect!r}")
    content = load(path)
    tables = tables_of(content)
    if not any(tables.values()):
        raise EncoderError(f"{path}: wanted a state dict, found no tensors in it")
    readings = []
    for reading in _readings(tables, architecture or _named(content)):
        if reading.fits and dialect in ("", reading.convention.dialect):
            return _take(reading, tables, content, path)
        readings.append(reading)
    raise EncoderError(_refusal(path, dialect, readings, tables))


# ---------------------------------------------------------------- files
def load(path: Path | str) -> object:
    """What a checkpoint holds, inert (see `torchfile.read`), or the tensors of a safetensors file.

    Raises:
        EncoderError: absent or damaged.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        return torchfile.read(path)
    if not path.is_file():
        raise EncoderError(f"{path}: wanted a checkpoint file, there is none")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise EncoderError(f"{path}: damaged safetensors file ({error})") from error


def tables_of(content: object) -> dict[str, State]:
    """container key -> its tensors by name; "" is the top of the checkpoint."""
    if not isinstance(content, Mapping):
        return {}
    keys = {convention.container for convention in CONVENTIONS} | set(CONTAINERS)
    tables = {key: content if key == "" else content.get(key) for key in keys}
    return {key: _tensors(table) for key, table in tables.items() if isinstance(table, Mapping)}


def _tensors(table: Mapping) -> State:
    """Without what DataParallel and torch.compile put into the names."""
    found = {
        name.replace("_orig_mod.", ""): tensor
        for name, tensor in table.items()
        if isinstance(name, str) and isinstance(tensor, torch.Tensor)
    }
    if all(name.startswith("module.") for name in found):
        return {name.removeprefix("module."): tensor for name, tensor in found.items()}
    return found


# ---------------------------------------------------------------- readings
def _readings(tables: Mapping[str, State], architecture: str) -> Iterator[_Reading]:
    for convention in CONVENTIONS:
        for container in (convention.container,) if convention.container else CONTAINERS:
            renamed = {convention.rename(name): tensor for name, tensor in tables.get(container, {}).items()}
            renamed.pop(None, None)
            name = architecture or resnet(renamed)
            if renamed and name:
                channels = _channels(renamed, name)
                yield _Reading(convention, renamed, name, channels, _compare(renamed, name, channels))


def _named(content: object) -> str:
    """The architecture that timm's training script writes beside the weights."""
    name = content.get("arch") if isinstance(content, Mapping) else None
    return name if isinstance(name, str) and timm.is_model(name) else ""


@functools.lru_cache(maxsize=8)
def _target(architecture: str, channels: int) -> State:
    return encoder.skeleton(architecture, channels).state_dict()


def _channels(tensors: State, architecture: str) -> int:
    first = tensors.get(f"{encoder.first_convolutions(architecture)[0]}.weight")
    return int(first.shape[1]) if first is not None and first.ndim == 4 and 1 <= first.shape[1] <= 64 else 3


def _compare(tensors: State, architecture: str, channels: int) -> Audit:
    target = _target(architecture, channels)
    old = not any(name.endswith(COUNTER) for name in tensors)
    wanted = {name: tensor for name, tensor in target.items() if not (old and name.endswith(COUNTER))}
    return audit(wanted, tensors, head_keys=HEADS)


def _take(reading: _Reading, tables: Mapping[str, State], content: object, path: Path | str) -> Imported:
    target = _target(reading.architecture, reading.channels)
    taken = {id(reading.tensors[name]) for name in target if name in reading.tensors}
    left = [name for table in tables.values() for name, tensor in table.items() if id(tensor) not in taken]
    return Imported(
        state={name: _own(name, like, reading.tensors.get(name), path) for name, like in target.items()},
        architecture=reading.architecture, channels=reading.channels, dialect=reading.convention.dialect,
        role=reading.convention.role, method=_method(reading, content),
        dropped=tuple(dict.fromkeys(left)), filled=tuple(n for n in target if n not in reading.tensors),
    )  # fmt: skip


def _own(name: str, like: torch.Tensor, tensor: torch.Tensor | None, path: Path | str) -> torch.Tensor:
    """A copy in the network's type; tensors of a file may share memory."""
    if tensor is None:
        return torch.zeros(like.shape, dtype=like.dtype)
    if tensor.is_complex() or tensor.is_floating_point() != like.is_floating_point():
        raise EncoderError(f"{path}: wanted {name} as {like.dtype}, got {tensor.dtype} (quantised weights?)")
    return tensor.to(like.dtype).clone(memory_format=torch.contiguous_format)


def _method(reading: _Reading, content: object) -> str:
    """How the encoder was trained, as far as the file says."""
    if reading.convention.method != UNKNOWN:
        return reading.convention.method
    settings = content.get("hyper_parameters") if isinstance(content, Mapping) else None
    if isinstance(settings, Mapping) and isinstance(settings.get("method"), str):
        return settings["method"]
    # A network that is published with its classifier was trained through it.
    classifier = {"fc.weight", "classifier.weight", "head.weight", "head.fc.weight"} & set(
        reading.audit.carried
    )
    return "supervised" if classifier and reading.convention.dialect == "plain" else UNKNOWN


# ---------------------------------------------------------------- refusals
def _refusal(path: Path | str, dialect: str, readings: list[_Reading], tables: Mapping[str, State]) -> str:
    """How far each reading came, and which one would fit."""
    some = ", ".join([name for table in tables.values() for name in table][:4])
    if not readings:
        prefixes = ", ".join(dict.fromkeys(f"`{c.prefix}`" for c in CONVENTIONS if c.prefix))
        return (
            f"{path}: its tensors ({some}, …) are no ResNet under a known prefix ({prefixes}); "
            "another network has to be named: architecture=<timm name>"
        )
    fitting = [reading for reading in readings if reading.fits]
    asked = [reading for reading in readings if dialect in ("", reading.convention.dialect)]
    best = max(asked or fitting or readings, key=lambda reading: len(reading.audit.matched))
    share = best.share if asked else "0/" + best.share.split("/")[1]
    hint = f", did you mean {fitting[0].convention}?" if fitting else f"; its names begin with {some}"
    rows = [f"  {reading.share:>9}  {reading.architecture}  {reading.convention}" for reading in readings]
    head = (
        f"{path}: {share} tensors of {best.architecture} matched{f' as {dialect}' if dialect else ''}{hint}"
    )
    return "\n".join(
        [head, *rows, f"closest: {best.convention}", best.audit.table(), best.audit.hint]
    ).rstrip()
