"""Floor 2: a registered model on NIfTI files; masks in the geometry of the input."""

from __future__ import annotations

import fnmatch
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sslseg import tracking
from sslseg.data import niftimask, outside
from sslseg.data.inputs import sha256
from sslseg.data.nifti import read_volume
from sslseg.names import DataError, ParamError
from sslseg.params import Predict
from sslseg.stages import devices, pictures, trained
from sslseg.stages.devices import fill  # noqa: F401 a hook of `launch`
from sslseg.stages.pictures import Picture
from sslseg.stages.trained import Trained

SHOWN = 6  # cases in the overlay figure


@dataclass
class Found:
    """What is known of the files so far: rows of the tables, and pictures for the figure."""

    predictions: list[dict[str, Any]] = field(default_factory=list)
    flagged: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)


def run(p: Predict, run: tracking.Run) -> None:
    """Segment every file, write the masks, log the tables and a picture.

    Raises:
        ParamError: nothing to segment, or an output that would touch the input.
        DataError: an unreadable file (unless `on_bad_file=skip`), or a strange file where a mask goes.
        EncoderError: see `trained.fetch`; the model reads another number of channels than 1.
    """
    devices.use(p)
    files = targets(Path(p.input), Path(p.output), p.pattern)
    model = trained.fetch(p.model, p, run)
    known = trained.fingerprint(model, tracking.cache_folder(p.cache))
    run.input_dataset(Path(p.input).name, _digest(files), str(Path(p.input).resolve()), run.stage)
    found = Found()
    for source, target in run.progress(files.items(), "segmenting", len(files)):
        try:
            _file(p, model, known, source, target, run.id, found)
        except DataError as error:
            if p.on_bad_file == "stop":
                raise
            found.skipped.append({"file": str(source), "reason": str(error)})
    _log(p, run, model, known, found)


def targets(source: Path, output: Path, pattern: str = "*") -> dict[Path, Path]:
    """Image -> where its mask goes: same name, same place below the folder.

    Raises:
        ParamError: no NIfTI file, or an output inside the input folder, or a mask that would be an input.
    """
    source, output = source.expanduser().resolve(), output.expanduser().resolve()
    if not source.exists():
        raise ParamError(f"input: {source} does not exist")
    home = source if source.is_dir() else source.parent
    if output == home or (source.is_dir() and home in output.parents):
        raise ParamError(f"output: must not be the input's folder nor lie in it ({home}); got {output}")
    if output.is_file():
        raise ParamError(f"output: wanted a folder, {output} is a file")
    files = sorted(f for f in source.rglob("*") if f.is_file()) if source.is_dir() else [source]
    files = [f for f in files if f.name.endswith(niftimask.SUFFIXES) and not f.name.startswith(".")]
    files = [f for f in files if f == source or fnmatch.fnmatch(f.name, pattern)]
    if not files:
        raise ParamError(f"input: {source} holds no NIfTI file (.nii or .nii.gz) that matches {pattern!r}")
    found = {f: output / f.relative_to(home) for f in files}
    inputs = {f.resolve() for f in files}
    if struck := sorted(t for t in found.values() if t.resolve() in inputs):
        raise ParamError(f"output: {struck[0]} is itself an input and would be overwritten")
    return found


def _digest(files: dict[Path, Path]) -> str:
    return hashlib.sha256("".join(sha256(f) for f in files).encode()).hexdigest()


def _file(
    p: Predict, model: Trained, known: dict | None, source: Path, target: Path, run_id: str, found: Found
) -> None:
    """Segment one file, frame by frame when it is 4D, and write its mask."""
    count = niftimask.frames(source)
    masks, rows, flagged, best = [], [], [], None
    for index in [None] if count is None else range(count):
        array, spacing = read_volume(source, index)
        mask = trained.segment(model, p, array[None], spacing)
        masks.append(mask)
        rows.append(_row(source, target, index, mask, spacing, model.classes))
        flagged += _outside(source, index, array[None], spacing, known)
        picture = pictures.fullest(array, mask, _title(source, index))
        best = max(best or picture, picture, key=lambda picture: picture.foreground)
    niftimask.write(target, masks[0] if count is None else np.stack(masks), source, f"run {run_id}")
    found.predictions += rows
    found.flagged += flagged
    found.pictures.append(best)


def _title(source: Path, index: int | None) -> str:
    return source.name if index is None else f"{source.name} frame {index + 1}"


def _row(source: Path, target: Path, index: int | None, mask: np.ndarray, spacing, classes) -> dict[str, Any]:
    voxel = float(np.prod(spacing)) * 1e-3
    voxels = np.bincount(mask.ravel(), minlength=len(classes))
    sizes = dict(zip(("slices", "height", "width"), mask.shape, strict=True))
    steps = dict(zip(("spacing_z", "spacing_y", "spacing_x"), spacing, strict=True))
    volumes = {f"ml/{name}": float(n) * voxel for name, n in zip(classes[1:], voxels[1:], strict=True)}
    frame = "" if index is None else index + 1
    return {"file": str(source), "frame": frame, "mask": str(target), **sizes, **steps, **volumes}


def _outside(source: Path, index: int | None, image: np.ndarray, spacing, known) -> list[dict[str, Any]]:
    if known is None:
        return []
    place = {"file": str(source), "frame": "" if index is None else index + 1}
    return [place | found for found in outside.compare(outside.measure(image, spacing), known)]


def _log(p: Predict, run: tracking.Run, model: Trained, known: dict | None, found: Found) -> None:
    table = pd.DataFrame(found.predictions)
    run.text(table.to_csv(index=False), "predictions.csv")
    columns = ["file", "frame", "part", "name", "value", "lowest", "highest"]
    run.text(pd.DataFrame(found.flagged, columns=columns).to_csv(index=False), "outside_training.csv")
    if found.skipped:
        run.text(pd.DataFrame(found.skipped).to_csv(index=False, sep="\t"), "skipped.tsv")
    if found.pictures:
        picks = np.linspace(0, len(found.pictures) - 1, min(SHOWN, len(found.pictures))).round().astype(int)
        pictures.log(run, [found.pictures[i] for i in picks], model.classes, "overlay.png")
    flagged = {f["file"] for f in found.flagged}
    empty = int((table.filter(like="ml/").sum(axis=1) == 0).sum()) if len(table) else 0
    run.log(
        {
            "predict/files": len(found.pictures),
            "predict/volumes": len(table),
            "predict/empty": empty,
            "predict/outside_training": len(flagged),
            "predict/skipped": len(found.skipped),
        }
    )
    run.tag("sslseg.fingerprint", "compared" if known else "unknown")
    print(f"{len(found.pictures)} masks in {Path(p.output).resolve()}; {empty} of {len(table)} volumes empty")
    if known is None:
        print("warning: the data this model was trained on is not at hand, so nothing could be compared")
    for file in sorted(flagged):
        words = sorted({f"{f['part']} {f['name']}" for f in found.flagged if f["file"] == file})
        print(f"warning: {file}: outside the training data: {', '.join(words)}")
