"""Masks in DICOM segmentation objects (SEG): which series they belong to, and their voxels.

Headers are read with pydicom, voxels with highdicom; both are of the extra `dicom`. A SEG leaves out the
frames that show nothing, so that a slice it does not mention is background.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sslseg.config import plugins
from sslseg.config.files import known_sha256
from sslseg.config.names import DataError
from sslseg.data.files import stamp
from sslseg.data.geometry import Shape
from sslseg.data.readers import dicom_file
from sslseg.data.source import BACKGROUND, Fault, class_name

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MODALITY = "SEG"
INSTANCE = "SOPInstanceUID"
TAGS = ["Modality", "SegmentationType", "SegmentSequence", "ReferencedSeriesSequence"]


@dataclass(frozen=True)
class Segmented:
    """One SEG: the images it was drawn on (SOPInstanceUIDs), and segment number -> class name."""

    file: Path
    instances: frozenset[str]
    names: dict[int, str]


def find(files: Iterable[Path], fault: Fault) -> list[Segmented]:
    """Every SEG of `files`; reads headers, no voxels. What is no DICOM, or another object, is passed over."""
    found = []
    for path in sorted(files):
        dicom_file.pydicom(path)  # that it is missing is no fault of a file
        try:
            found.append(described(path))
        except DataError as error:
            fault(path, error)
    return _once([one for one in found if one])


def _once(found: Sequence[Segmented]) -> list[Segmented]:
    """Without files that are copies of others, byte by byte."""
    sizes = Counter(one.file.stat().st_size for one in found)
    first: dict[str | Path, Segmented] = {}
    for one in found:
        alone = sizes[one.file.stat().st_size] == 1  # no other can be its copy: it need not be read
        content = one.file if alone else known_sha256(one.file)
        if (twin := first.setdefault(content, one)) is not one:
            dicom_file.ASIDE[one.file] = f"a copy of {twin.file.name}, byte by byte"
    return list(first.values())


def described(path: Path) -> Segmented | None:
    """What a SEG's header says; None of another object, and of a file that is no DICOM.

    Kept for each file: the classes of a folder are asked for with every one of its volumes.

    Raises:
        DataError: pydicom is not installed, or the header is damaged or of a SEG that cannot be used.
    """
    return _described(path, *stamp(path))


@functools.lru_cache(maxsize=1 << 17)
def _described(path: Path, *stamped: int) -> Segmented | None:
    try:
        data = dicom_file.opened(path, stop_before_pixels=True, specific_tags=TAGS)
    except dicom_file.pydicom(path).errors.InvalidDicomError:
        return None
    return _segmented(path, data) if dicom_file.value(path, data, "Modality") == MODALITY else None


def _segmented(path: Path, data: Dataset) -> Segmented:
    kind = dicom_file.value(path, data, "SegmentationType")
    if kind == "FRACTIONAL":
        wanted = "wanted a SEG of type BINARY or LABELMAP"
        raise DataError(f"{path}: {wanted}, got {kind}: which share is inside?")
    try:
        images = (one for s in data.ReferencedSeriesSequence for one in s.ReferencedInstanceSequence)
        instances = {str(image.ReferencedSOPInstanceUID) for image in images}
        names = {int(s.SegmentNumber): class_name(str(s.SegmentLabel)) for s in data.SegmentSequence}
    except dicom_file.STRANGE as error:
        raise DataError(f"{path}: wanted a SEG that names its segments and its images ({error})") from None
    names.pop(0, None)  # a LABELMAP may describe its background
    if not instances or not names:
        raise DataError(f"{path}: wanted a SEG with segments, drawn on images, got {len(names)}")
    return Segmented(path, frozenset(instances), names)


def classes(found: Sequence[Segmented]) -> tuple[str, ...]:
    """Background, and every segment by its label, in the order of the lowest segment numbers.

    Labels that differ in case alone are one class, as it is written where its number is lowest.
    """
    first: dict[str, tuple[int, str]] = {}
    for one in found:
        for number, name in one.names.items():
            first[name.casefold()] = min((number, name), first.get(name.casefold(), (number, name)))
    first.pop(BACKGROUND, None)
    return (BACKGROUND, *(name for _, name in sorted(first.values())))


def read(files: Sequence[Path], images: Sequence[Path], shape: Shape, names: Sequence[str]) -> np.ndarray:
    """uint8 [Z, Y, X], the classes `names` of the slices `images`, from one SEG or more.

    Raises:
        DataError: highdicom is not installed, a SEG is damaged, of another grid than its images, has a
            segment that is no class, or segments overlap.
    """
    instances = [dicom_file.tag(path, INSTANCE) for path in images]
    mask = np.zeros(shape, np.uint8)
    for path in files:
        drawn = _read(path, instances, shape, list(names))
        if ((mask > 0) & (drawn > 0)).any():
            raise DataError(f"{path}: overlaps another SEG of its series; a pixel has one class here")
        mask = np.maximum(mask, drawn)
    return mask


def _read(path: Path, instances: list[str], shape: Shape, names: list[str]) -> np.ndarray:
    install = "wanted highdicom to read DICOM masks: pip install -e '.[dicom]'"
    package, found = plugins.package("highdicom", f"{path}: {install}"), described(path)
    of = found.names if found else {}
    try:
        with dicom_file.within(path) as file:
            how = {"combine_segments": True, "assert_missing_frames_are_empty": True}
            held = package.seg.segread(file).get_pixels_by_source_instance(instances, **how)
    except (RuntimeError, *dicom_file.STRANGE) as error:
        reason = dicom_file.line(error)
        raise DataError(f"{path}: cannot be read as the masks of its images ({reason})") from None
    if held.shape != shape:
        raise DataError(f"{path}: wanted masks of the grid of its images {shape}, got {held.shape}")
    mask, known = np.zeros(shape, np.uint8), [name.casefold() for name in names]
    for number in np.unique(held[held > 0]).tolist():
        name = of.get(number)
        if name is None or name.casefold() not in known:
            raise DataError(f"{path}: wanted segments among {names}, got number {number}, {name}")
        mask[held == number] = known.index(name.casefold())
    return mask
