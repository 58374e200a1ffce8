"""What a dataset says of itself (`Description`), names (`Source`) and reads (`Volume`)."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from sslseg.config.names import DataError

Spacing = tuple[float, float, float]  # of a voxel along z, y, x in mm
IGNORE = 255  # label of a voxel that is neither trained on nor scored


@dataclass(frozen=True)
class Source:
    """One volume that can be read: one time frame of one patient."""

    patient: str  # unit of the splits; no patient is ever in two of them
    group: str  # stratum (diagnosis, vendor, folder …), one per patient; "" if there is none
    frame: int  # number of the time frame as its files count it (ACDC: from 1)
    phase: str  # "ED", "ES" or "" when the frame has no name
    image: Path
    label: Path | None  # of the mask; None when the frame is not annotated
    index: int | None  # position within a 4D file, from 0; None when the file is one volume
    more: tuple[Path, ...] = ()  # further files that decide what is read
    root: Path | None = None  # the folder that was searched, where a format keeps what its reader has to know
    visit: str = ""  # which of the patient's examinations or views, each with phases of its own; "" of one
    parts: int = 0  # the first so many of `more` are of the image: other channels, or slices of a series

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
    """What a data folder says of itself, for formats that are not one dataset. All of it is in the recipe."""

    classes: tuple[str, ...]  # names of the label numbers 0, 1 …; "background" first
    colours: tuple[str, ...] = ()  # hex per class, or ()
    channels: tuple[str, ...] = ()  # names of the image's channels, or ()
    domain: str = ""  # "" = the module's constant, as of licence and of split
    licence: str = ""
    split: str = ""  # how patients are divided by default
    sides: dict[str, str] = field(default_factory=dict)  # patient -> "train", "val" or "test"; official, file
    physical: bool = True  # False when there are no millimetres: never resampled
    settings: dict[str, Any] = field(default_factory=dict)  # JSON values that decide, too, what is read


@dataclass(frozen=True)
class Assumption:
    """What had to be assumed of a file, in words that follow its name."""

    file: Path
    text: str

    def __str__(self) -> str:
        return f"{self.file}: {self.text}"


@dataclass(frozen=True)
class Volume:
    """One decoded volume."""

    image: np.ndarray  # [C, Z, Y, X], any integer type or float32
    label: np.ndarray | None  # [Z, Y, X] uint8 of class numbers, `IGNORE` where unknown
    spacing: Spacing  # (z, y, x) in mm
    notes: tuple[Assumption, ...] = ()  # what had to be assumed of its files

    def along(self, axis: int) -> Self:
        """The same volume sliced along `axis` (0 z, 1 y, 2 x): that axis comes first, the others keep order."""
        if axis == 0:
            return self
        first, second = (v for i, v in enumerate(self.spacing) if i != axis)
        spacing = (self.spacing[axis], first, second)
        label = None if self.label is None else np.moveaxis(self.label, axis, 0)
        return replace(self, image=np.moveaxis(self.image, axis + 1, 1), label=label, spacing=spacing)


@dataclass(frozen=True)
class Published:
    """One method's agreement with the ground truth, as it is in print."""

    quantity: str  # as `scoring/clinical.py` names it: "LV EF", "LV EDV" …
    method: str  # who, in words
    data: str  # which cases; others than ours make the comparison a rough one
    patients: int  # 0 where the source does not say
    r: float  # correlation
    bias: float  # mean of the errors, in the quantity's unit
    sd: float  # standard deviation of the errors
    source: str  # citation


BACKGROUND = "background"


def class_name(text: str) -> str:
    """A name that can be part of a metric's: letters and digits of any writing, space, '_', '-' and '.'."""
    if not (name := re.sub(r"[^\w .-]+", "-", unicodedata.normalize("NFC", str(text))).strip(" -")):
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
