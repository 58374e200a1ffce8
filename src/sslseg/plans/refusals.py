"""What a command asks for that cannot be meant, found before a run, a store or torch is opened.

Of the machine only is looked at whether folders are there.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sslseg.config import files, flags, names, params, plugins, references
from sslseg.config.names import EncoderError, ParamError
from sslseg.plans import cells, searchspace, studies

SOME = "0" * 32  # a run ID in the place of an upstream's that has none yet


def check(stage: str, p: Any) -> None:
    """Refuse knobs that contradict one another, texts of knobs that mean nothing, and folders that are not there.

    Raises:
        ParamError, EncoderError, DataError: with what was wanted, and what came.
    """
    CHECKS.get(stage, lambda p: None)(p)
    if (executor := getattr(p, "executor", "local")) != "local":
        plugins.load("executors", executor)  # it says what it lacks here
    if stage == names.ANALYSE:
        return  # it reads the store alone: the data may lie on another machine
    for knob, dataset in (("data_root", "dataset"), ("natural_root", "natural")):
        if folder := getattr(p, knob, ""):
            files.folder(folder, f"the folder of dataset {getattr(p, dataset)}".removesuffix(" of dataset "))
    if getattr(p, "data_root", None) == "" and p.dataset:
        plugins.built_in(p.dataset)


def _sweep(p: params.Sweep) -> None:
    # of a pipeline's cells one is enough: the others differ in numbers alone
    kinds = {(cell.stage, cell.method, cell.pipeline): cell for cell in cells.cells(studies.fill(p))}
    for cell in kinds.values():
        try:
            asked = cell.params(SOME if cell.upstream else None)
            if cell.stage == names.IMPORT:
                source(asked)
        except ParamError as error:
            raise ParamError(f"{cell.stage} of {cell.name}: {error}") from None


def _tryout(p: params.Tryout) -> None:
    if p.encoder and not references.is_one(p.encoder) and not Path(p.encoder).expanduser().is_file():
        raise ParamError(f"encoder: {p.encoder} is no file, and no run ID, runs:/… or models:/…")
    _read(params.Finetune, names.FINETUNE, p)
    _sweep(cells.before_trial(p, p.dataset or "images"))


def _tune(p: params.Tune) -> None:
    if not p.encoder:
        raise ParamError(
            "encoder: none was given. Wanted run IDs, models:/… or pipelines (scratch, byol@target), by commas"
        )
    cls = cells.parameters_of(p.stage, p.method)
    searchspace.ranges(p.stage, cls, p.space)
    _read(params.Finetune, names.FINETUNE, p)
    _read(cls if p.stage == names.PRETRAIN else params.Pretrain, names.PRETRAIN, p)


def _read(cls: type, stage: str, p: params.Tune | params.Tryout) -> None:
    """What `finetune=` or `pretrain=` says has to be knobs of that stage."""
    given = cells.further(p, stage)
    try:
        flags.from_mapping(cls, {"encoder": SOME} | given)
    except ParamError as error:
        raise ParamError(f"{stage}: {error}") from None


def source(p: params.ImportEncoder) -> None:
    """Refuse weights from elsewhere that are none, a file that is not there, and one whose origin nobody has said."""
    kind, rest = references.source(p.source)
    if kind == "file":
        if not os.path.exists(path := Path(rest).expanduser().absolute()):  # of any name, even one with a NUL
            raise ParamError(f"source: wanted the file of a checkpoint or its folder, {path} is not there")
        references.origin(p.origin)


def _upstream(p: params.Finetune | params.Pretrain | params.Probe | params.Worklist) -> None:
    if not p.encoder:
        raise EncoderError(
            "encoder: none was given. Wanted a run ID, runs:/…, models:/…, or encoder=scratch for random "
            "weights on purpose; `sslseg encoders` lists what there is"
        )
    if p.encoder != names.SCRATCH:
        references.parse(p.encoder)


def _worklist(p: params.Worklist) -> None:
    _upstream(p)
    if p.encoder == names.SCRATCH:
        raise EncoderError(
            "encoder: wanted one that has learned something, got scratch; `sslseg encoders` lists what there is, "
            "-e import_encoder brings ImageNet weights"
        )


def _export(p: params.Export) -> None:
    references.parse(p.model)


def _predict(p: params.Predict) -> None:
    if not any(p.model):
        raise EncoderError(
            "model: none was given. Wanted the run ID of a fine-tuning, runs:/… or models:/name@alias; "
            "`sslseg encoders --kind segmenter` lists what there is"
        )
    _models(p)
    files.apart(p.input, p.output)


def _evaluate(p: params.Evaluate) -> None:
    if sum(map(bool, ([m for m in p.model if m], p.predictions, p.sweep))) != 1:
        raise ParamError("model, predictions, sweep: wanted one of the three")
    _models(p)
    if p.predictions:
        files.folder(p.predictions, "the folder of masks that predictions= names")


def _models(p: params.Predict | params.Evaluate) -> None:
    for model in filter(None, p.model):
        references.parse(model)


CHECKS: dict[str, Callable[[Any], None]] = {
    names.SWEEP: _sweep, "tryout": _tryout, names.TUNE: _tune, names.EVALUATE: _evaluate, names.PREDICT: _predict,
    names.IMPORT: source, names.EXPORT: _export, "worklist": _worklist,
    **dict.fromkeys((names.FINETUNE, names.PRETRAIN, "probe"), _upstream),
}  # fmt: skip
