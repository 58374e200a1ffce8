"""The frames that the store becomes: equal through SQL, through a server and through the public client."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from pandas.testing import assert_frame_equal

from sslseg.config import names
from sslseg.tracking import session
from sslseg.tracking.history import frames, http, records, sql
from sslseg.tracking.history.records import as_logged, label_of
from sslseg.tracking.history.sql import UnreadableError
from tests.fixtures.planted import Planted, plant, run_id_of

CURVE = [(0, 0.1), (10, 0.3), (20, math.nan), (30, math.inf), (40, -math.inf), (10, 0.35), (50, 1e300)]


@pytest.fixture(scope="module")
def filled(store: str) -> str:
    """A store with a resumed run, NaN and ±inf, and one run for each reason to be left out."""
    api = MlflowClient(store)
    run = api.create_run("0", run_name="by client").info.run_id
    rows = [Metric("val/iou", v, 1000 + i, step) for i, (step, v) in enumerate(CURVE)]
    rows += [Metric("train/loss", 2.0 - step / 100, 5000, step) for step in range(100)]
    texts = {"lr": "1e-3", "crop_scale": "0.08,1.0", "budget": "", "slices": "30", "patients": "12",
             "verify": "false", "seed": "3", "tau": "0.99"}  # fmt: skip
    tags = {names.TAG_STAGE: "finetune", names.TAG_PIPELINE: "byol@natural+byol@target",
            names.TAG_LINEAGE: "byol@photos > byol@acdc:25 > supervised@acdc"}  # fmt: skip
    api.log_batch(run, metrics=rows, params=[Param(names.CFG + k, v) for k, v in texts.items()],
                  tags=[RunTag(k, v) for k, v in tags.items()])  # fmt: skip
    api.set_terminated(run)
    plant(store, [
        Planted("planted", {names.TAG_STAGE: "pretrain", names.TAG_COLLAPSED: "true"}, {"steps": "60"},
                {"val/iou": CURVE}, start=1_600_000_000_000),
        Planted("pointer", {names.TAG_RESUMED_AS: run}),
        Planted("failed", status="FAILED"),
        Planted("running", status="RUNNING"),
        Planted("deleted", stage="deleted"),
    ])  # fmt: skip
    return store


def test_what_is_stored_last_is_read_under_its_own_name(store: str) -> None:
    """Of a run of today, and of a store from before there were two names."""
    keys = ["test/iou", "test/iou/LV", f"{names.TEST_PATIENTS}/iou"]
    with session.open_run(names.PREDICT) as run:
        run.log(dict.fromkeys(keys, 0.25), 3)
    before = {key: [(3, 0.25)] for key in keys}
    plant(store, [Planted("before", {names.TAG_STAGE: names.PREDICT}, {}, before)])
    api = MlflowClient(store)
    assert [key for key in api.get_run(run.id).data.metrics if key in keys] == ["test/iou"]
    found = frames.runs(uri=store)
    both = found[found["stage"] == names.PREDICT]
    assert both[keys].to_numpy().tolist() == [[0.25] * 3] * 2
    points = frames.curves(both["run_id"], keys, store)
    assert points["key"].tolist() == [*sorted(keys)] * 2
    for run_id in both["run_id"]:
        api.delete_run(run_id)


def test_one_row_per_finished_run(filled: str) -> None:
    found = frames.runs(uri=filled).set_index("name")
    assert list(found.index) == ["planted", "by client"]  # oldest first
    assert found["collapsed"].tolist() == [True, False]
    row = found.loc["by client"]
    assert (row["cfg.lr"], row["cfg.crop_scale"], row["cfg.verify"]) == (1e-3, (0.08, 1.0), False)
    assert row["cfg.tau"] == 0.99  # a method's own knob, typed by its looks
    assert (row["budget"], row["unit"], row["patients"], row["seed"]) == (30, "slice", 12, 3)
    assert (row["label"], row["encoder_epoch"]) == ("byol@photos+byol@acdc", 25)
    assert row["val/iou"] == 1e300  # the latest by step
    assert row["train/loss"] == pytest.approx(1.01)


def test_curves_keep_the_later_value_of_a_step_and_restore_infinities(filled: str) -> None:
    found = frames.curves([run_id_of("planted")], ["val/iou"], uri=filled)
    assert found["step"].tolist() == [0, 10, 20, 30, 40, 50]
    np.testing.assert_array_equal(found["value"], [0.1, 0.35, math.nan, math.inf, -math.inf, 1e300])


def test_sql_and_the_public_client_give_the_same_frames(filled: str, monkeypatch) -> None:
    ids, keys = frames.runs(uri=filled)["run_id"], ["val/iou", "train/loss", "absent"]
    fast_runs, fast_curves = frames.runs(uri=filled), frames.curves(ids, keys, uri=filled)
    assert len(fast_curves) == 6 + 6 + 100
    monkeypatch.setattr(sql, "SCHEMAS", ("another MLflow",))
    with pytest.raises(UnreadableError):
        sql.points(filled, list(ids), keys)
    assert_frame_equal(frames.runs(uri=filled), fast_runs)
    assert_frame_equal(frames.curves(ids, keys, uri=filled), fast_curves)


def test_bulk_answers_that_are_full_are_asked_for_in_halves(monkeypatch) -> None:
    asked = []

    def get(uri: str, run_ids: list[str], key: str) -> list[dict]:
        asked.append(len(run_ids))
        rows = [{"run_id": r, "step": s, "timestamp": 1, "value": "NaN"} for r in run_ids for s in range(4)]
        return rows[: http.MOST_ROWS]  # silently cut, as the server does

    monkeypatch.setattr(http, "MOST_ROWS", 12)
    monkeypatch.setattr(http, "_get", get)
    found = http.points("http://x", [str(i) for i in range(7)], ["k"])
    assert len(found) == 28
    assert asked == [7, 3, 1, 2, 4, 2, 2]
    assert found["value"].isna().all()
    monkeypatch.setattr(http, "MOST_ROWS", 4)
    with pytest.raises(UnreadableError, match="4 or more"):
        http.points("http://x", ["a"], ["k"])


def test_cells_of_a_sweep_come_from_its_table_then_from_tags(filled: str) -> None:
    api = MlflowClient(filled)
    sweep = api.create_run("0").info.run_id
    tag = {names.TAG_SWEEP: sweep}
    plant(filled, [Planted("own cell", tag, start=1), Planted("own failed", tag, status="FAILED")])
    assert frames.runs(sweep=sweep, uri=filled)["name"].tolist() == ["own cell"]
    ids = [run_id_of("own cell"), run_id_of("planted"), None]
    api.log_text(sweep, json.dumps([{"cell": str(i), "run_id": r} for i, r in enumerate(ids)]), names.CELLS)
    assert frames.runs(sweep=sweep, uri=filled)["name"].tolist() == ["own cell", "planted"]
    with pytest.raises(names.SslsegError, match="sweep"):
        frames.runs(sweep="0" * 32, uri=filled)


def test_an_upstream_that_is_gone_hides_no_other(store: str) -> None:
    api = MlflowClient(store)
    there = {"root": ["", "0"], "child": ["root", "0"]}
    place = api.create_experiment("downstream")
    there |= {"of child": ["child", place], "of gone": ["gone", place]}
    for name, (upstream, experiment) in there.items():
        tags = {names.TAG_UPSTREAM_RUN: run_id_of(upstream) if upstream else names.SCRATCH}
        plant(store, [Planted(name, tags)], int(experiment))
    found = frames.runs("downstream", uri=store, upstream=True)
    assert set(found["name"]) == set(there)
    for run_id in found["run_id"]:
        api.delete_run(run_id)


def test_experiments_by_name_or_id(filled: str) -> None:
    assert len(frames.runs("Default", uri=filled)) == len(frames.runs("0", uri=filled))
    with pytest.raises(names.SslsegError, match="Default"):
        frames.runs("no such", uri=filled)


def test_absent_and_empty_stores(tmp_path, store: str) -> None:
    with pytest.raises(names.SslsegError, match="no tracking store"):
        frames.runs(uri=f"sqlite:///{tmp_path}/none.db")
    assert not (tmp_path / "none.db").exists()
    empty = frames.curves([], ["val/iou"], uri=store)
    assert (list(empty), len(empty)) == (["run_id", "key", "step", "value"], 0)


def test_labels_and_numbers() -> None:
    assert label_of("supervised@acdc", "finetune") == label_of("", "finetune") == "scratch"
    assert label_of("byol@x > supervised@acdc", "finetune", "byol@x+mean_teacher") == "byol@x+mean_teacher"
    assert label_of("byol@photos:3 > byol@acdc:25", "pretrain") == "byol@photos+byol@acdc"
    assert as_logged(-1.7976931348623157e308) == -math.inf
    assert math.isnan(as_logged(0.0, True))
    assert pd.isna(as_logged(math.nan))


def test_curves_are_cached_until_the_run_changes(filled: str, tmp_path, monkeypatch) -> None:
    ids, keys = sorted(frames.runs(uri=filled)["run_id"]), ["val/iou", "train/loss"]
    asked: list[list[str]] = []
    points = sql.points

    def counted(uri: str, run_ids, wanted) -> pd.DataFrame:
        asked.append(list(run_ids))
        return points(uri, run_ids, wanted)

    monkeypatch.setattr(sql, "points", counted)
    expected = frames.curves(ids, keys, uri=filled)

    def cached(wanted=keys) -> pd.DataFrame:
        asked.clear()
        return frames.curves(ids, wanted, uri=filled, cache=tmp_path)

    assert_frame_equal(cached(), expected)
    assert asked == [ids]
    assert_frame_equal(cached(), expected)
    assert asked == []
    assert_frame_equal(cached(keys[:1]), expected[expected["key"] == "val/iou"].reset_index(drop=True))
    assert asked == []
    run = next(i for i in ids if i != run_id_of("planted") and i != run_id_of("own cell"))
    MlflowClient(filled).log_metric(run, "val/iou", 0.5, step=60)  # after its end
    assert 0.5 in set(cached()["value"])
    assert asked == [[run]]
    next(tmp_path.glob("*.parquet")).write_bytes(b"torn")
    assert_frame_equal(cached(), frames.curves(ids, keys, uri=filled))


def test_artifacts_come_or_are_none(filled: str, tmp_path) -> None:
    api = MlflowClient(filled)
    run = api.create_run("0").info.run_id
    api.log_text(run, "x", "test/a.txt")
    assert frames.artifact(run, "test/a.txt", tmp_path, filled).read_text() == "x"
    assert frames.artifact(run, "test/b.txt", tmp_path, filled) is None
    assert frames.artifact(run, "b.txt", tmp_path, filled) is None


def test_a_lineage_tag_that_was_changed_by_hand_is_told():
    """Epochs and a decoder that is handed on are of the way between two runs; all else was the same text once."""
    rows = [
        ("imported", "import_encoder", "scratch", "supervised", "supervised", "imagenet"),
        ("masked", "pretrain", "imported", "supervised > masked@acdc", "masked", "acdc"),
        ("fine", "finetune", "masked", "supervised > masked@acdc+decoder:25 > supervised@acdc", "", "acdc"),
        ("older", "finetune", "masked", "supervised > masked-acdc@25 > supervised-acdc", "", "acdc"),
        ("public", "finetune", "masked", "…", "", "acdc"),
        ("probed", "probe", "masked", "supervised > masked@acdc", "", "acdc"),
        ("alone", "finetune", "gone", "dino@acdc > supervised@acdc", "", "acdc"),
        ("plain", "finetune", "scratch", "phantom", "", "phantom"),
        ("edited", "finetune", "masked", "supervised > byol@acdc:25 > supervised@acdc", "", "acdc"),
        ("no scratch", "finetune", "scratch", "byol@acdc > supervised@acdc", "", "acdc"),
        ("other data", "pretrain", "scratch", "byol@acdc", "byol", "photos"),
        ("other method", "pretrain", "scratch", "byol@acdc", "simclr", "acdc"),
    ]
    runs = pd.DataFrame(rows, columns=["run_id", "stage", "upstream_run_id", "lineage", "method", "dataset"])
    said = records.contradicted(runs)
    assert [sentence.partition(":")[0] for sentence in said] == [f"run {row[0]}" for row in rows[-4:]]
    assert said[0].startswith(
        "run edited: its tag sslseg.lineage says 'supervised > byol@acdc:25 > supervised@acdc'; by its method and its data, "
        "and by the tag of its upstream (masked), it is 'supervised > masked@acdc > supervised@acdc'."
    )
    assert records.contradicted(runs[:-4]) == []


def test_the_pipeline_of_a_fine_tuning_is_its_parameter_which_nobody_can_change():
    tags = {names.TAG_STAGE: "finetune", names.TAG_PIPELINE: "scratch", names.TAG_DATASET: "acdc"}
    edited = records.Record("a", "0", "", 0, 1, {names.BY_PIPELINE: "byol@target"}, tags)
    older, above = (
        replace(edited, run_id="b", params={}),
        replace(edited, run_id="c", tags={names.TAG_STAGE: "pretrain"}),
    )
    assert list(records.frame([edited, older, above])["pipeline"]) == ["byol@target", "scratch", ""]
    counted = {"cfg.budget_unit": "patient", "cfg.slices": "30", "cfg.patients": "5", "cfg.own": "a word"}
    (row,) = records.frame([replace(edited, params=counted)]).to_dict("records")
    assert [row[key] for key in ("budget", "unit", "slices", "cfg.own")] == [5, "patient", 30, "a word"]
    leaking = replace(edited, metrics={"leak/patients": 2.0})  # whose tag was deleted
    assert list(records.frame([edited, replace(leaking, run_id="b")])["transductive"]) == [False, True]
