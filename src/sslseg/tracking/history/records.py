"""What any back-end hands over about a run, and the one frame that is made of it."""

import functools
import math
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from sslseg.config import flags, names, params
from sslseg.config.names import CFG, ParamError
from sslseg.plans import pipelines
from sslseg.tracking import lineage as lineages
from sslseg.tracking.runs import PARENT

POINT_COLUMNS = ["run_id", "key", "step", "timestamp", "value"]  # what every back-end returns for curves
CURVE_COLUMNS = ["run_id", "key", "step", "value"]
FIXED = ["run_id", "experiment_id", "name", "stage", "method", "dataset", "pipeline", "lineage", "label",
         "parent", "seed", "budget", "unit", "slices", "patients", "subset_sha256", "data_digest",
         "upstream_run_id", "upstream_model_id", "upstream_sha256", "encoder_epoch", "collapsed", "transductive", "exposure",
         "device", "start", "end"]  # fmt: skip
TAGS = {"method": names.TAG_METHOD, "dataset": names.TAG_DATASET, "parent": PARENT, "subset_sha256": names.TAG_SUBSET,
        "data_digest": names.TAG_DATA_DIGEST, "upstream_run_id": names.TAG_UPSTREAM_RUN,
        "upstream_model_id": names.TAG_UPSTREAM_MODEL, "upstream_sha256": names.TAG_UPSTREAM_SHA,
        "exposure": names.TAG_EXPOSURE, "device": names.TAG_DEVICE}  # fmt: skip
STARTED = ["run_id", "upstream_run_id", "method", "dataset"]
_WHOLE = re.compile(r"[+-]?\d+")


@dataclass(frozen=True)
class Record:
    """One run as the store has it; times in milliseconds since the epoch."""

    run_id: str
    experiment_id: str
    name: str
    start: int
    end: int | None
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)  # the latest value of each


def as_logged(value: float, is_nan: bool = False) -> float:
    """A number as it was logged: MLflow keeps ±inf as the largest float, and NaN as a flag."""
    if is_nan:
        return math.nan
    return math.copysign(math.inf, value) if abs(value) >= sys.float_info.max else value


def frame(records: Iterable[Record]) -> pd.DataFrame:
    """One row per record, oldest first: the columns of FIXED, then typed cfg.*, then metrics."""
    rows = [_row(r) for r in sorted(records, key=lambda r: (r.start, r.run_id))]
    seen = {key for row in rows for key in row if key not in FIXED}
    columns = FIXED + sorted(seen, key=lambda key: (not key.startswith(CFG), key))
    found = pd.DataFrame(rows, columns=columns)
    for column in ("start", "end"):
        found[column] = pd.to_datetime(found[column], unit="ms", utc=True)
    # copied into few blocks: pandas warns of a frame in a hundred, which readers add columns to
    return found.astype({"collapsed": bool, "transductive": bool}).copy()


def _row(r: Record) -> dict[str, Any]:
    tags, stage = r.tags, r.tags.get(names.TAG_STAGE, "")
    cfg = {key: _typed(stage, key, text) for key, text in r.params.items() if key.startswith(CFG)}
    lineage, pipeline = tags.get(names.TAG_LINEAGE, ""), tags.get(names.TAG_PIPELINE, "")
    if stage == names.FINETUNE:  # nobody can change a parameter
        pipeline = r.params.get(names.BY_PIPELINE, pipeline)
    unit = cfg.get(f"{CFG}budget_unit") or "slice"
    slices, patients = cfg.get(f"{CFG}slices"), cfg.get(f"{CFG}patients")
    used = slices if unit == "slice" else patients
    return {
        "run_id": r.run_id,
        "experiment_id": r.experiment_id,
        "name": r.name,
        "stage": stage,
        **{column: tags.get(tag, "") for column, tag in TAGS.items()},
        "pipeline": pipelines.read_tag(pipeline, tags.get(names.TAG_DATASET, "")) if pipeline else "",
        "lineage": lineage,
        "label": label_of(lineage, stage, pipeline),
        "seed": cfg.get(f"{CFG}seed"),
        "budget": cfg.get(f"{CFG}budget") if used is None else used,
        "unit": unit,
        "slices": slices,
        "patients": patients,
        "encoder_epoch": _encoder_epoch(cfg, lineage, stage),
        "collapsed": tags.get(names.TAG_COLLAPSED) == "true",
        # a tag can be deleted, what was counted cannot
        "transductive": tags.get(names.TAG_TRANSDUCTIVE) == "true" or names.LEAKED_PATIENTS in r.metrics,
        "start": r.start,
        "end": r.end,
        **cfg,
        **{key.removeprefix(names.DETAIL): value for key, value in r.metrics.items()},
    }


def pretraining_of(lineage: str, stage: str) -> list[tuple[str, int | None]]:
    """(hop, epoch) of a lineage tag without the fine-tuning itself; [] for scratch."""
    hops = pipelines.read(lineage)
    return hops[:-1] if stage == names.FINETUNE else hops


def contradicted(runs: pd.DataFrame) -> list[str]:
    """Sentences on runs whose lineage tag is not what they did after what the run that they started from says of itself.

    All are written from the same run IDs, so that one of the tags was changed by hand.

    Args:
        runs: of `frames.runs`, the upstream ones too.
    """
    texts = runs.set_index("run_id")["lineage"].to_dict() | {names.SCRATCH: ""}
    started = runs[runs["stage"].isin((names.PRETRAIN, names.FINETUNE)) & runs["upstream_run_id"].isin(texts)]
    found = []
    for own, above, how, data in zip(*(started[column] for column in STARTED), strict=True):
        hops = [texts[above], pipelines.hop_text(how or pipelines.SUPERVISED, data)]
        if not lineages.agree(texts[own], wanted := " > ".join(filter(None, hops))):
            found.append(
                f"run {own}: its tag {names.TAG_LINEAGE} says {texts[own]!r}; by its method and its data, and by the tag "
                f"of its upstream ({above}), it is {wanted!r}. One of these was changed by hand, and figures name runs by them"
            )
    return found


def label_of(lineage: str, stage: str, pipeline: str = "") -> str:
    """`byol@photos+byol@acdc+strong`: the pretraining by the names of its data, and how the fine-tuning is done.

    Args:
        lineage, pipeline: the tags.
    """
    hops = [hop for hop, _ in pretraining_of(lineage, stage)] or [names.SCRATCH]
    variants = pipelines.split(pipeline).variants if stage == names.FINETUNE else ()
    return "+".join([*hops, *variants])


def _encoder_epoch(cfg: Mapping[str, Any], lineage: str, stage: str) -> int | None:
    """Epoch of the encoder a fine-tuning started from; None = the last, or not kept by epoch."""
    if (asked := cfg.get(f"{CFG}encoder_epoch")) is not None:
        return asked
    hops = pretraining_of(lineage, stage)
    return hops[-1][1] if hops else None


@functools.cache
def _hints(stage: str) -> dict[str, Any]:
    return {name: hint for name, (_, _, hint) in flags.knobs(params.STAGES[stage]).items()}


def _typed(stage: str, key: str, text: str) -> Any:
    """The value that a logged text stands for: by its knob, else by its looks (a method's own knobs)."""
    name = key.removeprefix(CFG)
    if stage in params.STAGES and name in _hints(stage):
        try:
            return flags.from_text(text, _hints(stage)[name], name)
        except ParamError:  # logged when the knob had another type
            return text
    if _WHOLE.fullmatch(text):
        return int(text)
    try:
        return float(text)
    except ValueError:
        return {"true": True, "false": False, "": None}.get(text, text)


def curve_frame(points: pd.DataFrame) -> pd.DataFrame:
    """Points of any back-end as one frame: sorted, and one value a step, the last one written.

    A resumed run logs some steps twice. The later timestamp wins; of equal timestamps the larger value,
    and NaN before all, so that every back-end keeps the same one.
    """
    (run, run_ids), (key, keys) = (pd.factorize(points[c], sort=True) for c in ("run_id", "key"))
    step = points["step"].to_numpy(np.int64)
    value = points["value"].to_numpy(float)
    if not _ascends(run, key, step):
        order = np.lexsort((value, points["timestamp"].to_numpy(np.int64), step, key, run))  # NaN sorts last
        run, key, step, value = run[order], key[order], step[order], value[order]
        last = np.ones(len(order), bool)
        last[:-1] = (np.diff(run) != 0) | (np.diff(key) != 0) | (np.diff(step) != 0)
        run, key, step, value = run[last], key[last], step[last], value[last]
    columns = (np.asarray(run_ids, object)[run], np.asarray(keys, object)[key], step, value)
    return pd.DataFrame(dict(zip(CURVE_COLUMNS, columns, strict=True)))


def _ascends(run: np.ndarray, key: np.ndarray, step: np.ndarray) -> bool:
    """Whether the points are in order and each step is there once, as a store of unbroken runs has them."""
    later = [np.diff(column) for column in (run, key, step)]
    return bool(
        np.all((later[0] > 0) | (later[0] == 0) & ((later[1] > 0) | (later[1] == 0) & (later[2] > 0)))
    )
