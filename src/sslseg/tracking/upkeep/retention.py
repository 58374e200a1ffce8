"""Which of the encoders kept by epoch can go, and letting them go.

Kept: the last of every run and role, what an alias points to, every encoder that a run of the store started
from, and what the caller names.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow.entities import LoggedModelStatus, ViewType

from sslseg.config import caches, names
from sslseg.config.names import SslsegError
from sslseg.config.texts import some
from sslseg.tracking import session, store
from sslseg.tracking.registry import logged, references
from sslseg.tracking.registry.resolve import versions

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel


@dataclass(frozen=True)
class Doomed:
    """An encoder that nothing needs."""

    model_id: str
    name: str
    run_id: str
    versions: tuple[tuple[str, str], ...]  # (registered name, version)
    folder: Path | None
    size: int


def plan(keep: Iterable[str] = (), uri: str | None = None) -> list[Doomed]:
    """What would be deleted.

    Args:
        keep: run IDs (all encoders of the run) and models:/… references.

    Raises:
        EncoderError: something of `keep` is unknown.
    """
    uri = store.ensure_store(uri)
    encoders = [m for m in logged.every(uri) if m.tags[names.MODEL_KIND] == names.KIND_ENCODER]
    rows = versions(names.KIND_ENCODER, uri)
    runs, models = _named(keep, uri)
    kept = models | _last(encoders) | _started_from(uri) | {r["model_id"] for r in rows if r["aliases"]}
    return [
        _doomed(m, tuple((r["name"], r["version"]) for r in rows if r["model_id"] == m.model_id))
        for m in sorted(encoders, key=lambda m: (m.source_run_id, logged.step_of(m)))
        if m.model_id not in kept and m.source_run_id not in runs
    ]


def _named(keep: Iterable[str], uri: str) -> tuple[set[str], set[str]]:
    runs, models = set(), set()
    for reference in keep:
        found, _ = references.find(reference, references.Wanted(), uri)
        if reference.startswith("models:/"):
            models.add(found.model_id)
        else:
            runs.add(found.source_run_id or "")
    return runs, models


def _last(encoders: list[LoggedModel]) -> set[str]:
    """Of the whole ones: what a killed run left half written is no encoder to go on with."""
    whole = [model for model in encoders if model.status == LoggedModelStatus.READY]
    last: dict[tuple[str | None, str], int] = {}
    for model in whole:
        last[_line(model)] = max(last.get(_line(model), 0), logged.step_of(model))
    return {m.model_id for m in whole if logged.step_of(m) == last[_line(m)]}


def _line(model: LoggedModel) -> tuple[str | None, str]:
    return model.source_run_id, model.tags.get(names.MODEL_ROLE, "")


def _started_from(uri: str) -> set[str]:
    """Encoders that any run started from, deleted runs included: they can be brought back."""
    everywhere = store.experiments(uri, ViewType.ALL)
    found = store.client(uri).search_runs(everywhere, run_view_type=ViewType.ALL)
    return {run.data.tags.get(names.TAG_UPSTREAM_MODEL, "") for run in found}


def _doomed(model: LoggedModel, registered: tuple[tuple[str, str], ...]) -> Doomed:
    folder = store.local_path(model.artifact_location)
    size = caches.size_of(folder) if folder else 0
    return Doomed(model.model_id, model.name, model.source_run_id or "", registered, folder, size)


def check_quiet(uri: str | None = None) -> None:
    """Make sure that no run is under way: a sweep may be about to start from a kept epoch.

    Raises:
        SslsegError: some are.
    """
    alive = [
        r.info.run_id for r in session.search({}, uri=uri, status="RUNNING") if not session.is_abandoned(r)
    ]
    if alive:
        raise SslsegError(f"{len(alive)} runs are under way ({some(alive, 3)}): nothing was deleted")


def delete(doomed: Doomed, uri: str | None = None) -> None:
    """Delete its registered versions, the logged model, and on a local store its files."""
    api = store.client(uri)
    for name, version in doomed.versions:
        api.delete_model_version(name, version)
    api.delete_logged_model(doomed.model_id)
    if doomed.folder and doomed.folder.parent.name == doomed.model_id:  # …/models/<model ID>/artifacts
        shutil.rmtree(doomed.folder.parent, ignore_errors=True)
