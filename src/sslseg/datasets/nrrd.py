"""NRRD and MetaImage volumes (.nrrd, .nhdr, .mha, .mhd) in a folder, by SimpleITK (an extra).

Masks, patients, classes and `sslseg.json` are as in `images`; spacing comes from the files.
"""

from __future__ import annotations

from pathlib import Path

from sslseg.data import source
from sslseg.data.folders import pairs
from sslseg.data.readers import itk
from sslseg.data.source import Description, Source

DOMAIN = "medical"
LICENCE = "unknown: as its owner says"
SPLIT = "stratified"
TAKES_ANY = True  # every folder with such files: a format that wants a description is the likelier one
read = pairs.read


def describe(root: Path) -> Description:
    """Classes and settings of the folder.

    Raises:
        DataError: `sslseg.json` is wrong, or there is no image.
    """
    return pairs.describe(root, itk.SUFFIXES, physical=True)


def find(root: Path) -> list[Source]:
    """Every volume below `root`; opens none.

    Raises:
        DataError: no volume, a mask without an image, or a patient that cannot be told.
    """
    return pairs.flat(root, itk.SUFFIXES, source.stop)


def scan(root: Path) -> tuple[list[Source], list[dict[str, str]]]:
    """As `find`, but faults of single files are listed as {file, reason}."""
    return source.collect(lambda place, fault: pairs.flat(place, itk.SUFFIXES, fault), root)
