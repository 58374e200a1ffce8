"""The slice store: a flat int16 shard of codes, a flat uint8 shard of labels, an index.

A store is a folder named after its content, written once and never changed:
`codes.i2`, `labels.u1`, `index.parquet`, `volumes.parquet`, `meta.json` with the digests of
the others and of itself, and `contact-sheet.png` to look at.
`prepare` finds one or makes it; what is in it is written by `build.py`.
"""

import functools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sslseg.config import files, plugins
from sslseg.config.names import DataError
from sslseg.data import digests

Rows = Sequence[int] | np.ndarray  # numbers of slices


@dataclass(frozen=True, eq=False)
class Slices:
    """A store, opened read-only. Cheap to open; a child process opens it again by `path`."""

    path: Path
    dataset: str
    digest: str
    spacing: float
    classes: tuple[str, ...]
    colours: tuple[str, ...]
    domain: str
    licence: str
    channels: int
    fingerprint: dict[str, Any]  # see `fingerprint.compute`
    # a row a slice, its position is the slice's number: volume, patient, group, frame, phase, z, labelled, height,
    # width, offset, label_offset (-1 if none), spacing_z/_y/_x (mm), foreground (voxels), classes (bit mask)
    index: pd.DataFrame
    volumes: dict[str, np.ndarray]  # float64 [V, C] each: scale, intercept, p1, p99 (physical units)
    # a row a volume: patient, group, frame, phase, labelled, slices, native_height/_width/_spacing_z/_y/_x, image and
    # label (relative to the root), position (within a 4D file, -1 if none), xxh3 (`encode.voxel_digest`; sha256 in a
    # store of an earlier version), minimum, maximum, mean, sd
    volume_table: pd.DataFrame
    skipped: list[dict[str, str]]  # what `on_bad_file=skip` left out, {file, reason} each
    notes: list[dict[str, str]]  # what had to be assumed of a file, {file, note} each
    codes_flat: np.ndarray  # the shards, memory-mapped
    labels_flat: np.ndarray
    split: str = ""  # what the data say of themselves (`source.Description`), as the next four
    sides: dict[str, str] = field(default_factory=dict)
    channel_names: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    physical: bool = True
    parts: dict[str, str] = field(default_factory=dict)  # file -> digest, as found when it was opened
    stamps: tuple[tuple[int, ...], ...] = ()  # of these files then
    seconds: float = 0.0  # that the check took
    root: Path | None = None  # the folder it was made from, where that is known

    @functools.cached_property
    def _place(self) -> list[list[int]]:
        return self.index[["offset", "label_offset", "height", "width"]].to_numpy(np.int64).tolist()

    def __len__(self) -> int:
        return len(self.index)

    def codes(self, i: int) -> np.ndarray:
        """int16 [C, H, W] of slice `i`, a view of the shard."""
        offset, _, height, width = self._place[i]
        size = self.channels * height * width
        return self.codes_flat[offset : offset + size].reshape(self.channels, height, width)

    def label(self, i: int) -> np.ndarray:
        """uint8 [H, W] of slice `i`, a view of the shard. Raises DataError: the slice is not annotated."""
        _, offset, height, width = self._place[i]
        if offset < 0:
            row = self.index.iloc[i]
            which = f"slice {i} ({row.patient}, frame {row.frame}, z {row.z})"
            raise DataError(f"{self.dataset}: {which} has no label")
        return self.labels_flat[offset : offset + height * width].reshape(height, width)

    def check_read(self) -> None:
        """Make sure, after long work, that the shards are what they were when the store was opened.

        Raises:
            DataError: somebody has written into them.
        """
        if self.stamps != stamps(self.path):
            for name, shard in ((CODES, self.codes_flat), (LABELS, self.labels_flat)):
                if digests.of(shard, self.parts[name]) != self.parts[name]:
                    raise DataError(f"{self.path / name}: was changed while this run read it; {AGAIN}")


def open_store(path: Path) -> Slices:
    """Open the store in folder `path`. Raises DataError: there is none, or it was damaged after it was written."""
    path = Path(path)
    try:
        begun, seen = time.perf_counter(), stamps(path)
        meta = check(path)
        seconds = time.perf_counter() - begun
        index, volumes = pd.read_parquet(path / INDEX), pd.read_parquet(path / VOLUMES)
        codes, labels = _shard(path / CODES, "<i2"), _shard(path / LABELS, "u1")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: wanted a slice store ({error}); {AGAIN}") from None
    names = {key: [f"{key}_{c}" for c in range(meta["channels"])] for key in PER_CHANNEL}
    own = plugins.load("datasets", meta["dataset"])  # says it for all folders where they do not
    about = meta["law"].get("about", {"physical": getattr(own, "PHYSICAL", True)})
    return Slices(
        path=path,
        **{key: meta[key] for key in SAID},
        spacing=meta["law"]["spacing"],
        classes=tuple(meta["law"]["classes"]),
        colours=tuple(meta["colours"]),
        index=index,
        volumes={key: volumes[columns].to_numpy(np.float64) for key, columns in names.items()},
        volume_table=volumes.drop(columns=[c for columns in names.values() for c in columns]),
        notes=meta.get("notes", []),
        codes_flat=codes,
        labels_flat=labels,
        channel_names=tuple(about.get("channels", ())),
        stamps=seen,
        seconds=seconds,
        **{key: about[key] for key in ("split", "sides", "settings", "physical") if key in about},
    )


def check(path: Path) -> dict[str, Any]:
    """meta.json of the store in folder `path`, every part of which is as it was written.

    Raises:
        DataError: a part was changed, or the store has no digests: it was written by an earlier version.
        OSError, ValueError: a part is not there, or meta.json is not JSON.
    """
    meta = json.loads((path / META).read_text(encoding="utf-8"))
    if "seal" not in meta:
        raise DataError(f"{path}: its parts have no digests, it was written by an earlier version; {AGAIN}")
    wanted = meta["parts"]
    found = {name: digests.of_file(path / name, wanted.get(name, digests.FAST)) for name in PARTS}
    wrong = [name for name in wanted if found.get(name) != wanted[name]]
    wrong += [META] if meta["seal"] != seal(meta) else []
    if wrong:
        parts = ", ".join(wrong)
        raise DataError(f"{path}: the prepared data were changed after they were written ({parts}); {AGAIN}")
    return meta


def fault(path: Path) -> str:
    """What `check` says against the store in folder `path`; "" where it is as it was written."""
    try:
        check(path)
    except (DataError, OSError, ValueError) as error:
        return str(error)
    return ""


def faults(cache: Path) -> list[str]:
    """A sentence on each store of `cache` that is not as it was written."""
    stores = [meta.parent for meta in sorted((cache / "slices").glob(f"*/{META}"))]
    return list(filter(None, map(fault, stores)))


def seal(meta: dict[str, Any]) -> str:
    """sha256 of what meta.json says, but for the seal itself."""
    return files.sha256_of({key: value for key, value in meta.items() if key != "seal"})


def stamps(path: Path) -> tuple[tuple[int, ...], ...]:
    """Of every part; () where one is gone."""
    try:
        return tuple(files.stamp(path / name) for name in (*PARTS, META))
    except OSError:
        return ()


def _shard(path: Path, kind: str) -> np.ndarray:
    if path.stat().st_size == 0:  # an empty file cannot be mapped
        return np.empty(0, kind)
    return np.asarray(np.memmap(path, kind, mode="r"))  # np.memmap itself takes 2 µs a slice of it


CODES, LABELS, INDEX, VOLUMES, META = "codes.i2", "labels.u1", "index.parquet", "volumes.parquet", "meta.json"
# by meta.json
SAID = ("dataset", "digest", "domain", "licence", "channels", "fingerprint", "skipped", "parts")
PARTS = (CODES, LABELS, INDEX, VOLUMES)
AGAIN = "the same command with verify=true makes the store anew"
PER_CHANNEL = ("scale", "intercept", "p1", "p99")
