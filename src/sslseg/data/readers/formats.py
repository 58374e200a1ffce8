"""One image or mask of any file format, by its extension."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sslseg.config.names import DataError
from sslseg.data.readers import itk, nifti, pictures

NIFTI = (".nii.gz", ".nii")
SUFFIXES = (*NIFTI, *itk.SUFFIXES, *pictures.SUFFIXES)


def stem(name: str, suffixes: tuple[str, ...] = SUFFIXES) -> str | None:
    """File name without its extension, None where that is none of `suffixes`."""
    found = next((s for s in suffixes if name.lower().endswith(s)), None)
    return None if found is None or name.startswith(".") else name[: -len(found)]


def read(path: Path) -> tuple[np.ndarray, tuple[float, float, float] | None]:
    """[C, Z, Y, X] and spacing (z, y, x) in mm, None of a picture, which has no millimetres.

    Raises:
        DataError: a damaged file, or none of the formats.
    """
    kind = _kind(path)
    if kind is pictures:
        return pictures.read(path), None
    return nifti.read_channels(path) if kind is nifti else itk.read(path)


def read_labels(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Whole numbers [Z, Y, X] of the mask of an image of `shape` (Z, Y, X).

    Raises:
        DataError: a damaged file, another shape, several channels or fractions.
    """
    if _kind(path) is pictures:
        array = pictures.read_labels(path)
    else:
        array, _ = read(path)
        if len(array) != 1:
            raise DataError(f"{path}: wanted a mask of one channel, got {len(array)}")
        array = array[0]
    if array.shape != shape:
        raise DataError(f"{path}: wanted a mask of the image's shape (Z, Y, X) {shape}, got {array.shape}")
    if array.dtype.kind == "f" and (array != np.rint(array)).any():
        raise DataError(f"{path}: wanted whole numbers in a mask, got fractions")
    return array


def _kind(path: Path):  # -> module
    for kind, suffixes in ((nifti, NIFTI), (itk, itk.SUFFIXES), (pictures, pictures.SUFFIXES)):
        if stem(path.name, suffixes) is not None:
            return kind
    raise DataError(f"{path}: wanted one of {', '.join(SUFFIXES)}")
