"""Images with their masks laid over, one panel a case."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from sslseg.data.slices.contact_sheet import bgr_of, colour_of
from sslseg.data.slices.encode import CLIP
from sslseg.tracking.runs import Run

COLUMNS = 3


@dataclass(frozen=True)
class Picture:
    """One slice: image and mask [Y, X], with the foreground voxels of the whole volume."""

    title: str
    image: np.ndarray
    mask: np.ndarray
    foreground: int


def fullest(array: np.ndarray, mask: np.ndarray, title: str) -> Picture:
    """The slice of [Z, Y, X] with most foreground; the middle one of an empty mask."""
    sizes = (mask > 0).sum(axis=(1, 2))
    z = int(sizes.argmax()) if sizes.any() else len(mask) // 2
    return Picture(f"{title}, slice {z + 1}", array[z], mask[z], int(sizes.sum()))


def log(
    run: Run, shown: Sequence[Picture], classes: Sequence[str], file: str, own: Sequence[str] = ()
) -> None:
    """Draw and log the figure.

    Args:
        own: hex per class, where the data bring colours.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    lines = -(-len(shown) // COLUMNS)
    figure, axes = plt.subplots(
        lines, COLUMNS, figsize=(3 * COLUMNS, 3.2 * lines), squeeze=False, layout="constrained"
    )
    colours = {k: colour_of(tuple(own), k) for k in range(1, len(classes))}
    for axis in axes.flat:
        axis.axis("off")
    for axis, picture in zip(axes.flat, shown, strict=False):
        low, high = np.percentile(picture.image, CLIP)
        axis.imshow(picture.image, cmap="gray", vmin=low, vmax=high)
        for k, colour in colours.items():
            if (picture.mask == k).any():
                axis.contour(picture.mask == k, levels=[0.5], colors=[colour], linewidths=1)
        axis.set_title(picture.title, fontsize=7)
    handles = [plt.Line2D([], [], color=colour, label=classes[k]) for k, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles) or 1, fontsize=8)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / Path(file).name
        figure.savefig(place, dpi=100)
        plt.close(figure)
        run.artifact(place, str(Path(file).parent) if Path(file).parent.name else None)


ALPHA = 0.55
PANEL, STRIP = 256, 22  # pixels of the overlay figure: a picture, and the title above it


def panel(grey: np.ndarray, mask: np.ndarray, title: str, colours: np.ndarray) -> np.ndarray:
    """uint8 BGR [STRIP + PANEL, PANEL, 3]: a slice [H, W], its aspect kept, with its mask laid over.

    Args:
        colours: uint8 [K, 3] (BGR) by class; 0 and what is no class are left clear.
    """
    factor = PANEL / max(grey.shape)
    size = tuple(max(1, round(n * factor)) for n in grey.shape[::-1])
    image = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)[
        ..., None
    ]
    known = np.where(mask < len(colours), mask, 0).astype(np.uint8)
    mask = cv2.resize(known, size, interpolation=cv2.INTER_NEAREST_EXACT)
    share = ALPHA * (mask > 0)[..., None]
    out = np.zeros((STRIP + PANEL, PANEL, 3), np.uint8)
    out[STRIP : STRIP + size[1], : size[0]] = np.rint(image * (1 - share) + colours[mask] * share)
    cv2.putText(out, title, (4, STRIP - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
    return out


def _palette(colours: tuple[str, ...], classes: int) -> np.ndarray:
    return np.array([bgr_of(colours, k) for k in range(classes)], np.uint8)
