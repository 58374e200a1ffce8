"""Writes a slice store: volumes encoded one by one into the shards, index, meta."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from sslseg.config.files import aside
from sslseg.config.names import DataError
from sslseg.data.slices import fingerprint
from sslseg.data.slices.encode import Encoded, encode
from sslseg.data.slices.slice_store import CODES, INDEX, LABELS, META, PARTS, PER_CHANNEL, VOLUMES, seal
from sslseg.data.slices.sources import Inputs, digest, sha256
from sslseg.data.source import IGNORE, Source


def build(store: Path, inputs: Inputs, digests: dict[str, str], *, skip: bool, progress: bool) -> None:
    """Write `store` aside and rename it into place, so that a store is whole or not there.

    Args:
        digests: `file_digests(inputs)`.
        skip: leave bad files out and list them, instead of stopping at the first.

    Raises:
        DataError: the first bad file (`skip=False`), or nothing is left of them.
    """
    law = inputs.law
    with aside(store) as part:
        part.mkdir()
        writer, skipped = _written(part, inputs, skip, progress)
        skipped = inputs.faults + skipped
        if not writer.volumes:
            raise DataError(f"{inputs.root}: not one volume could be read; the first: {skipped[0]['reason']}")
        index, volumes = pd.DataFrame(writer.slices), pd.DataFrame(writer.volumes)
        index.to_parquet(part / INDEX)
        volumes.to_parquet(part / VOLUMES)
        meta = {
            "dataset": inputs.dataset,
            "digest": digest(inputs, digests),
            "law": law,
            "channels": writer.channels,
            "colours": list(inputs.about.colours),
            "domain": inputs.about.domain or inputs.module.DOMAIN,
            "licence": inputs.about.licence or inputs.module.LICENCE,
            "skipped": skipped,
            "parts": {name: sha256(part / name) for name in PARTS},
            "fingerprint": fingerprint.compute(index, volumes, law["classes"], writer.voxels, digests),
        }
        write_json(part / META, meta | {"seal": seal(meta)})


def _written(
    folder: Path, inputs: Inputs, skip: bool, progress: bool
) -> tuple[_Writer, list[dict[str, str]]]:
    """The shards, and what was left out: among files of different channels, those of the fewer."""
    channels = 0
    while True:
        writer = _Writer(folder, inputs, channels)
        with writer.codes, writer.labels:
            skipped = _encode_all(writer, inputs, skip, progress)
        usual = max(writer.seen, key=writer.seen.get, default=0)
        if usual == writer.channels or not skip or channels:
            return writer, skipped
        channels = usual  # the first file was the odd one


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all."""
    with aside(path) as part:
        part.write_text(json.dumps(value, indent=1), encoding="utf-8")


def _encode_all(writer: _Writer, inputs: Inputs, skip: bool, progress: bool) -> list[dict[str, str]]:
    skipped = []
    for source in tqdm(inputs.sources, "preparing", disable=None if progress else True, unit="volume"):
        try:
            volume = inputs.module.read(source)
            try:
                encoded = encode(volume, inputs.law["spacing"], len(inputs.law["classes"]))
            except DataError as error:
                raise DataError(f"{source.image}: {error}") from None
            writer.add(source, encoded, volume.image.shape, volume.spacing)
        except DataError as error:
            if not skip:
                raise
            skipped.append({"file": inputs.relative(source.image), "reason": str(error)})
    return skipped


class _Writer:
    """Appends encoded volumes to the shards and keeps the rows of the two tables."""

    def __init__(self, folder: Path, inputs: Inputs, channels: int = 0) -> None:
        """`channels`: of the images that are kept; 0 takes the first image's."""
        self.relative = inputs.relative
        self.codes, self.labels = (folder / CODES).open("wb"), (folder / LABELS).open("wb")
        self.slices: list[dict[str, Any]] = []
        self.volumes: list[dict[str, Any]] = []
        self.voxels = np.zeros(len(inputs.law["classes"]), np.int64)  # stored voxels per class
        self.channels = channels
        self.seen: Counter[int] = Counter()  # channels -> images
        self.first: Path | None = None
        self.groups: dict[str, str] = {}
        self._offset = self._label_offset = 0

    def add(self, source: Source, e: Encoded, shape: tuple[int, ...], native: tuple[float, ...]) -> None:
        """One volume. Raises DataError before anything is written."""
        channels, group = e.codes.shape[1], self.groups.get(source.patient, source.group)
        self.seen[channels] += 1
        if self.channels not in (0, channels):
            others = f"{self.first.name} and others" if self.first else "most others"
            raise DataError(
                f"{source.image}: wanted {self.channels} channels as {others} have, got {channels}"
            )
        if group != source.group:
            raise DataError(
                f"{source.image}: patient {source.patient} is in groups {group!r} and {source.group!r}"
            )
        self.channels, self.groups[source.patient] = channels, group
        self.first = self.first or source.image
        self._rows(source, e)
        self.codes.write(e.codes.astype("<i2", copy=False).tobytes())
        if e.label is not None:
            self.labels.write(e.label[known(e.label)].tobytes())
        row = {
            "patient": source.patient,
            "group": source.group,
            "frame": source.frame,
            "phase": source.phase,
            "labelled": e.label is not None and bool(known(e.label).any()),
            "slices": len(e.codes),
            "native_height": shape[2],
            "native_width": shape[3],
            **{f"native_spacing_{axis}": mm for axis, mm in zip("zyx", native, strict=True)},
            "image": self.relative(source.image),
            "label": self.relative(source.label),
            "position": -1 if source.index is None else source.index,
            "sha256": e.sha256,
            **e.stats,
        }
        arrays = {key: getattr(e, key) for key in PER_CHANNEL}
        self.volumes.append(
            row | {f"{k}_{c}": float(v[c]) for k, v in arrays.items() for c in range(channels)}
        )

    def _rows(self, source: Source, e: Encoded) -> None:
        channels, height, width = e.codes.shape[1:]
        annotated = np.zeros(len(e.codes), bool) if e.label is None else known(e.label)
        for z, labelled in enumerate(annotated.tolist()):
            counts = (
                np.bincount(e.label[z].ravel(), minlength=IGNORE + 1)[:IGNORE]
                if labelled
                else np.zeros(1, int)
            )
            self.voxels += counts[: len(self.voxels)] if labelled else 0
            self.slices.append(
                {
                    "volume": len(self.volumes),
                    "patient": source.patient,
                    "group": source.group,
                    "frame": source.frame,
                    "phase": source.phase,
                    "z": z,
                    "labelled": labelled,
                    "height": height,
                    "width": width,
                    "offset": self._offset,
                    "label_offset": self._label_offset if labelled else -1,
                    **{f"spacing_{axis}": mm for axis, mm in zip("zyx", e.spacing, strict=True)},
                    "foreground": int(counts[1:].sum()),
                    "classes": int(sum(1 << k for k in np.flatnonzero(counts).tolist())),
                }
            )
            self._offset += channels * height * width
            self._label_offset += height * width if labelled else 0


def known(label: np.ndarray) -> np.ndarray:
    """[Z, Y, X] -> bool [Z]: slices of which anything is annotated, that is not all `IGNORE`."""
    return (label != IGNORE).any(axis=(1, 2))
