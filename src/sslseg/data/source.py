"""Floor 1b: what a dataset names (`Source`) and what it reads (`Volume`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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
    """

    patient: str
    group: str
    frame: int
    phase: str
    image: Path
    label: Path | None
    index: int | None


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
