"""What a slice store is made from, and the digests that name it."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tqdm import tqdm

from sslseg.config import files
from sslseg.config.names import DataError
from sslseg.config.params import cores
from sslseg.data.readers.formats import NIFTI
from sslseg.data.slices.encode import FORMAT
from sslseg.data.source import Description, Source

MOST_CLASSES = 62  # bits of the column `classes`


@dataclass(frozen=True)
class Inputs:
    """What a store is made from; `faults` are {file, reason} found before anything was read."""

    dataset: str
    module: ModuleType
    root: Path
    about: Description
    recipe: dict[str, Any]
    sources: list[Source]
    faults: list[dict[str, str]]

    def rows(self) -> list[list[object]]:
        """Sources as plain values, paths relative to the root."""
        return [
            [s.patient, s.group, s.frame, s.phase, self.relative(s.image), self.relative(s.label), s.index]
            + [self.relative(p) for p in s.more]
            for s in self.sources
        ]

    def files(self) -> list[Path]:
        """Every image and mask once, sorted."""
        return sorted({p for s in self.sources for p in (s.image, s.label, *s.more) if p is not None})

    def readers(self) -> int:
        """Threads that read. One where Pillow or pydicom may warn of damage, for Python catches warnings of a single thread."""
        return workers() if all(path.name.lower().endswith(NIFTI) for path in self.files()) else 1

    def relative(self, path: Path | None) -> str:
        """Path relative to the root, "" for None."""
        if path is None:
            return ""
        text, root = str(path), f"{self.root}{os.sep}"
        if text.startswith(root) and ".." not in text:
            return text[len(root) :].replace(os.sep, "/")
        return Path(os.path.relpath(path, self.root)).as_posix()

    def stamps(self) -> list[list[object]]:
        """[relative path, size, mtime in ns] of every file: the warm key."""
        return [[self.relative(p), (s := p.stat()).st_size, s.st_mtime_ns] for p in self.files()]


def describe(module: ModuleType, root: Path) -> Description:
    """What the folder says of itself, where the format has a `describe(root)`; else the module's constants.

    Raises:
        DataError: the folder's own description is missing or wrong.
    """
    if hasattr(module, "describe"):
        about = module.describe(root)
    else:
        colours, physical = tuple(getattr(module, "COLOURS", ())), getattr(module, "PHYSICAL", True)
        about = Description(module.CLASSES, colours, physical=physical)
    if len(about.classes) > MOST_CLASSES:
        raise DataError(f"{root}: wanted at most {MOST_CLASSES} classes, got {len(about.classes)}")
    if len(set(about.classes)) < len(about.classes) or about.classes[:1] != ("background",):
        raise DataError(f"{root}: wanted different classes, 'background' first, got {list(about.classes)}")
    return about


def listed(module: ModuleType, root: Path, *, lenient: bool) -> tuple[list[Source], list[dict[str, str]]]:
    """The volumes of a folder, and the {file, reason} of what `lenient` leaves out because it does not fit the format.

    A dataset offers `scan(root) -> (sources, faults)` where it can tell before it reads.

    Raises:
        DataError: see the dataset.
    """
    return module.scan(root) if lenient and hasattr(module, "scan") else (module.find(root), [])


def recipe(module: ModuleType, about: Description, spacing: float) -> dict[str, Any]:
    """Everything but the files that decides what a store holds.

    A dataset may declare PHYSICAL = False (no millimetres: never resampled) and VERSION, raised
    when its reader gives other voxels for the same files.
    """
    found = {
        "format": FORMAT,
        "reader": getattr(module, "VERSION", 1),
        "spacing": float(spacing) if about.physical else 0.0,
        "classes": list(about.classes),
    }
    if hasattr(module, "describe"):  # the constants of a module are no part of its files' recipe
        found["about"] = json.loads(json.dumps(asdict(about)))
    return found


def file_digests(inputs: Inputs, progress: bool = True) -> dict[str, str]:
    """Relative path -> sha256 of every file. Raises DataError: a file cannot be read."""
    paths = inputs.files()
    with ThreadPoolExecutor(workers()) as pool:
        silent = None if progress else True
        each = tqdm(pool.map(sha256, paths), "hashing", len(paths), disable=silent, unit="file")
        return {inputs.relative(path): found for path, found in zip(paths, each, strict=True)}


def workers() -> int:
    """Threads that hash, and that encode beside those that read: each holds a volume, so not one a core."""
    return min(2, cores())


def sha256(path: Path) -> str:
    """sha256 of a file. Raises DataError when it cannot be read."""
    try:
        return files.sha256(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def digest(inputs: Inputs, digests: dict[str, str]) -> str:
    """sha256 that names a store: content of the files, who is in them, and the recipe."""
    return files.sha256_of([inputs.dataset, inputs.recipe, inputs.rows(), inputs.faults, digests])
