"""Headers of NIfTI files, as they stand: nibabel's loader repairs them, a spacing of 0 becomes 1 mm.

Spacing comes from pixdim, never from the affine, which is the identity in ACDC.
"""

import contextlib
import io
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np
from isal import igzip, isal_zlib
from nibabel.spatialimages import HeaderDataError

from sslseg.config.names import DataError
from sslseg.data.files import check, stamp, start
from sslseg.data.geometry import Grid, usable
from sslseg.data.source import Spacing

# what a truncated, damaged or unreadable file raises while it is read
DAMAGED = (OSError, EOFError, zlib.error, vars(isal_zlib)["error"])  # whose stub has it as an instance
PIECE = 1 << 24  # bytes read at once
MM_PER_UNIT = {"unknown": 1.0, "mm": 1.0, "meter": 1000.0, "micron": 0.001}
SMALLEST, LARGEST_MM = 1e-4, 1e3  # mm, of any voxel
ODD, PLAUSIBLE = ("meter", "micron"), 20.0  # mm of a pixel where the unit is one that images seldom have
HEADERS = {348: nib.Nifti1Header, 540: nib.Nifti2Header}  # by the header's first number, its own size


def header_of(path: Path) -> nib.Nifti1Header:
    """The header of a file, unpacked if it is packed, whatever its name says: read once, so not to be changed.

    Raises:
        DataError: as `grid`.
    """
    check(path)
    return _header(path, *stamp(path))


@lru_cache(maxsize=64)  # of a mask first its frames are asked for and then its place
def _header(path: Path, *stamped: int) -> nib.Nifti1Header:
    with unpacked(path) as file:
        return header_at(path, exactly(file, max(HEADERS)))


def grid(path: Path) -> Grid:
    """Where the voxels of a file lie; of a 4D file, those of each frame. Reads the header alone.

    The sform is read as it stands, and also with the voxel size of pixdim in the place of its own: ACDC's says
    1 mm, and tools that write masks for it mend that.

    Raises:
        DataError: the header cannot be read.
    """
    header = header_of(path)
    shape = header.get_data_shape()
    spacing = voxel_size(path, header, len(shape))[::-1]
    unit = np.diag([*[MM_PER_UNIT.get(header.get_xyzt_units()[0], 1.0)] * 3, 1.0])
    forms: dict[str, tuple[np.ndarray, ...]] = {}
    if header["sform_code"] > 0 and usable(sform := unit @ header.get_sform().astype(float)):
        mended = sform.copy()
        mended[:3, :3] *= np.array(spacing) / np.linalg.norm(sform[:3, :3], axis=0)
        forms["sform"] = (sform, mended)
    with contextlib.suppress(HeaderDataError, ValueError, ArithmeticError), np.errstate(all="ignore"):
        if header["qform_code"] > 0 and usable(qform := unit @ header.get_qform().astype(float)):
            forms["qform"] = (qform,)
    return Grid(path, tuple((*shape, 1, 1, 1)[:3]), spacing, forms)


def count_frames(path: Path) -> int:
    """Frames of a file, from its header alone; a 3D file has one. Raises DataError: the header cannot be read."""
    shape = header_of(path).get_data_shape()
    return shape[3] if len(shape) > 3 else 1


def header_at(path: Path, data: bytearray) -> nib.Nifti1Header:
    """The header at the start of `data`, as it stands."""
    size = int.from_bytes(data[:4], "little"), int.from_bytes(data[:4], "big")
    kind = next((header for first, header in HEADERS.items() if first in size), None)
    if kind is None or len(data) < kind.sizeof_hdr:
        raise DataError(f"{path}: wanted a NIfTI file, got something else")
    try:
        header = kind.from_fileobj(io.BytesIO(data), check=False)
        header.get_data_shape()
    except (HeaderDataError, ValueError, KeyError) as error:
        raise DataError(f"{path}: damaged NIfTI header ({error})") from None
    return header


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[io.BufferedIOBase]:
    """The file, unpacked if it is a .gz; what goes wrong while it is read is a DataError."""
    try:
        packed = start(path)[:2] == b"\x1f\x8b"
        with igzip.open(path) if packed else path.open("rb") as file:  # compares a checksum at its end
            yield file
    except DAMAGED as error:
        raise DataError(f"{path}: damaged or truncated file ({error})") from None


def exactly(file: io.BufferedIOBase, wanted: int, begun: bytes | bytearray = b"") -> bytearray:
    """`begun`, read on to `wanted` bytes or to the end. In pieces: a `read` may give less, and a header may lie."""
    data = bytearray(begun)
    while len(data) < wanted and (piece := file.read(min(PIECE, wanted - len(data)))):
        data += piece
    return data


def voxel_size(path: Path, header: nib.Nifti1Header, axes: int) -> Spacing:
    """z, y, x in mm. Raises DataError: there is none, or it can only be a mistake about the unit."""
    x, y, z = (abs(float(v)) for v in header["pixdim"][1:4])
    unit = header.get_xyzt_units()[0]
    mm = MM_PER_UNIT.get(unit, 1.0)
    found = (z if axes > 2 else 1.0) * mm, y * mm, x * mm
    if not all(SMALLEST < v < LARGEST_MM for v in found):  # NaN fails too
        raise DataError(f"{path}: wanted a voxel size in mm in pixdim, got (z, y, x) {found}")
    if unit in ODD and max(found[1:]) > PLAUSIBLE:
        pixel = f"a pixel of {y:g} x {x:g} would have {found[1]:g} x {found[2]:g} mm"
        said = f"its header counts in {unit}s (xyzt_units), so that {pixel}"
        raise DataError(f"{path}: {said}; wanted a pixel of at most {PLAUSIBLE:g} mm: is the unit mm?")
    return found
