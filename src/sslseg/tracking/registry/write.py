"""Log the folder of an encoder or segmenter as a model of a run, and register it, in one step."""

import contextlib
import math
import tempfile
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.models import Model

from sslseg.config import names
from sslseg.config.files import known_sha256
from sslseg.config.flags import to_text
from sslseg.config.names import CARD_FILE, KIND_ENCODER, KIND_SEGMENTER, WEIGHTS_FILE, EncoderError
from sslseg.plans import titles
from sslseg.tracking import runs
from sslseg.tracking.registry import flavor
from sslseg.tracking.registry.files import read_config
from sslseg.tracking.registry.register import VERSIONS, alias_of, check_name, enter
from sslseg.tracking.runs import Run
from sslseg.tracking.upkeep import claims

BY = {"pipeline": names.BY_PIPELINE, "budget": names.BY_BUDGET, "seed": names.BY_SEED}  # a model's parameters


def log_model(
    run: Run,
    folder: str | Path,
    *,
    kind: str,
    name: str,
    role: str,
    method: str,
    dataset: str,
    lineage: str,
    epoch: int | None = None,
    step: int = 0,
    card: str = "",
    sha256: str | None = None,
    alias: str | None = None,
    register: bool = True,
    promote: bool = True,
    tags: Mapping[str, str] | None = None,
    metrics: Iterable[str] = (),
) -> str:
    """Log, and register in the same step, the model in `folder`; returns its model ID.

    What a run had logged before it was interrupted, and makes again after it was resumed from an older
    checkpoint (same kind, role, epoch and step, same weights), is not logged twice.

    Args:
        name: registered model; each call makes a version of it.
        epoch: None where the model was not kept at the end of an epoch.
        card: markdown, shown by the UI beside the version, and kept in the folder.
        sha256: of the weights, when the caller has it.
        alias: default: the lineage, see `alias_of`. The newest model takes it.
        register: False = a model of the run alone, found by run ID, role and epoch.
        promote: False = registered, but no alias points to it.
        metrics: of the run's, those that are the model's too, as it stands now.

    Raises:
        EncoderError: a name that cannot be an address, `folder` lacks a file, or its weights are not those of `sha256`.
    """
    facts = {
        names.MODEL_KIND: kind, names.MODEL_ROLE: role, names.MODEL_METHOD: method,
        names.MODEL_EPOCH: to_text(epoch), names.MODEL_STEP: str(step), names.MODEL_DATASET: dataset,
        names.MODEL_LINEAGE: lineage,
    }  # fmt: skip
    check_name(name)
    run.check()
    facts |= _of_folder(Path(folder), sha256) | dict(tags or {})
    own = run.client.get_run(run.id).data
    facts[names.MODEL_UPSTREAM] = own.tags.get(names.TAG_UPSTREAM_RUN, "")
    by = {word: own.params[key] for word, key in BY.items() if key in own.params}
    title = f"{kind}-{role}" + ("" if epoch is None else f"-epoch{epoch}")
    model = _logged(run, facts) or _log(run, Path(folder), kind, facts, by, card, title)
    _link(run, model.model_id, step)
    scores = _measure(run, model.model_id, metrics, own.tags)
    if register and VERSIONS not in model.tags:
        shown = _shown(facts, by, scores)
        enter(run, model.model_id, name, kind, shown, card, alias_of(alias or lineage) if promote else "")
    return model.model_id


log_encoder = partial(log_model, kind=KIND_ENCODER)
log_segmenter = partial(log_model, kind=KIND_SEGMENTER)


def _measure(run: Run, model_id: str, metrics: Iterable[str], tags: Mapping[str, str]) -> dict[str, float]:
    """Make the latest values of some metrics the model's, too, with the data that they were measured on."""
    run.flush()
    data = (tags.get(names.TAG_DATASET), tags.get(names.TAG_DATA_DIGEST, "")[: runs.DIGEST])
    stored = {key: run.client.get_metric_history(run.id, names.stored(key)) for key in metrics}
    latest = {key: max(found, key=lambda m: (m.step, m.timestamp)) for key, found in stored.items() if found}
    rows = [
        Metric(m.key, m.value, m.timestamp, m.step, model_id, *(data if all(data) else ()))
        for m in latest.values()
        if not math.isnan(m.value)
    ]
    if rows:  # the run itself has the very same rows, so that they are not written to it twice
        run.client.log_batch(run.id, metrics=rows)
    return {key: m.value for key, m in latest.items()}


def _shown(facts: Mapping[str, str], by: Mapping[str, str], scores: Mapping[str, float]) -> dict[str, str]:
    """Tags of a version: what its table has room for. All of them, digests too, are on the logged model."""
    told = {
        names.MODEL_IOU: f"{scores[names.TEST_IOU]:.3f}" if names.TEST_IOU in scores else "",
        names.MODEL_BUDGET: by.get("budget", ""),
        names.MODEL_SEED: by.get("seed", ""),
        names.TAG_PIPELINE: titles.title(by["pipeline"]) if "pipeline" in by else facts[names.MODEL_LINEAGE],
        **{key: facts[key] for key in (names.MODEL_DATASET, names.MODEL_EPOCH)},
        # the model's name says that it is fine-tuned
        names.MODEL_ROLE: facts[names.MODEL_ROLE].removesuffix(names.ROLE_FINE_TUNED),
    }
    return {key: text for key, text in told.items() if text}


def _of_folder(folder: Path, sha256: str | None) -> dict[str, str]:
    """Tags that the folder itself decides."""
    if not (folder / WEIGHTS_FILE).is_file():
        raise EncoderError(f"{folder}: there is no {WEIGHTS_FILE}")
    actual = known_sha256(folder / WEIGHTS_FILE)
    if sha256 not in (None, actual):
        raise EncoderError(f"{folder}/{WEIGHTS_FILE}: wanted sha256 {sha256}, it has {actual}")
    config = read_config(folder)
    own = config.get("sslseg", {})
    found = {names.MODEL_SHA: actual, names.MODEL_ARCHITECTURE: config.get("architecture", "")}
    beside = {names.MODEL_EXPOSURE: names.EXPOSURE_FILE, names.MODEL_DECODER: names.DECODER_FILE}
    found |= {tag: known_sha256(folder / file) for tag, file in beside.items() if (folder / file).is_file()}
    told = {names.MODEL_DOMAIN: own.get("domain"), names.MODEL_ORIGIN: own.get("origin"),
            names.MODEL_BODY: own.get("body_sha256")}  # fmt: skip
    return found | {tag: str(value) for tag, value in told.items() if value}


def _logged(run: Run, facts: dict[str, str]) -> LoggedModel | None:
    """The model of `run` that is whole and of these facts."""
    same = (names.MODEL_KIND, names.MODEL_ROLE, names.MODEL_EPOCH, names.MODEL_STEP, names.MODEL_SHA)
    clauses = [f"tags.`{key}` = '{facts[key]}'" for key in same if facts[key]]
    clauses.append(f"source_run_id = '{run.id}'")
    found = run.client.search_logged_models([run.experiment_id], " and ".join(clauses))
    return next((model for model in found if model.status == LoggedModelStatus.READY), None)


def _log(run: Run, folder: Path, kind: str, facts: dict, by: dict, card: str, name: str) -> LoggedModel:
    api = run.client
    model = api.create_logged_model(
        run.experiment_id, name=name, source_run_id=run.id, tags=facts, params=by, model_type=kind
    )
    claims.mark(model.artifact_location, run.uri)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            place = Path(scratch) / "model"
            entry = Model(model_uuid=model.model_id, run_id=run.id, model_id=model.model_id, metadata=facts)
            flavor.save_model(place, entry, folder=folder, kind=kind)
            if card:
                (place / CARD_FILE).write_text(card, encoding="utf-8")
            api.log_model_artifacts(model.model_id, str(place))
            _check_arrived(api, model.model_id, place)
    except BaseException:
        with contextlib.suppress(Exception):  # else it stays PENDING, which nobody reads: see `doctor`
            api.finalize_logged_model(model.model_id, LoggedModelStatus.FAILED)
        raise
    api.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    return model


def _check_arrived(api: MlflowClient, model_id: str, place: Path) -> None:
    """Every file is in the store at its whole length.

    Raises:
        EncoderError: an upload was cut without a word of it.
    """
    stored = {f.path: f.file_size for f in api.list_logged_model_artifacts(model_id)}
    for file in (f for f in place.iterdir() if f.is_file()):
        wanted, got = file.stat().st_size, stored.get(file.name)
        if got != wanted:
            raise EncoderError(
                f"models:/{model_id}: {file.name} was stored with {got} of its {wanted:,} bytes"
            )


def _link(run: Run, model_id: str, step: int) -> None:
    """Make the model an output of its run, once: the run may have been interrupted before or after it."""
    outputs = run.client.get_run(run.id).outputs
    if model_id not in {m.model_id for m in (outputs.model_outputs if outputs else ())}:
        run.client.log_outputs(run.id, [LoggedModelOutput(model_id, step=step)])
