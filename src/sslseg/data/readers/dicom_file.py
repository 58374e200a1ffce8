"""One DICOM file and its tags, read with suspicion; pydicom is an extra.

pydicom decodes a tag when it is asked for, and may fail only then: nothing is taken from a file but by the
functions here.
"""

from __future__ import annotations

import contextlib
import io
import mmap
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sslseg.config import plugins
from sslseg.config.names import DataError

SANE = 1e-4, 1e3  # mm, sane voxel sizes
HUGE = 1e30  # a grey value beyond is none, and float32 ends soon after
FAR = 1e5  # mm, farther from the origin than any scanner reaches
# what pydicom raises on damaged files, its own errors among the subclasses
STRANGE = (OSError, EOFError, ValueError, AttributeError, KeyError, TypeError, IndexError, OverflowError,
           NotImplementedError, struct.error)  # fmt: skip


def pydicom(path: Path) -> Any:
    """The package. Raises DataError when it is not installed."""
    return plugins.package("pydicom", f"{path}: wanted pydicom to read DICOM, run: pip install -e '.[dicom]'")


def opened(path: Path, **how: Any) -> Any:
    """A file's data set. What pydicom only warns of, an odd value somewhere, is judged by those who use it.

    Raises:
        DataError: it is damaged.
        InvalidDicomError: pydicom's, it is no DICOM file.
    """
    package = pydicom(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _within(path) as file:
                return package.dcmread(file, **how)
    except package.errors.InvalidDicomError:
        raise
    except STRANGE as error:
        raise DataError(f"{path}: damaged DICOM file ({line(error)})") from None


@contextlib.contextmanager
def _within(path: Path) -> Iterator[Any]:
    """The file, of which no read can be longer than it is: a damaged length would set 4 GiB aside."""
    with path.open("rb") as file:
        empty = not path.stat().st_size
        with io.BytesIO() if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as source:
            yield source


def line(error: Exception) -> str:
    """The first line of an error of somebody else's, cut where it is long."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def value(path: Path, data: Any, tag: str) -> Any:
    """Value of a tag, None where it is absent or empty; pydicom decodes it at this moment."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = data.get(tag)
            return None if found is None or not str(found) else found
    except STRANGE as error:
        raise DataError(f"{path}: {tag} cannot be read ({line(error)})") from None


def numbers(path: Path, data: Any, tag: str, count: int) -> np.ndarray | None:
    """`count` finite numbers of a tag; None where it is absent or empty.

    Raises:
        DataError: it holds something else.
    """
    found = value(path, data, tag)
    if found is None:
        return None
    try:
        got = np.atleast_1d(np.array(found, float))
    except (ValueError, TypeError, OverflowError):
        got = np.full(0, np.nan)
    if got.shape != (count,) or not np.isfinite(got).all():
        raise DataError(f"{path}: wanted {tag} of {count} finite numbers, got {str(found)[:60]!r}")
    return got


def placing(path: Path, data: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Position [3] in mm and direction cosines [2, 3]; None where the file does not say both.

    Raises:
        DataError: they are not numbers, or the directions span no plane.
    """
    position = numbers(path, data, "ImagePositionPatient", 3)
    directions = numbers(path, data, "ImageOrientationPatient", 6)
    if position is None or directions is None:
        return None
    lengths = np.linalg.norm(directions.reshape(2, 3), axis=1)
    if (
        np.abs(position).max() > FAR
        or np.abs(lengths - 1).max() > 0.1
        or abs(normal(directions) ** 2).sum() < 0.5
    ):
        raise DataError(f"{path}: wanted a place and two directions, got {position} and {directions}")
    return position, directions.reshape(2, 3)


def normal(directions: np.ndarray) -> np.ndarray:
    """Of direction cosines [2, 3] or [6]."""
    row, column = directions.reshape(2, 3)
    return np.cross(row, column)


def image(path: Path) -> tuple[Any, np.ndarray]:
    """Data set and plane float64 [Y, X] in the units of the rescale slope; MONOCHROME1 negated.

    Raises:
        DataError: a damaged or compressed file.
    """
    package = pydicom(path)
    try:
        data = opened(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plane = np.asarray(data.pixel_array, np.float64)
    except (RuntimeError, NotImplementedError) as error:
        raise DataError(f"{path}: cannot be decoded ({line(error)}); decompress the series first") from None
    except (package.errors.InvalidDicomError, *STRANGE) as error:
        raise DataError(f"{path}: damaged DICOM file ({line(error)})") from None
    slope, shift = (numbers(path, data, tag, 1) for tag in ("RescaleSlope", "RescaleIntercept"))
    plane = plane * (slope[0] if slope is not None and slope[0] else 1.0)
    plane = plane + (shift[0] if shift is not None else 0.0)
    if plane.ndim != 2 or not (np.abs(plane) < HUGE).all():
        raise DataError(f"{path}: wanted a plane of finite grey values, got {plane.ndim}D")
    return data, -plane if value(path, data, "PhotometricInterpretation") == "MONOCHROME1" else plane


def spacing(path: Path, data: Any) -> tuple[float, float, float]:
    """PixelSpacing y, x and slice thickness, mm; a thickness that is not said is 1 mm."""
    told = numbers(path, data, "PixelSpacing", 2)
    told = numbers(path, data, "ImagerPixelSpacing", 2) if told is None else told
    if told is None:
        raise DataError(f"{path}: wanted PixelSpacing, two numbers in mm, got None")
    thickness = numbers(path, data, "SliceThickness", 1)
    found = (*map(float, told), float(thickness[0]) if thickness is not None and thickness[0] else 1.0)
    if not all(SANE[0] < v < SANE[1] for v in found):
        raise DataError(f"{path}: wanted PixelSpacing and SliceThickness in mm, got {found}")
    return found
