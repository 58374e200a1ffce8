"""From what a user types for a model to the one logged model that it means.

Accepted: a run ID, runs:/<run ID>[/name], models:/<name>@<alias>, models:/<name>/<version>,
models:/<name>/latest, models:/m-<ID>. Files and web addresses are not: they would bypass tags, lineage and digest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from mlflow.entities import LifecycleStage, LoggedModelStatus
from mlflow.exceptions import MlflowException

from sslseg.config import names
from sslseg.config.names import EncoderError
from sslseg.tracking import session, store
from sslseg.tracking.registry.write import VERSIONS

_RUN_ID = r"[0-9a-f]{32}"
_FORMS = {
    "run": re.compile(rf"(?:runs:/)?(?P<run>{_RUN_ID})(?:(?<=runs:/.{{32}})/(?P<model>[^/]+))?"),
    "model": re.compile(r"models:/(?P<model>m-[0-9a-f]{32})"),
    "alias": re.compile(r"models:/(?P<name>[^/@]+)@(?P<alias>[\w-]+)"),
    "version": re.compile(r"models:/(?P<name>[^/@]+)/(?P<version>\d+|latest)"),
}
LATEST = "latest"  # MLflow's own word for the highest version
# `role=target` means the network that a run hands on; only a run without a target one hands on another
HANDED_ON = (names.ROLE_TARGET, names.ROLE_IMPORTED, names.ROLE_FINE_TUNED, names.ROLE_ONLINE)


@dataclass(frozen=True)
class Wanted:
    """Which of a run's models is meant."""

    role: str = names.ROLE_TARGET
    epoch: int | None = None  # None = the last
    kind: str = names.KIND_ENCODER  # '' = whatever a registered one is, and of a run its encoder


def find(reference: str, wanted: Wanted, uri: str | None = None) -> tuple[Any, Any | None]:
    """The logged model that `reference` means, and its registry entry where it was named by one.

    Raises:
        EncoderError: another scheme, unknown, failed, deleted, ambiguous, of another kind, or made of damaged data.
    """
    form, parts = _parse(reference)
    if form == "run":
        kind = wanted.kind or names.KIND_ENCODER
        return _sound(_of_run(parts["run"], parts["model"], replace(wanted, kind=kind), uri)), None
    version = None if form == "model" else _version(reference, parts, uri)
    model = _model(reference, parts["model"] if form == "model" else model_id_of(version), uri)
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


def _sound(model: Any) -> Any:
    if why := model.tags.get(names.TAG_DAMAGED):
        raise EncoderError(f"run {model.source_run_id}: {why}. Its command again makes a sound model")
    return model


def is_one(text: str) -> bool:
    """Whether a text has the form of a reference, whatever there is behind it."""
    return any(pattern.fullmatch(text.strip()) for pattern in _FORMS.values())


def _parse(reference: str) -> tuple[str, dict[str, str]]:
    for form, pattern in _FORMS.items():
        if found := pattern.fullmatch(reference.strip()):
            return form, found.groupdict("")
    raise EncoderError(
        f"{reference!r} is not a reference to a model: wanted a run ID (32 hex digits), "
        "runs:/<run ID>[/name], models:/<name>@<alias>, models:/<name>/<version>, models:/<name>/latest or models:/m-<ID>. "
        "Weights from elsewhere come in by -e import_encoder; `sslseg encoders` lists what there is"
    )


def _of_run(run_id: str, name: str, wanted: Wanted, uri: str | None) -> Any:
    run = _usable_run(run_id, uri)
    run_id = run.info.run_id
    whole = logged_models(run, uri)
    found = [m for m in whole if m.tags.get(names.MODEL_KIND) == wanted.kind]
    gone = _deleted_steps(run, whole)
    chosen = [m for m in found if not name or name in (m.name, wanted.kind)]
    chosen = _of_role(chosen, wanted.role)
    if wanted.epoch is not None:
        chosen = [m for m in chosen if m.tags.get(names.MODEL_EPOCH) == str(wanted.epoch)]
    elif chosen:
        last = max(step_of(m) for m in chosen)
        chosen = [m for m in chosen if step_of(m) == last]
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
        found = whole
    else:
        fault = "there is none"
    rows = "\n".join(f"  {_describe(m)}" for m in sorted(chosen if len(chosen) > 1 else found, key=step_of))
    raise EncoderError(f"run {run_id}: wanted {asked}; {fault}{':' if rows else ' none'}\n{rows}".rstrip())


def _deleted_steps(run: Any, whole: list) -> list[int]:
    """Steps of the models that the run has logged and that are gone: their links stay on it."""
    there = {model.model_id for model in whole}
    return [o.step for o in (run.outputs.model_outputs if run.outputs else ()) if o.model_id not in there]


def _doubtful(chosen: Any, wanted: Wanted, gone: list[int]) -> bool:
    """Whether a deleted model may be the one that was meant: a later one, or the target network of the same step."""
    instead = wanted.role == names.ROLE_TARGET and chosen.tags.get(names.MODEL_ROLE) == names.ROLE_ONLINE
    return any(
        (wanted.epoch is None and s > step_of(chosen)) or (instead and s == step_of(chosen)) for s in gone
    )


def _of_role(models: list, role: str) -> list:
    for candidate in HANDED_ON if role == names.ROLE_TARGET else (role,):
        if found := [m for m in models if m.tags.get(names.MODEL_ROLE) == candidate]:
            return found
    return []


def model_id_of(version: Any) -> str:
    """The logged model that a registered version was made of; SQL stores keep it in the source alone."""
    return version.model_id or version.source.removeprefix("models:/")


def step_of(model: Any) -> int:
    """Optimiser step that a logged model was kept at."""
    text = model.tags.get(names.MODEL_STEP) or ""
    return int(text) if text.isdecimal() and text.isascii() else 0


def _describe(model: Any) -> str:
    tags = model.tags
    return (
        f"models:/{model.model_id}  name {model.name}, role {tags.get(names.MODEL_ROLE)}, "
        f"epoch {tags.get(names.MODEL_EPOCH) or '-'}, step {tags.get(names.MODEL_STEP) or '-'}"
    )


def _usable_run(run_id: str, uri: str | None) -> Any:
    """The FINISHED run of that ID; a pointer leads to the run that its work went on in."""
    try:
        run = session.follow(run_id, uri)
    except MlflowException as error:
        raise EncoderError(
            f"run {run_id}: unknown, {store.shown(store.tracking_uri(uri))} has no run of that ID{_left_of(run_id, uri)}"
            f"{store.denied(error)}"
        ) from None
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
    found = store.client(uri).search_logged_models(store.experiments(uri), f"source_run_id = '{run_id}'")
    left = ", ".join(f"models:/{m.model_id}" for m in found if m.status == LoggedModelStatus.READY)
    return f" any more: it was deleted for good, and of its models there is still {left}" if left else ""


def logged_models(run: Any, uri: str | None = None) -> list:
    """Every whole logged model of an MLflow run, in no meaningful order.

    One whose writer was killed stays PENDING for ever; it is left out, as a FAILED one is.
    """
    mine = f"source_run_id = '{run.info.run_id}'"
    found = store.client(uri).search_logged_models([run.info.experiment_id], mine)
    return [model for model in found if model.status == LoggedModelStatus.READY]


def _model(reference: str, model_id: str, uri: str | None) -> Any:
    try:
        return store.client(uri).get_logged_model(model_id)
    except MlflowException as error:
        raise EncoderError(
            f"{reference}: there is no model {model_id}; it was deleted, or never logged here{store.denied(error)}"
        ) from None


def _version(reference: str, parts: dict[str, str], uri: str | None) -> Any:
    api, name = store.client(uri), parts["name"]
    try:
        if parts.get("alias"):
            return api.get_model_version_by_alias(name, parts["alias"])
        if parts["version"] == LATEST:
            there = api.search_model_versions(f"name = '{name}'")
            if there:
                return max(there, key=lambda found: int(found.version))
        return api.get_model_version(name, parts["version"])
    except MlflowException:
        pass
    raise EncoderError(f"{reference}: {_why_no_version(name, parts, uri)}")


def _why_no_version(name: str, parts: dict[str, str], uri: str | None) -> str:
    """What is there instead of the version or alias that was asked for."""
    api = store.client(uri)
    found = api.search_model_versions(f"name = '{name}'")
    gone = _deleted(name, parts["version"], uri) if parts.get("version", LATEST) != LATEST else None
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
        what = f"was deleted; run {gone.source_run_id} logged it as models:/{gone.model_id}"
    return f"version {parts['version']} of {name!r} {what}. There is {there or 'none'}"


def _renamed(name: str, uri: str | None) -> str:
    """The name under which the versions of a registered model are there now; '' = none are."""
    api, mark = store.client(uri), f'%"name": "{name}", "version": %'
    once = api.search_logged_models(store.experiments(uri), f"tags.`{VERSIONS}` LIKE '{mark}'")
    ids = {model.model_id for model in once}
    return next((v.name for v in api.search_model_versions() if model_id_of(v) in ids), "") if ids else ""


def _deleted(name: str, version: str, uri: str | None) -> Any | None:
    """The logged model that a deleted version was made of: the version's number stays on it."""
    mark = f'%"name": "{name}", "version": "{version}"%'
    found = store.client(uri).search_logged_models(store.experiments(uri), f"tags.`{VERSIONS}` LIKE '{mark}'")
    return found[0] if found else None
