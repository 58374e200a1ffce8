"""Logged models, looked for by what is known of them; `references` is from what a user types."""

import re

from mlflow.entities import LoggedModel, LoggedModelStatus
from mlflow.entities import Run as MlflowRun
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from sslseg.config import names
from sslseg.config.texts import whole
from sslseg.tracking import store
from sslseg.tracking.registry.register import VERSIONS


def matching(where: str, uri: str | None = None) -> list[LoggedModel]:
    """Logged models that a filter in MLflow's language chooses, of all experiments that were not deleted."""
    return store.client(uri).search_logged_models(store.experiments(uri), where)


def of_run(run: MlflowRun, uri: str | None = None) -> list[LoggedModel]:
    """Every whole logged model of a run, in no meaningful order.

    One whose writer was killed stays PENDING for ever; it is left out, as a FAILED one is.
    """
    mine = f"source_run_id = '{run.info.run_id}'"
    found = store.client(uri).search_logged_models([run.info.experiment_id], mine)
    return [model for model in found if model.status == LoggedModelStatus.READY]


def every(uri: str | None) -> list[LoggedModel]:
    """Every logged model of this project, of all experiments that were not deleted."""
    return matching(f"tags.`{names.MODEL_KIND}` LIKE '%'", uri)


def once_registered(name: str, version: str, uri: str | None) -> list[LoggedModel]:
    """Logged models that versions of a name were made of, deleted ones too: the number stays on them; '' = any."""
    number = f'"{version}"' if version else ""
    mark = f'%"name": "{name}", "version": {number}%'
    return matching(f"tags.`{VERSIONS}` LIKE '{mark}'", uri)


def made_here(sha: str, body: str) -> LoggedModel | None:
    """The newest trained model of the store with these weights, or None.

    Imports do not count, nor encoders kept before the first step: nothing was learned from this store's data.

    Args:
        sha: sha256 of a weights file; body: of its tensors, see `names.MODEL_BODY`.
    """
    found = [
        model
        for key, value in ((names.MODEL_SHA, sha), (names.MODEL_BODY, body))
        for model in matching(f"tags.`{key}` = '{value}'")
        if model.status == LoggedModelStatus.READY
        and model.tags.get(names.MODEL_ROLE) != names.ROLE_IMPORTED
        and model.tags.get(names.MODEL_STEP) != "0"
    ]
    return max(found, key=lambda model: (model.creation_timestamp, model.model_id), default=None)


def model_id_of(version: ModelVersion, uri: str | None = None) -> str:
    """The logged model that a registered version was made of; SQL stores keep it in the source alone.

    The source of a version that was promoted (`copy_model_version`) is the version that it is a copy of.
    """
    source = (version.source or "").removeprefix("models:/")
    if version.model_id or not (copied := re.fullmatch(r"([^/]+)/(\d+)", source)):
        return version.model_id or source
    try:
        return model_id_of(store.client(uri).get_model_version(*copied.groups()), uri)
    except MlflowException as error:  # deleted since
        store.only_gone(error)
        return source


def step_of(model: LoggedModel) -> int:
    """Optimiser step that a logged model was kept at."""
    return whole(model.tags.get(names.MODEL_STEP)) or 0
