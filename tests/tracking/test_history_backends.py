"""One content, four ways to read it: SQL on SQLite, SQL on PostgreSQL, `mlflow server`, the public client."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import sqlalchemy
from mlflow import MlflowClient
from mlflow.entities import Metric
from pandas.testing import assert_frame_equal

from sslseg.config import names
from sslseg.tracking.history import frames, http
from sslseg.tracking.history import sql as history_sql
from sslseg.tracking.history.sql import UnreadableError
from sslseg.tracking.store import sqlite_path
from tests.fixtures.planted import Planted, plant, run_id_of

KEYS = ["val/iou", "train/loss", "odd key: a.b-c", "absent"]
RESUMED = [(0, 0.1), (10, 0.3), (20, 0.4), (10, 0.35), (20, math.nan), (30, 0.5), (30, 0.5)]
ENDLESS = [(0, math.inf), (1, -math.inf), (2, math.nan), (3, 1e300), (4, -1e-300), (5, 0.1 + 0.2)]
TABLES = ("runs", "params", "tags", "metrics", "latest_metrics")
WAYS = ("sqlite", "postgresql", "server", "client on server", "client on sqlite")


@dataclass(frozen=True)
class Filled:
    """Addresses of the same runs, and the experiment that they are in there."""

    places: dict[str, tuple[str, str]]  # way -> (URI, experiment ID)


@pytest.fixture(scope="module")
def filled(store: str, team_as: Callable[[str], None], team_server) -> Filled:
    team_as("admin")
    plant(store, [
        Planted("resumed", {names.TAG_STAGE: "finetune", names.TAG_PIPELINE: "scratch"},
                {"lr": "1e-3", "crop_scale": "0.08,1.0", "seed": "3", "budget": "", "slices": "7"},
                {"val/iou": RESUMED, "train/loss": [(s, 1 / (1 + s)) for s in range(300)]}, start=5),
        Planted("endless", {names.TAG_STAGE: "pretrain", "note": "ü ' \" % \\ \n <b>"}, {"text": "a'b%s:x"},
                {"odd key: a.b-c": ENDLESS, "val/iou": [(0, math.nan)], "train/loss": [(0, -math.inf)]}),
        Planted("nothing logged", start=9),
        Planted("pointer", {names.TAG_RESUMED_AS: run_id_of("resumed")}),
        Planted("failed", status="FAILED"), Planted("running", status="RUNNING"),
        Planted("deleted", stage="deleted"),
    ])  # fmt: skip
    experiment = MlflowClient(team_server.uri).create_experiment("readers")
    _copy(store, team_server.database, int(experiment))
    here, there = (store, "0"), (team_server.uri, experiment)
    sql = (team_server.database, experiment)
    return Filled(dict(zip(WAYS, (here, sql, there, there, here), strict=True)))


def _copy(source: str, target: str, experiment: int) -> None:
    """Rows of the runs, as they are, into another database."""
    held = sqlalchemy.MetaData()
    engine = sqlalchemy.create_engine(target)
    with sqlite3.connect(sqlite_path(source)) as old, engine.begin() as new:
        old.row_factory = sqlite3.Row
        held.reflect(new, only=TABLES)
        for name in TABLES:
            rows = [dict(row) for row in old.execute(f"select * from {name}")]
            for row in rows:
                row |= {"experiment_id": experiment} if name == "runs" else {}
                row |= {"is_nan": bool(row["is_nan"])} if "is_nan" in row else {}
            new.execute(sqlalchemy.insert(held.tables[name]), rows)
    old.close()
    engine.dispose()


@pytest.fixture
def read(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[pd.DataFrame, ...]]:
    """(runs, curves) in one of the ways; the others' doors are shut, so that none of them stands in."""

    def refuse(*_: object) -> None:
        raise UnreadableError("shut by the test")

    def never(*_: object) -> None:
        raise AssertionError("the slow way was taken")

    def both(way: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        uri, experiment = filled.places[way]
        with monkeypatch.context() as patch:
            if way.startswith("client"):
                patch.setattr(history_sql, "_connect", refuse)
                patch.setattr(http, "_get", refuse)
            else:
                patch.setattr(frames, "_points_by_client", never)
            runs = frames.runs(experiment, uri=uri)
            curves = frames.curves(runs["run_id"], KEYS, uri=uri)
        assert set(runs["experiment_id"]) == {experiment}
        return runs.drop(columns="experiment_id"), curves

    return both


@pytest.mark.parametrize("way", WAYS[1:])
def test_every_way_gives_the_frames_of_sqlite(way: str, read) -> None:
    runs, curves = read("sqlite")
    assert runs["name"].tolist() == ["resumed", "nothing logged", "endless"]
    other_runs, other_curves = read(way)
    assert_frame_equal(other_runs, runs, check_exact=True)
    assert_frame_equal(other_curves, curves, check_exact=True)


def test_and_these_are_what_was_logged(read) -> None:
    runs, curves = read("server")
    values = dict(list(curves.groupby(["run_id", "key"])))
    resumed = values[run_id_of("resumed"), "val/iou"]
    assert resumed["step"].tolist() == [0, 10, 20, 30]
    np.testing.assert_array_equal(resumed["value"], [0.1, 0.35, math.nan, 0.5])
    np.testing.assert_array_equal(values[run_id_of("endless"), KEYS[2]]["value"], [v for _, v in ENDLESS])
    assert len(curves) == 4 + 300 + len(ENDLESS) + 1 + 1
    assert runs.set_index("name").loc["endless", "train/loss"] == -math.inf


def test_a_server_keeps_numbers_as_a_file_does(filled: Filled, store: str, team_server) -> None:
    """Logged through the interface rather than planted: duplicates, NaN and both infinities."""
    found = []
    for uri, experiment in (filled.places["sqlite"], filled.places["server"]):
        api = MlflowClient(uri)
        run = api.create_run(experiment, run_name="logged").info.run_id
        points = [Metric("val/iou", v, 1000 + i, s) for i, (s, v) in enumerate([*ENDLESS, *RESUMED])]
        api.log_batch(run, metrics=points)
        api.set_terminated(run)
        curves = [frames.curves([run], ["val/iou"], uri=uri)]
        if uri == team_server.uri:
            curves.append(frames.curves([run], ["val/iou"], uri=team_server.database))
        found += [frame.drop(columns="run_id") for frame in curves]
        api.delete_run(run)
    assert_frame_equal(found[1], found[0], check_exact=True)
    assert_frame_equal(found[2], found[0], check_exact=True)


def test_more_runs_than_one_bulk_answer_takes(filled: Filled, team_server, monkeypatch) -> None:
    uri, experiment = filled.places["server"]
    ids = frames.runs(experiment, uri=uri)["run_id"]
    whole = frames.curves(ids, KEYS, uri=uri)
    monkeypatch.setattr(http, "MOST_RUNS", 2)
    assert_frame_equal(frames.curves(ids, KEYS, uri=uri), whole)
    monkeypatch.setattr(http, "MOST_ROWS", 250)  # one run has more: the client is asked
    assert_frame_equal(frames.curves(ids, KEYS, uri=uri), whole)
