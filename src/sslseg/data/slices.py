"""Floor 1b: the slice store: a flat int16 shard of codes, a flat uint8 shard of labels, an index.

A store is a folder named after its content, written once and never changed:
`codes.i2`, `labels.u1`, `index.parquet`, `volumes.parquet`, `meta.json`, and
`contact-sheet.png` to look at.
`prepare` finds one or makes it; what is in it is written by `build.py`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock

from sslseg import plugins
from sslseg.data import build, fingerprint
from sslseg.data.build import CODES, INDEX, LABELS, META, PER_CHANNEL, VOLUMES
from sslseg.data.inputs import Inputs, describe, digest, file_digests, law
from sslseg.data.source import Source
from sslseg.names import DataError, ParamError

SHEET = "contact-sheet.png"


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


def locate(dataset: str, data_root: str, cache: Path) -> Path:
    """The folder of a dataset: `data_root`, or the built-in one (written to `cache` if absent).

    Raises:
        ParamError: no folder is given and the dataset has none built in.
        DataError: the folder is not there.
    """
    module = plugins.load("datasets", dataset)
    if data_root:
        root = Path(data_root).expanduser()
    elif hasattr(module, "default_root"):
        root = module.default_root(Path(cache))
    else:
        raise ParamError(f"data_root: dataset {dataset} is not built in, give the folder it lies in")
    if not root.is_dir():
        raise DataError(f"{root}: wanted the folder of dataset {dataset}, it is not there")
    return root


def prepare(
    dataset: str,
    root: Path,
    cache: Path,
    *,
    spacing: float,
    verify: bool = False,
    on_bad_file: str = "stop",
    progress: bool = True,
) -> Slices:
    """The slice store of `dataset` at `root`; made if there is none, else found without opening an image.

    Args:
        spacing: in-plane spacing after resampling, mm; 0 = none. Ignored by natural images.
        verify: hash every file (and the store's shards) instead of trusting path, size and mtime.
        on_bad_file: "stop", or "skip": leave unreadable files out and list them in `skipped`.

    Raises:
        DataError: a file is not what its format promises, or nothing is left.
    """
    root, folder = Path(root).resolve(), Path(cache).resolve() / "slices"
    module = plugins.load("datasets", dataset)
    about = describe(module, root)
    sources, faults = _sources(module, root, on_bad_file)
    inputs = Inputs(dataset, module, root, about, law(module, about, spacing), sources, faults)
    warm = folder / "warm" / (_key([dataset, str(root), inputs.law]) + ".json")
    state = {"files": inputs.stamps(), "sources": _key([inputs.rows(), faults])}
    store = None if verify else _remembered(warm, state, folder)
    if store is None:
        store = _by_content(inputs, folder, verify, on_bad_file == "skip", progress)
        build.write_json(warm, state | {"store": store.name})
    slices = open_store(store)
    if slices.skipped and on_bad_file == "stop":
        bad = slices.skipped[0]
        raise DataError(
            f"{bad['reason']} ({len(slices.skipped)} such files; on_bad_file=skip leaves them out)"
        )
    return slices


def _sources(module: ModuleType, root: Path, on_bad_file: str) -> tuple[list[Source], list[dict[str, str]]]:
    """A dataset may offer `scan(root) -> (sources, faults)` for faults that show before reading."""
    if on_bad_file == "skip" and hasattr(module, "scan"):
        sources, faults = module.scan(root)
    else:
        sources, faults = module.find(root), []
    if not sources:
        raise DataError(f"{root}: wanted data of dataset {module.__name__.rsplit('.', 1)[-1]}, found none")
    return sources, faults


def _by_content(inputs: Inputs, folder: Path, verify: bool, skip: bool, progress: bool) -> Path:
    """Hash the files and find the store of that content, or build it."""
    digests = file_digests(inputs, progress)
    store = folder / f"{inputs.dataset}-{digest(inputs, digests)[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{store.name}.lock"):  # a second process waits, then finds it built
        if verify and store.exists() and not build.intact(store):
            shutil.rmtree(store)
        if not (store / META).exists():
            build.build(store, inputs, digests, skip=skip, progress=progress)
        if not (store / SHEET).exists():
            fingerprint.contact_sheet(open_store(store), aside := store / f".{SHEET}")
            aside.replace(store / SHEET)
    return store


def _remembered(warm: Path, state: dict[str, Any], folder: Path) -> Path | None:
    try:
        known = json.loads(warm.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    store = folder / str(known.pop("store", ""))
    return store if known == state and (store / META).exists() else None


def _key(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
