"""Floor 1b: DICOM files into series, series into volumes; pydicom is an extra.

A slice's place is its ImagePositionPatient along the normal of ImageOrientationPatient. When every place
is taken T times, the series is a cine of T frames in the order of InstanceNumber.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sslseg.data.folder import Fault
from sslseg.names import DataError

SUFFIXES = (".dcm", ".dicom", ".ima")  # such a file that is no DICOM is a fault, any other is passed over
TAGS = ["PatientID", "SeriesInstanceUID", "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient",
        "Rows", "Columns", "SamplesPerPixel", "NumberOfFrames", "Modality"]  # fmt: skip
SAME = 1e-3  # mm and direction cosines that differ less are equal
GAP = 0.1  # share by which the steps between slices may differ; more is a missing slice
SANE = 1e-4, 1e3  # mm, sane voxel sizes


@dataclass(frozen=True)
class Frame:
    """Files of one volume in order along the normal."""

    patient: str
    series: str
    number: int  # from 1 within the series
    files: tuple[Path, ...]


def pydicom(path: Path) -> Any:
    """The package. Raises DataError when it is not installed."""
    try:
        import pydicom as package
    except ImportError:
        raise DataError(f"{path}: wanted pydicom to read DICOM, run: pip install 'sslseg[dicom]'") from None
    return package


def frames(root: Path, fault: Fault) -> list[Frame]:
    """Every volume below `root`, by patient and series; reads headers, no pixels.

    Raises:
        DataError: pydicom is not installed, or there is no DICOM image.
    """
    files = (p for p in root.rglob("*") if p.is_file() and not p.name.startswith("."))
    faults: list[Path] = []
    found = volumes(files, lambda file, error: (faults.append(file), fault(file, error)))
    if not found and not faults:
        raise DataError(f"{root}: wanted DICOM images here or in folders below, got none")
    return found


def looks_like(path: Path) -> bool:
    """Whether a file is DICOM by its ending or by its first bytes."""
    if path.suffix.lower() in SUFFIXES:
        return True
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def volumes(files: Iterable[Path], fault: Fault) -> list[Frame]:
    """Every volume of `files`, by patient and series; reads headers, no pixels.

    Raises:
        DataError: pydicom is not installed.
    """
    series: dict[tuple[str, str], list[tuple[Path, Any]]] = {}
    for path in sorted(files):
        try:
            header = _header(path)
            if header is not None:
                series.setdefault(_owner(path, header), []).append((path, header))
        except DataError as error:
            fault(path, error)
    found = []
    for (patient, uid), held in sorted(series.items()):
        try:
            stacks = _stacks(held)
            found += [Frame(patient, uid, n, files) for n, files in enumerate(stacks, 1)]
        except DataError as error:
            fault(held[0][0], error)
    return found


def _header(path: Path) -> Any | None:
    """Header of an image; None of a file that is no DICOM or holds no image."""
    package = pydicom(path)
    try:
        header = package.dcmread(path, stop_before_pixels=True, specific_tags=TAGS)
    except package.errors.InvalidDicomError:
        if path.suffix.lower() in SUFFIXES:
            raise DataError(f"{path}: wanted a DICOM file, got something else") from None
        return None
    except (OSError, EOFError, ValueError, AttributeError, KeyError, NotImplementedError) as error:
        raise DataError(f"{path}: damaged DICOM header ({error})") from None
    return header if "Rows" in header and "Columns" in header else None  # DICOMDIR, reports


def _owner(path: Path, header: Any) -> tuple[str, str]:
    patient, uid = str(header.get("PatientID", "")).strip(), str(header.get("SeriesInstanceUID", ""))
    if not patient or not uid:
        raise DataError(f"{path}: wanted PatientID and SeriesInstanceUID, got {patient!r} and {uid!r}")
    if header.get("NumberOfFrames") not in (None, "", 1) or header.get("SamplesPerPixel", 1) != 1:
        raise DataError(
            f"{path}: wanted one grey slice a file, got {header.get('NumberOfFrames', 1)} frames of "
            f"{header.get('SamplesPerPixel', 1)} samples; convert multi-frame and colour objects to NIfTI"
        )
    return patient, uid


def _stacks(held: list[tuple[Path, Any]]) -> list[tuple[Path, ...]]:
    """Files of each time frame, along the normal."""
    first, header = held[0]
    if "ImagePositionPatient" not in header or "ImageOrientationPatient" not in header:
        if len(held) == 1:
            return [(first,)]
        raise DataError(f"{first}: wanted ImagePositionPatient and ImageOrientationPatient in a series")
    places: dict[int, list[tuple[int, Path]]] = {}
    normal = _normal(header)
    for path, other in held:
        if (other.Rows, other.Columns) != (header.Rows, header.Columns):
            raise DataError(f"{path}: wanted {header.Rows} x {header.Columns} as {first.name} of its series")
        if not np.allclose(_normal(other), normal, atol=SAME):
            raise DataError(f"{path}: wanted the orientation of {first.name} of its series (a localiser?)")
        place = round(_place(other, normal) / SAME)
        places.setdefault(place, []).append((int(other.get("InstanceNumber") or 0), path))
    counts = {len(v) for v in places.values()}
    if len(counts) > 1:
        raise DataError(f"{first}: wanted every slice position as often, got {sorted(counts)} times")
    ordered = [sorted(places[p]) for p in sorted(places)]
    return [tuple(stack[t][1] for stack in ordered) for t in range(counts.pop())]


def _normal(header: Any) -> np.ndarray:
    row, column = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
    return np.cross(row, column)


def _place(header: Any, normal: np.ndarray) -> float:
    """mm along the normal."""
    return float(np.array(header.ImagePositionPatient, float) @ normal)


def read(files: tuple[Path, ...]) -> tuple[np.ndarray, tuple[float, float, float]]:
    """[Z, Y, X] in the units of the rescale slope (Hounsfield for CT), and spacing (z, y, x) in mm.

    Whole numbers stay int32, others are float32. MONOCHROME1, where small is bright, is negated.

    Raises:
        DataError: a damaged or compressed file, slices of different kinds, or a missing slice.
    """
    slices = [_slice(path) for path in files]
    planes, spacings, places = zip(*slices, strict=True)
    if len(set(spacings)) > 1 or len({p.shape for p in planes}) > 1:
        raise DataError(
            f"{files[0]}: wanted slices of one size and PixelSpacing, got {sorted(set(spacings))}"
        )
    volume = np.stack(planes)
    whole = bool((volume == np.rint(volume)).all() and np.abs(volume).max() < 2**31)
    y, x, thickness = spacings[0]
    return volume.astype(np.int32 if whole else np.float32), (_step(files, places, thickness), y, x)


def _slice(path: Path) -> tuple[np.ndarray, tuple[float, float, float], float]:
    """Plane float64 [Y, X]; spacing y, x and slice thickness in mm; place along the normal."""
    package = pydicom(path)
    try:
        data = package.dcmread(path)
        plane = data.pixel_array.astype(np.float64)
    except (RuntimeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: cannot be decoded ({reason}); decompress the series first") from None
    except (
        OSError,
        EOFError,
        ValueError,
        AttributeError,
        KeyError,
        package.errors.InvalidDicomError,
    ) as error:
        raise DataError(f"{path}: damaged DICOM file ({error})") from None
    plane = plane * float(data.get("RescaleSlope", 1) or 1) + float(data.get("RescaleIntercept", 0) or 0)
    if data.get("PhotometricInterpretation") == "MONOCHROME1":
        plane = -plane
    told = data.get("PixelSpacing") or data.get("ImagerPixelSpacing")
    spacing = tuple(float(v) for v in (*(told or ()), data.get("SliceThickness") or 1.0))
    if len(spacing) != 3 or not all(SANE[0] < v < SANE[1] for v in spacing):
        raise DataError(f"{path}: wanted PixelSpacing, two numbers in mm, got {told}")
    placed = "ImagePositionPatient" in data and "ImageOrientationPatient" in data
    return plane, spacing, _place(data, _normal(data)) if placed else 0.0


def _step(files: tuple[Path, ...], places: tuple[float, ...], thickness: float) -> float:
    """mm between slices."""
    if len(places) == 1:
        return thickness
    steps = np.diff(places)
    middle = float(np.median(steps))
    if (np.abs(steps - middle) > GAP * middle).any():
        worst = int(np.abs(steps - middle).argmax())
        raise DataError(
            f"{files[worst + 1]}: wanted slices {middle:.3g} mm apart, got {steps[worst]:.3g} mm; "
            "is a slice missing?"
        )
    return middle


def affine(files: tuple[Path, ...]) -> np.ndarray | None:
    """4 x 4, voxel (x, y, z) of `read`'s volume to mm, right-anterior-superior as NIfTI has it.

    The third axis runs from the first slice's place to the last's, so that a tilted gantry is kept.
    None where the files do not say where the slices lie.
    """
    package = pydicom(files[0])
    tags = [*TAGS, "PixelSpacing", "ImagerPixelSpacing", "SliceThickness"]
    ends = [package.dcmread(f, stop_before_pixels=True, specific_tags=tags) for f in (files[0], files[-1])]
    if any("ImagePositionPatient" not in h or "ImageOrientationPatient" not in h for h in ends):
        return None
    row, column = np.array(ends[0].ImageOrientationPatient, float).reshape(2, 3)
    first, last = (np.array(h.ImagePositionPatient, float) for h in ends)
    y, x = (float(v) for v in ends[0].get("PixelSpacing") or ends[0].ImagerPixelSpacing)
    thickness = float(ends[0].get("SliceThickness") or 1.0)
    step = (last - first) / (len(files) - 1) if len(files) > 1 else np.cross(row, column) * thickness
    found = np.eye(4)
    found[:3] = np.column_stack([row * x, column * y, step, first])
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ found  # DICOM counts to the left and to the back
