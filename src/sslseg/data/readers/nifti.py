"""NIfTI volumes and masks, read with suspicion; what their headers say is read in `nifti_header.py`."""

from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from sslseg.config.names import DataError
from sslseg.data.files import stamp
from sslseg.data.readers.nifti_header import HEADERS, exactly, header_at, unpacked, voxel_size
from sslseg.data.source import Spacing

LONGEST = 8192  # voxels along one axis; more is a damaged header
LARGEST = 2**33  # voxels of one file
SLACK = 1 << 20  # bytes that may follow the voxels


def read_volume(path: Path, index: int | None = None) -> tuple[np.ndarray, Spacing]:
    """Read a 3D file, or frame `index` (from 0) of a 4D file.

    Returns:
        array [Z, Y, X] of the file's integer type, or float32; spacing (z, y, x) in mm.

    Raises:
        DataError: the file is missing, damaged, or not one volume of finite grey values.
    """
    array, spacing = _decoded(path, *stamp(path))
    if array.ndim == 4:
        if index is None and array.shape[0] > 1:
            raise DataError(f"{path}: wanted one 3D volume, got a 4D file of {array.shape[0]} frames")
        if not 0 <= (index or 0) < array.shape[0]:
            raise DataError(f"{path}: wanted frame {index} (from 0), got {array.shape[0]} frames")
        array = array[index or 0]
    elif index is not None:
        raise DataError(f"{path}: wanted a 4D file, to take frame {index} of, got {array.ndim}D")
    return np.ascontiguousarray(array), spacing


def read_channels(path: Path) -> tuple[np.ndarray, Spacing]:
    """Read a whole 3D or 4D file as [C, Z, Y, X], its fourth axis as channels; spacing as `read_volume`.

    Raises:
        DataError: as `read_volume`.
    """
    array, spacing = _decoded(path, *stamp(path))
    return np.ascontiguousarray(array if array.ndim == 4 else array[None]), spacing


# A file is kept by each of two threads: the frames of a cine are asked for one after the other, and a .gz cannot be
# entered in the middle.
@lru_cache(maxsize=2)
def _decoded(path: Path, *stamped: int) -> tuple[np.ndarray, Spacing]:
    """Whole file as [Z, Y, X] or [T, Z, Y, X], and its spacing."""
    with unpacked(path) as file:
        start = exactly(file, max(HEADERS))
        header = header_at(path, start)
        shape, voxel, offset, spacing, scaling = _understood(path, header)
        count = int(np.prod(shape, dtype=np.int64))
        if offset < header.sizeof_hdr:
            inside = f"voxels start at byte {offset}, inside the header"
            raise DataError(f"{path}: damaged NIfTI header ({inside})")
        wanted = offset + count * voxel.itemsize
        try:
            data = exactly(file, wanted, start)
        except MemoryError:
            too_much = f"{wanted} bytes of voxels do not fit into the memory of this machine"
            raise DataError(f"{path}: {too_much}") from None
        if len(data) < wanted:
            raise DataError(f"{path}: truncated, wanted {wanted} bytes for shape {shape}, got {len(data)}")
        if len(exactly(file, SLACK + 1)) > SLACK:  # to its end, so that the checksum of a .gz is compared
            raise DataError(f"{path}: wanted {wanted} bytes for shape {shape}, it goes on after them")
    raw = np.frombuffer(memoryview(data).toreadonly(), voxel, count, offset).reshape(shape, order="F").T
    return _scaled(path, raw, *scaling), spacing


def _understood(
    path: Path, header: nib.Nifti1Header
) -> tuple[tuple[int, ...], np.dtype, int, Spacing, tuple[float | None, float | None]]:
    """Shape (x, y, z …), type of a voxel, byte of the first, spacing (z, y, x) in mm, slope and intercept; checked."""
    try:
        shape, voxel, offset = header.get_data_shape(), header.get_data_dtype(), header.get_data_offset()
        spacing, scaling = voxel_size(path, header, len(shape)), header.get_slope_inter()
    except (HeaderDataError, ValueError, KeyError, OverflowError) as error:
        raise DataError(f"{path}: damaged NIfTI header ({error})") from None
    while len(shape) > 4 and shape[-1] == 1:
        shape = shape[:-1]
    if voxel.fields is not None or voxel.kind not in "iuf":
        word = "colour (RGB)" if voxel.fields is not None else str(voxel)
        raise DataError(f"{path}: wanted grey voxels (integer or float), got {word}")
    if len(shape) not in (2, 3, 4):
        raise DataError(f"{path}: wanted a 3D or 4D file, got {len(shape)}D {shape}")
    if min(shape) < 1 or max(shape) > LONGEST or np.prod(shape, dtype=np.float64) > LARGEST:
        raise DataError(f"{path}: wanted 1 to {LONGEST} voxels along each axis, got {shape}")
    return shape, voxel, offset, spacing, scaling


def _scaled(path: Path, raw: np.ndarray, slope: float | None, intercept: float | None) -> np.ndarray:
    array = raw if raw.ndim > 2 else raw[None]
    if slope is not None and (slope, intercept) != (1.0, 0.0):
        array = array * np.float64(slope) + np.float64(intercept)
    array = finite(path, array)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def finite(path: Path, array: np.ndarray) -> np.ndarray:
    """Fractions as float32, whole numbers as they are. Raises DataError of what float32 cannot hold, NaN among it."""
    if array.dtype.kind != "f":
        return array
    with np.errstate(over="ignore"):  # what is too large becomes infinite
        array = array.astype(np.float32, copy=False)
    if not np.isfinite(array).all():
        raise DataError(f"{path}: wanted finite voxels, got NaN or infinite ones")
    return array
