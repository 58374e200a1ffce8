"""An image of one file or of a DICOM series, and its mask: a file, one picture a slice, or another series."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from sslseg.config.names import DataError
from sslseg.data.geometry import Grid, onto
from sslseg.data.readers import dicom_file, dicom_series, dicom_volume, formats
from sslseg.data.source import Spacing


def grid(images: Sequence[Path], otherwise: Spacing | None = None) -> Grid | None:
    """Where the voxels of an image lie; None of a picture. `otherwise` as of `dicom_file.spacing`."""
    if formats.stem(images[0].name) is not None:
        return formats.grid(images[0])
    return dicom_volume.grid(tuple(images), otherwise)


def read_labels(
    files: Sequence[Path], images: Sequence[Path], shape: tuple[int, ...],
    soft: bool, known: Collection[int], like: Grid | None, index: int | None,
) -> np.ndarray:  # fmt: skip
    """Whole numbers [Z, Y, X] of a mask.

    Args:
        images: of the image: its file, or the slices of a series along the normal.
        shape, soft, known, like, index: as of `formats.read_labels`.

    Raises:
        DataError: see there; or the pictures cannot be told apart, slice by slice.
    """
    if formats.stem(files[0].name) is None:
        size = like.spacing[::-1] if like else (1.0, 1.0, 1.0)  # of a mask that does not say its own
        array, own = dicom_volume.read(tuple(files), size)[0], dicom_volume.grid(tuple(files), size)
        if (array := onto(array, own, like)).shape != shape:
            wanted = f"a mask of the shape (Z, Y, X) {shape} of the series in {images[0].parent}"
            raise DataError(f"{files[0]}: wanted {wanted}, got {array.shape}")
        return array
    if formats.stem(images[0].name) is not None or not formats.pictured(files[0]):
        return formats.read_labels(files[0], shape, soft, known, like, index, images[0])
    plane = (1, *shape[1:])
    return np.concatenate([formats.read_labels(path, plane, soft, known) for path in in_order(files, images)])


def in_order(files: Sequence[Path], images: Sequence[Path]) -> list[Path]:
    """One picture a slice, in the order of the slices: by their names where these are equal, else by counting.

    Counted are the pictures by their names, and the slices by theirs or by InstanceNumber: by what runs along the
    series.

    Raises:
        DataError: there are more or fewer pictures than slices, nothing runs along the series, or names and numbers
            run against each other.
    """
    place = files[0].parent
    if len(files) != len(images):
        wanted = f"wanted a mask for each of the {len(images)} slices in {images[0].parent}"
        raise DataError(f"{place}: {wanted}, got {len(files)}")
    of = {formats.split(path.name)[0].casefold(): path for path in files}
    stems = [dicom_series.stem(path).casefold() for path in images]
    if set(of) == set(stems) and len(of) == len(files):
        return [of[stem] for stem in stems]
    counts = [sorted(range(len(images)), key=lambda k: _natural(stems[k])), _by_number(images)]
    upwards = list(range(len(images)))
    along = [order for order in counts if order in (upwards, upwards[::-1])]
    if not along or along.count(along[0]) < len(along):
        why = "run against each other" if along else "do not follow the slices"
        why = f"the names and InstanceNumbers of {images[0].parent} {why}; name every mask as its slice"
        raise DataError(f"{place}: which mask is of which slice? Neither has the other's name, and {why}")
    drawn = sorted(files, key=lambda path: _natural(path.name))
    return drawn if along[0] == upwards else drawn[::-1]


def _natural(name: str) -> list[tuple[int, str]]:
    """Numbers in a name are compared as numbers: 2 before 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", name)]


def _by_number(images: Sequence[Path]) -> list[int]:
    """The slices as InstanceNumber counts them; [] where it does not."""
    found = [dicom_file.tag(path, "InstanceNumber") for path in images]
    if not all(text.isdecimal() for text in found) or len(set(found)) < len(found):
        return []
    return sorted(range(len(found)), key=lambda k: int(found[k]))
