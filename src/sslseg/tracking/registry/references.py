"""From what a user types for a model (`config.references`) to the one logged model that it means."""

from dataclasses import dataclass, replace

from mlflow.entities import LifecycleStage, LoggedModel, LoggedModelStatus
from mlflow.entities import Run as MlflowRun
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from sslseg.config import names
from sslseg.config.names import EncoderError
from sslseg.config.references import parse
from sslseg.tracking import session, store
from sslseg.tracking.registry import logged

LATEST = "latest"  # MLflow's own word for the highest version
# `role=target` means the network that a run hands on; only a run without a target one hands on another
HANDED_ON = (names.ROLE_TARGET, names.ROLE_IMPORTED, names.ROLE_FINE_TUNED, names.ROLE_ONLINE)


@dataclass(frozen=True)
class Wanted:
    """Which of a run's models is meant."""

    role: str = names.ROLE_TARGET
    epoch: int | None = None  # None = the last
    kind: str = names.KIND_ENCODER  # '' = whatever a registered one is, and of a run its encoder


def find(reference: str, wanted: Wanted, uri: str | None = None) -> tuple[LoggedModel, ModelVersion | None]:
    """The logged model that `reference` means, and its registry entry where it was named by one.

    Raises:
        EncoderError: another scheme, unknown, failed, deleted, ambiguous, of another kind, or made of damaged data.
    """
    form, parts = parse(reference)
    if form == "run":
        kind = wanted.kind or names.KIND_ENCODER
        return _sound(_of_run(parts["run"], parts["model"], replace(wanted, kind=kind), uri)), None
    version = None if form == "model" else _version(reference, parts, uri)
    model = _model(reference, logged.model_id_of(version, uri) if version else parts["model"], uri)
    tags = model.tags
    if wanted.kind and tags.get(names.MODEL_KIND) != wanted.kind:
        raise EncoderError(
            f"{reference}: wanted {'an' if wanted.kind == names.KIND_ENCODER else 'a'} {wanted.kind}, run "
            f"{model.source_run_id} logged it as {tags.get(names.MODEL_KIND, 'something else')}; "
            f"`sslseg encoders --kind {wanted.kind}` lists them"
        )
    if wanted.epoch is not None and tags.get(names.MODEL_EPOCH) != str(wanted.epoch):
        raise EncoderError(
            f"{reference}: wanted epoch {wanted.epoch}, it is epoch "
            f"{tags.get(names.MODEL_EPOCH) or '(none)'} of run {model.source_run_id}; choose it by run ID"
        )
    return _sound(model), version


def _sound(model: LoggedModel) -> LoggedModel:
    if why := model.tags.get(names.TAG_DAMAGED):
        raise EncoderError(f"run {model.source_run_id}: {why}. Its command again makes a sound model")
    return model


def _of_run(run_id: str, name: str, wanted: Wanted, uri: str | None) -> LoggedModel:
    run = _usable_run(run_id, uri)
    run_id = run.info.run_id
    there = {model.model_id: model for model in logged.of_run(run, uri)}
    found = [m for m in there.values() if m.tags.get(names.MODEL_KIND) == wanted.kind]
    links = run.outputs.model_outputs if run.outputs else ()
    gone = [
        link.step for link in links if link.model_id not in there
    ]  # steps of models that were deleted since
    chosen = [m for m in found if not name or name in (m.name, wanted.kind)]
    chosen = _of_role(chosen, wanted.role)
    if wanted.epoch is not None:
        chosen = [m for m in chosen if m.tags.get(names.MODEL_EPOCH) == str(wanted.epoch)]
    elif chosen:
        last = max(logged.step_of(m) for m in chosen)
        chosen = [m for m in chosen if logged.step_of(m) == last]
    if len(chosen) == 1 and not _doubtful(chosen[0], wanted, gone):
        return chosen[0]
    if not found and not gone:
        stage = run.data.tags.get(names.TAG_STAGE, "not of this project")
        raise EncoderError(f"run {run_id} ({stage}) has logged no {wanted.kind}")
    asked = f"{wanted.kind} of role {wanted.role}, epoch {'last' if wanted.epoch is None else wanted.epoch}"
    asked += f", name {name!r}" if name else ""
    if len(chosen) > 1:
        fault = "two or more fit, name one by models:/m-…"
    elif gone:
        steps = ", ".join(map(str, sorted(gone)))
        fault = f"it is not there, and models that this run logged were deleted ({len(gone)}, of step {steps}). There is"
        found = list(there.values())
    else:
        fault = "there is none"
    rows = "\n".join(
        f"  {_describe(m)}" for m in sorted(chosen if len(chosen) > 1 else found, key=logged.step_of)
    )
    raise EncoderError(f"run {run_id}: wanted {asked}; {fault}{':' if rows else ' none'}\n{rows}".rstrip())


def _doubtful(chosen: LoggedModel, wanted: Wanted, gone: list[int]) -> bool:
    """Whether a deleted model may be the one that was meant: a later one, or the target network of the same step."""
    instead = wanted.role == names.ROLE_TARGET and chosen.tags.get(names.MODEL_ROLE) == names.ROLE_ONLINE
    return any(
        (wanted.epoch is None and s > logged.step_of(chosen)) or (instead and s == logged.step_of(chosen))
        for s in gone
    )


def _of_role(models: list[LoggedModel], role: str) -> list[LoggedModel]:
    for candidate in HANDED_ON if role == names.ROLE_TARGET else (role,):
        if found := [m for m in models if m.tags.get(names.MODEL_ROLE) == candidate]:
            return found
    return []


def _describe(model: LoggedModel) -> str:
    tags = model.tags
    return (
        f"models:/{model.model_id}  name {model.name}, role {tags.get(names.MODEL_ROLE)}, "
        f"epoch {tags.get(names.MODEL_EPOCH) or '-'}, step {tags.get(names.MODEL_STEP) or '-'}"
    )


def _usable_run(run_id: str, uri: str | None) -> MlflowRun:
    """The FINISHED run of that ID; a pointer leads to the run that its work went on in."""
    try:
        run = session.follow(run_id, uri)
    except store.UnknownRunError as error:
        raise EncoderError(f"{error}{_left_of(run_id, uri)}") from None
    run_id, status = run.info.run_id, run.info.status
    stage = run.data.tags.get(names.TAG_STAGE, "run")
    if run.info.lifecycle_stage != LifecycleStage.ACTIVE:
        if gone := store.deleted_experiment(run.info.experiment_id, uri):
            raise EncoderError(f"run {run_id}: {gone}, and its runs with it")
        raise EncoderError(
            f"run {run_id} was deleted; `mlflow runs restore --run-id {run_id}` brings it back"
        )
    if status in session.ENDED_EARLY:
        reason = run.data.tags.get(names.TAG_REASON, "no reason given")
        raise EncoderError(
            f"run {run_id} ({stage}) is {status}: {reason}. The same command again goes on with it; "
            "a model that it kept all the same can be named by models:/m-…"
        )
    if status != "FINISHED":
        raise EncoderError(
            f"run {run_id} ({stage}) is {status}: wait for its end, or name a kept model by models:/m-…"
        )
    return run


def _left_of(run_id: str, uri: str | None) -> str:
    """What of a run that was deleted for good can still be named."""
    found = logged.matching(f"source_run_id = '{run_id}'", uri)
    left = ", ".join(f"models:/{m.model_id}" for m in found if m.status == LoggedModelStatus.READY)
    return f" any more: it was deleted for good, and of its models there is still {left}" if left else ""


def _model(reference: str, model_id: str, uri: str | None) -> LoggedModel:
    try:
        return store.client(uri).get_logged_model(model_id)
    except MlflowException as error:
        store.only_gone(error)
        raise EncoderError(
            f"{reference}: there is no model {model_id}; it was deleted, or never logged here{store.denied(error)}"
        ) from None


def _version(reference: str, parts: dict[str, str], uri: str | None) -> ModelVersion:
    api, name = store.client(uri), parts["name"]
    try:
        if parts.get("alias"):
            return api.get_model_version_by_alias(name, parts["alias"])
        if parts["version"] == LATEST:
            there = api.search_model_versions(f"name = '{name}'")
            if there:
                return max(there, key=lambda found: int(found.version))
        return api.get_model_version(name, parts["version"])
    except MlflowException as error:
        store.only_gone(error)
    raise EncoderError(f"{reference}: {_why_no_version(name, parts, uri)}")


def _why_no_version(name: str, parts: dict[str, str], uri: str | None) -> str:
    """What is there instead of the version or alias that was asked for."""
    api = store.client(uri)
    found = api.search_model_versions(f"name = '{name}'")
    asked = parts.get("version", LATEST)
    gone = logged.once_registered(name, asked, uri) if asked != LATEST else []
    if not found and (now := _renamed(name, uri)):
        return f"{name!r} was renamed: it is {now!r} now, with the same versions and aliases"
    if not found and not gone:
        return f"nothing is registered as {name!r}; `sslseg encoders` lists what there is"
    if parts.get("alias"):
        aliases = sorted(api.get_registered_model(name).aliases)
        return f"{name!r} has no such alias; it has {', '.join(aliases) or 'none'}"
    there = ", ".join(f"{v.version} (run {v.run_id})" for v in sorted(found, key=lambda v: int(v.version)))
    what = "was never made"
    if gone:
        what = f"was deleted; run {gone[0].source_run_id} logged it as models:/{gone[0].model_id}"
    return f"version {parts['version']} of {name!r} {what}. There is {there or 'none'}"


def _renamed(name: str, uri: str | None) -> str:
    """The name under which the versions of a registered model are there now; '' = none are."""
    ids = {model.model_id for model in logged.once_registered(name, "", uri)}
    there = store.client(uri).search_model_versions() if ids else []
    return next((v.name for v in there if logged.model_id_of(v, uri) in ids), "")
