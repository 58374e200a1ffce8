"""What a dataset says of itself (`Description`), names (`Source`) and reads (`Volume`)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sslseg.config.names import DataError

Spacing = tuple[float, float, float]  # of a voxel along z, y, x in mm
IGNORE = 255  # label of a voxel that is neither trained on nor scored


@dataclass(frozen=True)
class Source:
    """One volume that can be read: one time frame of one patient.

    Attributes:
        patient: unit of the splits; no patient is ever in two of them.
        group: stratum (diagnosis, vendor, folder …); "" if there is none. One per patient.
        frame: number of the time frame as its files count it (ACDC: from 1).
        phase: "ED", "ES" or "" when the frame has no name.
        image: file of the image.
        label: file of the mask, or None when the frame is not annotated.
        index: position within a 4D file, from 0; None when the file is one volume.
        more: further files that decide what is read; the first `parts` of them are of the image: other channels, or
            the other slices of a series.
        root: the folder that was searched, where a format keeps what its reader has to know.
        visit: which of several examinations or views of the patient, each with phases of its own; "" of one.
    """

    patient: str
    group: str
    frame: int
    phase: str
    image: Path
    label: Path | None
    index: int | None
    more: tuple[Path, ...] = ()
    root: Path | None = None
    visit: str = ""
    parts: int = 0

    @property
    def images(self) -> tuple[Path, ...]:
        """The files of the image: of its channels, or of the slices of a series."""
        return self.image, *self.more[: self.parts]

    @property
    def home(self) -> Path:
        """`root`, for readers of formats that always keep it."""
        if self.root is None:
            raise ValueError(f"{self.image}: wanted a source with the folder that was searched")
        return self.root


@dataclass(frozen=True)
class Description:
    """What a data folder says of itself, for formats that are not one dataset. All of it is in the recipe.

    Attributes:
        classes: names of the label numbers 0, 1 …; "background" first.
        colours: hex per class, or ().
        channels: names of the image's channels, or ().
        domain, licence: "" = the module's constant.
        split: how patients are divided by default; "" = the module's constant.
        sides: patient -> "train", "val" or "test", for split=official and split=file.
        physical: False when there are no millimetres: never resampled.
        settings: JSON values that decide, beside the above, what is read.
    """

    classes: tuple[str, ...]
    colours: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    domain: str = ""
    licence: str = ""
    split: str = ""
    sides: dict[str, str] = field(default_factory=dict)
    physical: bool = True
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Assumption:
    """What had to be assumed of a file, in words that follow its name."""

    file: Path
    text: str

    def __str__(self) -> str:
        return f"{self.file}: {self.text}"


@dataclass(frozen=True)
class Volume:
    """One decoded volume.

    Attributes:
        image: [C, Z, Y, X], any integer type or float32.
        label: [Z, Y, X] uint8 of class numbers, `IGNORE` where unknown, or None.
        spacing: (z, y, x) in mm.
        notes: what had to be assumed of its files.
    """

    image: np.ndarray
    label: np.ndarray | None
    spacing: Spacing
    notes: tuple[Assumption, ...] = ()

    def along(self, axis: int) -> Volume:
        """The same volume sliced along `axis` (0 z, 1 y, 2 x): that axis comes first, the others keep order."""
        if axis == 0:
            return self
        first, second = (v for i, v in enumerate(self.spacing) if i != axis)
        spacing = (self.spacing[axis], first, second)
        label = None if self.label is None else np.moveaxis(self.label, axis, 0)
        return replace(self, image=np.moveaxis(self.image, axis + 1, 1), label=label, spacing=spacing)


@dataclass(frozen=True)
class Published:
    """One method's agreement with the ground truth, as it is in print.

    Attributes:
        quantity: as `scoring/clinical.py` names it: "LV EF", "LV EDV" …
        method: who, in words.
        data: which cases; others than ours make the comparison a rough one.
        patients: 0 where the source does not say.
        r, bias, sd: correlation, mean and standard deviation of the errors, in the quantity's unit.
        source: citation.
    """

    quantity: str
    method: str
    data: str
    patients: int
    r: float
    bias: float
    sd: float
    source: str


BACKGROUND = "background"


def class_name(text: str) -> str:
    """A name that can be part of a metric's: letters and digits of any writing, space, '_', '-' and '.'."""
    name = re.sub(r"[^\w .-]+", "-", unicodedata.normalize("NFC", str(text))).strip(" -")
    if not name:
        raise ValueError(f"wanted the name of a class with letters or digits in it, got {text!r}")
    return name


Fault = Callable[[Path, DataError], None]


def stop(file: Path, error: DataError) -> None:
    """The fault handler of `find`: the first fault ends it."""
    raise error


def ignore(file: Path, error: DataError) -> None:
    """The fault handler of those who only look: what is wrong is for `find` to say."""


Note = Callable[[Assumption], None]


def unsaid(assumption: Assumption) -> None:
    """The hearer of notes, on what had to be assumed, of those who do not pass them on."""


def keeping(errors: list[DataError], fault: Fault) -> Fault:
    """A fault handler that keeps every error before it tells `fault`."""

    def told(file: Path, error: DataError) -> None:
        errors.append(error)
        fault(file, error)

    return told


Find = Callable[[Path], list[Source]]
Scan = Callable[[Path], tuple[list[Source], list[dict[str, str]]]]


def searches(walk: Callable[[Path, Fault], list[Source]]) -> tuple[Find, Scan]:
    """`find` and `scan` of a dataset whose `walk(root, fault)` leaves out what it reports to `fault`.

    `find(root)` raises the first fault. `scan(root)` lists the faults of single files as {file, reason}.
    """

    def scan(root: Path) -> tuple[list[Source], list[dict[str, str]]]:
        faults: list[dict[str, str]] = []
        found = walk(root, lambda file, e: faults.append({"file": str(file), "reason": str(e)}))
        return found, faults

    return lambda root: walk(root, stop), scan
