"""Floor 1b: what a dataset says of itself (`Description`), names (`Source`) and reads (`Volume`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

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
        more: further files of the same image: other channels, or the other slices of a series.
        root: the folder that was searched, where a format keeps what its reader has to know.
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


@dataclass(frozen=True)
class Description:
    """What a data folder says of itself, for formats that are not one dataset. All of it is in the law.

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
class Volume:
    """One decoded volume.

    Attributes:
        image: [C, Z, Y, X], any integer type or float32.
        label: [Z, Y, X] uint8 of class numbers, `IGNORE` where unknown, or None.
        spacing: (z, y, x) in mm.
    """

    image: np.ndarray
    label: np.ndarray | None
    spacing: tuple[float, float, float]
