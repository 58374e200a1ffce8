"""Tensors that a checkpoint's program names, as views of flat storages that stay inside them and inside the file's size."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

TENSOR_LIMIT = 4  # tensors may name at most this many times the bytes of the file (tied weights: 2)
SLACK = 1 << 20  # bytes, for small files
MAX_DIMENSIONS = 16  # convolution weights have 4

_STORAGES = {
    "FloatStorage": torch.float32, "DoubleStorage": torch.float64, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool, "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128, "UntypedStorage": torch.uint8,
}  # fmt: skip
STORAGES = {f"{m}.{n}": d for n, d in _STORAGES.items() for m in ("torch", "torch.storage", "torch.cuda")}
DTYPES = {f"torch.{n}": getattr(torch, n) for n in ("uint16", "uint32", "uint64", "float32", "float16")}


@dataclass(frozen=True)
class Foreign:
    """A global, or an object made from one: its name, and nothing else."""

    name: str


class RefusedError(Exception):
    """The program is not one that torch.save writes."""


class Storages:
    """Flat tensors by key; how they are filled is the container's business."""

    def __init__(self, allocate: Callable[[str, torch.dtype, int], torch.Tensor], size: int):
        self.flat: dict[str, torch.Tensor] = {}
        self._allocate = allocate
        self._left = TENSOR_LIMIT * size + SLACK

    def find(self, pid: Any) -> torch.Tensor | Foreign:
        """The flat tensor of a persistent ID ("storage", type, key, location, numel[, view])."""
        if isinstance(pid, tuple) and len(pid) == 4 and pid[0] == "module" and isinstance(pid[1], Foreign):
            return pid[1]  # until torch 1.5 the source text of a class went along
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
            raise RefusedError("a persistent ID that is not a storage")
        kind, key, numel = pid[1], pid[2], pid[4]
        dtype = STORAGES.get(kind.name) if isinstance(kind, Foreign) else None
        if dtype is None or not isinstance(key, str) or not _is_count(numel) or (len(pid) == 6 and pid[5]):
            raise RefusedError(
                f"a storage of type {getattr(kind, 'name', '?')} with {numel!r:.40} elements (quantised?)"
            )
        if key not in self.flat:
            self.flat[key] = self._allocate(key, dtype, numel)
        return self.flat[key]

    def rebuild(self, flat: Any, offset: Any, size: Any, stride: Any) -> torch.Tensor:
        """A view of a flat tensor that stays inside it."""
        counts = [*size, *stride, offset]
        sane = len(size) == len(stride) <= MAX_DIMENSIONS and all(map(_is_count, counts))
        if not isinstance(flat, torch.Tensor) or not sane:
            raise RefusedError("a tensor without storage, or with a strange shape")
        numel = math.prod(size)
        last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
        self._left -= numel * flat.element_size()
        if numel and (last >= flat.numel() or self._left < 0):
            raise RefusedError(f"a tensor of shape {list(size)[:8]} in a storage of {flat.numel()} elements")
        return flat.as_strided(size, stride, offset)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 48
