"""Floor 1b: what a slice store is made from, and the digests that name it."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tqdm import tqdm

from sslseg.data.encode import FORMAT
from sslseg.data.source import Source
from sslseg.names import DataError

MOST_CLASSES = 62  # bits of the column `classes`


@dataclass(frozen=True)
class Inputs:
    """What a store is made from; `faults` are {file, reason} found before anything was read."""

    dataset: str
    module: ModuleType
    root: Path
    law: dict[str, Any]
    sources: list[Source]
    faults: list[dict[str, str]]

    def rows(self) -> list[list[Any]]:
        """Sources as plain values, paths relative to the root."""
        return [
            [s.patient, s.group, s.frame, s.phase, self.relative(s.image), self.relative(s.label), s.index]
            for s in self.sources
        ]

    def files(self) -> list[Path]:
        """Every image and mask once, sorted."""
        return sorted({p for s in self.sources for p in (s.image, s.label) if p is not None})

    def relative(self, path: Path | None) -> str:
        """Path relative to the root, "" for None."""
        return "" if path is None else Path(os.path.relpath(path, self.root)).as_posix()

    def stamps(self) -> list[list[Any]]:
        """[relative path, size, mtime in ns] of every file: the warm key."""
        return [[self.relative(p), (s := p.stat()).st_size, s.st_mtime_ns] for p in self.files()]


def law(module: ModuleType, spacing: float) -> dict[str, Any]:
    """Everything but the files that decides what a store holds.

    A dataset may declare PHYSICAL = False (no millimetres: never resampled) and VERSION, raised
    when its reader gives other voxels for the same files.
    """
    if len(module.CLASSES) > MOST_CLASSES:
        raise DataError(
            f"{module.__name__}: wanted at most {MOST_CLASSES} classes, got {len(module.CLASSES)}"
        )
    return {
        "format": FORMAT,
        "reader": getattr(module, "VERSION", 1),
        "spacing": float(spacing) if getattr(module, "PHYSICAL", True) else 0.0,
        "classes": list(module.CLASSES),
    }


def file_digests(inputs: Inputs, progress: bool = True) -> dict[str, str]:
    """Relative path -> sha256 of every file.

    Raises:
        DataError: a file cannot be read.
    """
    found = {}
    for path in tqdm(inputs.files(), "hashing", disable=None if progress else True, unit="file"):
        found[inputs.relative(path)] = sha256(path)
    return found


def sha256(path: Path) -> str:
    """sha256 of a file. Raises DataError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def digest(inputs: Inputs, digests: dict[str, str]) -> str:
    """sha256 that names a store: content of the files, who is in them, and the law."""
    text = json.dumps([inputs.dataset, inputs.law, inputs.rows(), inputs.faults, digests], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
