"""Your own pictures or volumes in a folder: PNG, TIFF (8 to 32 bit), BMP, JPEG, NIfTI.

Nothing has to be written down: `scan12.png` is annotated if there is `scan12_mask.png` (or _seg, _gt …),
or `masks/scan12.png` beside `images/scan12.png`; masks of 0 and 1 or of 0 and 255 are background and
foreground; folders are groups. The rest is told in `sslseg.json` (data/folders/settings.py lists its keys):

    {"classes": ["background", "liver", "lesion"], "patient_regex": "^(p[0-9]+)_", "spacing": [0.7, 0.7]}

Without `patient_regex` or `csv` every image is a patient of its own. Several images of one patient then
fall into train and test, and the scores are too good.
"""

from __future__ import annotations

from pathlib import Path

from sslseg.data import source
from sslseg.data.files import walk
from sslseg.data.folders import pairs
from sslseg.data.readers import formats, pictures
from sslseg.data.source import Description, Source

DOMAIN = "medical"
LICENCE = "unknown: as its owner says"
SPLIT = "stratified"
TAKES_ANY = True  # every folder with such files: a format that wants a description is the likelier one
SUFFIXES = (*formats.NIFTI, *pictures.SUFFIXES)
read = pairs.read


def describe(root: Path) -> Description:
    """Classes and settings; in millimetres if `sslseg.json` has a spacing or all files are NIfTI.

    Raises:
        DataError: `sslseg.json` is wrong, or there is no image.
    """
    files = [p for p in walk(root).files if formats.stem(p.name, SUFFIXES) is not None]
    volumes = all(formats.stem(p.name, formats.NIFTI) is not None for p in files)
    return pairs.describe(root, SUFFIXES, physical=volumes)


def find(root: Path) -> list[Source]:
    """Every image below `root`; opens none.

    Raises:
        DataError: no image, a mask without an image, or a patient that cannot be told.
    """
    return pairs.flat(root, SUFFIXES, source.stop)


def scan(root: Path) -> tuple[list[Source], list[dict[str, str]]]:
    """As `find`, but faults of single files are listed as {file, reason}."""
    return source.collect(lambda place, fault: pairs.flat(place, SUFFIXES, fault), root)
