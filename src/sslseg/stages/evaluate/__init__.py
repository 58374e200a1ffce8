"""A model, or masks from anywhere, against annotated volumes: per patient, in 3D, in mm and ml.

Truth is read from the dataset's own files at their own resolution, not from the slice store. How a
missed structure counts is written in `scoring/volumes.py`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sslseg.config import caches, plugins
from sslseg.config.names import MODEL_LINEAGE, TAG_DATASET, DataError, EncoderError, ParamError
from sslseg.config.params import Evaluate
from sslseg.config.texts import some
from sslseg.data import splits
from sslseg.data.folders import mask_folder
from sslseg.data.folders.mask_folder import Masks
from sslseg.data.slices import prepare
from sslseg.data.slices.sources import describe, listed
from sslseg.data.source import IGNORE, Assumption, Description, Source, Volume
from sslseg.scoring import patients, simpson, volumes
from sslseg.stages.evaluate import heldout, sweep, tables
from sslseg.stages.evaluate.heldout import Scored
from sslseg.stages.intake import inputs, likeness, segmenters
from sslseg.stages.intake.segmenters import Trained
from sslseg.tracking import session
from sslseg.training import devices
from sslseg.training.devices import fill  # noqa: F401 a hook of `launch`

Predictor = Callable[[Source, Volume], np.ndarray]
UNKNOWN = "nothing says how large a pixel is, and 1 mm is taken: read mm as pixels, and a ml as 1,000 of them"


def run(p: Evaluate, run: session.Run) -> None:
    """Score every annotated volume of the part, log tables, intervals and, for ED and ES, the clinical side.

    Raises:
        ParamError: nothing annotated to score.
        SslsegError: see `sweep.run`.
        DataError: an unreadable file (unless `on_bad_file=skip`), or a missing mask (always).
        EncoderError: unknown model, or one that has a class the data has not.
        LeakError: part=test, and the model or an ancestor has seen one of these patients.
    """
    devices.use(p)
    if p.sweep:
        sweep.run(p, run)
        return
    module = plugins.load("datasets", p.dataset)
    root = prepare.locate(p.dataset, p.data_root, caches.cache_folder(p.cache))
    about = describe(module, root)
    every, _ = listed(module, root, lenient=p.on_bad_file == "skip")
    sources, classes = choose(every, about, root, p), about.classes
    run.tag(TAG_DATASET, p.dataset)
    model = None if p.predictions else segmenters.fetch(p, run)
    notes: list[Assumption] = []
    predict = _from_model(model, about) if model else _from_folder(p, every, root, about)
    regions = about.settings.get("regions", {})
    sliced, scored, strange = int(about.settings.get("axis", 0)), Scored(p.dataset), 0
    planes = simpson.Ventricles(classes) if getattr(module, "PLANES", False) else None
    table: list[dict[str, Any]] = []
    per_slice, skipped = [], []
    for source in run.progress(sources, "evaluating", len(sources)):
        try:
            volume = module.read(source)
        except DataError as error:
            if p.on_bad_file == "stop":
                raise
            skipped.append({"file": str(source.image), "reason": str(error)})
            continue
        notes += volume.notes
        if (volume.label == IGNORE).all():  # a frame of a cine that nobody has annotated
            continue
        prediction = predict(source, volume)  # a mask that is not there is never skipped
        place = {key: getattr(source, key) for key in ("patient", "group", "frame", "phase", "visit")}
        found = volumes.score(volume.label, prediction, volume.spacing, classes, p.contours, regions)
        if planes:
            planes.add(source.patient, source.phase, source.visit, volume.label, prediction, volume.spacing)
        scored.note(source.patient, volume.image)
        if model:
            strange += bool(model.strange(volume.image, volume.spacing, sliced))
        table += [place | row for row in found]
        per_slice += [place | row for row in volumes.slice_scores(volume.label, prediction, classes)]
    if skipped:
        inputs.tell_skipped(skipped)
    if notes:
        print(f"warning: {inputs.assumed([str(note) for note in notes])}")
    if not table:
        raise DataError(f"{root}: none of {len(sources)} annotated volumes could be read")
    if model:
        likeness.tell(run, strange, len(scored.rows), model.known is not None)
        heldout.check(run, model, scored, strict=p.part == "test" and not p.allow_transductive)
    printed = getattr(module, "PUBLISHED", ())
    facts = _facts(p, model, {row["contours"] for row in table})
    if not about.physical:
        facts.append(UNKNOWN)
        print(f"warning: {UNKNOWN}")
    number = patients.numbers(s.patient for s in every)
    scores = planes.fill(pd.DataFrame(table)) if planes else pd.DataFrame(table)
    tables.log(p, run, scores, pd.DataFrame(per_slice), skipped, facts, printed, number)


def _facts(p: Evaluate, model: Trained | None, contours: set[str]) -> list[str]:
    """Lines of the page: what was scored, on what, and how."""
    what = [f"masks in {p.predictions}"]
    if model:
        many = f"ensemble of {len(model.resolved)}: " if len(model.resolved) > 1 else ""
        what = [f"{r.tags.get(MODEL_LINEAGE, 'unknown')}, run {r.run_id}" for r in model.resolved]
        what[0] = many + what[0]
    chosen = ", ".join(f"{name}=true" for name in ("mirror", "largest") if getattr(p, name)) or "none"
    between = sorted({"contours of each slice" if kind == "plane" else "surfaces in 3D" for kind in contours})
    return [
        *what,
        f"dataset={p.dataset}, split={p.split}, part={p.part}",
        f"options: {chosen}",
        f"distances between {' (thin volumes) and '.join(between)}",
    ]


def choose(sources: Sequence[Source], about: Description, root: Path, p: Evaluate) -> list[Source]:
    """Annotated volumes of the patients of `p.part`, divided as for training.

    Raises:
        ParamError: there are none; or see `splits.divide_sources`.
    """
    if p.part != "all":
        parts = splits.divide_sources(sources, about, p.dataset, p.split)
        sources = [sources[i] for i in parts[p.part]]
    labelled = [s for s in sources if s.label is not None]
    if not labelled:
        raise ParamError(f"part={p.part}: {root} holds no annotated volume of such patients")
    return labelled


# ---------------------------------------------------------------- where predictions come from
def _from_model(model: Trained, about: Description) -> Predictor:
    number, sliced = translation(model.classes, about.classes), int(about.settings.get("axis", 0))
    return lambda source, volume: number[model.segment(volume.image, volume.spacing, sliced)]


def translation(theirs: Sequence[str], ours: Sequence[str]) -> np.ndarray:
    """Table from the model's class numbers to the data's, by name: ACDC and M&Ms count differently.

    Raises:
        EncoderError: a class of one that the other has not.
    """
    if strange := sorted(set(theirs) ^ set(ours)):
        raise EncoderError(
            f"the model has the classes {', '.join(theirs)}, the data {', '.join(ours)}: "
            f"{', '.join(strange)} cannot be scored"
        )
    return np.array([list(ours).index(name) for name in theirs], np.uint8)


def _from_folder(p: Evaluate, every: Sequence[Source], root: Path, about: Description) -> Predictor:
    folder = Path(p.predictions).expanduser()
    masks = Masks(folder, every, root)
    for found, why in (
        (masks.unused(), "are of no image of these data"),
        (
            masks.passed_over(),
            "could be an image's, and are not read, because another one lies nearer or has its ending",
        ),
    ):
        if found:
            print(f"warning: {len(found)} masks in {folder} {why}: {some(found)}")

    def read(source: Source, volume: Volume) -> np.ndarray:
        return mask_folder.read(masks.of(source.image), source, about, volume.image.shape[1:])

    return read
