"""An encoder out of somebody else's checkpoint, in timm's names and complete. Nothing in it is unpickled or called."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch

from sslseg.config import files
from sslseg.config.names import EncoderError
from sslseg.config.texts import some
from sslseg.models import encoder, folders
from sslseg.models.importers import hub, kinds, matching, naming, roles, torchfile
from sslseg.models.importers.hub import Described
from sslseg.models.importers.matching import COUNTER, Reading
from sslseg.models.importers.unpickle import Foreign, Scripted

State = dict[str, torch.Tensor]
SHOWN = 6  # readings that a refusal lists


@dataclass(frozen=True)
class Imported:
    """An encoder in timm's names, complete, and what its file says of it."""

    state: State  # the timm network's order and types, own memory
    architecture: str
    channels: int  # input channels of the first convolution
    prefix: str  # what its tensors' names began with
    library: str  # whose names they are
    role: str  # "target", "online", or "imported" where a file has one network only
    network: str  # the file's word for it: key, query, teacher, student, ema, raw …; "" = it has none
    others: tuple[str, ...]  # further networks of the file
    method: str  # "byol", "supervised", …; "unknown" where the file does not say
    normalisation: dict[str, Any] | None = None  # mean and std, where a config says them
    files: tuple[str, ...] = ()  # which of a folder were read
    dropped: tuple[str, ...] = ()  # tensors of the file that were not taken: heads, other networks
    filled: tuple[str, ...] = ()  # batch counters that an old file lacks, set to 0
    drawn: tuple[str, ...] = ()  # what a U-Net's encoder lacks behind its deepest map: drawn at random

    @property
    def place(self) -> str:
        """Which of the file's networks it is, and where it was, in words."""
        where = f"under `{self.prefix}`" if self.prefix else "at the top"
        return f"its {self.network or 'only'} network, {where}"


def read(
    path: Path | str, *, architecture: str = "", role: str = "", strip: Collection[str] = ()
) -> Imported:
    """The encoder of a local checkpoint, or of a folder with one.

    Args:
        architecture: timm name; "" = found from the file (ResNets, ConvNeXts, and files that name it).
        role: which of two networks: a role or the file's word; "" = the target's.
        strip: what stands before the network's own names, where it cannot be found; several for one in parts.

    Raises:
        EncoderError: no checkpoint, damaged, hostile, or without a whole network.
    """
    path = Path(path)
    content, told, seen = load(path)
    architecture = architecture.partition(".")[0] or told.architecture  # without timm's tag of weights
    if not (tensors := matching.flat(content)):
        raise EncoderError(f"{path}: {_without_tensors(content)}")
    readings = _readings(tensors, _candidates(architecture, told.unknown, content, tensors), strip)
    if not (whole := [reading for reading in readings if reading.fits]):
        raise EncoderError(f"{path}: {_refusal(readings, tensors, architecture, told.unknown)}")
    there = roles.networks(whole, tensors)
    taken = roles.choose(there, role, path)
    reading = taken.reading
    lacking = [n for n in matching.target(reading.architecture, reading.channels) if n not in reading.tensors]
    memory = {tensor.data_ptr() for tensor in reading.tensors.values()}
    return Imported(
        state=_state(reading, path), architecture=reading.architecture, channels=reading.channels,
        prefix=reading.prefix, library=reading.library, role=taken.role, network=taken.word,
        others=tuple(str(network) for network in there if network is not taken),
        method=roles.method(taken, content, tensors, told.tag), normalisation=told.normalisation, files=seen,
        dropped=tuple(name for name, tensor in tensors.items() if tensor.data_ptr() not in memory),
        filled=tuple(name for name in lacking if name.endswith(COUNTER)),
        drawn=tuple(name for name in lacking if not name.endswith(COUNTER)),
    )  # fmt: skip


# ---------------------------------------------------------------- files
def load(path: Path) -> tuple[object, Described, tuple[str, ...]]:
    """What a checkpoint holds, inert (see `torchfile.read`), what a config beside it says, and what was read of a folder.

    Raises:
        EncoderError: absent, damaged, hostile, or no checkpoint.
    """
    if not path.is_dir() and not path.is_file():
        raise EncoderError(f"{path}: wanted a checkpoint file or a folder with one, there is none")
    weights, texts = hub.files(path)
    contents = [_load(part) for part in weights]
    tables = [content for content in contents if isinstance(content, Mapping)]
    if len(tables) < len(contents) > 1:
        raise EncoderError(f"{path}: wanted a table of tensors in each of its {len(weights)} parts")
    whole = contents[0] if len(contents) == 1 else {k: v for part in tables for k, v in part.items()}
    read = [*weights, *texts]
    return whole, hub.describe(texts), () if read == [path] else tuple(file.name for file in read)


def _load(path: Path) -> object:
    kinds.refuse(path)
    return folders.read_weights(path) if kinds.is_safetensors(path) else torchfile.read(path)


def digest(path: Path) -> str:
    """sha256 of a checkpoint; of a folder, or a file with a config beside it, of the names and digests of all that is read.

    Raises:
        EncoderError: see `hub.files`.
    """
    weights, texts = hub.files(path)
    if (read := sorted([*weights, *texts])) == [path]:
        return files.sha256(path)
    lines = (f"{file.name} {files.sha256(file)}\n" for file in read)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _without_tensors(content: object) -> str:
    if isinstance(content, Foreign):
        return _whole(content.name)
    if isinstance(content, Scripted):
        return (
            "a TorchScript program that is frozen (torch.jit.freeze): its tensors lie in its code, without names; "
            "save the state_dict of the module it was made of"
        )
    table = content if isinstance(content, Mapping) else {}
    inner = next((value for value in table.values() if isinstance(value, Mapping)), {})
    held = (*table.values(), *inner.values())
    if any(isinstance(v, Foreign) and v.name.startswith("numpy.") for v in held):
        return "its weights are arrays of NumPy; save them as tensors (torch.from_numpy) by the same names"
    objects = [f"{key} ({value.name})" for key, value in table.items() if isinstance(value, Foreign)]
    return _whole("; ".join(objects[:4])) if objects else "wanted a state dict, found no tensors in it"


def _whole(name: str) -> str:
    return (
        f"a whole pickled object, {name[:200]}, and no state dict: only by running its code it would become a network. "
        "Where that code is at home: torch.save(model.state_dict(), …)"
    )


# ---------------------------------------------------------------- which network
def _candidates(
    architecture: str, unknown: str, content: object, tensors: State
) -> Mapping[tuple[str, ...], int]:
    """timm names that a network of the file could have -> how many such networks there are, as far as is known."""
    if architecture:
        return {(architecture,): 1}
    if unknown in hub.KNOWN:
        return {}  # a variant that timm has not, by the names of the one that it has
    named = content.get("arch") if isinstance(content, Mapping) else None  # timm's and MoCo's scripts
    known = {(named.partition(".")[0],): 1} if isinstance(named, str) and timm.is_model(named) else {}
    return known | naming.guesses({name: tuple(tensor.shape) for name, tensor in tensors.items()})


def _readings(
    tensors: State, candidates: Mapping[tuple[str, ...], int], strip: Collection[str]
) -> list[Reading]:
    """All that were looked at: of each candidate's names one after the other, until its networks are found."""
    tried: dict[str, list[Reading]] = {}
    for names, count in candidates.items():
        fitting: set[str] = set()  # prefixes
        for name in names:
            if name not in tried:
                tried[name] = matching.readings(tensors, name, strip)
            fitting |= {reading.prefix for reading in tried[name] if reading.fits}
            if len(fitting) >= count:
                break
    return [reading for found in tried.values() for reading in found]


def _state(reading: Reading, path: Path) -> State:
    """Its tensors in timm's order; what lies behind a U-Net's deepest map is drawn, counters are 0."""
    target = matching.target(reading.architecture, reading.channels)
    whole = all(name in reading.tensors or name.endswith(COUNTER) for name in target)
    fresh = {} if whole else encoder.build(reading.architecture, reading.channels, 0).state_dict()
    given = fresh | reading.tensors
    state = {name: _own(name, like, given.get(name), path) for name, like in target.items()}
    if said := _dead(state):
        raise EncoderError(f"{path}: {said}; the file is damaged, or its network was never trained")
    return state


def _dead(state: State) -> str:
    """What makes a network useless whatever it is shown; "" for a sound one."""
    floats = {name: tensor for name, tensor in state.items() if tensor.is_floating_point()}
    if bad := [name for name, tensor in floats.items() if not torch.isfinite(tensor).all()]:
        return f"{len(bad)} tensors hold NaN or infinity ({some(bad)})"
    kernels = [tensor for tensor in floats.values() if tensor.ndim > 1]
    return "all weights of its kernels are zero" if not any(tensor.any() for tensor in kernels) else ""


def _own(name: str, like: torch.Tensor, tensor: torch.Tensor | None, path: Path) -> torch.Tensor:
    """A copy in the network's type; tensors of a file may share memory."""
    if tensor is None:
        return torch.zeros(like.shape, dtype=like.dtype)
    counts = name.endswith(COUNTER) and tensor.is_floating_point() and bool(torch.isfinite(tensor).all())
    if tensor.is_complex() or (tensor.is_floating_point() != like.is_floating_point() and not counts):
        raise EncoderError(f"{path}: wanted {name} as {like.dtype}, got {tensor.dtype} (quantised weights?)")
    return tensor.to(like.dtype).clone(memory_format=torch.contiguous_format)


# ---------------------------------------------------------------- refusals
def _refusal(readings: list[Reading], tensors: State, architecture: str, unknown: str) -> str:
    """How far each reading came."""
    if said := kinds.stranger(tensors):
        return said
    first = ", ".join(list(tensors)[:4])
    if readings:
        best = max(readings, key=lambda reading: len(reading.audit.matched))
        rows = [f"  {r.share:>9}  {r.architecture}  {r}" for r in readings[:SHOWN]]
        head = f"{best.share} tensors of {best.architecture} matched; the file's names begin with {first}"
        return "\n".join([head, *rows, f"closest: {best}", best.audit.table(), best.audit.hint]).rstrip()
    if architecture:
        return (
            f"0 tensors of {architecture} matched; the file's names begin with {first}. strip=<prefix> takes off what stands "
            "before the network's own names, where that is all that differs"
        )
    kind = f"a {unknown} of transformers; " if unknown else ""
    return (
        f"{kind}its tensors ({first}, …) are no ResNet or ConvNeXt under any prefix; "
        "another network has to be named: architecture=<timm name>"
    )
