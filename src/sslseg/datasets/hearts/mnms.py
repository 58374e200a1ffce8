"""M&Ms: cine MRI of the heart from several centres and four vendors, ED and ES annotated.

Tree: the table `…information_diagnosis_opendataset.csv` (columns External code, ED, ES, Vendor) and,
anywhere below, `CODE/CODE_sa.nii.gz` + `CODE_sa_gt.nii.gz`, both 4D; frames count from 0. Masks are
true at ED and ES only; those in a folder `Unlabeled` are empty and not read. The files say 1 LV, 2 MYO, 3 RV;
read are ACDC's classes, so that an encoder, a figure and a score mean the same on both.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from sslseg.config.names import DataError
from sslseg.data.files import below, instead, same, walk
from sslseg.data.folders import tables
from sslseg.data.readers import formats, nifti_header
from sslseg.data.source import Description, Fault, Source, Volume, ignore, searches
from sslseg.datasets.hearts import acdc
from sslseg.datasets.hearts.acdc import CLASSES, COLOURS

DOMAIN = "cardiac-mri"
LICENCE = "as its distributor states; cite Campello et al., IEEE TMI 40(12), 2021"
SPLIT = "stratified"
VERSION = 2  # masks and channels are brought onto the grid of the image
TO_ACDC = np.array([0, 3, 2, 1], np.uint8)  # the files' LV 1, MYO 2, RV 3
SIDES = {"training": "train", "validation": "val", "testing": "test"}  # by folder
CODE = "External code"
COLUMNS = (CODE, "ED", "ES", "Vendor")
IMAGE, MASK = "_sa", "_sa_gt"


def describe(root: Path) -> Description:
    """Constant classes; sides by folder, the default division where all three are there.

    Raises:
        DataError: the table or the folders are missing.
    """
    places = {code: path.relative_to(root).parts for code, path in _images(root, ignore).items()}
    sides = {c: SIDES[p.lower()] for c, parts in places.items() for p in parts if p.lower() in SIDES}
    split = "official" if set(sides.values()) == set(SIDES.values()) else ""
    return Description(CLASSES, COLOURS, split=split, sides=sides)


def read(source: Source) -> Volume:
    """Image [1, Z, Y, X] of one frame, its mask with ACDC's numbers.

    Raises:
        DataError: a damaged file, or a mask of another shape or with other labels than 0-3.
    """
    volume = acdc.read(source)
    return volume if volume.label is None else replace(volume, label=TO_ACDC[volume.label])


def _walk(root: Path, fault: Fault) -> list[Source]:
    path = _table_path(root)
    table, found = tables.read(path, COLUMNS, CODE), []
    for code, image in _images(root, fault).items():
        try:
            if (row := table.get(tables.fold(code))) is None:
                raise DataError(f"{path}: wanted a row for {code}, whose images are in {image.parent}")
            found += _case(root, path, code, image, row)
        except DataError as error:
            fault(image, error)
    return found


find, scan = searches(_walk)


def _case(root: Path, path: Path, code: str, image: Path, row: dict[str, str]) -> list[Source]:
    frames = nifti_header.count_frames(image)
    label = formats.only(formats.stems(image.parent, formats.NIFTI).get(code + MASK, ()))
    hidden = any(p.lower() == "unlabeled" for p in image.relative_to(root).parts)
    if not hidden and label is None:
        place = image.parent / f"{code}{MASK}.nii.gz"
        raise DataError(f"{place}: wanted the mask of {image.name}, it is not there")
    phases = {} if hidden else {tables.frame(path, code, row, key, 0, frames): key for key in ("ED", "ES")}
    if len(phases) == 1:
        raise DataError(f"{path}: {code}: wanted different frames for ED and ES, got {list(phases)[0]} twice")
    each = [(t, phases.get(t, ""), image, label if t in phases else None, t) for t in range(frames)]
    return [Source(code, row["Vendor"], *one, (), root) for one in each]


def _images(root: Path, fault: Fault) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in below(root, fault):
        stem = same(formats.stem(path.name, formats.NIFTI) or "")
        if stem.endswith(IMAGE):
            code = stem.removesuffix(IMAGE)
            if (other := found.setdefault(code, path)) != path:
                fault(path, DataError(f"{path}: wanted one image of {code}, there is also {other}"))
    if not found:
        raise DataError(f"{root}: wanted CODE/CODE{IMAGE}.nii.gz in folders below, got {instead(root)}")
    return found


def _table_path(root: Path) -> Path:
    found = [p for p in walk(root).files if p.suffix.lower() == ".csv"]
    found = [p for p in found if len(p.relative_to(root).parts) <= 2]
    named = [p for p in found if "information_diagnosis" in p.name] or found
    if len(named) != 1:
        got = ", ".join(str(p.relative_to(root)) for p in named) or instead(root)
        raise DataError(f"{root}: wanted the table …information_diagnosis_opendataset.csv, got {got}")
    return named[0]
