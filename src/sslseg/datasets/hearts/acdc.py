"""ACDC: cine MRI of the heart, 150 patients in five groups, ED and ES annotated.

Tree: `<root>/patientNNN/` or `<root>/{training,testing}/patientNNN/`, each with `Info.cfg` and
`patientNNN_frameFF.nii.gz` + `.._gt.nii.gz` for FF = ED and ES, and perhaps `patientNNN_4d.nii.gz`.
Frames count from 1: frame04 is 4d[..., 3]. ED and ES are read from their own files only.
"""

import re
from pathlib import Path

from sslseg.config.names import DataError
from sslseg.data.files import instead, text
from sslseg.data.folders import mask_values
from sslseg.data.readers import formats, nifti
from sslseg.data.source import Fault, Published, Source, Volume, searches

CLASSES = ("background", "RV", "MYO", "LV")  # label numbers 0-3 of the ACDC masks
COLOURS = ("#000000", "#4477aa", "#ccbb44", "#ee6677")
DOMAIN = "cardiac-mri"
LICENCE = "CC BY-NC-SA 4.0; cite Bernard et al., IEEE TMI 37(11), 2018"
SPLIT = "kalapos2022"
SUFFIXES = formats.NIFTI
MOST_FRAMES = 1000  # of a cine; ACDC's have 12 to 35
TWICE = (("patient074", "patient076"),)  # of the training set: one scan, annotated twice
FIRST_OF_TESTING = 101  # patients 101-150 are the official test set
_MORALES = "Morales et al., Front. Cardiovasc. Med. 8:730316 (2021), Table 1"
_DANGI = (
    "Dangi, Linte and Yaniv, Med. Phys. 46(12):5637-5651 (2019), Table II; sd = limits of agreement / 1.96"
)
PUBLISHED = tuple(
    Published(quantity, method, "official test set", 50, r, bias, sd, _MORALES)
    for quantity, method, r, bias, sd in (
        ("LV EF", "Dong et al.", 0.993, -0.360, 2.689),
        ("LV EF", "Simantiris and Tziritas", 0.991, 0.490, 2.965),
        ("LV EF", "Isensee et al.", 0.990, -0.476, 3.114),
        ("LV EF", "CarSON (Morales et al.)", 0.990, 0.252, 3.183),
        ("LV EDV", "Dong et al.", 0.998, 2.032, 4.611),
        ("LV EDV", "Isensee et al.", 0.997, 3.746, 5.146),
        ("MYO ED mass", "Simantiris and Tziritas", 0.992, -2.904, 6.46),
        ("MYO ED mass", "Dong et al.", 0.987, -2.547, 8.28),
    )
) + tuple(
    Published(quantity, method, "ACDC, the paper's own division", 0, r, bias, limits / 1.96, _DANGI)
    for quantity, method, r, bias, limits in (
        ("LV EF", "U-Net (Dangi et al.)", 0.962, 0.31, 10.41),
        ("RV EF", "U-Net (Dangi et al.)", 0.856, 0.09, 18.94),
        ("RV EF", "USegNet, regularised (Dangi et al.)", 0.895, 0.38, 15.42),
    )
)


def read(source: Source) -> Volume:
    """Image [1, Z, Y, X], mask [Z, Y, X] where there is one, spacing from pixdim.

    Raises:
        DataError: damaged image, or a mask of another shape or with other labels than 0-3.
    """
    image, spacing = nifti.read_volume(source.image, source.index)
    label = None
    if source.label is not None:
        grid = formats.grid(source.image)
        values = formats.read_labels(source.label, image.shape, like=grid, index=source.index)
        label = mask_values.numbered(source.label, values, {k: k for k in range(len(CLASSES))})
    return Volume(image[None], label, spacing)


def official(patient: str) -> str | None:
    """The side of the challenge's own division that a patient is on."""
    if (number := re.search(r"(\d+)$", patient)) is None:
        return None
    return "test" if int(number[1]) >= FIRST_OF_TESTING else "train"


def _walk(root: Path, fault: Fault) -> list[Source]:
    patterns = "patient*", "*ing/patient*", "database/*ing/patient*"
    if not (folders := [p for pattern in patterns for p in sorted(root.glob(pattern)) if p.is_dir()]):
        wanted = "wanted folders patientNNN here or in training/ and testing/"
        flat = "dataset=images reads patientNNN_frameFF without folders and Info.cfg, and without phases"
        raise DataError(f"{root}: {wanted}, got {instead(root)}; {flat}")
    first: dict[str, Path] = {}
    found = []
    for folder in folders:
        try:
            if (other := first.setdefault(folder.name, folder)) != folder:
                raise DataError(f"{folder}: wanted one folder of this patient, there is also {other}")
            found += _patient(folder)
        except DataError as error:
            fault(folder, error)
    return found


find, scan = searches(_walk)


def _patient(folder: Path) -> list[Source]:
    info = _info(folder / "Info.cfg")
    name, group = folder.name, info.get("Group", "")
    phases = {_frame(folder, info, "ED"): "ED", _frame(folder, info, "ES"): "ES"}
    if len(phases) < 2:
        wanted, got = "wanted different frames for ED and ES", list(phases)[0]
        raise DataError(f"{folder / 'Info.cfg'}: {wanted}, got {got} twice")
    found, files = [], formats.stems(folder, SUFFIXES)
    for frame, phase in sorted(phases.items()):
        stem = f"{name}_frame{frame:02d}"
        image, label = _file(folder, files, stem), _file(folder, files, f"{stem}_gt")
        found.append(Source(name, group, frame, phase, image, label, None))
    if (cine := formats.only(files.get(f"{name}_4d", ()))) is not None:
        frames = range(1, _frame(folder, info, "NbFrame") + 1)
        found += [Source(name, group, f, "", cine, None, f - 1) for f in frames if f not in phases]
    return found


def _file(folder: Path, files: dict[str, list[Path]], stem: str) -> Path:
    if (path := formats.only(files.get(stem, ()))) is None:
        wanted = f"{folder / stem}{SUFFIXES[0]}"
        raise DataError(f"{wanted}: wanted this file, as Info.cfg names its frame; it is not there")
    return path


def _info(path: Path) -> dict[str, str]:
    lines = text(path, "a text file of 'Key: value' lines").splitlines()
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _frame(folder: Path, info: dict[str, str], key: str) -> int:
    text = info.get(key, "")
    if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= MOST_FRAMES:
        wanted = f"wanted a line '{key}: <frame number from 1 to {MOST_FRAMES}>'"
        raise DataError(f"{folder / 'Info.cfg'}: {wanted}, got {text!r}")
    return int(text)
