"""Floor 2: images with their masks laid over, one panel a case."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sslseg.data.encode import CLIP
from sslseg.data.fingerprint import colour_of
from sslseg.runs import Run

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
