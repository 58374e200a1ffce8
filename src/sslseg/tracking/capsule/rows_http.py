"""The rows of some runs as `rows.read` gives them, asked of a `mlflow server` over HTTP.

What a server does not tell (IDs of datasets and of links between runs and models) is made anew from content.
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mlflow.entities import LoggedModel, LoggedModelStatus, Run
from mlflow.entities.model_registry import ModelVersion

from sslseg.tracking import store
from sslseg.tracking.capsule.rows import CHOSEN_BY, Rows
from sslseg.tracking.history import frames, sql

SCHEMA = sql.SCHEMAS[-1]  # that the rows are written in
STATUS = {  # MLflow's numbers in its table
    LoggedModelStatus.UNSPECIFIED: 0,
    LoggedModelStatus.PENDING: 1,
    LoggedModelStatus.READY: 2,
    LoggedModelStatus.FAILED: 3,
}
WORKSPACE = "default"


def read(uri: str, run_ids: Sequence[str]) -> Rows:
    """Every row that belongs to the runs."""
    api = store.client(uri)
    runs = [store.retry(lambda i=i: api.get_run(i)) for i in sorted(run_ids)]
    found: Rows = {name: [] for name in CHOSEN_BY}
    for number in sorted({int(run.info.experiment_id) for run in runs}):
        _experiment(found, store.retry(lambda n=number: api.get_experiment(str(n))))
    for run in runs:
        _run(found, run)
        _inputs(found, run)
        for model in _models(uri, run):
            _model(found, model)
    _curves(found, uri, runs)
    aliases: dict[str, dict[str, str]] = {}  # of each registered model: alias -> version
    for run in runs:
        for version in _pages(api.search_model_versions, f"run_id = '{run.info.run_id}'"):
            _version(found, version, aliases, uri)
    return found


def _id(*parts: object) -> str:
    """32 hex digits that stand for these facts."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]


def _pages(ask: Callable[..., Any], where: str) -> Iterable[Any]:
    token = None
    while True:
        page = store.retry(lambda token=token: ask(where, page_token=token))
        yield from page
        token = page.token
        if not token:
            return


def _experiment(found: Rows, experiment: Any) -> None:
    number = int(experiment.experiment_id)
    found["experiments"].append(
        {"experiment_id": number, "name": experiment.name, "artifact_location": "",
         "lifecycle_stage": experiment.lifecycle_stage, "creation_time": experiment.creation_time,
         "last_update_time": experiment.last_update_time, "workspace": WORKSPACE}
    )  # fmt: skip
    found["experiment_tags"] += [
        {"key": key, "value": value, "experiment_id": number} for key, value in experiment.tags.items()
    ]


def _run(found: Rows, run: Run) -> None:
    info, run_id = run.info, run.info.run_id
    found["runs"].append(
        {"run_uuid": run_id, "name": info.run_name, "source_type": "UNKNOWN", "source_name": "",
         "entry_point_name": "", "user_id": info.user_id, "status": info.status,
         "start_time": info.start_time, "end_time": info.end_time, "source_version": "",
         "lifecycle_stage": info.lifecycle_stage, "artifact_uri": info.artifact_uri,
         "experiment_id": int(info.experiment_id), "deleted_time": None}
    )  # fmt: skip
    for name, values in (("params", run.data.params), ("tags", run.data.tags)):
        found[name] += [{"key": k, "value": v, "run_uuid": run_id} for k, v in values.items()]


def _curves(found: Rows, uri: str, runs: Sequence[Run]) -> None:
    """Every value ever logged, and of each metric the one that MLflow calls the latest."""
    keys = sorted({key for run in runs for key in run.data.metrics})
    points = frames.points(uri, [run.info.run_id for run in runs], keys)
    latest: dict[tuple[str, str], dict[str, Any]] = {}
    for run_id, key, step, timestamp, value in points.itertuples(index=False):
        row = {"key": key, "timestamp": int(timestamp), "run_uuid": run_id, "step": int(step)} | _number(
            value
        )
        found["metrics"].append(row)
        known = latest.get((run_id, key))
        if known is None or _rank(row) > _rank(known):
            latest[run_id, key] = row
    found["latest_metrics"] = [dict(row) for row in latest.values()]


def _rank(row: dict[str, Any]) -> tuple:
    return row["step"], row["timestamp"], row["value"]


def _number(value: float) -> dict[str, Any]:
    """As the tables hold it: NaN is a flag, and ±inf the largest float."""
    if math.isnan(value):
        return {"value": 0.0, "is_nan": True}
    return {
        "value": math.copysign(sys.float_info.max, value) if math.isinf(value) else value,
        "is_nan": False,
    }


def _inputs(found: Rows, run: Run) -> None:
    run_id, number = run.info.run_id, int(run.info.experiment_id)
    known = {row["dataset_uuid"] for row in found["datasets"]}
    for given in run.inputs.dataset_inputs:
        data = given.dataset
        dataset, link = _id(number, data.name, data.digest), _id(run_id, data.name, data.digest)
        if dataset not in known:
            found["datasets"].append(
                {"dataset_uuid": dataset, "experiment_id": number, "name": data.name, "digest": data.digest,
                 "dataset_source_type": data.source_type, "dataset_source": data.source,
                 "dataset_schema": data.schema, "dataset_profile": data.profile}
            )  # fmt: skip
        _link(found, link, ("DATASET", dataset), ("RUN", run_id), 0)
        found["input_tags"] += [{"input_uuid": link, "name": t.key, "value": t.value} for t in given.tags]
    for one in run.inputs.model_inputs or ():
        _link(found, _id(run_id, "in", one.model_id), ("RUN_INPUT", run_id), ("MODEL_INPUT", one.model_id), 0)
    for one in run.outputs.model_outputs if run.outputs else ():
        ends = ("RUN_OUTPUT", run_id), ("MODEL_OUTPUT", one.model_id)
        _link(found, _id(run_id, "out", one.model_id), *ends, one.step)


def _link(found: Rows, link: str, source: tuple[str, str], target: tuple[str, str], step: int) -> None:
    found["inputs"].append(
        {"input_uuid": link, "source_type": source[0], "source_id": source[1],
         "destination_type": target[0], "destination_id": target[1], "step": step}
    )  # fmt: skip


def _models(uri: str, run: Run) -> Iterable[LoggedModel]:
    api, place = store.client(uri), [run.info.experiment_id]
    return _pages(
        lambda where, page_token: api.search_logged_models(place, where, page_token=page_token),
        f"source_run_id = '{run.info.run_id}'",
    )


def _model(found: Rows, model: LoggedModel) -> None:
    number = int(model.experiment_id)
    found["logged_models"].append(
        {"model_id": model.model_id, "experiment_id": number, "name": model.name,
         "artifact_location": model.artifact_location, "creation_timestamp_ms": model.creation_timestamp,
         "last_updated_timestamp_ms": model.last_updated_timestamp, "status": STATUS[model.status],
         "lifecycle_stage": "active", "model_type": model.model_type, "source_run_id": model.source_run_id,
         "status_message": model.status_message or None}
    )  # fmt: skip
    for kind in ("tag", "param"):
        found[f"logged_model_{kind}s"] += [
            {"model_id": model.model_id, "experiment_id": number, f"{kind}_key": k, f"{kind}_value": v}
            for k, v in getattr(model, f"{kind}s").items()
        ]
    found["logged_model_metrics"] += [
        {"model_id": model.model_id, "metric_name": m.key, "metric_timestamp_ms": m.timestamp,
         "metric_step": m.step, "metric_value": m.value, "experiment_id": number, "run_id": m.run_id,
         "dataset_uuid": None, "dataset_name": m.dataset_name, "dataset_digest": m.dataset_digest}
        for m in model.metrics or ()
    ]  # fmt: skip


def _version(found: Rows, version: ModelVersion, aliases: dict[str, dict[str, str]], uri: str) -> None:
    api, name = store.client(uri), version.name
    if name not in aliases:
        whole = store.retry(lambda: api.get_registered_model(name))
        aliases[name] = {alias: str(version) for alias, version in whole.aliases.items()}
        found["registered_models"].append(
            {"name": name, "creation_time": whole.creation_timestamp,
             "last_updated_time": whole.last_updated_timestamp, "description": whole.description,
             "workspace": WORKSPACE}
        )  # fmt: skip
        found["registered_model_tags"] += [
            {"key": k, "value": v, "name": name, "workspace": WORKSPACE} for k, v in whole.tags.items()
        ]
    number = int(version.version)
    found["model_versions"].append(
        {"name": name, "version": number, "creation_time": version.creation_timestamp,
         "last_updated_time": version.last_updated_timestamp, "description": version.description,
         "user_id": version.user_id, "current_stage": version.current_stage, "source": version.source,
         "run_id": version.run_id, "status": version.status, "status_message": version.status_message,
         "run_link": version.run_link or None, "storage_location": "", "workspace": WORKSPACE}
    )  # fmt: skip
    found["model_version_tags"] += [
        {"key": k, "value": v, "name": name, "version": number, "workspace": WORKSPACE}
        for k, v in version.tags.items()
    ]
    found["registered_model_aliases"] += [
        {"alias": alias, "version": number, "name": name, "workspace": WORKSPACE}
        for alias, one in aliases[name].items()
        if one == str(number)
    ]
