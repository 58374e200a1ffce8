"""Under which prefix, and in whose names, a checkpoint holds a network: found by comparing names and shapes.

Nothing is believed: a reading counts only if every tensor of the network is there with its shape, and nothing that could
be a part of it is left over.
"""

import dataclasses
import functools
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch

from sslseg.models import encoder
from sslseg.models.audit import Audit, audit
from sslseg.models.exporters import twins
from sslseg.models.importers import naming
from sslseg.models.importers.naming import Naming

State = dict[str, torch.Tensor]
# What wrappers of a network put into the names: DataParallel, torch.compile, FSDP, activation checkpointing
WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_fpw_module", "_checkpoint_wrapped_module"}
COUNTER = ".num_batches_tracked"  # files older than torch 0.4.1 and frozen batch norms lack it; with momentum it is not read
HEADS = ("fc", "classifier", "head", "heads")  # trained through, and no part of an encoder
DEPTH = 16  # tables in tables; modules of TorchScript are such
# DINOv2 shares blocks out to FSDP in chunks
CHUNK = re.compile(r"\bblocks\.\d+\.(\d+)\.(?=norm1|norm2|attn|mlp|ls1|ls2)")
# timm computes them; CLIP's projection, which timm's encoder has not; and what masked autoencoders have beside their encoder
NO_PART = re.compile(
    r"(^|\.)(relative_position_index|relative_coords_table|attn_mask|attnpool\.c_proj\.\w+)$|^(\w*mask\w*|decoder_\w+)$"
)
SHARE = 0.3  # of a network's tensors under a prefix, at least, for it to be looked at


@dataclass(frozen=True)
class Reading:
    """A checkpoint's tensors under one prefix, in one library's names, compared with a timm network."""

    prefix: str
    library: str
    architecture: str
    channels: int
    tensors: State  # in timm's names
    left: State  # what else is under the prefix
    audit: Audit

    @property
    def fits(self) -> bool:
        """Whether every tensor of the network is there, in its shape."""
        return self.audit.complete and bool(self.audit.matched)

    @property
    def share(self) -> str:
        """Tensors that fit, of all that the network has: `118/120`."""
        found = self.audit
        return f"{len(found.matched)}/{len(found.matched) + len(found.missing) + len(found.mismatched)}"

    def __str__(self) -> str:
        return f"`{self.prefix}`" + (f" in the names of {self.library}" if self.library != "timm" else "")


def flat(content: object) -> State:
    """Every tensor of a checkpoint by its path: keys of tables and names, with dots between, without wrappers."""
    found: State = {}
    for path, tensor in _walk(content, (), DEPTH):
        whole = ".".join(path)
        bare = CHUNK.sub(r"blocks.\1.", ".".join(part for part in whole.split(".") if part not in WRAPPERS))
        found[whole if not bare or bare in found else bare] = tensor
    return found


def _walk(
    content: object, path: tuple[str, ...], depth: int
) -> Iterator[tuple[tuple[str, ...], torch.Tensor]]:
    if isinstance(content, torch.Tensor):
        yield path, content
    elif depth and isinstance(content, Mapping | list | tuple):
        for key, value in content.items() if isinstance(content, Mapping) else enumerate(content):
            yield from _walk(value, (*path, str(key)), depth - 1)


def readings(tensors: State, architecture: str, strip: Collection[str] = ()) -> list[Reading]:
    """All that could be `architecture`, the most complete first; timm's own names before others'.

    Args:
        strip: prefixes, of which one stands before every name of the network; a network in parts has several. What
            stands before a prefix tells networks of one file apart.
    """
    if strip:
        return [
            dataclasses.replace(reading, prefix=before + "|".join(strip))
            for before, table in _stripped(tensors, strip).items()
            for reading in readings(table, architecture)
            if not reading.prefix
        ]
    found = [
        _read(tensors, prefix, known, architecture)
        for known in naming.namings(architecture)
        for prefix in _prefixes(tensors, len(known.names), known.names)
    ]
    if not any(reading.fits for reading in found):
        for prefix in _prefixes(tensors, len(target(architecture, 3))):
            table = {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}
            if told := naming.published(table, architecture):
                found.append(_read(tensors, prefix, told, architecture))
    return sorted(found, key=lambda reading: (not reading.fits, -len(reading.audit.matched)))


# ---------------------------------------------------------------- prefixes
def _stripped(tensors: State, strip: Collection[str]) -> dict[str, State]:
    """What stands before one of the prefixes `strip` -> the tensors behind it, by the rest of their names."""
    parts: dict[str, State] = {}
    for name, tensor in tensors.items():
        for prefix in sorted(strip, key=len, reverse=True):
            prefix = "".join(f"{part}." for part in prefix.strip(".").split(".") if part not in WRAPPERS)
            at = name.find(prefix)
            if at == 0 or (at > 0 and name[at - 1] == "."):
                parts.setdefault(name[:at], {})[name[at + len(prefix) :]] = tensor
                break
    return parts


def _prefixes(names: Iterable[str], size: int, wanted: Collection[str] | None = None) -> list[str]:
    """What stands before enough names for a network of `size` tensors, the most frequent first.

    Args:
        wanted: the network's names; None = any that follow may be.
    """
    cuts = ((name, cut) for name in names for cut in (0, *(dot.end() for dot in re.finditer(r"\.", name))))
    counts = Counter(name[:cut] for name, cut in cuts if wanted is None or name[cut:] in wanted)
    return [prefix for prefix, count in counts.most_common() if count >= SHARE * size]


# ---------------------------------------------------------------- comparing
@functools.lru_cache(maxsize=8)
def target(architecture: str, channels: int) -> State:
    """The network's tensors without storage, in timm's names and order."""
    return encoder.skeleton(architecture, channels).state_dict()


def _read(tensors: State, prefix: str, known: Naming, architecture: str) -> Reading:
    under = {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}
    found = {ours: under[theirs] for theirs, ours in known.names.items() if theirs in under}
    channels = _channels(found, architecture)
    whole = target(architecture, channels)
    held = set(known.names.values())
    unread = (name for name in whole if name not in held and not name.endswith(COUNTER))
    tail = set(unread if known.partial else ())  # behind a U-Net's deepest map, and so not in its file
    norms = {name.removesuffix(".running_mean") for name in found.keys() | tail}
    spare = tail | {name for name in whole if name.endswith(COUNTER) and name.removesuffix(COUNTER) in norms}
    wanted = {name: like for name, like in whole.items() if name in found or name not in spare}
    found = {name: _shaped(tensor, wanted.get(name)) for name, tensor in found.items()}
    left = {name: tensor for name, tensor in under.items() if name not in known.names}
    part = _parts(left, known.names, tail)
    compared = audit(wanted, found | {name: left[name] for name in part})
    compared = dataclasses.replace(compared, carried=tuple(sorted(left.keys() - part)))
    return Reading(prefix, known.library, architecture, channels, found, left, compared)


def _channels(found: State, architecture: str) -> int:
    first = found.get(f"{encoder.first_convolutions(architecture)[0]}.weight")
    return int(first.shape[1]) if first is not None and first.ndim == 4 and 1 <= first.shape[1] <= 64 else 3


def _shaped(tensor: torch.Tensor, like: torch.Tensor | None) -> torch.Tensor:
    """In the network's shape, where the file's differs by sides of one alone."""
    if like is None or tensor.ndim > 4 or not twins.alike(tensor.shape, like.shape):  # five: a 3D kernel
        return tensor
    return tensor.reshape(like.shape)


def _parts(left: Iterable[str], names: Collection[str], tail: Iterable[str]) -> set[str]:
    """Of the tensors that the network has no place for, those that could be a part of another network like it.

    A head, a projector or a queue beside the network's modules is none; one more block, or something inside a block, is.
    """
    common, dot, _ = os.path.commonprefix(list(names)).rpartition(".")
    front = common + dot  # what has it not is elsewhere
    tops = {theirs.removeprefix(front).partition(".")[0] for theirs in names}
    kinds = {_kind(top) for top in tops}
    last = max((int(top) for top in tops if top.isdigit()), default=-1)
    behind = {ours.replace(".", "_") for ours in tail}

    def is_part(name: str) -> bool:
        inside = name.removeprefix(front)
        top, dot, _ = inside.partition(".")
        if not name.startswith(front) or NO_PART.search(inside):
            return False
        if name.replace(".", "_") in behind:
            return True
        if top.isdigit():
            return int(top) <= last
        if not dot:  # a parameter of the network itself
            return bool(re.search("token|embed", top))
        return top not in HEADS and _kind(top) in kinds

    return set(filter(is_part, left))


def _kind(top: str) -> str:
    """`layer5` is of the kind of `layer4`."""
    return re.sub(r"[\d_]+", "", top)
