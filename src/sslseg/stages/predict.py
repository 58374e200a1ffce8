"""A registered model on images of any format; masks in the geometry of the input."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.statistics.words import plural
from sslseg.config import names
from sslseg.config.names import DataError, EncoderError
from sslseg.config.params import Predict
from sslseg.config.texts import some
from sslseg.data import outside, source
from sslseg.data.folders import scans, settings
from sslseg.data.folders.scans import Scan
from sslseg.data.readers import pictures
from sslseg.data.slices.sources import sha256
from sslseg.data.source import Spacing
from sslseg.stages.intake import inputs, segmenters
from sslseg.stages.intake.segmenters import Trained
from sslseg.stages.outcome import endings, overlays
from sslseg.stages.outcome.overlays import Picture
from sslseg.tracking import session
from sslseg.training import devices
from sslseg.training.devices import fill  # noqa: F401 a hook of `launch`

SHOWN = 6  # cases in the overlay figure
Row = dict[str, Any]  # of a table
UNIT = (1.0, 1.0, 1.0)  # spacing of pictures that nobody has told the millimetres of


@dataclass
class Found:
    """What is known of the files so far: rows of the tables, and pictures for the figure."""

    predictions: list[Row] = field(default_factory=list)
    flagged: list[Row] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    notes: list[source.Assumption] = field(default_factory=list)  # what had to be assumed of files

    def skip(self, file: Path, error: DataError) -> None:
        """The fault handler of on_bad_file=skip."""
        self.skipped.append({"file": str(file), "reason": str(error)})


def run(p: Predict, run: session.Run) -> None:
    """Segment every image, write the masks, log the tables and a picture.

    Raises:
        ParamError: nothing to segment, or an output that would touch the input.
        DataError: an unreadable file (unless `on_bad_file=skip`), or a strange file where a mask goes.
        EncoderError: see `segmenters.fetch`; the model reads another number of channels than an image has.
    """
    devices.use(p)
    model = segmenters.fetch(p, run)
    found = Found()
    fault = found.skip if p.on_bad_file == "skip" else source.stop
    channels = model.models[0].channels
    images = scans.find(Path(p.input), Path(p.output), p.pattern, channels, fault, _say)
    digest = hashlib.sha256("".join(sha256(f) for scan in images for f in scan.files).encode()).hexdigest()
    run.input_dataset(Path(p.input).name, digest, str(Path(p.input).resolve()), run.stage)
    for scan in run.progress(images, "segmenting", len(images)):
        try:
            _image(model, scan, run.id, found)
        except DataError as error:
            fault(scan.files[0], error)
    if found.skipped:
        inputs.tell_skipped(found.skipped)
        run.text(pd.DataFrame(found.skipped).to_csv(index=False, sep="\t"), names.SKIPPED)
    if not found.predictions:
        raise DataError(
            f"{p.input}: not one image could be segmented; the first: {found.skipped[0]['reason']}"
        )
    _log(p, run, model, found)


def _say(masks: list[Path]) -> None:
    """Tell of the files that were left out, since their names say that they are masks."""
    files = some((path.name for path in masks), 3)
    print(f"{len(masks)} files are masks by their names and are not segmented: {files}")


def _image(model: Trained, scan: Scan, run_id: str, found: Found) -> None:
    """Segment one image, frame by frame when it is 4D, and write its mask."""
    first = model.models[0]
    masks, rows, flagged, best = [], [], [], None
    grey = first.reading.get("colour") == "grey"
    for index, image, told in scans.volumes(scan, first.channels, grey, found.notes.append):
        if len(image) != first.channels:
            colour = " (a colour picture among grey ones? save it in grey)" if len(image) == 3 else ""
            # which of both is the wrong one?
            kind = DataError if model.p.on_bad_file == "skip" else EncoderError
            raise kind(
                f"{scan.files[0]}: the model reads {first.channels} channel(s), the input has {len(image)}{colour}"
            )
        known_mm = told or first.reading.get("spacing")
        spacing = tuple(known_mm) if known_mm else _without_millimetres(scan, model)
        mask = model.segment(image, spacing)
        masks.append(mask)
        rows.append(_row(scan, index, mask, spacing, model.classes, bool(known_mm)))
        place = {"file": str(scan.files[0]), "frame": "" if index is None else index + 1}
        flagged += [place | found for found in model.strange(image, spacing)]
        picture = _picture(scan, index, image[0], mask, first.axis)
        best = max(best or picture, picture, key=lambda picture: picture.foreground)
    scans.write(scan, masks, spacing, f"run {run_id}")
    found.predictions += rows
    found.flagged += flagged
    found.pictures += [best] if best else []


def _without_millimetres(scan: Scan, model: Trained) -> Spacing:
    """Spacing of a picture that neither its folder nor the training data give one.

    Raises:
        DataError: the model works in millimetres.
    """
    if spacing := next((m.spacing for m in model.models if m.spacing), None):
        raise DataError(
            f"{scan.files[0]}: a picture says no pixel size and the model works at {spacing} mm; "
            f'wanted {{"spacing": [y, x]}} in {scan.root / settings.FILE}'
        )
    return UNIT


def _picture(scan: Scan, index: int | None, image: np.ndarray, mask: np.ndarray, axis: int) -> Picture:
    """Of the slices as the network saw them."""
    name = scan.files[0].name
    title = name if index is None else f"{name} frame {index + 1}"
    return overlays.fullest(np.moveaxis(image, axis, 0), np.moveaxis(mask, axis, 0), title)


def _row(
    scan: Scan, index: int | None, mask: np.ndarray, spacing: Spacing, classes: Sequence[str], physical: bool
) -> Row:
    voxel = float(np.prod(spacing)) * 1e-3
    voxels = np.bincount(mask.ravel(), minlength=len(classes))
    sizes = dict(zip(("slices", "height", "width"), mask.shape, strict=True))
    steps = dict(zip(("spacing_z", "spacing_y", "spacing_x"), spacing, strict=True))
    held: dict[str, float] = {
        f"voxels/{name}": int(n) for name, n in zip(classes[1:], voxels[1:], strict=True)
    }
    if physical:
        held |= {f"ml/{name}": float(n) * voxel for name, n in zip(classes[1:], voxels[1:], strict=True)}
    frame = "" if index is None else index + 1
    return {"file": str(scan.files[0]), "frame": frame, "mask": str(scan.target), **sizes, **steps, **held}


def _log(p: Predict, run: session.Run, model: Trained, found: Found) -> None:
    table = pd.DataFrame(found.predictions)
    run.text(table.to_csv(index=False), "predictions.csv")
    columns = ["file", "frame", "part", "name", "value", "lowest", "highest"]
    run.text(pd.DataFrame(found.flagged, columns=columns).to_csv(index=False), "outside_training.csv")
    if found.notes:
        print(f"warning: {inputs.assumed([str(note) for note in found.notes])}")
    picks = np.linspace(0, len(found.pictures) - 1, min(SHOWN, len(found.pictures))).round().astype(int)
    own = model.models[0].facts.get("colours", ())
    overlays.log(run, [found.pictures[i] for i in picks], model.classes, names.OVERLAY, own)
    flagged = {f["file"] for f in found.flagged}
    empty = int((table.filter(like="voxels/").sum(axis=1) == 0).sum())
    run.text(json.dumps(dict(enumerate(model.classes)), indent=1), "classes.json")
    run.log(
        {
            "predict/files": len(found.pictures),
            "predict/volumes": len(table),
            "predict/empty": empty,
            "predict/outside_training": len(flagged),
            "predict/skipped": len(found.skipped),
        }
    )
    run.tag(names.TAG_FINGERPRINT, "compared" if model.known else "unknown")
    print(
        f"{plural(len(found.pictures), 'mask')} in {Path(p.output).resolve()}; {empty} of {plural(len(table), 'volume')} empty"
    )
    if any(Path(mask).suffix in pictures.SUFFIXES for mask in table["mask"]):
        print(
            f"their pixels are class numbers, 0 to {len(model.classes) - 1}, nearly black in a viewer: {names.OVERLAY} of "
            f"run {run.id} shows them in colour"
        )
    if model.known is None:
        print("warning: the data this model was trained on is not at hand, so nothing could be compared")
    if flagged:
        lines = some((_unlike(file, found.flagged) for file in sorted(flagged)), 3, "\n  ")
        print(
            f"warning: {plural(len(flagged), 'image')} unlike the training data, see outside_training.csv of the run:\n  {lines}"
        )
    truth = {"dataset": "DATASET", "data_root": "FOLDER"}
    endings.following("evaluate", "next, where true masks exist", predictions=p.output, **truth)


def _unlike(file: str, flagged: Sequence[Row]) -> str:
    """What sets an image apart, each thing once, by the first frame that has it."""
    first = {(f["part"], f["name"]): f for f in reversed(flagged) if f["file"] == file}
    return f"{file}: {', '.join(outside.said(first[key]) for key in sorted(first))}"
