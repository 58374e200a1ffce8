"""Floor 2: a model, or masks from anywhere, against annotated volumes: per patient, in 3D, in mm and ml.

Truth is read from the dataset's own files at their own resolution, not from the slice store. How a
missed structure counts is written in `training/cases.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

from sslseg import plugins, tracking
from sslseg.data import maskfolder, slices, streams
from sslseg.data.inputs import describe
from sslseg.data.source import Description, Source, Volume
from sslseg.names import TAG_DATASET, DataError, EncoderError, ParamError
from sslseg.params import Evaluate
from sslseg.stages import agreement, devices, heldout, inputs, trained
from sslseg.stages.devices import fill  # noqa: F401 a hook of `launch`
from sslseg.stages.heldout import Scored
from sslseg.stages.trained import Trained
from sslseg.training import cases, clinical

Predictor = Callable[[Source, Volume], np.ndarray]


def run(p: Evaluate, run: tracking.Run) -> None:
    """Score every annotated volume of the part, log tables, intervals and, for ED and ES, the clinical side.

    Raises:
        ParamError: not exactly one of `model` and `predictions`, or nothing annotated to score.
        DataError: an unreadable file (unless `on_bad_file=skip`), or a missing mask (always).
        EncoderError: unknown model, or one that has a class the data has not.
        LeakError: part=test, and the model or an ancestor has seen one of these patients.
    """
    devices.use(p)
    if bool(p.predictions) == bool([m for m in p.model if m]):
        raise ParamError("model, predictions: wanted one of the two")
    module = plugins.load("datasets", p.dataset)
    root = slices.locate(p.dataset, p.data_root, tracking.cache_folder(p.cache))
    about = describe(module, root)
    sources, classes = choose(module, about, root, p), about.classes
    run.tag(TAG_DATASET, p.dataset)
    model = None if p.predictions else trained.fetch(p.model, p, run)
    predict = _from_model(p, model, about) if model else _from_folder(p, root, about)
    scored = Scored(p.dataset)
    table, per_slice, skipped = [], [], []
    for source in run.progress(sources, "evaluating", len(sources)):
        try:
            volume = module.read(source)
        except DataError as error:
            if p.on_bad_file == "stop":
                raise
            skipped.append({"file": str(source.image), "reason": str(error)})
            continue
        prediction = predict(source, volume)  # a mask that is not there is never skipped
        place = {
            "patient": source.patient,
            "group": source.group,
            "frame": source.frame,
            "phase": source.phase,
        }
        found = cases.score(volume.label, prediction, volume.spacing, classes)
        scored.note(source.patient, volume.image)
        table += [place | row for row in found]
        per_slice += [place | row for row in cases.slice_scores(volume.label, prediction, classes)]
    if not table:
        raise DataError(f"{root}: none of {len(sources)} annotated volumes could be read")
    if model:
        heldout.check(run, model, scored, strict=p.part == "test" and not p.allow_transductive)
    _log(p, run, pd.DataFrame(table), pd.DataFrame(per_slice), skipped)


@dataclass(frozen=True)
class Listed:
    """What `inputs.divide` reads of a slice store, of volumes that are in none."""

    index: pd.DataFrame
    split: str
    sides: dict[str, str]


def choose(module: ModuleType, about: Description, root: Path, p: Evaluate) -> list[Source]:
    """Annotated volumes of the patients of `p.part`, divided as for training.

    Raises:
        ParamError: there are none.
        DataError, ParamError: see the dataset and `inputs.divide`.
    """
    skip = p.on_bad_file == "skip" and hasattr(module, "scan")
    sources = module.scan(root)[0] if skip else module.find(root)
    if p.part != "all":
        rows = [(s.patient, s.group, s.label is not None) for s in sources]
        index = pd.DataFrame(rows, columns=["patient", "group", "labelled"])
        parts = inputs.divide(Listed(index, about.split, about.sides), p.dataset, p.split)
        sources = [sources[i] for i in parts[p.part]]
    labelled = [s for s in sources if s.label is not None]
    if not labelled:
        raise ParamError(f"part={p.part}: {root} holds no annotated volume of such patients")
    return labelled


# ---------------------------------------------------------------- where predictions come from
def _from_model(p: Evaluate, model: Trained, about: Description) -> Predictor:
    number = translation(model.classes, about.classes)
    sliced = int(about.settings.get("axis", 0))
    return lambda source, volume: number[
        trained.segment(model, p, volume.image, volume.spacing, sliced=sliced)
    ]


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


def _from_folder(p: Evaluate, root: Path, about: Description) -> Predictor:
    masks = Path(p.predictions).expanduser()
    if not masks.is_dir():
        raise ParamError(f"predictions: {masks} is no folder")

    def read(source: Source, volume: Volume) -> np.ndarray:
        path = maskfolder.mask_of(masks, source.image, root)
        return maskfolder.read(path, source, about, volume.label.shape)

    return read


# ---------------------------------------------------------------- what is logged
def _log(
    p: Evaluate, run: tracking.Run, table: pd.DataFrame, per_slice: pd.DataFrame, skipped: list[dict]
) -> None:
    summary = cases.summarise(table, p.resamples, streams.stream(p.seed, "bootstrap"))
    counted = cases.counts(table)
    tables = {"cases": table, "slices": per_slice, "summary": summary, "counts": counted}
    metrics = {"evaluate/patients": table["patient"].nunique(), "evaluate/skipped": len(skipped)}
    for row in summary.itertuples():
        metrics |= _with_interval(f"evaluate/{row.score}/{row[1]}", row.mean, row.low, row.high)
    for row in counted.itertuples():
        metrics |= {f"evaluate/{status}/{row[1]}": getattr(row, status) for status in cases.STATUS}
    sliced = per_slice.groupby("class", sort=False)[["dice", "iou"]].mean()
    for name, row in sliced.iterrows():
        metrics |= {f"evaluate/slice_{score}/{name}": value for score, value in row.items()}
    if clinical.applies(set(table["class"]), set(table["phase"])):
        tables |= _clinical(p, run, table, metrics)
        run.text(clinical.acdc_csv(table), "evaluate/acdc.csv")
    if skipped:
        tables["skipped"] = pd.DataFrame(skipped)
    for name, frame in tables.items():
        run.text(frame.to_csv(index=False), f"evaluate/{name}.csv")
    run.log({key: value for key, value in metrics.items() if not np.isnan(value)})
    print(summary.to_string(index=False, float_format=lambda v: f"{v:.3f}"))
    print(counted.to_string(index=False))


def _clinical(p: Evaluate, run: tracking.Run, table: pd.DataFrame, metrics: dict) -> dict[str, pd.DataFrame]:
    """Clinical tables and figure; adds to `metrics`. Nothing where no patient has both phases."""
    measured = clinical.measure(table)
    if measured.empty:
        return {}
    found = clinical.agreement(measured, p.resamples, streams.stream(p.seed, "bootstrap-clinical"))
    for row in found.itertuples():
        key = row.quantity.replace(" ", "_")
        metrics |= _with_interval(f"evaluate/mae/{key}", row.mae, row.mae_low, row.mae_high)
        metrics |= {f"evaluate/{n}/{key}": getattr(row, n) for n in ("bias", "sd", "r", "worst_cases")}
    agreement.log(run, measured, found, "evaluate/agreement.png")
    print(found.to_string(index=False, float_format=lambda v: f"{v:.3f}"))
    return {"clinical": measured, "agreement": found}


def _with_interval(key: str, value: float, low: float, high: float) -> dict[str, float]:
    return {key: value, f"{key}/low": low, f"{key}/high": high}
