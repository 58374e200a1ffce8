"""DICOM series anywhere below a folder, unlabelled: sources for pretraining (pydicom is an extra).

Grouped by PatientID and SeriesInstanceUID, slices in order along the normal, rescale slope and intercept
applied. Compressed transfer syntaxes need the decoders that pydicom names; multi-frame and colour objects
are refused. The patient's ID is kept in the slice store's index: de-identify the series first.
"""

from __future__ import annotations

from pathlib import Path

from sslseg.data import dicomseries, folder
from sslseg.data.folder import Fault
from sslseg.data.source import Description, Source, Volume

DOMAIN = "medical"
LICENCE = "unknown: as its owner says"
SPLIT = "stratified"
TAKES_ANY = True  # every folder with such files: a format that wants a description is the likelier one


def describe(root: Path) -> Description:
    """No classes; `axis`, `domain` and `licence` from `sslseg.json`."""
    return folder.settings(root).describe(("background",))


def find(root: Path) -> list[Source]:
    """Every volume of every series; reads headers only.

    Raises:
        DataError: pydicom is missing, a header is damaged, or slices do not make a volume.
    """
    return _walk(root, folder.stop)


def scan(root: Path) -> tuple[list[Source], list[dict[str, str]]]:
    """As `find`, but faulty files and series are listed as {file, reason}."""
    return folder.collect(_walk, root)


def read(source: Source) -> Volume:
    """Image [1, Z, Y, X].

    Raises:
        DataError: a damaged or compressed file, or a missing slice.
    """
    image, spacing = dicomseries.read((source.image, *source.more))
    return folder.along(Volume(image[None], None, spacing), folder.settings(source.root).axis)


def _walk(root: Path, fault: Fault) -> list[Source]:
    found, numbers = [], {}
    for frame in dicomseries.frames(root, fault):
        number = numbers[frame.patient] = numbers.get(frame.patient, 0) + 1  # one count over all series
        first, *rest = frame.files
        found.append(Source(frame.patient, "", number, "", first, None, None, tuple(rest), root))
    return found
