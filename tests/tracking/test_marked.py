"""A run that an earlier version marked as made of damaged data, and its models, are used for nothing."""

from __future__ import annotations

import pytest
from mlflow import MlflowClient

from sslseg.config import names
from sslseg.tracking import session
from sslseg.tracking.history import frames
from sslseg.tracking.registry import references, resolve

WHY = "it read the slice store acdc-0 while that was damaged"


def test_marked_runs_are_used_for_nothing(store: str, model_folder) -> None:
    facts = {
        "name": "encoder-x",
        "role": "target",
        "method": "byol",
        "dataset": "acdc",
        "lineage": "byol@acdc",
    }
    with session.open_run(names.PRETRAIN) as run:
        model = resolve.log_encoder(run, model_folder(1.0), **facts)
    asked = (run.id, f"models:/{model}", "models:/encoder-x/1")
    for reference in asked:
        assert references.find(reference, references.Wanted(), store)[0].model_id == model
    assert run.id in set(frames.runs(uri=store)["run_id"])
    MlflowClient(store).set_tag(run.id, names.TAG_DAMAGED, WHY)
    MlflowClient(store).set_logged_model_tags(model, {names.TAG_DAMAGED: WHY})
    for reference in asked:
        with pytest.raises(names.EncoderError, match=WHY):
            references.find(reference, references.Wanted(), store)
    assert run.id not in set(frames.runs(uri=store)["run_id"])
