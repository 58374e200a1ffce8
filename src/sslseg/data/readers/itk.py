"""NRRD and MetaImage through SimpleITK, which is an extra."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from sslseg.config import plugins
from sslseg.config.files import aside
from sslseg.config.names import DataError
from sslseg.data.files import may_write, start
from sslseg.data.geometry import Grid, usable
from sslseg.data.readers.nifti import LARGEST, LONGEST, finite
from sslseg.data.source import Spacing

SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")
MARK = "sslseg"  # key of a mask written here: those may be written again
DETACHED = (".raw", ".zraw", ".raw.gz")  # voxels beside a .nhdr or .mhd
POINTER = re.compile(rb"(?im)^[ \t]*(?:ElementDataFile[ \t]*=|data ?file:)[ \t]*([^\r\n]*?)[ \t]*\r?$")
ORIGIN = re.compile(rb"^[ \t]*(?:space origin[ \t]*:|(?:Offset|Origin|Position)[ \t]*=)", re.I | re.M)
UNITS = re.compile(rb"^[ \t]*(?:space )?units[ \t]*:([^\r\n]*)", re.I | re.M)
MM = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "um": 1e-3, "microns": 1e-3, "millimeter": 1.0, "meter": 1000.0}
HEADER = 1 << 20  # bytes in which a header ends


def _package(path: Path) -> ModuleType:
    install = "SimpleITK reads this format, install it: pip install -e '.[itk]'"
    sitk = plugins.package("SimpleITK", f"{path}: {install}")
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    return sitk


def read(path: Path) -> tuple[np.ndarray, Spacing]:
    """[C, Z, Y, X] in the file's number type, or float32; spacing (z, y, x) in mm.

    Raises:
        DataError: SimpleITK is not installed, the file is damaged, or not one 2D or 3D image.
    """
    sitk = _package(path)
    head = _head(path)
    _check_place(path, head)
    size = _header(sitk, path).GetSize()
    if not size or max(size) > LONGEST or math.prod(size) > LARGEST:
        raise DataError(f"{path}: wanted an image, got a header of {' x '.join(map(str, size))} voxels")
    image = _asked(path, lambda: sitk.ReadImage(str(path)))
    if image.GetDimension() not in (2, 3):
        raise DataError(f"{path}: wanted a 2D or 3D image, got {image.GetDimension()}D {image.GetSize()}")
    array = sitk.GetArrayFromImage(image)
    if array.dtype.kind not in "iuf":
        raise DataError(f"{path}: wanted grey voxels (integer or float), got {array.dtype}")
    array = np.moveaxis(array, -1, 0) if image.GetNumberOfComponentsPerPixel() > 1 else array[None]
    array = array if image.GetDimension() == 3 else array[:, None]
    spacing = tuple(_unit(path, head) * v for v in (*image.GetSpacing(), 1.0)[2::-1])
    array = finite(path, array)
    if not all(1e-4 < v < 1e3 for v in spacing):
        raise DataError(f"{path}: wanted a voxel size in mm, got (z, y, x) {spacing}")
    return array, spacing


def grid(path: Path) -> Grid:
    """Where the voxels of a file lie; a header that is silent about their origin says nothing of the place.

    Raises:
        DataError: SimpleITK is not installed, or the header is damaged.
    """
    header, head = _header(_package(path), path), _head(path)
    if (flat := header.GetDimension()) not in (2, 3):
        raise DataError(f"{path}: wanted a 2D or 3D image, got {flat}D {header.GetSize()}")
    spacing, origin = (*header.GetSpacing(), 1.0)[:3], (*header.GetOrigin(), 0.0)[:3]
    turned = np.eye(3)
    turned[:flat, :flat] = np.reshape(header.GetDirection(), (flat, flat))
    place = np.eye(4)
    place[:3, :3], place[:3, 3] = turned * spacing, origin
    unit = _unit(path, head)
    place = np.diag([-unit, -unit, unit, 1.0]) @ place  # ITK counts to the left and to the back
    forms = {"header": (place,)} if ORIGIN.search(head) and usable(place) else {}
    return Grid(path, (*header.GetSize(), 1)[:3], tuple(unit * v for v in spacing), forms)


def _head(path: Path) -> bytes:
    """The text before the voxels. Raises DataError when the file cannot be read."""
    try:
        return re.split(rb"\n\r?\n", start(path, HEADER))[0]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def _unit(path: Path, head: bytes) -> float:
    """mm in the unit of a header's lengths; SimpleITK takes all of them for mm."""
    told = UNITS.search(head)
    words = {w.decode("utf-8", "replace") for w in re.findall(rb'"([^"]*)"', told[1])} if told else set()
    words -= {"", "???"}
    if len(words) > 1 or not words <= set(MM):
        raise DataError(f"{path}: space units: wanted one of {', '.join(MM)}, got {', '.join(sorted(words))}")
    return MM[words.pop()] if words else 1.0


def _check_place(path: Path, head: bytes) -> None:
    """Raises DataError where a header names another file of voxels than its own or the one beside: those are digested."""
    named = [m[1].decode("utf-8", "replace") for m in POINTER.finditer(head)][:1]
    own = [path.with_suffix(suffix).name for suffix in DETACHED]
    if named and named[0] not in ("LOCAL", *own):
        wanted = f"wanted its voxels inside or beside it ({' or '.join(own)})"
        raise DataError(f"{path}: {wanted}, the header names {named[0][:80]!r}")


def beside(path: Path) -> tuple[Path, ...]:
    """The file of a header's voxels, where they are kept apart under the header's name."""
    if path.suffix.lower() not in (".nhdr", ".mhd"):
        return ()
    return tuple(p for s in DETACHED if (p := path.with_suffix(s)).is_file())


def ours(path: Path) -> bool:
    """Whether a file is a mask that sslseg has written. Raises DataError when its header is damaged."""
    return _header(_package(path), path).HasMetaDataKey(MARK)


def write(path: Path, mask: np.ndarray, like: Path, note: str = "") -> None:
    """Write `mask`, uint8 [Z, Y, X], to a .nrrd or .mha with origin, spacing and directions of `like`.

    Raises:
        DataError: the mask is not of the image's shape, or `path` holds a file that is no mask of ours.
    """
    sitk = _package(path)
    may_write(path, ours)
    header = _header(sitk, like)
    array = mask if header.GetDimension() == 3 else mask[0]
    if array.shape != header.GetSize()[::-1]:
        raise DataError(f"{like}: wanted a mask of its shape {header.GetSize()[::-1]}, got {array.shape}")
    image = sitk.GetImageFromArray(np.ascontiguousarray(array, np.uint8))
    image.SetSpacing(header.GetSpacing())
    image.SetOrigin(header.GetOrigin())
    image.SetDirection(header.GetDirection())
    image.SetMetaData(MARK, f"mask {note}".strip())
    with aside(path) as part:
        sitk.WriteImage(image, str(part), True)


def _header(sitk: ModuleType, path: Path) -> Any:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    _asked(path, reader.ReadImageInformation)
    return reader


def _asked(path: Path, what: Callable[[], Any]) -> Any:
    try:
        return what()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise DataError(f"{path}: cannot be read as NRRD or MetaImage ({reason})") from None
