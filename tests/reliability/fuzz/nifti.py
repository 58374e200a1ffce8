"""NIfTI files: headers, gzip, shapes, voxels. nibabel is the judge of what was read."""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np

from sslseg.data.folders import mask_values
from sslseg.data.readers import formats, nifti, nifti_header, nifti_masks
from tests.fixtures import trees
from tests.reliability.fuzz.runner import Mutation, Wrong

KINDS = ("uint8", "int16", "uint16", "int32", "float32", "float64")
FIELDS = ("dim", "datatype", "bitpix", "pixdim", "vox_offset", "scl_slope", "scl_inter", "xyzt_units",
          "magic", "sizeof_hdr", "qform_code", "sform_code", "quatern_b", "srow_x", "slice_end", "dim_info",
          "intent_code", "descrip")  # fmt: skip
EXTREMES = (0, 1, -1, 2, 7, 255, 256, -32768, 32767, 2**31 - 1, 1e-30, 1e30, float("nan"), float("inf"))


def _whole(rng: np.random.Generator, folder: Path, suffix: str = ".nii", axes: int = 0) -> Path:
    """A sound file of random type, shape and byte order."""
    shape = tuple(int(n) for n in rng.integers(1, 7, axes or rng.integers(3, 5)))
    array = (rng.random(shape) * 100).astype(rng.choice(KINDS))
    path = trees.nifti(folder / f"a{suffix}", array)
    if rng.random() < 0.3:
        image = nib.load(path)
        swapped = nib.Nifti1Image(array, None, image.header.as_byteswapped(">"))
        nib.save(swapped, path)
    return path


def _reads(path: Path) -> Callable[[], str]:
    """Everything that reads a NIfTI file, the result held against nibabel's."""

    def call() -> str:
        array, spacing = nifti.read_channels(path)
        if not (np.isfinite(array).all() and all(1e-4 < v < 1e3 for v in spacing)):
            raise Wrong(f"voxels or spacing {spacing} that no image has")
        if nifti_header.count_frames(path) != len(array):
            raise Wrong(f"{nifti_header.count_frames(path)} frames counted, {len(array)} read")
        mask = np.zeros(array.shape if len(array) > 1 else array.shape[1:], np.uint8)
        nifti_masks.write(path.with_name("mask.nii.gz"), mask, path)
        return _as_nibabel(path, array, spacing)

    return call


def _as_nibabel(path: Path, array: np.ndarray, spacing: tuple[float, ...]) -> str:
    try:
        image = nib.load(path)
        theirs = np.asanyarray(image.dataobj).astype(np.float64)
        zooms = image.header.get_zooms()
    except Exception:
        return "though nibabel refuses it"
    shape = theirs.shape + (1,) * (4 - theirs.ndim)
    while len(shape) > 4 and shape[-1] == 1:  # axes of length one behind the fourth say nothing
        shape = shape[:-1]
    theirs = theirs.reshape(shape).T
    if theirs.shape != array.shape:
        raise Wrong(f"shape {array.shape}, nibabel's {theirs.shape}")
    with np.errstate(all="ignore"):
        same = np.allclose(array, theirs.astype(np.float32), rtol=1e-5, equal_nan=True)
    if not same:
        raise Wrong("other voxels than nibabel's")
    unit = nifti_header.MM_PER_UNIT.get(image.header.get_xyzt_units()[0], 1.0)
    wanted = [float(z) * unit for z in zooms[:3]][::-1]
    wanted = wanted if len(wanted) == 3 else [1.0 * unit, *wanted]
    if not np.allclose(spacing, wanted, rtol=1e-4):
        raise Wrong(f"spacing {spacing}, nibabel's {wanted}")
    return "as nibabel does"


def sound(rng, folder):
    return _reads(_whole(rng, folder, rng.choice([".nii", ".nii.gz"])))


def header_field(rng, folder):
    path = _whole(rng, folder)
    data = bytearray(path.read_bytes())
    order = "<" if data[:2] == struct.pack("<h", 348) else ">"
    dtype, place = nib.Nifti1Header.template_dtype.fields[str(rng.choice(FIELDS))][:2]
    base = dtype.base.newbyteorder(order)
    at = place + base.itemsize * int(rng.integers(0, max(1, dtype.itemsize // base.itemsize)))
    with np.errstate(all="ignore"):
        value = np.zeros((), base) if base.kind == "S" else np.array(rng.choice(EXTREMES)).astype(base)
    data[at : at + base.itemsize] = value.tobytes()
    path.write_bytes(data)
    return _reads(path)


def header_bytes(rng, folder):
    path = _whole(rng, folder)
    data = bytearray(path.read_bytes())
    for at in rng.integers(0, 352, int(rng.integers(1, 9))):
        data[at] = int(rng.integers(0, 256))
    path.write_bytes(data)
    return _reads(path)


def truncated(rng, folder):
    path = _whole(rng, folder, rng.choice([".nii", ".nii.gz"]))
    data = path.read_bytes()
    path.write_bytes(data[: int(rng.integers(0, len(data)))])
    return _reads(path)


def gzip_bits(rng, folder):
    path = _whole(rng, folder, ".nii.gz")
    data = bytearray(path.read_bytes())
    for at in rng.integers(0, 8 * len(data), int(rng.integers(1, 4))):
        data[at // 8] ^= 1 << (at % 8)
    path.write_bytes(data)
    return _reads(path)


def absurd_shape(rng, folder):
    path = _whole(rng, folder)
    size = int(rng.choice([300, 4000, 8192, 8193, 32767]))
    dims = [3, size, size, int(rng.integers(1, 32767)), 1, 1, 1, 1]
    return _reads(_set(path, dim=dims))


def not_finite(rng, folder):
    kind = rng.choice(["float32", "float64"])
    array = rng.random((4, 5, 3)).astype(kind)
    array.flat[int(rng.integers(array.size))] = rng.choice([np.nan, np.inf, -np.inf])
    path = trees.nifti(folder / "a.nii.gz", array)
    return _refused(path, "a voxel that is not finite was let through")


def axes(rng, folder):
    return _reads(_whole(rng, folder, axes=int(rng.choice([1, 2, 5, 6, 7]))))


def colour(rng, folder):
    kinds = [[(c, "u1") for c in "RGB"], [(c, "u1") for c in "RGBA"], np.complex64, np.complex128]
    kind = kinds[int(rng.integers(len(kinds)))]
    nib.save(nib.Nifti1Image(np.zeros((3, 4, 2), kind), np.eye(4)), folder / "a.nii")
    return _refused(folder / "a.nii", "colours were read as grey values")


def endian(rng, folder):
    """The header, its shape or the voxels in the other byte order."""
    path = _whole(rng, folder)
    data = bytearray(path.read_bytes())
    part = rng.choice(["header", "dim", "all but dim"])
    if part == "dim":
        data[40:56] = np.frombuffer(data[40:56], "<i2").byteswap().tobytes()
    else:
        kept = data[40:56]
        header = nib.Nifti1Header.from_fileobj(io.BytesIO(data), check=False)
        data[:348] = header.as_byteswapped().binaryblock  # the voxels stay as they are
        if part != "header":
            data[40:56] = kept
    path.write_bytes(data)
    return _reads(path)


def scaling(rng, folder):
    return _reads(_set(_whole(rng, folder), scl_slope=rng.choice(EXTREMES), scl_inter=rng.choice(EXTREMES)))


def more_than_said(rng, folder):
    """Bytes behind the voxels: a few, or a bomb of a thousand times the file."""
    path = _whole(rng, folder)
    more = int(rng.choice([1, 100, 1 << 31]))
    with gzip.open(folder / "a.nii.gz", "wb", compresslevel=1) as file:
        file.write(path.read_bytes())
        for _ in range(max(1, min(more >> 20, 64))):
            file.write(bytes(min(more, 1 << 20)))
    if more > 1 << 30:  # the same member again and again: gzip files may be joined
        member = (folder / "a.nii.gz").read_bytes() + gzip.compress(bytes(64 << 20), 1) * 20
        (folder / "a.nii.gz").write_bytes(member)
    return _reads(folder / "a.nii.gz")


def nifti2(rng, folder):
    path = folder / "a.nii"
    nib.save(nib.Nifti2Image(rng.integers(0, 99, (4, 5, 3)).astype(np.int16), np.eye(4)), path)
    data = bytearray(path.read_bytes())
    for at in rng.integers(0, 544, int(rng.integers(0, 5))):
        data[at] = int(rng.integers(0, 256))
    path.write_bytes(data)
    return _reads(path)


def mask(rng, folder):
    """A mask with labels, fractions or a shape that the image does not allow."""
    shape = tuple(int(n) for n in rng.integers(2, 5, 3))
    array = rng.choice([0, 1, 2, 3, 4, 2.5, -1, 255, 256], shape).astype(rng.choice(["float32", "int16"]))
    array = array if rng.random() < 0.7 else np.clip(array.astype(np.int16), 0, 3)
    path = trees.nifti(folder / "m.nii.gz", array)
    wanted = shape[::-1] if rng.random() < 0.8 else shape

    def call() -> str:
        values = formats.read_labels(path, wanted)
        found = mask_values.numbered(path, values, {k: k for k in range(4)})
        if found.dtype != np.uint8 or not np.array_equal(found, array.T):
            raise Wrong("other labels than in the file")
        return "as written"

    return call


def _set(path: Path, **fields: object) -> Path:
    data = path.read_bytes()
    header = nib.Nifti1Header.from_fileobj(io.BytesIO(data), check=False)
    with np.errstate(all="ignore"):
        for key, value in fields.items():
            header[key] = value
    path.write_bytes(header.binaryblock + data[348:])
    return path


def _refused(path: Path, otherwise: str) -> Callable[[], str]:
    def call() -> str:
        nifti.read_channels(path)
        raise Wrong(otherwise)

    return call


def mutations(name: str) -> dict[str, Mutation]:
    """Of NIfTI images and masks."""
    return {f.__name__: f for f in (sound, header_field, header_bytes, truncated, gzip_bits, absurd_shape,
                                    not_finite, axes, colour, endian, scaling, more_than_said, nifti2,
                                    mask)}  # fmt: skip
