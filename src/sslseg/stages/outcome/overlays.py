"""Slices with their masks laid over, many panels in one picture.

Drawn by OpenCV: matplotlib's figure took 1.7 CPU seconds of every run.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from sslseg.data.slices.contact_sheet import bgr_of
from sslseg.data.slices.encode import CLIP
from sslseg.tracking.runs import Run

COLUMNS = 3
ALPHA = 0.55
PANEL, STRIP = 256, 22  # pixels: a picture, and the title above it
FONT = (cv2.FONT_HERSHEY_SIMPLEX, 0.42)
WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Picture:
    """One slice: image and mask [Y, X], with the foreground voxels of the whole volume."""

    title: str
    image: np.ndarray
    mask: np.ndarray
    foreground: int = 0


def fullest(array: np.ndarray, mask: np.ndarray, title: str) -> Picture:
    """The slice of [Z, Y, X] with most foreground; the middle one of an empty mask."""
    sizes = (mask > 0).sum(axis=(1, 2))
    z = int(sizes.argmax()) if sizes.any() else len(mask) // 2
    return Picture(f"{title}, slice {z + 1}", array[z], mask[z], int(sizes.sum()))


def stretched(image: np.ndarray) -> np.ndarray:
    """A slice, its own p1 to p99 as 0 to 1."""
    low, high = np.percentile(image, CLIP)
    return np.clip((image.astype(float) - low) / max(high - low, 1e-9), 0, 1)


def log(
    run: Run, shown: Sequence[Picture], classes: Sequence[str], file: str, own: Sequence[str] = ()
) -> None:
    """Draw and log the figure.

    Args:
        own: hex per class, where the data bring colours.
    """
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / file
        place.parent.mkdir(exist_ok=True)
        if not cv2.imwrite(str(place), sheet(shown, classes, own)):
            raise OSError(f"{place}: the picture could not be written, is the disk full?")
        run.artifact(scratch)


def sheet(shown: Sequence[Picture], classes: Sequence[str], own: Sequence[str]) -> np.ndarray:
    """uint8 BGR [H, W, 3]: a panel each, COLUMNS in a line, and the names of the classes below in their colours."""
    colours = np.array([bgr_of(tuple(own), k) for k in range(len(classes))], np.uint8)
    panels = [panel((stretched(p.image) * 255).astype(np.uint8), p.mask, p.title, colours) for p in shown]
    panels += [np.zeros_like(panels[0])] * (-len(panels) % COLUMNS)
    lines = [np.hstack(panels[i : i + COLUMNS]) for i in range(0, len(panels), COLUMNS)]
    return np.vstack([*lines, *_legend(classes, colours)])


def _legend(classes: Sequence[str], colours: np.ndarray) -> list[np.ndarray]:
    """Strips with the names of the classes but background, as many as they need."""
    strips, left = [], COLUMNS * PANEL
    for name, colour in zip(classes[1:], colours[1:], strict=True):
        width = cv2.getTextSize(name, *FONT, 1)[0][0] + 12
        if left + width > COLUMNS * PANEL:
            strips.append(np.zeros((STRIP, COLUMNS * PANEL, 3), np.uint8))
            left = 0
        cv2.putText(strips[-1], name, (left + 4, STRIP - 6), *FONT, colour.tolist(), 1, cv2.LINE_AA)
        left += width
    return strips


def panel(grey: np.ndarray, mask: np.ndarray, title: str, colours: np.ndarray) -> np.ndarray:
    """uint8 BGR [STRIP + PANEL, PANEL, 3]: a slice [H, W], its aspect kept, with its mask laid over.

    Args:
        colours: uint8 [K, 3] (BGR) by class; 0 and what is no class are left clear.
    """
    factor = PANEL / max(grey.shape)
    size = tuple(max(1, round(n * factor)) for n in grey.shape[::-1])
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    image = cv2.resize(grey, size, interpolation=way)[..., None]
    known = np.where(mask < len(colours), mask, 0).astype(np.uint8)
    mask = cv2.resize(known, size, interpolation=cv2.INTER_NEAREST_EXACT)
    share = ALPHA * (mask > 0)[..., None]
    out = np.zeros((STRIP + PANEL, PANEL, 3), np.uint8)
    out[STRIP : STRIP + size[1], : size[0]] = np.rint(image * (1 - share) + colours[mask] * share)
    cv2.putText(out, title, (4, STRIP - 6), *FONT, WHITE, 1, cv2.LINE_AA)
    return out
