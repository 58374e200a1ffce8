"""Weights that this store has made itself, found by their digests."""

from __future__ import annotations

from typing import Any

from mlflow.entities import LoggedModelStatus

from sslseg.config import names
from sslseg.tracking import store


def made_here(sha: str, body: str, uri: str | None = None) -> Any | None:
    """The newest trained model of the store with these weights, or None.

    Imports do not count, nor encoders kept before the first step: nothing was learned from this store's data.

    Args:
        sha: sha256 of a weights file; body: of its tensors, see `names.MODEL_BODY`.
    """
    api = store.client(uri)
    places = store.experiments(uri)
    found = [
        model
        for key, value in ((names.MODEL_SHA, sha), (names.MODEL_BODY, body))
        for model in api.search_logged_models(places, f"tags.`{key}` = '{value}'")
        if model.status == LoggedModelStatus.READY
        and model.tags.get(names.MODEL_ROLE) != names.ROLE_IMPORTED
        and model.tags.get(names.MODEL_STEP) != "0"
    ]
    return max(found, key=lambda model: (model.creation_timestamp, model.model_id), default=None)
