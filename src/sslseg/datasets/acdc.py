"""ACDC: cine MRI of the heart, 150 patients in five groups, ED and ES annotated.

Tree: `<root>/patientNNN/` or `<root>/{training,testing}/patientNNN/`, each with `Info.cfg` and
`patientNNN_frameFF.nii.gz` + `.._gt.nii.gz` for FF = ED and ES, and perhaps `patientNNN_4d.nii.gz`.
Frames count from 1: frame04 is 4d[..., 3]. ED and ES are read from their own files only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from sslseg.data import nifti
from sslseg.data.source import Source, Volume
from sslseg.names import DataError

CLASSES = ("background", "RV", "MYO", "LV")  # label numbers 0-3 of the ACDC masks
COLOURS = ("#000000", "#4477aa", "#ccbb44", "#ee6677")
DOMAIN = "cardiac-mri"
LICENCE = "CC BY-NC-SA 4.0; cite Bernard et al., IEEE TMI 37(11), 2018"
SPLIT = "kalapos2022"
SUFFIXES = (".nii.gz", ".nii")
FIRST_OF_TESTING = 101  # patients 101-150 are the official test set


def find(root: Path) -> list[Source]:
    """Every frame of every patient below `root`; reads Info.cfg only, opens no image.

    Raises:
        DataError: no patients, or the first file that is missing or wrong.
    """

    def stop(folder: Path, error: DataError) -> None:
        raise error

    return _walk(root, stop)


def scan(root: Path) -> tuple[list[Source], list[dict[str, str]]]:
    """As `find`, but a patient with a fault is left out and listed as {file, reason}.

    Raises:
        DataError: there is no patient at all.
    """
    faults: list[dict[str, str]] = []
    found = _walk(root, lambda folder, e: faults.append({"file": str(folder), "reason": str(e)}))
    return found, faults


def read(source: Source) -> Volume:
    """Image [1, Z, Y, X], mask [Z, Y, X] where there is one, spacing from pixdim.

    Raises:
        DataError: damaged image, or a mask of another shape or with other labels than 0-3.
    """
    image, spacing = nifti.read_volume(source.image, source.index)
    label = None
    if source.label is not None:
        label = nifti.read_mask(source.label, range(len(CLASSES)), image.shape)
    return Volume(image[None], label, spacing)


def official(patient: str) -> str | None:
    """The side of the challenge's own division that a patient is on."""
    number = re.search(r"(\d+)$", patient)
    if number is None:
        return None
    return "test" if int(number[1]) >= FIRST_OF_TESTING else "train"


def _walk(root: Path, fault: Callable[[Path, DataError], None]) -> list[Source]:
    folders = {
        p.name: p
        for pattern in ("patient*", "*ing/patient*", "database/*ing/patient*")
        for p in sorted(root.glob(pattern))
        if p.is_dir()
    }
    if not folders:
        raise DataError(f"{root}: wanted folders patientNNN here or in training/ and testing/, got none")
    found = []
    for folder in folders.values():
        try:
            found += _patient(folder)
        except DataError as error:
            fault(folder, error)
    return found


def _patient(folder: Path) -> list[Source]:
    info = _info(folder / "Info.cfg")
    name, group = folder.name, info.get("Group", "")
    phases = {_frame(folder, info, "ED"): "ED", _frame(folder, info, "ES"): "ES"}
    if len(phases) < 2:
        raise DataError(
            f"{folder / 'Info.cfg'}: wanted different frames for ED and ES, got {list(phases)[0]} twice"
        )
    found = []
    for frame, phase in sorted(phases.items()):
        stem = f"{name}_frame{frame:02d}"
        image, label = _file(folder, stem), _file(folder, f"{stem}_gt")
        found.append(Source(name, group, frame, phase, image, label, None))
    cine = next((p for s in SUFFIXES if (p := folder / f"{name}_4d{s}").exists()), None)
    if cine is not None:
        frames = range(1, _frame(folder, info, "NbFrame") + 1)
        found += [Source(name, group, f, "", cine, None, f - 1) for f in frames if f not in phases]
    return found


def _file(folder: Path, stem: str) -> Path:
    for suffix in SUFFIXES:
        if (path := folder / (stem + suffix)).exists():
            return path
    raise DataError(
        f"{folder / (stem + SUFFIXES[0])}: wanted this file, as Info.cfg names its frame; it is not there"
    )


def _info(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: wanted a text file of 'Key: value' lines ({error})") from None
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _frame(folder: Path, info: dict[str, str], key: str) -> int:
    text = info.get(key, "")
    if not text.isdigit() or int(text) < 1:
        raise DataError(f"{folder / 'Info.cfg'}: wanted a line '{key}: <frame number from 1>', got {text!r}")
    return int(text)
