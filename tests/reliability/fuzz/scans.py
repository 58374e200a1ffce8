"""NRRD and MetaImage files, and DICOM series: headers, voxels, files that point at other files."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from sslseg.config.names import DataError
from sslseg.data.readers import dicom_series, dicom_volume, formats
from tests.fixtures.foreign_trees import dicom_slice
from tests.reliability.fuzz.runner import Mutation, Wrong

VALUES = ("", "0", "-1", "1", "3", "1.5", "nan", "inf", "1e9", "100000 100000 100000", "9" * 30, "4 4", "True", "x",
          "/etc/passwd", "../a.nrrd", "LIST", "LOCAL", "MET_DOUBLE", "double", "gzip", "raw", "bzip2", "é", "%s", "big",
          "4096", "2 2 2 2", "(1,0,0)", "none")  # fmt: skip
NUMBERS = ("uint8", "int16", "uint16", "int32", "float32", "float64")
TAGS = ("PatientID", "SeriesInstanceUID", "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient", "Rows",
        "Columns", "SamplesPerPixel", "NumberOfFrames", "PixelSpacing", "SliceThickness", "RescaleSlope",
        "RescaleIntercept", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
        "PhotometricInterpretation", "PixelData")  # fmt: skip


# ---------------------------------------------------------------- NRRD and MetaImage
def _image(rng: np.random.Generator, folder: Path, suffix: str, packed: bool = False) -> np.ndarray:
    """A sound file `a<suffix>`; returns its voxels [Z, Y, X]."""
    import SimpleITK as sitk  # noqa: N813 its own documentation's name

    shape = tuple(int(n) for n in rng.integers(1, 7, 3))
    array = (rng.random(shape) * 100).astype(rng.choice(NUMBERS))
    image = sitk.GetImageFromArray(array)
    image.SetSpacing([float(v) for v in rng.uniform(0.3, 9, 3)])
    sitk.WriteImage(image, str(folder / f"a{suffix}"), packed)
    return array


def _reads(path: Path, wanted: np.ndarray | None = None) -> Callable[[], str]:
    """The voxels; `wanted`: they have to be these."""

    def call() -> str:
        array, spacing = formats.read(path)
        if array.ndim != 4 or not np.isfinite(array).all() or not all(1e-4 < v < 1e3 for v in spacing):
            raise Wrong(f"an image of shape {array.shape}, spacing {spacing}")
        if wanted is not None and not np.array_equal(array[0], wanted.astype(array.dtype)):
            raise Wrong("other voxels than were written")
        return "as an image"

    return call


def sound(suffix, rng, folder):
    wanted = _image(rng, folder, suffix, packed=rng.random() < 0.5)
    return _reads(folder / f"a{suffix}", wanted)


def truncated(suffix, rng, folder):
    wanted = _image(rng, folder, suffix, packed=rng.random() < 0.5)
    path = folder / f"a{suffix}"
    data = path.read_bytes()
    path.write_bytes(data[: int(rng.integers(0, len(data)))])
    return _reads(path, wanted)


def bits(suffix, rng, folder):
    """Where the voxels are packed a checksum holds them; elsewhere a bit cannot be noticed."""
    packed = bool(rng.random() < 0.5)
    _image(rng, folder, suffix, packed)
    path = folder / f"a{suffix}"
    data = bytearray(path.read_bytes())
    for at in rng.integers(0, 8 * len(data), int(rng.integers(1, 6))):
        data[at // 8] ^= 1 << (at % 8)
    path.write_bytes(data)
    return _reads(path)


def header(suffix, rng, folder):
    """One value of the header replaced, dropped or doubled; sizes beyond all bounds among them."""
    _image(rng, folder, suffix)
    path = folder / f"a{suffix}"
    data = path.read_bytes()
    lines = list(re.finditer(rb"^([A-Za-z ]+?)( = |: )([^\n]*)\n", data, re.MULTILINE))
    line = lines[int(rng.integers(len(lines)))]
    value = VALUES[int(rng.integers(len(VALUES)))].encode()
    new = (b"", line[0] * 2, line[1] + line[2] + value + b"\n")[min(2, int(rng.integers(5)))]
    path.write_bytes(data[: line.start()] + new + data[line.end() :])
    return _reads(path)


def elsewhere(suffix, rng, folder):
    """Voxels in another file: beside, absent, short, or outside the folder of the data."""
    wanted = _image(rng, folder, {".nrrd": ".nhdr", ".mha": ".mhd"}[suffix])
    path = next(p for p in folder.iterdir() if p.suffix in (".nhdr", ".mhd"))
    beside = next(p for p in folder.iterdir() if p.suffix == ".raw")
    fate = int(rng.integers(5))
    if fate == 1:
        beside.unlink()
    elif fate == 2:
        beside.write_bytes(beside.read_bytes()[:-1])
    elif fate > 2:
        place = (folder / "secret.raw", folder / "deeper" / "a.raw")[fate - 3]
        place.parent.mkdir(exist_ok=True)
        name = str(place) if rng.random() < 0.5 else place.relative_to(folder)
        path.write_text(path.read_text().replace("a.raw", str(name)))
        beside.rename(place)
        return _refused(path, "voxels of a file that is not the header's own")
    return _reads(path, wanted)


def kinds(suffix, rng, folder):
    """Images of other kinds: 2D, 4D, vectors, complex numbers, voxels that are not finite."""
    import SimpleITK as sitk  # noqa: N813

    array = rng.random((2, 3, 4, 5)).astype(np.float32)
    choices = (
        sitk.GetImageFromArray(array[0, 0]), sitk.GetImageFromArray(array, isVector=False),
        sitk.GetImageFromArray(array[..., :3], isVector=True), sitk.GetImageFromArray(array[0].astype(np.complex64)),
        sitk.GetImageFromArray(array[0] * np.nan), sitk.GetImageFromArray(array[0] / np.float32(1e-38)),
    )  # fmt: skip
    sitk.WriteImage(choices[int(rng.integers(len(choices)))], str(folder / f"a{suffix}"))
    return _reads(folder / f"a{suffix}")


def _refused(path: Path, otherwise: str) -> Callable[[], str]:
    def call() -> str:
        formats.read(path)
        raise Wrong(otherwise)

    return call


# ---------------------------------------------------------------- DICOM
def _series(rng: np.random.Generator, folder: Path) -> list[Path]:
    planes = rng.integers(0, 4000, (3, 5, 4)).astype(np.uint16)
    return [dicom_slice(folder / "s" / f"{z}.dcm", planes[z], 5.0 * z) for z in range(3)]


def _volumes(folder: Path, exact: bool = False) -> Callable[[], str]:
    def call() -> str:
        faults: list[DataError] = []
        found = dicom_series.volumes(
            sorted((folder / "s").iterdir()), lambda file, error: faults.append(error)
        )
        for frame in found:
            array, spacing = dicom_volume.read(frame.files)
            if array.ndim != 3 or not np.isfinite(array).all() or not all(1e-4 < v < 1e3 for v in spacing):
                raise Wrong(f"a volume of shape {array.shape}, spacing {spacing}")
            matrix = dicom_volume.affine(frame.files)
            if matrix is not None and not np.isfinite(matrix).all():
                raise Wrong(f"an affine of {matrix.tolist()}")
        if exact and [len(frame.files) for frame in found] != [3]:
            raise Wrong("another series than was written")
        if faults:
            raise faults[0]
        return f"as {len(found)} volumes"

    return call


def dicom_sound(rng, folder):
    _series(rng, folder)
    return _volumes(folder, exact=True)


def dicom_bytes(rng, folder):
    """Truncated, bits flipped, or bytes of the header replaced in one of the files."""
    path = _series(rng, folder)[int(rng.integers(3))]
    data = bytearray(path.read_bytes())
    kind = int(rng.integers(3))
    if kind == 0:
        data = data[: int(rng.integers(0, len(data)))]
    for _ in range(int(rng.integers(1, 6)) if kind else 0):
        at = int(rng.integers(128 if kind == 1 else 0, len(data)))
        data[at] = int(rng.integers(0, 256)) if kind == 1 else data[at] ^ (1 << int(rng.integers(8)))
    path.write_bytes(data)
    return _volumes(folder)


def dicom_tag(rng, folder):
    """One tag of one file, or of all, dropped or given a strange value, as text, below what the type allows."""
    import pydicom
    from pydicom.dataelem import RawDataElement

    strange = (b"", b"x", b"0", b"-1", b"1\\2", b"nan", b"inf\\inf", b"1e400\\1", b"9" * 40, b"\xff" * 9, b"a" * 99,
               b"0\\0\\0\\0\\0\\0", b"\x00\x00", b"\xff\xff", b"1\\2\\3\\4\\5\\6\\7")  # fmt: skip
    paths, tag = _series(rng, folder), str(rng.choice(TAGS))
    chosen = paths if rng.random() < 0.4 else [paths[int(rng.integers(3))]]
    value = None if rng.random() < 0.2 else strange[int(rng.integers(len(strange)))]
    for path in chosen:
        data = pydicom.dcmread(path)
        if tag in data:
            known = data[tag]
            del data[tag]
            if value is not None:
                raw = value + b" " * (len(value) % 2)
                data[known.tag] = RawDataElement(known.tag, known.VR, len(raw), raw, 0, False, True)
        data.save_as(path)
    return _volumes(folder)


def mutations(name: str) -> dict[str, Mutation]:
    """Of "NRRD", "MetaImage" or "DICOM"."""
    if name == "DICOM":
        return {f.__name__: f for f in (dicom_sound, dicom_bytes, dicom_tag)}
    suffix = {"NRRD": ".nrrd", "MetaImage": ".mha"}[name]
    return {f.__name__: partial(f, suffix) for f in (sound, truncated, bits, header, elsewhere, kinds)}
