"""M&Ms-2: cine MRI of the heart of 360 patients, three vendors, short axis, ED and ES annotated.

Tree: `dataset/NNN/NNN_SA_ED.nii.gz` + `.._gt.nii.gz`, and the same for ES; `dataset_information.csv` beside `dataset`
or in it (columns SUBJECT_CODE, VENDOR) gives the groups where it is there. The long axis (`_LA_`) and the cine files,
of which ED and ES are frames, are not read. The files say 1 LV, 2 MYO, 3 RV; read are ACDC's classes.
"""

from dataclasses import replace
from pathlib import Path

from sslseg.data.files import walk
from sslseg.data.folders import pairs, tables
from sslseg.data.readers import formats
from sslseg.data.source import Description, Fault, Source, ignore, searches

DOMAIN = "cardiac-mri"
LICENCE = "as its distributor states; cite Campello et al., IEEE TMI 40(12), 2021 and Martin-Isla et al., IEEE JBHI 27(7), 2023"
SPLIT = "stratified"
SIDES = ((160, "train"), (200, "val"), (360, "test"))  # the challenge's own, by number: up to 160 …
TABLE, CODE, VENDOR = "dataset_information.csv", "SUBJECT_CODE", "VENDOR"
FORMAT = pairs.Format(formats.NIFTI, "M&Ms-2")
pairing, read = FORMAT.pairing, pairs.read


def describe(root: Path) -> Description:
    """ACDC's classes; the challenge's division, the default one where all three sides are there.

    Raises:
        DataError: there is no NNN_SA_ED.nii.gz below the folder.
    """
    sides = {s.patient: side for s in FORMAT.walk(root, ignore) if (side := official(s.patient))}
    split = "official" if len(set(sides.values())) == len(SIDES) else ""
    return FORMAT.describe(root, sides=sides, split=split)


def official(patient: str) -> str | None:
    """The side of the challenge's own division that a patient is on."""
    number = int(patient) if patient.isdecimal() else 0
    return next((side for last, side in SIDES if 0 < number <= last), None)


def _walk(root: Path, fault: Fault) -> list[Source]:
    paths = [path for path in walk(root).files if path.name.casefold() == TABLE]
    table = tables.read(paths[0], (CODE, VENDOR), CODE) if paths else {}
    vendors = {code.lstrip("0"): row[VENDOR] for code, row in table.items()}  # "27" is of folder 027
    return [replace(s, group=vendors.get(s.patient.lstrip("0"), "")) for s in FORMAT.walk(root, fault)]


find, scan = searches(_walk)
