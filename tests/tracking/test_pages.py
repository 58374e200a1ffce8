"""MLflow answers a search in pages of 100 or 1,000; nothing of this project stops at the first one."""

from __future__ import annotations

import sqlite3
from argparse import Namespace
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient

from sslseg.commands import encoders
from sslseg.config import names
from sslseg.tracking import client, session
from sslseg.tracking import store as stores
from sslseg.tracking.history import frames
from sslseg.tracking.registry import logged, resolve
from sslseg.tracking.upkeep import doctor, retention
from tests.fixtures.planted import Planted, plant, run_id_of

MODELS, EXPERIMENTS = 101, 1001
TABLES = {
    "registered_models": "name, creation_time, last_updated_time",
    "registered_model_tags": "key, value, name",
    "model_versions": "name, version, creation_time, last_updated_time, current_stage, source, run_id, status",
    "registered_model_aliases": "alias, version, name",
    "logged_models": "model_id, experiment_id, name, artifact_location, creation_timestamp_ms, "
    "last_updated_timestamp_ms, status, lifecycle_stage, source_run_id",
    "logged_model_tags": "model_id, experiment_id, tag_key, tag_value",
    "experiments": "experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time",
}


def _insert(uri: str, table: str, rows: list[tuple]) -> None:
    connection = sqlite3.connect(stores.sqlite_path(uri), timeout=20)
    with connection:
        marks = ", ".join("?" * len(rows[0]))
        connection.executemany(f"insert into {table} ({TABLES[table]}) values ({marks})", rows)
    connection.close()


@pytest.fixture(scope="module")
def crowded(store: str) -> str:
    """One run with 101 encoders by epoch, each registered under a name of its own; and 1,001 experiments."""
    numbers = range(1, MODELS + 1)
    plant(store, [Planted("pretraining", tags={names.TAG_STAGE: names.PRETRAIN})])
    run, models = run_id_of("pretraining"), {i: f"m-{i:032x}" for i in numbers}
    tags = {names.MODEL_KIND: names.KIND_ENCODER, names.MODEL_ROLE: names.ROLE_TARGET}
    _insert(
        store,
        "logged_models",
        [(m, 0, f"encoder-{i}", f"/gone/{m}", i, i, 2, "active", run) for i, m in models.items()],
    )
    _insert(
        store,
        "logged_model_tags",
        [(m, 0, k, v) for i, m in models.items() for k, v in {**tags, names.MODEL_STEP: str(i)}.items()],
    )
    _insert(store, "registered_models", [(f"encoder-{i:03d}", i, i) for i in numbers])
    _insert(
        store,
        "registered_model_tags",
        [(names.MODEL_KIND, names.KIND_ENCODER, f"encoder-{i:03d}") for i in numbers],
    )
    _insert(
        store,
        "model_versions",
        [(f"encoder-{i:03d}", 1, i, i, "None", f"models:/{m}", run, "READY") for i, m in models.items()],
    )
    _insert(
        store,
        "registered_model_aliases",
        [(f"best-{i}", 1, f"encoder-{i:03d}") for i in (1, MODELS - 1, MODELS)],
    )
    _insert(
        store, "experiments", [(i, f"study {i}", f"/gone/{i}", "active", i, i) for i in range(1, EXPERIMENTS)]
    )
    for i in (1, EXPERIMENTS - 1):
        plant(
            store,
            [
                Planted(
                    f"cell of {i}",
                    tags={names.TAG_IDENTITY: f"sha of {i}", names.TAG_UPSTREAM_MODEL: models[2]},
                )
            ],
            i,
        )
    return store


def test_mlflow_itself_answers_with_one_page(crowded: str) -> None:
    """Else the tests below could not fail."""
    api = MlflowClient(crowded)
    assert len(api.search_registered_models()) == MODELS - 1
    assert len(api.search_experiments()) == EXPERIMENTS - 1


def test_every_encoder_is_listed(crowded: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert [row["name"] for row in resolve.versions()] == [f"encoder-{i:03d}" for i in range(1, MODELS + 1)]
    encoders.run(Namespace(kind=names.KIND_ENCODER))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + MODELS
    assert sum("best-101" in line for line in lines) == 1


def test_an_encoder_that_an_alias_points_to_is_never_proposed(crowded: str) -> None:
    """Of 101: the last is kept, and what an alias points to (1, 100, 101) or a run started from (2)."""
    kept = {1, 2, MODELS - 1, MODELS}
    wanted = [f"m-{i:032x}" for i in range(1, MODELS + 1) if i not in kept]
    assert [found.model_id for found in retention.plan()] == wanted


def test_no_version_is_called_lost_and_no_model_unknown(crowded: str) -> None:
    models = logged.every(crowded)
    assert len(models) == MODELS
    assert list(doctor.lost_versions(crowded, models)) == []


@pytest.mark.parametrize("number", [1, EXPERIMENTS - 1])
def test_a_finished_cell_is_found_in_any_experiment(crowded: str, number: int) -> None:
    cell = run_id_of(f"cell of {number}")
    assert session.find(f"sha of {number}") == cell
    assert cell in set(frames.runs(uri=crowded)["run_id"])
    assert cell in {record.run_id for record in frames._records_by_client(crowded, None, None)}
    with pytest.raises(names.SslsegError, match=r"study 1,.*study 999"):
        frames.runs("no such experiment")


def test_a_search_waits_for_the_store_on_every_page() -> None:
    answers = [OSError("database is locked"), (["a"], "next"), OSError("database is locked"), (["b"], None)]
    asked = []

    def search_runs(places: list[str], page_token: str | None) -> list[str]:
        asked.append((places, page_token))
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        page = type("Page", (list,), {"token": answer[1]})
        return page(answer[0])

    api = client.Client(SimpleNamespace(search_runs=search_runs))
    assert api.search_runs(["0"]) == ["a", "b"]
    assert asked == [(["0"], None)] * 2 + [(["0"], "next")] * 2
    assert api.search_runs([]) == []  # an account may see no experiment at all; a server refuses the question
