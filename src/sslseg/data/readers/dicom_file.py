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
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from sslseg.config import plugins
from sslseg.config.names import DataError
from sslseg.data.files import check, check_start
from sslseg.data.source import Spacing

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

ASIDE: dict[Path, str] = {}  # files that this process has met and not read as images or masks, and why
SANE = 2e-3, 1e3  # mm, sane voxel sizes; a header in metres says 0.0007
MAGIC = b"DICM"  # behind the preamble
START = 2048  # bytes in which a header says how the rest is packed
DEFLATED = b"1.2.840.10008.1.2.1.99"  # a transfer syntax
LONGEST = 8192  # pixels along a side
LAST_OF_8 = 0x70  # of the tags of group 8 that a file without preamble begins with
VRS = (b"UL", b"UI", b"CS", b"DA", b"TM", b"SH", b"LO", b"PN")
HUGE = 1e30  # a grey value beyond is none, and float32 ends soon after
FAR = 1e5  # mm, farther from the origin than any scanner reaches
# what pydicom raises on damaged files, its own errors among the subclasses
STRANGE = (OSError, EOFError, ValueError, AttributeError, KeyError, TypeError, IndexError, OverflowError,
           NotImplementedError, struct.error)  # fmt: skip


def pydicom(path: Path) -> ModuleType:
    """The package. Raises DataError when it is not installed."""
    return plugins.package("pydicom", f"{path}: wanted pydicom to read DICOM, run: pip install -e '.[dicom]'")


def opened(path: Path, **how: Any) -> FileDataset:
    """A file's data set. What pydicom only warns of, an odd value somewhere, is judged by those who use it.

    Raises:
        DataError: it is damaged.
        InvalidDicomError: pydicom's, it is no DICOM file.
    """
    package = pydicom(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with within(path) as file:
                data = package.dcmread(file, force=bare(path), **how)
            if "TransferSyntaxUID" not in data.file_meta:  # without a preamble it is not said
                implicit = data.original_encoding[0]
                kinds = package.uid.ImplicitVRLittleEndian, package.uid.ExplicitVRLittleEndian
                data.file_meta.TransferSyntaxUID = kinds[0 if implicit else 1]
            return data
    except package.errors.InvalidDicomError:
        raise
    except STRANGE as error:
        raise DataError(f"{path}: damaged DICOM file ({line(error)})") from None


def bare(path: Path) -> bool:
    """Whether a file begins with the first tags of DICOM at once, without the preamble of newer files."""
    with path.open("rb") as file:
        head = file.read(132)
    if head[128:] == MAGIC or len(head) < 132:
        return False
    group, element, length = struct.unpack("<HHI", head[:8])
    known = group == 8 and element % 2 == 0 and element <= LAST_OF_8 or (group, element) == (2, 0)
    return known and (head[4:6] in VRS or length <= path.stat().st_size)


@contextlib.contextmanager
def within(path: Path) -> Iterator[io.BytesIO | mmap.mmap]:
    """The file, of which no read can be longer than it is: a damaged length would set 4 GiB aside.

    Raises:
        DataError: it is a link or a pointer of version control, or deflated.
    """
    check(path)
    with path.open("rb") as file:  # once: a series is thousands of files, often behind a network
        check_start(path, head := file.read(START))
        if not head:
            yield io.BytesIO()
        elif DEFLATED in head and head[128:132] == MAGIC:
            raise DataError(f"{path}: it is deflated as a whole, which is not read; dcmconv +te unpacks it")
        else:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as source:
                yield source


def line(error: Exception) -> str:
    """The first line of an error of somebody else's, cut where it is long."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def value(path: Path, data: Dataset, tag: str) -> Any:
    """Value of a tag, None where it is absent or empty; pydicom decodes it at this moment."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = data.get(tag)
            return None if found is None or not str(found) else found
    except STRANGE as error:
        raise DataError(f"{path}: {tag} cannot be read ({line(error)})") from None


def tag(path: Path, name: str) -> str:
    """A tag of a file as text, "" where it has none. Raises DataError as `opened`, and of a tag that is damaged."""
    return str(value(path, opened(path, stop_before_pixels=True, specific_tags=[name]), name) or "")


def numbers(path: Path, data: Dataset, tag: str, count: int) -> np.ndarray | None:
    """`count` finite numbers of a tag; None where it is absent or empty. Raises DataError: it holds something else."""
    if (found := value(path, data, tag)) is None:
        return None
    try:
        got = np.atleast_1d(np.array(found, float))
    except (ValueError, TypeError, OverflowError):
        got = np.full(0, np.nan)
    if got.shape != (count,) or not np.isfinite(got).all():
        raise DataError(f"{path}: wanted {tag} of {count} finite numbers, got {str(found)[:60]!r}")
    return got


def placing(path: Path, data: Dataset) -> tuple[np.ndarray, np.ndarray] | None:
    """Position [3] in mm and direction cosines [2, 3]; None where the file does not say both.

    Raises:
        DataError: they are not numbers, or the directions span no plane.
    """
    position = numbers(path, data, "ImagePositionPatient", 3)
    directions = numbers(path, data, "ImageOrientationPatient", 6)
    if position is None or directions is None:
        return None
    uneven = np.abs(np.linalg.norm(directions.reshape(2, 3), axis=1) - 1).max() > 0.1
    if uneven or np.abs(position).max() > FAR or (normal(directions) ** 2).sum() < 0.5:
        raise DataError(f"{path}: wanted a place and two directions, got {position} and {directions}")
    return position, directions.reshape(2, 3)


def normal(directions: np.ndarray) -> np.ndarray:
    """Of direction cosines [2, 3] or [6]."""
    row, column = directions.reshape(2, 3)
    return np.cross(row, column)


def image(path: Path) -> tuple[Dataset, np.ndarray]:
    """Data set and plane float64 [Y, X] in the units of the rescale slope; MONOCHROME1 negated.

    Raises:
        DataError: a damaged or compressed file.
    """
    package = pydicom(path)
    try:
        data = opened(path)
        sides = [numbers(path, data, tag, 1) for tag in ("Columns", "Rows")]
        if any(side is not None and side[0] > LONGEST for side in sides):
            got = f"{data.Columns} x {data.Rows}"
            raise DataError(f"{path}: wanted at most {LONGEST} pixels a side, got {got}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plane = np.asarray(data.pixel_array, np.float64)
    except (RuntimeError, NotImplementedError) as error:
        raise DataError(f"{path}: cannot be decoded ({line(error)}); decompress the series first") from None
    except (package.errors.InvalidDicomError, *STRANGE) as error:
        raise DataError(f"{path}: damaged DICOM file ({line(error)})") from None
    kind = value(path, data, "PhotometricInterpretation")
    if kind not in (None, "MONOCHROME1", "MONOCHROME2"):
        wanted = "wanted grey values (MONOCHROME1 or 2)"
        raise DataError(f"{path}: {wanted}, got {kind}; convert colours to PNG or NIfTI")
    slope, shift = (numbers(path, data, tag, 1) for tag in ("RescaleSlope", "RescaleIntercept"))
    plane = plane * (slope[0] if slope is not None and slope[0] else 1.0)
    plane = plane + (shift[0] if shift is not None else 0.0)
    if plane.ndim != 2 or not (np.abs(plane) < HUGE).all():
        raise DataError(f"{path}: wanted a plane of finite grey values, got {plane.ndim}D")
    return data, -plane if kind == "MONOCHROME1" else plane


def spacing(path: Path, data: Dataset, otherwise: Spacing | None = None) -> tuple[float, float, float]:
    """PixelSpacing y, x and slice thickness, mm; a thickness that is not said is 1 mm.

    Args:
        otherwise: (z, y, x), where somebody has said it of files that do not.
    """
    told = numbers(path, data, "PixelSpacing", 2)
    told = numbers(path, data, "ImagerPixelSpacing", 2) if told is None else told
    if told is None and otherwise is None:
        hint = 'of files without it, spacing in sslseg.json of the data folder says it, as {"spacing": [0.5, 0.5]}'
        raise DataError(f"{path}: wanted PixelSpacing, two numbers in mm, got None; {hint}")
    thickness = numbers(path, data, "SliceThickness", 1)
    z, *plane = otherwise or (1.0, 1.0, 1.0)
    z = float(thickness[0]) if thickness is not None and thickness[0] else z
    y, x = map(float, plane if told is None else told)
    if not all(SANE[0] < v < SANE[1] for v in (y, x, z)):
        raise DataError(f"{path}: wanted PixelSpacing and SliceThickness in mm, got {(y, x, z)}")
    return y, x, z
