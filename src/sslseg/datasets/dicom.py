"""DICOM series anywhere below a folder, and their masks where there are SEG objects (extra `dicom`).

Grouped by PatientID and SeriesInstanceUID, slices in order along the normal, rescale slope and intercept
applied. Compressed transfer syntaxes need the decoders that pydicom names; multi-frame and colour objects
are refused. The patient's ID is kept in the slice store's index: de-identify the series first.

Masks: a SEG belongs to the volume whose images it names. Its segments are the classes, by their labels.
RTSTRUCT contours and masks in other objects are not read.
"""

from __future__ import annotations

from pathlib import Path

from sslseg.config.names import DataError
from sslseg.data.files import below, walk
from sslseg.data.folders import settings
from sslseg.data.readers import dicom_masks, dicom_series
from sslseg.data.source import Description, Fault, Source, Volume, collect, stop

DOMAIN = "medical"
LICENCE = "unknown: as its owner says"
SPLIT = "stratified"
TAKES_ANY = True  # every folder with such files: a format that wants a description is the likelier one


def describe(root: Path) -> Description:
    """Classes from the SEG objects; `axis`, `colours`, `split`, `domain` and `licence` from `sslseg.json`."""
    found = dicom_masks.find(walk(root).files, lambda file, error: None)
    return settings.settings(root).describe(dicom_masks.classes(found))


def find(root: Path) -> list[Source]:
    """Every volume of every series; reads headers only.

    Raises:
        DataError: pydicom is missing, a header is damaged, slices do not make a volume, or the images of
            a SEG are not there.
    """
    return _walk(root, stop)


def scan(root: Path) -> tuple[list[Source], list[dict[str, str]]]:
    """As `find`, but faulty files and series are listed as {file, reason}."""
    return collect(_walk, root)


def read(source: Source) -> Volume:
    """Image [1, Z, Y, X], and its mask.

    Raises:
        DataError: a damaged or compressed file, a missing slice, or see `dicomseg.read`.
    """
    masks = [p for p in source.more if source.label is not None and dicom_masks.described(p)]
    images = (source.image, *(p for p in source.more if p not in masks))
    image, spacing = dicom_series.read(images)
    label = None
    if source.label is not None:
        label = dicom_masks.read((source.label, *masks), images, image.shape, describe(source.root).classes)
    return settings.along(Volume(image[None], label, spacing), settings.settings(source.root).axis)


def _walk(root: Path, fault: Fault) -> list[Source]:
    found, numbers, used = [], {}, set()
    masks = dicom_masks.find(below(root, lambda file, error: None), fault)
    for frame in dicom_series.frames(root, fault):
        number = numbers[frame.patient] = numbers.get(frame.patient, 0) + 1  # one count over all series
        shown = {dicom_masks.instance(p) for p in frame.files} if masks else set()
        label, *others = [one.file for one in masks if one.instances & shown] or [None]
        used |= {label, *others}
        first, *rest = frame.files
        found.append(Source(frame.patient, "", number, "", first, label, None, (*rest, *others), root))
    for one in masks:
        if one.file not in used:
            fault(one.file, DataError(f"{one.file}: a SEG of images that are not below {root}"))
    return found
