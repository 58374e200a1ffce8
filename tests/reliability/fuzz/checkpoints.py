"""Checkpoints of others, of every kind, in both of torch's containers, and safetensors."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file

from sslseg.models.importers import checkpoint
from tests.fixtures.checkpoints import checkpoints
from tests.reliability.fuzz.runner import Mutation, Wrong

NETWORK = "test_resnet"  # 0.5 M parameters; its stem is a Sequential, which no kind minds


@cache
def _target() -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    state = timm.create_model(NETWORK, num_classes=0).state_dict()
    return {
        k: torch.randn(v.shape, generator=draw) if v.is_floating_point() else v + 7 for k, v in state.items()
    }


@cache
def _sound(name: str) -> bytes:
    """A file of this kind, as torch.save writes it."""
    file = io.BytesIO()
    torch.save(_contents()[name], file)
    return file.getvalue()


@cache
def _contents() -> dict[str, Any]:
    return {name: content for name, (content, _) in checkpoints(_target()).items()}


def _reads(path: Path, exact: bool = True) -> Callable[[], str]:
    """The encoder of the file; `exact`: what is read has to be what was written, bit by bit."""

    def call() -> str:
        found = checkpoint.read(path, architecture=NETWORK)
        wanted = _target()
        if list(found.state) != list(wanted):
            raise Wrong("other tensors than the network's")
        for key, tensor in found.state.items():
            if tensor.shape != wanted[key].shape or tensor.dtype != wanted[key].dtype:
                raise Wrong(f"{key} of another shape or type")
        same = all(
            torch.equal(found.state[k], v) or torch.equal(found.state[k], v + 1) for k, v in wanted.items()
        )
        if exact and not same:  # + 1: the online network of a file that has both
            raise Wrong("other weights than were written")
        return "whole" if same else "with other weights"

    return call


def _file(folder: Path, data: bytes, suffix: str = ".pth") -> Path:
    path = folder / f"a{suffix}"
    path.write_bytes(data)
    return path


# ---------------------------------------------------------------- bytes of the file
def sound(name, rng, folder):
    return _reads(_file(folder, _sound(name)))


def truncated(name, rng, folder):
    data = _sound(name)
    return _reads(_file(folder, data[: int(rng.integers(0, len(data)))]))


def bits(name, rng, folder):
    """Anywhere: mostly in the weights, which a zip has a checksum of."""
    data = bytearray(_sound(name))
    for at in rng.integers(0, 8 * len(data), int(rng.integers(1, 6))):
        data[at // 8] ^= 1 << (at % 8)
    return _reads(_file(folder, bytes(data)))


def ends(name, rng, folder):
    """Bytes of the container: the central directory of the zip, or its first entry."""
    data = bytearray(_sound(name))
    reach = min(4000, len(data))
    for _ in range(int(rng.integers(1, 6))):
        at = int(rng.integers(0, reach))
        data[at if rng.random() < 0.4 else -1 - at] = int(rng.integers(0, 256))
    return _reads(_file(folder, bytes(data)), exact=False)


def overwritten(name, rng, folder):
    data = bytearray(_sound(name))
    at, length = int(rng.integers(0, len(data))), int(rng.integers(1, 5000))
    data[at : at + length] = rng.bytes(len(data[at : at + length]))
    return _reads(_file(folder, bytes(data)))


# ---------------------------------------------------------------- the program inside
def _rezipped(data: bytes, change: Callable[[str, bytes], bytes | None]) -> bytes:
    """The zip with members changed (None: dropped) and sound checksums."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.namelist():
            if (content := change(entry, old.read(entry))) is not None:
                new.writestr(entry, content)
    return out.getvalue()


def program(name, rng, folder):
    """Bytes of the pickle, under a sound checksum."""

    def change(entry: str, content: bytes) -> bytes:
        if not entry.endswith("data.pkl"):
            return content
        changed = bytearray(content)
        for at in rng.integers(0, len(changed), int(rng.integers(1, 6))):
            changed[at] = int(rng.integers(0, 256))
        return bytes(changed)

    return _reads(_file(folder, _rezipped(_sound(name), change)), exact=False)


def members(name, rng, folder):
    """Storages dropped, emptied, swapped or longer than said."""
    data = _sound(name)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        chosen = str(rng.choice(archive.namelist()))
    fate = int(rng.integers(3))
    return _reads(_file(folder, _rezipped(
        data, lambda entry, c: c if entry != chosen else (None, b"", c + b"more")[fate]
    )), exact=False)  # fmt: skip


def legacy(name, rng, folder):
    """torch's older container, which has no checksum: bits of the weights cannot be noticed."""
    file = io.BytesIO()
    torch.save(_contents()[name], file, _use_new_zipfile_serialization=False)
    data = bytearray(file.getvalue())
    kind = int(rng.integers(4))
    if kind == 1:
        data = data[: int(rng.integers(0, len(data)))]
    elif kind > 1:
        reach = len(data) if kind == 2 else min(6000, len(data))
        for at in rng.integers(0, reach, int(rng.integers(1, 5))):
            data[at] = int(rng.integers(0, 256))
    return _reads(_file(folder, bytes(data)), exact=kind == 0)


# ---------------------------------------------------------------- the content
def tensors(name, rng, folder):
    """One tensor of the file missing, of another shape or type, NaN, or under another name."""
    whole = _contents()[name]
    tables = [t for t in (whole, *whole.values()) if isinstance(t, dict) and _is_state(t)]
    old = tables[int(rng.integers(len(tables)))]
    new = dict(old)
    key = str(rng.choice([k for k, v in old.items() if isinstance(v, torch.Tensor)]))
    kind = int(rng.integers(6))
    value = new.pop(key)
    if kind == 1:
        new[key] = torch.zeros(*value.shape, 2)
    elif kind == 2:
        types = (torch.int8, torch.complex64, torch.bool, torch.float64, torch.bfloat16, torch.int16)
        new[key] = value.to(types[int(rng.integers(len(types)))])
    elif kind == 3:
        new[key] = torch.full(value.shape, float("nan"))
    elif kind == 4:
        new[key + "x"] = value
    elif kind == 5:
        new[key] = value[None]
    file = io.BytesIO()
    torch.save(new if whole is old else {k: new if v is old else v for k, v in whole.items()}, file)
    return _reads(_file(folder, file.getvalue()), exact=False)


def _is_state(table: dict) -> bool:
    return any(isinstance(v, torch.Tensor) for v in table.values())


def content(name, rng, folder):
    """The checkpoint inside, beside or instead of other things."""
    whole = _contents()[name]
    others: tuple[Any, ...] = (
        [whole], (whole, 3), {"state_dict": None}, {"model": [1, 2]}, {}, [], None, 3, "text", {3: whole, None: 1},
        {"a": {"b": {"c": whole}}}, {"state_dict": {"x": torch.ones(3)}}, torch.ones(4), {**whole, 7: "x"},
        {"state_dict": dict.fromkeys(list(_target()), "x")}, {"hyper_parameters": {"method": "A" * 9000}, **whole},
        {"arch": "no such network", **whole}, {"arch": ["x"], **whole},
    )  # fmt: skip
    file = io.BytesIO()
    torch.save(others[int(rng.integers(len(others)))], file)
    return _reads(_file(folder, file.getvalue()))


def safetensors(name, rng, folder):
    """The same tensors as safetensors: header, length and data."""
    path = folder / "a.safetensors"
    save_file({k: v.clone() for k, v in _target().items()}, path)
    data = bytearray(path.read_bytes())
    length = struct.unpack("<Q", data[:8])[0]
    kind = int(rng.integers(6))
    if kind == 1:
        data = data[: int(rng.integers(0, len(data)))]
    elif kind == 2:
        data[:8] = struct.pack("<Q", int(rng.choice([0, 1, length - 1, length + 1, 2**31, 2**63])))
    elif kind == 3:
        for at in rng.integers(8, 8 + length, int(rng.integers(1, 6))):
            data[at] = int(rng.integers(0, 256))
    elif kind == 4:
        head = json.loads(data[8 : 8 + length])
        entry = head[str(rng.choice([k for k in head if k != "__metadata__"]))]
        choices = {"dtype": ["F64", "I8", "Q9", 3], "shape": [[-1], [2**62, 2**62], [0], "x"],
                   "data_offsets": [[0, 2**60], [5, 1], [-1, 3], []]}  # fmt: skip
        field = str(rng.choice(list(choices)))
        entry[field] = choices[field][int(rng.integers(len(choices[field])))]
        packed = json.dumps(head).encode()
        data = struct.pack("<Q", len(packed)) + packed + data[8 + length :]
    elif kind == 5:
        data[int(rng.integers(8 + length, len(data)))] ^= 1
    path.write_bytes(data)
    return _reads(path, exact=kind in (0, 1, 2))


CHANGES = (sound, truncated, bits, ends, overwritten, program, members, legacy, tensors, content)


def mutations(name: str) -> dict[str, Mutation]:
    """Of one kind ("checkpoint <name>"), or of safetensors."""
    if name == "safetensors":
        return {"safetensors": partial(safetensors, name)}
    kind = name.removeprefix("checkpoint ")
    return {f.__name__: partial(f, kind) for f in CHANGES}
