"""DICOM files into series, series into volumes; pydicom is an extra.

A slice's place is its ImagePositionPatient along the normal of ImageOrientationPatient. When every place
is taken T times, the series is a cine of T frames in the order of InstanceNumber.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sslseg.config.names import DataError
from sslseg.data.files import below, instead
from sslseg.data.readers import dicom_file, dicom_masks
from sslseg.data.source import Fault, keeping

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SUFFIXES = (".dcm", ".dicom", ".ima")  # such a file that is no DICOM is a fault, any other is passed over
TAGS = ["PatientID", "SeriesInstanceUID", "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient",
        "Rows", "Columns", "SamplesPerPixel", "NumberOfFrames", "Modality", "SOPInstanceUID",
        "StudyInstanceUID"]  # fmt: skip
SAME = 1e-3  # direction cosines that differ less are equal
TURNED = 0.1  # of a direction cosine by which slices of one normal may differ: rounding, no other way up
PLACE = 1e-2  # mm between slices that lie at one place


@dataclass(frozen=True)
class Frame:
    """Files of one volume in order along the normal."""

    patient: str
    series: str
    number: int  # from 1 within the series
    files: tuple[Path, ...]
    study: str = ""


def frames(root: Path, fault: Fault) -> list[Frame]:
    """Every volume below `root`, by patient and series; reads headers, no pixels.

    Raises:
        DataError: pydicom is not installed, or there is no DICOM image.
    """
    faults: list[DataError] = []
    found = volumes(below(root, fault), keeping(faults, fault))
    if not found and not faults:
        raise DataError(f"{root}: wanted DICOM images here or in folders below, got {instead(root)}")
    return found


def looks_like(path: Path) -> bool:
    """Whether a file is DICOM by its ending or by its first bytes."""
    if path.suffix.lower() in SUFFIXES:
        return True
    with path.open("rb") as file:
        return file.read(132)[128:] == dicom_file.MAGIC or dicom_file.bare(path)


def volumes(files: Iterable[Path], fault: Fault) -> list[Frame]:
    """Every volume of `files`, by patient and series; reads headers, no pixels.

    Raises:
        DataError: pydicom is not installed.
    """
    series: dict[tuple[str, str], list[tuple[Path, Dataset]]] = {}
    for path in sorted(files):
        try:
            if (header := _header(path)) is not None:
                series.setdefault(_owner(path, header), []).append((path, header))
        except DataError as error:
            fault(path, error)
    found = []
    for (patient, uid), held in sorted(series.items()):
        try:
            stacks = _stacks(_once(held))
            study = str(held[0][1].get("StudyInstanceUID", ""))
            found += [Frame(patient, uid, n, files, study) for n, files in enumerate(stacks, 1)]
        except DataError as error:
            fault(held[0][0], error)
    return found


def _header(path: Path) -> Dataset | None:
    """Header of an image, its places checked; None of a file that is no DICOM or holds no image."""
    package = dicom_file.pydicom(path)
    try:
        header = dicom_file.opened(path, stop_before_pixels=True, specific_tags=TAGS)
    except package.errors.InvalidDicomError:
        if path.suffix.lower() in SUFFIXES:
            raise DataError(f"{path}: wanted a DICOM file, got something else") from None
        return None
    if "Rows" not in header or "Columns" not in header:
        kind = dicom_file.value(path, header, "Modality")
        dicom_file.ASIDE[path] = f"DICOM without an image ({kind or 'a directory'})"
        return None
    if dicom_file.value(path, header, "Modality") == dicom_masks.MODALITY:  # masks, see dicomseg.py
        return None
    for tag in ("Rows", "Columns", "InstanceNumber"):
        dicom_file.numbers(path, header, tag, 1)
    for tag in TAGS:
        dicom_file.value(path, header, tag)
    dicom_file.placing(path, header)
    return header


def _owner(path: Path, header: Dataset) -> tuple[str, str]:
    """PatientID, which may be empty, and SeriesInstanceUID."""
    patient, uid = (str(header.get(tag) or "") for tag in ("PatientID", "SeriesInstanceUID"))
    if not uid:
        raise DataError(f"{path}: wanted a SeriesInstanceUID, which says what it is a slice of, got none")
    if header.get("NumberOfFrames") not in (None, "", 1) or header.get("SamplesPerPixel", 1) != 1:
        got = f"{header.get('NumberOfFrames', 1)} frames of {header.get('SamplesPerPixel', 1)} samples"
        wanted = f"wanted one grey slice a file, got {got}"
        raise DataError(f"{path}: {wanted}; convert multi-frame and colour objects to NIfTI")
    return patient.strip(), uid


def _once(held: list[tuple[Path, Dataset]]) -> list[tuple[Path, Dataset]]:
    """The images without copies: files of one SOPInstanceUID, number and place, and the same pixels."""
    first: dict[tuple, Path] = {}
    kept = []
    for path, header in held:
        uid = str(header.get("SOPInstanceUID", "") or "")
        key = (uid, *(str(header.get(tag)) for tag in ("InstanceNumber", "ImagePositionPatient")))
        other = first.setdefault(key, path) if uid else path
        if other == path:
            kept.append((path, header))
        elif _same_pixels([path], [other]):
            dicom_file.ASIDE[path] = f"a copy of {other.name}: one SOPInstanceUID, the same pixels"
        else:
            got = f"the SOPInstanceUID of {other} and other pixels"
            raise DataError(f"{path}: wanted an image of its own, got {got}")
    return kept


def _stacks(held: list[tuple[Path, Dataset]]) -> list[tuple[Path, ...]]:
    """Files of each time frame, along the normal."""
    first, header = held[0]
    placed = [(path, other, at) for path, other in held if (at := dicom_file.placing(path, other))]
    if len(placed) < len(held):
        if len(held) == 1:
            return [(first,)]
        raise DataError(f"{first}: wanted ImagePositionPatient and ImageOrientationPatient in a series")
    _, _, (_, upright) = placed[0]
    normal = dicom_file.normal(upright)
    found: list[tuple[float, int, Path]] = []
    for path, other, (position, directions) in placed:
        if (other.Rows, other.Columns) != (header.Rows, header.Columns):
            raise DataError(f"{path}: wanted {header.Rows} x {header.Columns} as {first.name} of its series")
        turned = np.abs(directions - upright).max() > TURNED  # in its plane: the normal is the same
        if turned or not np.allclose(dicom_file.normal(directions), normal, atol=SAME):
            raise DataError(f"{path}: wanted the orientation of {first.name} of its series (a localiser?)")
        number = dicom_file.numbers(path, other, "InstanceNumber", 1)
        found.append((float(position @ normal), 0 if number is None else int(number[0]), path))
    places: list[list[tuple[float, int, Path]]] = []
    for one in sorted(found):
        if places and one[0] - places[-1][0][0] < PLACE:
            places[-1].append(one)
        else:
            places.append([one])
    counts = {len(v) for v in places}
    if len(counts) > 1:
        raise DataError(f"{first}: wanted every slice position as often, got {sorted(counts)} times")
    ordered = [sorted((number, path) for _, number, path in place) for place in places]
    return _different([tuple(stack[t][1] for stack in ordered) for t in range(counts.pop())])


def _different(stacks: list[tuple[Path, ...]]) -> list[tuple[Path, ...]]:
    """The frames without those that repeat another, pixel by pixel: a series that was copied beside itself."""
    kept: dict[bytes, list[tuple[Path, ...]]] = {}
    for stack in stacks if len(stacks) > 1 else ():
        twins = kept.setdefault(dicom_file.image(stack[len(stack) // 2])[1].tobytes(), [])
        if twin := next((other for other in twins if _same_pixels(stack, other)), None):
            dicom_file.ASIDE |= {a: f"the same pixels as {b.name}" for a, b in zip(stack, twin, strict=True)}
        else:
            twins.append(stack)
    return [stack for twins in kept.values() for stack in twins] or stacks


def _same_pixels(one: Iterable[Path], other: Iterable[Path]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(np.array_equal(dicom_file.image(a)[1], dicom_file.image(b)[1]) for a, b in pairs)


def stem(path: Path) -> str:
    """The name of a file without its ending, if that is one of SUFFIXES: others are parts of names."""
    return path.name[: -len(path.suffix)] if path.suffix.lower() in SUFFIXES else path.name


def mask_name(series: str, frame: int | None) -> str:
    """Name of a series' mask, without ending: its SeriesInstanceUID, which names no person.

    Args:
        frame: from 1, where the series has several.
    """
    return re.sub(r"[^\w.-]", "_", series) + ("" if frame is None else f"_frame{frame:02d}")
