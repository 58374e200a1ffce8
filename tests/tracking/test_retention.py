"""What `sslseg doctor --prune` keeps, and what is left when a run was deleted for good."""

from __future__ import annotations

import sqlite3
from argparse import Namespace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from sslseg.commands import lineage as shown
from sslseg.config import names
from sslseg.tracking import lineage, session
from sslseg.tracking import store as stores
from sslseg.tracking.registry import resolve, stored
from sslseg.tracking.upkeep import doctor, retention
from tests.fixtures.doctoring import faults_of, run_doctor


def test_prune_keeps_the_last_the_aliased_the_used_and_the_named(store: str, tmp_cache: Path, log, capsys):
    with session.open_run("pretrain") as run:
        first, second, third, fourth, fifth, last = (log(run, float(v), epoch=v, step=v) for v in range(6))
        alone = log(run, 9.0, epoch=0, step=0, role="online", register=False)
    api = MlflowClient(store)
    facts = {names.MODEL_KIND: "encoder", names.MODEL_ROLE: "target", names.MODEL_STEP: "6"}
    half = api.create_logged_model("0", source_run_id=run.id, tags=facts).model_id
    api.finalize_logged_model(half, "FAILED")  # its process was killed
    version = next(row for row in resolve.versions() if row["model_id"] == second)["version"]
    api.set_registered_model_alias("encoder-resnet18", "champion", version)
    with session.open_run("finetune") as tuned:
        tuned.tag(names.TAG_UPSTREAM_MODEL, third)
    place = api.create_experiment("gone")
    with session.open_run("finetune", experiment_id=place) as lost:
        lost.tag(names.TAG_UPSTREAM_MODEL, fifth)
        log(lost, 7.0, epoch=1, step=1)
    api.delete_experiment(place)  # and can be restored
    assert "was deleted" not in str(faults_of(store, tmp_cache))
    assert {d.model_id for d in retention.plan()} >= {first, fourth, half}
    assert not {d.model_id for d in retention.plan()} & {second, third, fifth, last, alone}
    assert {d.model_id for d in retention.plan([f"models:/{first}"])} & {first, fourth} == {fourth}
    assert not {d.model_id for d in retention.plan([run.id])} & {first, fourth}
    folder = stores.local_path(api.get_logged_model(first).artifact_location)
    run_doctor(prune=True)
    assert f"would delete models:/{first}, models:/encoder-resnet18/" in capsys.readouterr().out
    assert folder.is_dir()
    with (
        session.open_run("sweep"),
        pytest.raises(names.SslsegError, match="1 runs are under way .* nothing was deleted"),
    ):
        run_doctor(prune=True, fix=True)
    run_doctor(prune=True, fix=True)
    assert not folder.exists()
    with pytest.raises(MlflowException):
        api.get_logged_model(first)
    assert resolve.resolve(f"models:/{third}").model_id == third
    assert retention.plan() == []
    assert not [f for f in doctor.examine(store, tmp_cache) if f.grave]


def test_after_a_run_was_deleted_for_good_all_readers_agree(store: str, tmp_cache: Path, log, capsys):
    api = MlflowClient(store)
    hop, texts = None, []
    for value in (21.0, 22.0, 23.0):
        texts.append(f"byol@{'photos' if hop is None else 'acdc'}:1")
        with session.open_run("pretrain") as run:
            run.tags({names.TAG_METHOD: "byol", names.TAG_DATASET: texts[-1][5:-2], names.TAG_LINEAGE: " > ".join(texts),
                      names.TAG_UPSTREAM_RUN: hop.run_id if hop else "scratch"})  # fmt: skip
            if hop:
                run.tags({names.TAG_UPSTREAM_MODEL: hop.model_id, names.TAG_UPSTREAM_SHA: hop.sha256})
            log(run, value, epoch=1, step=3, dataset=texts[-1][5:-2], lineage=" > ".join(texts))
        hop, before = resolve.resolve(run.id), hop
    whole = lineage.text(lineage.of_model(hop.run_id))
    assert whole == "byol@photos:1 > byol@acdc:1 > byol@acdc:1"
    api.delete_run(before.run_id)  # and can be restored
    assert f"run {before.run_id}" not in faults_of(store, tmp_cache)
    with sqlite3.connect(store.removeprefix("sqlite:///")) as connection:  # as `mlflow gc` does
        for table in ("tags", "params", "metrics", "latest_metrics", "runs"):
            connection.execute(f"delete from {table} where run_uuid = ?", (before.run_id,))
    connection.close()
    assert lineage.text(lineage.of_model(hop.run_id)) == whole
    assert [check.ok for check in stored.verify(lineage.of_model(hop.run_id))] == [True, True]
    assert lineage.text(lineage.of_model(f"models:/{before.model_id}")) == "byol@photos:1 > byol@acdc:1"
    left = f"deleted for good, and of its models there is still models:/{before.model_id}"
    with pytest.raises(names.EncoderError, match=left):
        resolve.resolve(before.run_id)
    found = faults_of(store, tmp_cache)[f"run {before.run_id}"]
    assert not found.grave
    assert f"1 runs started from it, and of its models there is models:/{before.model_id}" in found.fault
    shown.run(Namespace(encoder=hop.run_id, epoch=None, role="target", kind="encoder"))
    assert "unchanged; the run was deleted for good" in capsys.readouterr().out
    api.delete_logged_model(before.model_id)  # and now nothing of it is left but words
    assert lineage.text(lineage.of_model(hop.run_id)) == whole
    assert [check.actual for check in stored.verify(lineage.of_model(hop.run_id))][0] == ""
