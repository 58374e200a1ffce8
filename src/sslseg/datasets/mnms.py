"""M&Ms: cine MRI of the heart from several centres and four vendors, ED and ES annotated.

Tree: the table `…information_diagnosis_opendataset.csv` (columns External code, ED, ES, Vendor) and,
anywhere below, `CODE/CODE_sa.nii.gz` + `CODE_sa_gt.nii.gz`, both 4D; frames count from 0. Masks are
true at ED and ES only; those in a folder `Unlabeled` are empty and not read. The files say 1 LV, 2 MYO, 3 RV;
read are ACDC's classes, so that an encoder, a figure and a score mean the same on both.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from sslseg.config.names import DataError
from sslseg.data.readers import nifti
from sslseg.data.source import Description, Fault, Source, Volume, collect, stop

CLASSES = ("background", "RV", "MYO", "LV")
COLOURS = ("#000000", "#4477aa", "#ccbb44", "#ee6677")
DOMAIN = "cardiac-mri"
LICENCE = "as its distributor states; cite Campello et al., IEEE TMI 40(12), 2021"
SPLIT = "stratified"
TO_ACDC = np.array([0, 3, 2, 1], np.uint8)  # the files' LV 1, MYO 2, RV 3
SIDES = {"training": "train", "validation": "val", "testing": "test"}  # by folder
COLUMNS = ("External code", "ED", "ES", "Vendor")
DIGITS = re.compile("[0-9]{1,6}")
IMAGE, MASK = "_sa.nii.gz", "_sa_gt.nii.gz"


def describe(root: Path) -> Description:
    """Constant classes; sides by folder, the default division where all three are there.

    Raises:
        DataError: the table or the folders are missing.
    """
    sides = {code: side for code, path in _images(root).items() if (side := _side(root, path))}
    split = "official" if set(sides.values()) == set(SIDES.values()) else ""
    return Description(CLASSES, COLOURS, split=split, sides=sides)


def find(root: Path) -> list[Source]:
    """Every frame of every case that is there; reads headers for the number of frames.

    Raises:
        DataError: no table, no case, or a case whose ED or ES is missing or not in the file.
    """
    return _walk(root, stop)


def scan(root: Path) -> tuple[list[Source], list[dict[str, str]]]:
    """As `find`, but faulty cases are listed as {file, reason}."""
    return collect(_walk, root)


def read(source: Source) -> Volume:
    """Image [1, Z, Y, X] of one frame, its mask with ACDC's numbers.

    Raises:
        DataError: a damaged file, or a mask of another shape or with other labels than 0-3.
    """
    image, spacing = nifti.read_volume(source.image, source.index)
    label = None
    if source.label is not None:
        label = TO_ACDC[nifti.read_mask(source.label, range(len(CLASSES)), image.shape, source.index)]
    return Volume(image[None], label, spacing)


def _walk(root: Path, fault: Fault) -> list[Source]:
    path = _table_path(root)
    table, found = _table(path), []
    for code, image in _images(root).items():
        try:
            if code not in table.index:
                raise DataError(f"{path}: wanted a row for {code}, whose images are in {image.parent}")
            found += _case(root, path, code, image, table.loc[code])
        except DataError as error:
            fault(image, error)
    return found


def _case(root: Path, path: Path, code: str, image: Path, row: pd.Series) -> list[Source]:
    frames, label = nifti.count_frames(image), image.with_name(code + MASK)
    hidden = any(p.lower() == "unlabeled" for p in image.relative_to(root).parts)
    if not hidden and not label.is_file():
        raise DataError(f"{label}: wanted the mask of {image.name}, it is not there")
    phases = {} if hidden else {_frame(path, code, row, key, frames): key for key in ("ED", "ES")}
    if len(phases) == 1:
        raise DataError(f"{path}: {code}: wanted different frames for ED and ES, got {list(phases)[0]} twice")
    group = str(row["Vendor"])
    return [
        Source(code, group, t, phases.get(t, ""), image, label if t in phases else None, t, (), root)
        for t in range(frames)
    ]


def _frame(path: Path, code: str, row: pd.Series, key: str, frames: int) -> int:
    text = str(row[key]).removesuffix(".0")
    if not DIGITS.fullmatch(text) or int(text) >= frames:
        raise DataError(f"{path}: {code}: {key}: wanted a frame of 0 to {frames - 1}, got {row[key]!r}")
    return int(text)


def _images(root: Path) -> dict[str, Path]:
    found = {p.name.removesuffix(IMAGE): p for p in sorted(root.rglob(f"*{IMAGE}")) if p.name[0] != "."}
    if not found:
        raise DataError(f"{root}: wanted CODE/CODE{IMAGE} in folders below, got none")
    return found


def _side(root: Path, image: Path) -> str | None:
    return next((SIDES[p.lower()] for p in image.relative_to(root).parts if p.lower() in SIDES), None)


def _table_path(root: Path) -> Path:
    found = sorted(p for pattern in ("*.csv", "*/*.csv") for p in root.glob(pattern))
    named = [p for p in found if "information_diagnosis" in p.name] or found
    if not named:
        raise DataError(f"{root}: wanted the table …information_diagnosis_opendataset.csv, it is not there")
    return named[0]


def _table(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: wanted a CSV table ({error})") from None
    table.columns = table.columns.str.strip()
    if missing := [c for c in COLUMNS if c not in table]:
        raise DataError(f"{path}: wanted columns {', '.join(COLUMNS)}, got none of {', '.join(missing)}")
    if twice := table.loc[table["External code"].duplicated(), "External code"].tolist():
        raise DataError(f"{path}: wanted one row a case, got {twice[0]} twice")
    return table.set_index("External code")
