"""Writes a slice store: volumes encoded one by one into the shards, index, meta."""

from __future__ import annotations

import json
import operator
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from sslseg.config.files import aside
from sslseg.config.names import DataError
from sslseg.data import digests
from sslseg.data.slices import fingerprint
from sslseg.data.slices.encode import XXH3, Encoded, encode, histogram
from sslseg.data.slices.slice_store import CODES, INDEX, LABELS, META, PER_CHANNEL, VOLUMES, seal
from sslseg.data.slices.sources import MOST_CLASSES, Inputs, digest, workers
from sslseg.data.source import IGNORE, Source, Volume


def build(store: Path, inputs: Inputs, contents: dict[str, str], *, skip: bool, progress: bool) -> None:
    """Write `store` aside and rename it into place, so that a store is whole or not there.

    Args:
        contents: `file_digests(inputs)`.
        skip: leave bad files out and list them, instead of stopping at the first.

    Raises:
        DataError: the first bad file (`skip=False`), or nothing is left of them.
    """
    recipe = inputs.recipe
    with aside(store, alone=True) as part:
        part.mkdir()
        writer, skipped = _written(part, inputs, skip, progress)
        skipped = inputs.faults + skipped
        if not writer.volumes:
            raise DataError(f"{inputs.root}: not one volume could be read; the first: {skipped[0]['reason']}")
        index, volumes, voxels = writer.tables()
        index.to_parquet(part / INDEX)
        volumes.to_parquet(part / VOLUMES)
        meta = {
            "dataset": inputs.dataset,
            "digest": digest(inputs, contents),
            "law": recipe,
            "channels": writer.channels,
            "colours": list(inputs.about.colours),
            "domain": inputs.about.domain or inputs.module.DOMAIN,
            "licence": inputs.about.licence or inputs.module.LICENCE,
            "skipped": skipped,
            "notes": writer.notes,
            "parts": writer.digests() | {name: digests.of_file(part / name) for name in (INDEX, VOLUMES)},
            "fingerprint": fingerprint.compute(index, volumes, recipe["classes"], voxels, contents),
        }
        write_json(part / META, meta | {"seal": seal(meta)})


def _written(
    folder: Path, inputs: Inputs, skip: bool, progress: bool, channels: int = 0
) -> tuple[_Writer, list[dict[str, str]]]:
    """The shards, and what was left out: among files of different channels, those of the fewer."""
    writer = _Writer(folder, inputs, channels)
    with writer.codes, writer.labels:
        skipped = _encode_all(writer, inputs, skip, progress)
    for usual, _ in writer.seen.most_common(1):
        if skip and not channels and usual != writer.channels:  # the first file was the odd one
            return _written(folder, inputs, skip, progress, usual)
    return writer, skipped


def write_json(path: Path, value: object) -> None:
    """Write a JSON file whole or not at all."""
    with aside(path) as part:
        part.write_text(json.dumps(value, indent=1), encoding="utf-8")


def _encode_all(writer: _Writer, inputs: Inputs, skip: bool, progress: bool) -> list[dict[str, str]]:
    """While volumes are read, those before are encoded in other threads, and written in their order."""
    skipped, waiting = [], deque[tuple[Source, Future[_Encoding]]]()

    def write_next() -> None:
        source, encoding = waiting.popleft()
        try:
            writer.add(source, *encoding.result())
        except DataError as error:
            if not skip:
                raise
            skipped.append({"file": inputs.relative(source.image), "reason": str(error)})

    volumes = tqdm(inputs.sources, "preparing", disable=None if progress else True, unit="volume")
    with ThreadPoolExecutor(inputs.readers()) as reading, ThreadPoolExecutor(workers()) as encoding:
        for _, of_file in groupby(volumes, operator.attrgetter("image")):  # its frames are decoded once
            own = list(of_file)
            read = reading.submit(_read, inputs, own)
            waiting += [(s, encoding.submit(_encoded, inputs, s, read, k)) for k, s in enumerate(own)]
            while len(waiting) > 2 * workers():
                write_next()
        while waiting:
            write_next()
    return skipped


_Encoding = tuple[Encoded, Volume]  # as it is stored, and as it was read


def _read(inputs: Inputs, sources: Sequence[Source]) -> list[Volume | DataError]:
    """Volumes of one file; or what is wrong with each, to be said when its turn is there."""

    def one(source: Source) -> Volume | DataError:
        try:
            return inputs.module.read(source)
        except DataError as error:
            return error

    return [one(source) for source in sources]


def _encoded(inputs: Inputs, source: Source, read: Future[list[Volume | DataError]], place: int) -> _Encoding:
    volume = read.result()[place]
    if isinstance(volume, DataError):
        raise volume
    try:
        return encode(volume, inputs.recipe["spacing"], len(inputs.recipe["classes"])), volume
    except DataError as error:
        raise DataError(f"{source.image}: {error}") from None


# of the table of slices
COLUMNS = ["volume", "patient", "group", "frame", "phase", "z", "labelled", "height", "width", "offset", "label_offset",
           "spacing_z", "spacing_y", "spacing_x", "foreground", "classes"]  # fmt: skip


class _Writer:
    """Appends encoded volumes to the shards and keeps the rows of the two tables."""

    def __init__(self, folder: Path, inputs: Inputs, channels: int = 0) -> None:
        """`channels`: of the images that are kept; 0 takes the first image's."""
        self.relative = inputs.relative
        self.codes, self.labels = digests.Written(folder / CODES), digests.Written(folder / LABELS)
        self.volumes: list[dict[str, Any]] = []
        self.voxels: list[np.ndarray] = []  # of each volume, as `_per_class`
        self.classes, self.channels = len(inputs.recipe["classes"]), channels
        self.seen: Counter[int] = Counter()  # channels -> images
        self.first: Path | None = None
        self.groups: dict[str, str] = {}
        self.notes: list[dict[str, str]] = []  # {file, note} of what had to be assumed

    def add(self, source: Source, e: Encoded, volume: Volume) -> None:
        """One volume. Raises DataError before anything is written."""
        channels, group = e.codes.shape[1], self.groups.get(source.patient, source.group)
        self.seen[channels] += 1
        if self.channels not in (0, channels):
            others = f"{self.first.name} and others" if self.first else "most others"
            hint = 'in sslseg.json {"colour": "grey"} makes one of colours, {"frames": "time"} reads a cine'
            wanted = f"wanted {self.channels} channels as {others} have, got {channels}"
            raise DataError(f"{source.image}: {wanted}; {hint}")
        if group != source.group:
            raise DataError(f"{source.image}: {source.patient} is in groups {group!r} and {source.group!r}")
        self.channels, self.groups[source.patient] = channels, group
        self.first = self.first or source.image
        self.notes += [{"file": self.relative(note.file), "note": str(note)} for note in volume.notes]
        voxels = _per_class(e.label, len(e.codes))
        shown = voxels.any(axis=1)
        self.voxels.append(voxels)
        self.codes.write(np.ascontiguousarray(e.codes, "<i2"))
        if e.label is not None:
            self.labels.write(np.ascontiguousarray(e.label if shown.all() else e.label[shown]))
        row = {
            "patient": source.patient,
            "group": source.group,
            "frame": source.frame,
            "phase": source.phase,
            "labelled": bool(shown.any()),
            "slices": len(e.codes),
            "native_height": volume.image.shape[2],
            "native_width": volume.image.shape[3],
            **{f"native_spacing_{axis}": mm for axis, mm in zip("zyx", volume.spacing, strict=True)},
            "image": self.relative(source.image),
            "label": self.relative(source.label),
            "position": -1 if source.index is None else source.index,
            XXH3: e.digest,
            **e.stats,
            "height": e.codes.shape[2],
            "width": e.codes.shape[3],
            **{f"spacing_{axis}": mm for axis, mm in zip("zyx", e.spacing, strict=True)},
        }
        arrays = {key: getattr(e, key) for key in PER_CHANNEL}
        self.volumes.append(row | {f"{k}_{c}": float(v) for k, a in arrays.items() for c, v in enumerate(a)})

    def digests(self) -> dict[str, str]:
        """Of the two shards, as they were written."""
        return {CODES: digests.text(self.codes.digest), LABELS: digests.text(self.labels.digest)}

    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
        """A row a slice, a row a volume, and the stored voxels of each class."""
        volumes, voxels = pd.DataFrame(self.volumes), np.concatenate(self.voxels)
        many, shared = volumes["slices"].to_numpy(), [name for name in COLUMNS if name in volumes]
        index = volumes[shared].iloc[np.repeat(volumes.index, many)].reset_index(names="volume")
        size, labelled = (index["height"] * index["width"]).to_numpy(), voxels.any(axis=1)
        index["z"] = np.concatenate([np.arange(n) for n in many])
        index["labelled"] = labelled
        index["offset"] = (np.cumsum(size) - size) * self.channels
        index["label_offset"] = np.where(labelled, np.cumsum(size * labelled) - size, -1)
        index["foreground"] = voxels[:, 1:].sum(axis=1)
        index["classes"] = (voxels[:, :MOST_CLASSES] > 0) @ (1 << np.arange(MOST_CLASSES))
        of_store = ["height", "width", *(f"spacing_{axis}" for axis in "zyx")]
        return index[COLUMNS], volumes.drop(columns=of_store), voxels.sum(axis=0)[: self.classes]


def _per_class(label: np.ndarray | None, slices: int) -> np.ndarray:
    """Voxels of each class in each slice, int64 [Z, IGNORE]; all 0 of a slice of which nothing is annotated."""
    if label is None:
        return np.zeros((slices, IGNORE), np.int64)
    return np.stack([histogram(plane, IGNORE + 1)[:IGNORE] for plane in label])
