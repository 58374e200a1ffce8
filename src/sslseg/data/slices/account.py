"""Every file below a data folder, and what became of it: read, left out for a reason, or unknown."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sslseg.data import files
from sslseg.data.readers import dicom_series, formats

READ, SKIPPED, UNKNOWN = "read", "skipped", "unknown"
# endings of images and archives that no reader here takes
OTHERS = (".mgz", ".mgh", ".img", ".npy", ".npz", ".mat", ".h5", ".hdf5", ".webp", ".heic", ".avif", ".jp2", ".j2k", ".jfif",
          ".jpe", ".pgm", ".ppm", ".svs", ".ndpi", ".czi", ".lif", ".par", ".mnc", ".gipl", ".vtk", ".zip", ".tar",
          ".tgz", ".7z", ".rar")  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A file, or a folder that was not entered."""

    file: str  # path from the root
    state: str  # READ, SKIPPED or UNKNOWN
    reason: str = ""  # why it is not read; "" where nothing is known of it
    count: int = 1  # files in it; 1 of a file
    image: bool = False  # it may be one by its ending


def account(
    root: Path, read: Sequence[str], skipped: Sequence[Mapping[str, str]], aside: Mapping[str, str]
) -> list[Entry]:
    """One entry a file, sorted.

    Args:
        read: paths from the root of the images and masks of a slice store.
        skipped: {file, reason} of what could not be read; the file from the root or absolute, or a folder.
        aside: path from the root -> why it has no part in any case.
    """
    tree = files.walk(root)
    held = {os.path.normpath(root / path) for path in read} | {str(path) for path in files.TEXTS}
    faults = {os.path.normpath(root / one["file"]): one["reason"] for one in skipped}
    faults = {path: why for path, why in faults.items() if path != str(root)}
    left = {os.path.normpath(root / path): why for path, why in aside.items()}
    found = [_entry(root, path, held, faults, left) for path in tree.files]
    passed = [(path, why, _many(path)) for path, why in tree.passed.items()]
    found += [Entry(_name(root, path), SKIPPED, why, many) for path, why, many in passed if many]
    return sorted(found, key=lambda entry: entry.file)


def _entry(root: Path, path: Path, held: set[str], faults: dict[str, str], left: dict[str, str]) -> Entry:
    name, place = _name(root, path), str(path)
    ending = path.suffix.lower()
    image = formats.stem(path.name) is not None or ending in (*dicom_series.SUFFIXES, *OTHERS)
    why = faults.get(place) or next((faults[str(p)] for p in path.parents if str(p) in faults), "")
    if why or place in left:
        return Entry(name, SKIPPED, why.removeprefix(f"{place}: ") or left[place], image=image)
    if place in held:
        return Entry(name, READ, image=image)
    why = f"{ending} is not read" if ending in OTHERS else _guess(path, held) if image else ""
    return Entry(name, UNKNOWN, why, image=image)


def _guess(path: Path, held: set[str]) -> str:
    """Why an image may not have been read."""
    stem = formats.stem(path.name)
    for suffix in formats.SUFFIXES if stem else ():
        if (other := path.with_name(f"{stem}{suffix}")) != path and str(other) in held:
            return f"beside {other.name}, which was read"
    return "an image by its ending, but of no case"


def _name(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _many(path: Path) -> int:
    """Files at or below a path; links are not followed."""
    if path.is_symlink() or not path.is_dir():
        return 1
    return sum(len(names) for _, _, names in os.walk(path))


def counts(entries: Sequence[Entry]) -> dict[str, int]:
    """state -> number of files."""
    return {state: sum(e.count for e in entries if e.state == state) for state in (READ, SKIPPED, UNKNOWN)}
