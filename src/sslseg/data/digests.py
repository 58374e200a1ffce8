"""Digests of what a machine keeps for itself, and reads again at every start: of 128 bits, at the speed of memory.

They find damage, not forgery, and never leave the machine: what is exchanged has a sha256. A sha256 in their place,
as earlier versions wrote it, is known by its form and still compared.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from sslseg.config import files

if TYPE_CHECKING:
    Hash = xxhash.xxh3_128 | hashlib._Hash

FAST = "xxh3:"


def new(like: str = FAST) -> Callable[..., Hash]:
    """The hash that `like`, a digest, was made by."""
    return xxhash.xxh3_128 if like.startswith(FAST) else hashlib.sha256


def text(digest: Hash) -> str:
    """A hash as it is written down."""
    return (FAST if isinstance(digest, xxhash.xxh3_128) else "") + digest.hexdigest()


def of(data: Any, like: str = FAST) -> str:
    """Of bytes in memory."""
    return text(new(like)(data))


def of_file(path: Path | str, like: str = FAST) -> str:
    """Of a file's content; read once a process as long as the file stays as it is."""
    return _known(str(path), like.startswith(FAST), *files.stamp(path))


@functools.lru_cache(maxsize=256)
def _known(path: str, fast: bool, *stamped: int) -> str:
    with open(path, "rb", buffering=0) as file:
        return text(hashlib.file_digest(file, new(FAST if fast else "")))


class Written:
    """A binary file that is hashed while it is written."""

    def __init__(self, path: Path) -> None:
        self.digest = new()()
        self._file = path.open("wb")

    def write(self, data: Any) -> None:
        """Append bytes."""
        self.digest.update(data)
        self._file.write(data)

    def __enter__(self) -> Written:
        return self

    def __exit__(self, *failure: object) -> None:
        self._file.close()
