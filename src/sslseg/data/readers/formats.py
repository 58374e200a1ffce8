"""One image or mask of any file format, by its extension."""

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from sslseg.config.names import DataError
from sslseg.data import files
from sslseg.data.geometry import Grid, onto
from sslseg.data.readers import itk, nifti, nifti_header, nifti_masks, picture_masks, pictures
from sslseg.data.source import Note, Spacing, unsaid

Decoded = tuple[np.ndarray, Spacing | None]
NIFTI = (".nii.gz", ".nii")
CHANNEL = re.compile(r"(.+)_(\d{4})")  # nnU-Net: <case>_0000, <case>_0001 … are the channels of <case>
ROUNDED = 1e-4  # by which a label may miss its whole number: a slope makes 0.9999999 of 1
SUFFIXES = (*NIFTI, *itk.SUFFIXES, *pictures.SUFFIXES)


def split(name: str, suffixes: tuple[str, ...] = SUFFIXES) -> tuple[str, str]:
    """File name without its extension, and that as it is written; "" where it is none of `suffixes`."""
    found = "" if name.startswith(".") else next((s for s in suffixes if name.lower().endswith(s)), "")
    return name[: len(name) - len(found)], name[len(name) - len(found) :]


def stem(name: str, suffixes: tuple[str, ...] = SUFFIXES) -> str | None:
    """File name without its extension, None where that is none of `suffixes`."""
    found, ending = split(name, suffixes)
    return found if ending else None


def pictured(path: Path) -> bool:
    """Whether a file is a picture by its ending."""
    return stem(path.name, pictures.SUFFIXES) is not None


def stems(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> dict[str, list[Path]]:
    """Stem -> files of one folder that end in one of `suffixes`; {} where there is no such folder."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()) if os.path.isdir(folder) else ():
        if (name := stem(path.name, suffixes)) is not None:
            found.setdefault(files.same(name), []).append(path)
    return found


def only(found: Sequence[Path]) -> Path | None:
    """The one file among those of one stem; None where there is none.

    Raises:
        DataError: there are several, as `.nii` beside `.nii.gz`; or its content is not here.
    """
    if len(found) > 1:
        raise DataError(f"{found[0]}: wanted one file of this name, there is also {found[1].name}")
    for path in found:
        files.check(path)
    return found[0] if found else None


def count_frames(path: Path) -> int:
    """Volumes along the fourth axis of a NIfTI file; 1 of others. Raises DataError when its header is damaged."""
    return nifti_header.count_frames(path) if stem(path.name, NIFTI) else 1


def read(path: Path, note: Note = unsaid) -> Decoded:
    """[C, Z, Y, X] and spacing (z, y, x) in mm, None of a picture, which has no millimetres.

    Args:
        note: told of what a picture loses.

    Raises:
        DataError: a damaged file, or none of the formats.
    """
    kind, _ = _kind(path)
    if kind is pictures:
        return pictures.read(path, note), None
    return nifti.read_channels(path) if kind is nifti else itk.read(path)


def grid(path: Path) -> Grid | None:
    """Where the voxels of a file lie; None of a picture. Raises DataError when the header is damaged."""
    kind, _ = _kind(path)
    return None if kind is pictures else nifti_header.grid(path) if kind is nifti else kind.grid(path)


def read_channels(paths: Sequence[Path], placed: bool = True, note: Note = unsaid) -> Decoded:
    """[C, Z, Y, X] of an image whose channels lie in files of their own, and its spacing as `read` has it.

    Args:
        placed: bring every channel onto the grid of the first; False takes voxel by voxel.
        note: as of `read`.

    Raises:
        DataError: a damaged file, a mask that sslseg has written, or channels of different shape or grid.
    """
    if made := next((path for path in paths if _kind(path)[1].ours(path)), None):
        raise DataError(f"{made}: wanted an image, got a mask that sslseg has written")
    parts = [read(path, note) for path in paths]
    arrays, spacing = [part[0] for part in parts], parts[0][1]
    if placed and len(paths) > 1:
        own = grid(paths[0])
        arrays = [arrays[0], *(onto(a, grid(p), own) for p, a in zip(paths[1:], arrays[1:], strict=True))]
    if len({array.shape[1:] for array in arrays}) > 1:
        shapes = ", ".join(str(array.shape[1:]) for array in arrays)
        raise DataError(f"{paths[0]}: wanted channels of one shape (Z, Y, X), got {shapes}")
    return np.concatenate(arrays), spacing


def write_mask(path: Path, mask: np.ndarray, like: Path, note: str) -> None:
    """Write class numbers, uint8 [Z, Y, X] (or [T, Z, Y, X] of a 4D NIfTI file), in the geometry of the image `like`.

    Raises:
        DataError: the mask is not of the image's shape, or `path` holds a file that is no mask of ours.
    """
    _kind(path)[1].write(path, mask, like, note)


def read_labels(
    path: Path,
    shape: tuple[int, ...] | None,
    soft: bool = False,
    known: Collection[int] = (),
    like: Grid | None = None,
    index: int | None = None,
    image: Path | None = None,
) -> np.ndarray:
    """Whole numbers [Z, Y, X] of the mask of an image of `shape` (Z, Y, X).

    Args:
        shape: None takes any.
        soft: a threshold will make classes of them: fractions and lossy files will do, colours are grey.
        known: values that stand for a class, see `picture_masks.read`.
        like: grid of the image, onto which the mask is brought; None takes voxel by voxel.
        index: frame of a 4D NIfTI mask.
        image: the file that the mask is of.

    Raises:
        DataError: a damaged file, another shape or grid, several channels or fractions, or a picture that EXIF turns.
    """
    kind, _ = _kind(path)
    if kind is pictures:
        pictures.check_upright(path)
        if image and pictured(image):
            pictures.check_upright(image)
        array = picture_masks.read_soft(path) if soft else picture_masks.read(path, known)
    elif kind is nifti:
        if index is None and (many := nifti_header.count_frames(path)) > 1:
            wanted = f"wanted a mask of one volume of class numbers, got {many} volumes along its fourth axis"
            hint = 'where each is a moment of a cine, {"frames": "time"} in sslseg.json says so'
            raise DataError(
                f"{path}: {wanted}: where each is a class, write their numbers into one volume; {hint}"
            )
        array, _ = nifti.read_volume(path, index)
    else:
        channels, _ = itk.read(path)
        if len(channels) != 1:
            raise DataError(f"{path}: wanted a mask of one channel, got {len(channels)}")
        array = channels[0]
    array = onto(array, like and grid(path), like)
    if shape not in (None, array.shape):
        raise DataError(f"{path}: wanted a mask of the image's shape (Z, Y, X) {shape}, got {array.shape}")
    if soft or array.dtype.kind != "f":
        return array
    whole = np.rint(array)
    if np.abs(array - whole).max() > ROUNDED:
        hint = 'of two classes "threshold": 0.5 in sslseg.json makes them'
        raise DataError(f"{path}: wanted whole numbers in a mask, got fractions; {hint}")
    return whole


def _kind(path: Path) -> tuple[ModuleType, ModuleType]:
    """The modules that read a file, and that know and write masks of its format."""
    if stem(path.name, NIFTI):
        return nifti, nifti_masks
    if stem(path.name, itk.SUFFIXES):
        return itk, itk
    if pictured(path):
        return pictures, picture_masks
    raise DataError(f"{path}: wanted one of {', '.join(SUFFIXES)}")
