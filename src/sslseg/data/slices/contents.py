"""Digests of the voxels of volumes, of the kind that is asked for: from the store, or else from its files again."""

import os
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from sslseg.config import plugins
from sslseg.config.names import DataError
from sslseg.data.slices.encode import SHA256, XXH3, voxel_digest
from sslseg.data.slices.slice_store import AGAIN, Slices
from sslseg.data.slices.sources import listed

_known: dict[tuple[str, int, str], str] = {}  # store, volume and kind -> a digest that this process has made


def kind(volumes: pd.DataFrame) -> str:
    """Which kind the volumes of a store are known by: SHA256 where an earlier version made it."""
    return XXH3 if XXH3 in volumes else SHA256


def digests(store: Slices, volumes: Iterable[int], wanted: str) -> list[str]:
    """`encode.voxel_digest` of volumes, of the kind that is wanted.

    A store holds one kind, and voxels that were resampled do not give the other: their files are read again.

    Raises:
        DataError: a file is not there, or its voxels are not those that the store was made from.
    """
    own, rows = kind(store.volume_table), list(volumes)
    if wanted == own:
        return store.volume_table[own].iloc[rows].tolist()
    if missing := [row for row in rows if (store.digest, row, wanted) not in _known]:
        _read_again(store, missing, own, wanted)
    return [_known[store.digest, row, wanted] for row in rows]


def _read_again(store: Slices, rows: list[int], own: str, wanted: str) -> None:
    if store.root is None:
        raise DataError(f"{store.path}: wanted the folder that it was made from, which nobody has said")
    module = plugins.load("datasets", store.dataset)
    found, _ = listed(module, store.root, lenient=True)
    sources = {(os.path.abspath(s.image), -1 if s.index is None else s.index): s for s in found}
    for row in rows:
        volume = store.volume_table.iloc[row]
        file = Path(os.path.abspath(store.root / volume["image"]))
        source = sources.get((str(file), int(volume["position"])))
        image = None if source is None else module.read(source).image
        if image is None or voxel_digest(image, own) != volume[own]:
            raise DataError(f"{file}: does not hold the voxels that {store.path} was made from; {AGAIN}")
        _known[store.digest, row, wanted] = voxel_digest(image, wanted)
