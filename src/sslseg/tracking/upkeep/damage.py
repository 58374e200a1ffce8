"""Runs that read a slice store while it was damaged, and all that was made from them.

The store says nothing of them itself: what was found damaged is a note in the cache, see `slice_store.check`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlflow.entities import Run as MlflowRun

from sslseg.config import caches, names
from sslseg.tracking import session, store
from sslseg.tracking.registry import logged


def runs(cache: Path, uri: str | None = None) -> Iterator[tuple[str, str]]:
    """(run ID, what is wrong with it) of every run that is not marked yet, and of those that started from it."""
    seen: set[str] = set()
    for file in sorted(caches.damage_folder(cache).glob("*.json")):
        note = json.loads(file.read_text(encoding="utf-8"))
        fact = f"read the slice store {note['store']} while that was damaged ({', '.join(note['parts'])})"
        where = f"tags.`{names.TAG_DATA_DIGEST}` LIKE '{note['store'].rpartition('-')[2]}%'"
        waiting = [(r, f"it {fact}") for r in session.matching(where, uri=uri) if _read(r, note)]
        while waiting:
            run, why = waiting.pop()
            run_id = run.info.run_id
            if run_id in seen:
                continue
            seen.add(run_id)
            if names.TAG_DAMAGED not in run.data.tags:
                yield run_id, why
            made = session.search({names.TAG_UPSTREAM_RUN: run_id}, uri=uri)
            waiting += [(one, f"it comes from run {run_id}, which {fact}") for one in made]


def _read(run: MlflowRun, note: dict[str, Any]) -> bool:
    """Whether a run read the damaged bytes; one of an earlier version may have, if it ended after the damage."""
    read = run.data.tags.get(names.TAG_DATA_READ)
    return read == note["read"] or (not read and (run.info.end_time or math.inf) >= note["since"] * 1000)


def mark(run_id: str, why: str, uri: str | None = None) -> None:
    """Write on a run and its models what is wrong; take its identity, so that nothing is spared by it."""
    api = store.client(uri)
    api.set_tag(run_id, names.TAG_DAMAGED, why[:5000])
    session.forget_identity(run_id, uri)
    for model in logged.of_run(api.get_run(run_id), uri):
        api.set_logged_model_tags(model.model_id, {names.TAG_DAMAGED: why})
