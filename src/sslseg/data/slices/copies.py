"""One scan under the names of several patients: known by its voxels, whatever its files are called."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sslseg.config.texts import some
from sslseg.data.slices import contents
from sslseg.data.slices.slice_store import Slices


@dataclass(frozen=True)
class Copies:
    """One scan."""

    patients: tuple[str, ...]  # under whose names it is there, sorted; two or more
    sides: tuple[str, ...]  # "train", "val", "test" of them; several, and a test patient was trained on
    images: tuple[str, ...]  # one of each patient


def find(store: Slices, rows: Mapping[str, np.ndarray]) -> list[Copies]:
    """Every scan that more than one patient has, those first that lie on several sides.

    Blank volumes, of one value throughout, are no scans.

    Args:
        rows: side -> rows of the index.
    """
    owner = store.index["patient"].to_numpy()
    side = {patient: name for name, held in rows.items() for patient in np.unique(owner[held])}
    table = store.volume_table
    table = table[table["minimum"] < table["maximum"]]
    found = []
    for _, same in table.groupby(contents.kind(table), sort=False):
        one = same.drop_duplicates("patient").sort_values("patient")
        if len(one) > 1:
            patients = tuple(one["patient"].astype(str))
            sides = tuple(sorted({side[p] for p in patients if p in side}))
            found.append(Copies(patients, sides, tuple(one["image"].astype(str))))
    return sorted(found, key=lambda copies: (len(copies.sides) < 2, copies.patients))


def sentence(found: list[Copies]) -> str:
    """What was found, in words; "" where nothing was."""
    if not found:
        return ""
    across = [c for c in found if len(c.sides) > 1]
    scans = (
        f"{' and '.join(c.patients)} ({' = '.join(c.images)}, {' and '.join(c.sides) or 'no side'})"
        for c in found
    )
    where = f", {len(across)} of them on both sides of the division" if across else ""
    return f"{len(found)} scans are there under several patients' names, voxel by voxel{where}: {some(scans, 3, '; ')}"
