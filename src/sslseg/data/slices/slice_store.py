"""The slice store: a flat int16 shard of codes, a flat uint8 shard of labels, an index.

A store is a folder named after its content, written once and never changed:
`codes.i2`, `labels.u1`, `index.parquet`, `volumes.parquet`, `meta.json`, and
`contact-sheet.png` to look at.
`prepare` finds one or makes it; what is in it is written by `build.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sslseg.config import plugins
from sslseg.config.names import DataError


@dataclass(frozen=True, eq=False)
class Slices:
    """A store, opened read-only. Cheap to open; a child process opens it again by `path`.

    Attributes:
        index: one row per slice, its position is the slice's number: volume, patient, group,
            frame, phase, z, labelled, height, width, offset, label_offset (-1 if none),
            spacing_z, spacing_y, spacing_x (mm), foreground (voxels), classes (bit mask).
        volumes: float64 [V, C] each: scale, intercept, p1, p99 (physical units).
        volume_table: one row per volume: patient, group, frame, phase, labelled, slices,
            native_height/_width/_spacing_z/_y/_x, image, label (relative to the root), position
            (within a 4D file, -1 if none), sha256 (of the decoded voxels), minimum, maximum,
            mean, sd.
        skipped: what `on_bad_file=skip` left out, {file, reason} each.
        fingerprint: see `fingerprint.compute`.
        codes_flat, labels_flat: the shards, memory-mapped.
        split, sides, channel_names, settings, physical: what the data say of themselves
            (`source.Description`).
    """

    path: Path
    dataset: str
    digest: str
    spacing: float
    classes: tuple[str, ...]
    colours: tuple[str, ...]
    domain: str
    licence: str
    channels: int
    fingerprint: dict[str, Any]
    index: pd.DataFrame
    volumes: dict[str, np.ndarray]
    volume_table: pd.DataFrame
    skipped: list[dict[str, str]]
    codes_flat: np.ndarray
    labels_flat: np.ndarray
    split: str = ""
    sides: dict[str, str] = field(default_factory=dict)
    channel_names: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    physical: bool = True

    def __post_init__(self) -> None:
        columns = ("offset", "label_offset", "height", "width")
        object.__setattr__(self, "_place", self.index[list(columns)].to_numpy(np.int64).tolist())

    def __len__(self) -> int:
        return len(self.index)

    def codes(self, i: int) -> np.ndarray:
        """int16 [C, H, W] of slice `i`, a view of the shard."""
        offset, _, height, width = self._place[i]
        size = self.channels * height * width
        return self.codes_flat[offset : offset + size].reshape(self.channels, height, width)

    def label(self, i: int) -> np.ndarray:
        """uint8 [H, W] of slice `i`, a view of the shard.

        Raises:
            DataError: the slice is not annotated.
        """
        _, offset, height, width = self._place[i]
        if offset < 0:
            row = self.index.iloc[i]
            raise DataError(
                f"{self.dataset}: slice {i} ({row.patient}, frame {row.frame}, z {row.z}) has no label"
            )
        return self.labels_flat[offset : offset + height * width].reshape(height, width)


def open_store(path: Path) -> Slices:
    """Open the store in folder `path`.

    Raises:
        DataError: there is none, or it was damaged after it was written.
    """
    path = Path(path)
    try:
        meta = json.loads((path / META).read_text(encoding="utf-8"))
        index, volumes = pd.read_parquet(path / INDEX), pd.read_parquet(path / VOLUMES)
        codes, labels = _shard(path / CODES, "<i2"), _shard(path / LABELS, "u1")
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: wanted a slice store ({error}); delete the folder to prepare again"
        ) from None
    area = index["height"] * index["width"]
    if len(codes) != meta["channels"] * area.sum() or len(labels) != area[index["labelled"]].sum():
        raise DataError(
            f"{path}: a shard is not as long as the index says; delete the folder to prepare again"
        )
    names = {key: [f"{key}_{c}" for c in range(meta["channels"])] for key in PER_CHANNEL}
    own = plugins.load("datasets", meta["dataset"])  # says it for all folders where they do not
    about = meta["law"].get("about", {"physical": getattr(own, "PHYSICAL", True)})
    return Slices(
        path=path,
        dataset=meta["dataset"],
        digest=meta["digest"],
        spacing=meta["law"]["spacing"],
        classes=tuple(meta["law"]["classes"]),
        colours=tuple(meta["colours"]),
        domain=meta["domain"],
        licence=meta["licence"],
        channels=meta["channels"],
        fingerprint=meta["fingerprint"],
        index=index,
        volumes={key: volumes[columns].to_numpy(np.float64) for key, columns in names.items()},
        volume_table=volumes.drop(columns=[c for columns in names.values() for c in columns]),
        skipped=meta["skipped"],
        codes_flat=codes,
        labels_flat=labels,
        channel_names=tuple(about.get("channels", ())),
        **{key: about[key] for key in ("split", "sides", "settings", "physical") if key in about},
    )


def _shard(path: Path, kind: str) -> np.ndarray:
    if path.stat().st_size == 0:  # an empty file cannot be mapped
        return np.empty(0, kind)
    return np.asarray(np.memmap(path, kind, mode="r"))  # np.memmap itself takes 2 µs a slice of it


CODES, LABELS, INDEX, VOLUMES, META = "codes.i2", "labels.u1", "index.parquet", "volumes.parquet", "meta.json"
PER_CHANNEL = ("scale", "intercept", "p1", "p99")
