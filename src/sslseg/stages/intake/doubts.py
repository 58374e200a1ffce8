"""What of a prepared folder is perhaps not as it was meant: in sentences, each with what mends it."""

import numpy as np
import pandas as pd

from analysis.statistics.words import plural
from sslseg.config.texts import some
from sslseg.data import training_set
from sslseg.data.folders import settings
from sslseg.data.slices.slice_store import Slices

# an in-plane side of a voxel that is longer than both others by this factor: slices were cut across
THICK = 2.0
# pixels of a slice: more are many times the side of a view; and what they are proposed to be resampled to
LARGE, USUAL = 1024, 256


def of(data: training_set.Inputs) -> list[str]:
    """The sentences on classes, annotation, sizes and contrast; none of a folder that leaves no doubt."""
    store = data.store
    return [*_nowhere(data), *_gaps(store), *_large(store), *_odd(store.volume_table)]


def _nowhere(data: training_set.Inputs) -> list[str]:
    """That classes are in no mask, as where a folder has the layout of a data set with more classes, or in none of a side."""
    held, bits = data.store.fingerprint["class_voxels"], data.store.index["classes"].to_numpy()
    classes = list(enumerate(data.store.classes))[1:]
    sides = {side: rows for side, rows in data.labelled.items() if len(rows)}
    empty = [name for _, name in classes if not held[name]]
    found = []
    if empty and sides:
        found.append(
            f"no mask has a voxel of {', '.join(empty)}: it would be learned from nothing and never scored; classes in "
            f"{settings.FILE} without it leaves it out"
        )
    for side, rows in sides.items():
        if lost := [name for k, name in classes if held[name] and not (bits[rows] >> k & 1).any()]:
            use = {"train": "cannot be learned", "val": "does not help to choose a network"}.get(
                side, "is not scored"
            )
            found.append(
                f"no mask of {side} has a voxel of {', '.join(lost)}, which {use}; split= divides otherwise"
            )
    return found


def _gaps(store: Slices) -> list[str]:
    """That slices between annotated ones are empty, as where every third was annotated and the others are unknown."""
    rows = store.index[store.index["labelled"]]
    held = rows["foreground"] > 0
    ends = rows[held].groupby("volume")["z"].agg(["min", "max"])
    empty = rows[~held].join(ends, on="volume", how="inner").query("min < z < max")
    if empty.empty:
        return []
    volumes = empty["volume"].unique()
    return [
        f"{plural(len(empty), 'slice')} without a structure between slices with one, in {plural(len(volumes), 'volume')} as "
        f"{store.volume_table['image'].iloc[volumes[0]]}: taken as background; 255 all over says that nobody looked at a slice"
    ]


def _large(store: Slices) -> list[str]:
    """That slices are so large that structures in whole ones, which are scored, are far larger than in views of them."""
    sides = store.index[["height", "width"]].max(axis=1)
    longest = int(sides.max())
    if longest <= LARGE:
        return []
    step = store.index.loc[sides.idxmax(), "spacing_y"] * longest / USUAL
    size = "" if store.physical else f'{{"spacing": [1, 1]}} in {settings.FILE} and '
    return [
        f"slices of up to {longest} pixels: a network learns from views of some 64 or 224 pixels that show up to a whole slice, "
        f"and is scored on slices as they are, which is slow and another scale; {size}-P spacing={step:.3g} make them about "
        f"{USUAL} pixels"
    ]


def _odd(volumes: pd.DataFrame) -> list[str]:
    """Images without any contrast, and volumes that are cut across their thick slices."""
    found = []
    blank = volumes.loc[volumes["minimum"] == volumes["maximum"], "image"]
    if len(blank):
        found.append(
            f"{plural(len(blank), 'image')} of one single value, is something lost? {some(blank, 3)}"
        )
    z, y, x = (volumes[f"native_spacing_{axis}"] for axis in "zyx")
    across = np.maximum(y, x) > THICK * np.maximum(z, np.minimum(y, x))
    if across.any():
        one = volumes[across].iloc[0]
        found.append(
            f"{plural(int(across.sum()), 'volume')} cut across the slices, it seems: {one['image']} has voxels of "
            f"{one['native_spacing_z']:.3g} x {one['native_spacing_y']:.3g} x {one['native_spacing_x']:.3g} mm (z, y, x); "
            f"axis in {settings.FILE} slices them another way: 0 along z, 1 along y, 2 along x of the file"
        )
    return found
