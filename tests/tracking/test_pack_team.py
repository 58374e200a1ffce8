"""A study moves: file to PostgreSQL behind a server, server to file; the frames and the page go with it."""

from __future__ import annotations

import sqlite3
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

from analysis.page import make
from sslseg.commands import pack, unpack
from sslseg.config import params
from sslseg.config.names import SslsegError
from sslseg.tracking import session
from sslseg.tracking import store as stores
from sslseg.tracking.capsule import rows
from sslseg.tracking.history import frames
from sslseg.tracking.registry import resolve
from tests.fixtures import planted_study
from tests.fixtures.planted import Planted, plant

EXPERIMENT = "hearts"
PARTS = ("worth", "verdict", "advice", "claims", "scores", "fig4", "encoders", "runs")


@pytest.fixture(scope="module")
def study(store: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A planted study with learning curves, a resumed curve and NaN; and one real model with its files."""
    number = int(stores.ensure_experiment(EXPERIMENT, store))
    planted = planted_study.make(("scratch", "supervised"), (3, 15, 75), 2)
    strange = [(0, 1.0), (1, float("nan")), (2, float("inf")), (1, 0.5)]
    plant(store, [*planted, Planted("odd", metrics={"train/loss": strange})], number)
    folder = tmp_path_factory.mktemp("encoder")
    _write_model(folder)
    with session.open_run("pretrain", experiment_id=str(number)) as run:
        run.input_dataset("photos", "ab", "photos-ab", "pretrain")
        run.text("x", "notes/ü b.txt")
        resolve.log_encoder(
            run, folder, name="encoder-resnet18", role="target", method="byol", dataset="photos",
            lineage="byol@photos", card="# card", epoch=1, step=3,
        )  # fmt: skip
    return store


def _write_model(folder: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    save_file({"conv.weight": np.ones((2, 1), np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text('{"architecture": "resnet18", "sslseg": {}}')


def _frames(uri: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    runs = frames.runs(EXPERIMENT, uri=uri)
    return runs.drop(columns="experiment_id"), frames.curves(
        runs["run_id"], ["val/iou", "train/loss"], uri=uri
    )


def _page(folder: Path) -> dict[str, bytes]:
    """What `python -m analysis` writes, of the store that MLFLOW_TRACKING_URI names."""
    asked = params.Analyse(dataset="acdc", only=PARTS)
    return {p.name: p.read_bytes() for p in make.make(asked, folder, EXPERIMENT, say=lambda _: None)}


def test_there_and_back(
    study: str, team_server, team_as: Callable[[str], None], tmp_path: Path, monkeypatch, tmp_cache
) -> None:
    archive, again = tmp_path / "study.tar.gz", tmp_path / "again.tar.gz"
    pack.run(Namespace(study=EXPERIMENT, file=archive, public=False, artifacts=None))
    before, page = _frames(study), _page(tmp_path / "here")

    # the server's machine: the database by its address, the artifacts by their folder
    monkeypatch.setenv("MLFLOW_TRACKING_URI", team_server.database)
    unpack.run(Namespace(file=archive, artifacts=team_server.artifacts))
    unpack.run(Namespace(file=archive, artifacts=team_server.artifacts))  # nothing to add

    # any other: the server alone
    team_as("admin")
    for frame, expected in zip(_frames(team_server.uri), before, strict=True):
        pd.testing.assert_frame_equal(frame, expected, check_exact=True)
    found = resolve.resolve("models:/encoder-resnet18@byol-photos", cache=tmp_path / "cache")
    assert found.path.is_relative_to(tmp_path / "cache")
    other = MlflowClient().create_experiment("made after")  # the counter of IDs goes on
    assert int(other) > int(MlflowClient().get_experiment_by_name(EXPERIMENT).experiment_id)
    with pytest.raises(SslsegError, match="a server gives runs new IDs"):
        unpack.run(Namespace(file=archive, artifacts=None))
    with pytest.raises(
        SslsegError, match="^http: wanted the database itself.* a server does not hand out its rows"
    ):
        pack.run(Namespace(study=EXPERIMENT, file=again, public=False, artifacts=None))

    # the server's machine again
    monkeypatch.setenv("MLFLOW_TRACKING_URI", team_server.database)
    with pytest.raises(SslsegError, match="mlflow-artifacts:.* are not on this machine.*--artifacts names"):
        pack.run(Namespace(study=EXPERIMENT, file=again, public=False, artifacts=None))
    pack.run(Namespace(study=EXPERIMENT, file=again, public=False, artifacts=team_server.artifacts))

    # a third machine: a file again
    elsewhere = f"sqlite:///{tmp_path}/third/mlflow.db"
    (tmp_path / "third").mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", elsewhere)
    unpack.run(Namespace(file=again, artifacts=None))
    for frame, expected in zip(_frames(elsewhere), before, strict=True):
        pd.testing.assert_frame_equal(frame, expected, check_exact=True)
    for reference in (found.run_id, "models:/encoder-resnet18@byol-photos"):
        assert resolve.resolve(reference, uri=elsewhere).sha256 == found.sha256
    (run,) = session.search({"sslseg.stage": "pretrain", "sslseg.process": _owner(elsewhere)}, uri=elsewhere)
    inputs = [(i.dataset.name, i.dataset.source) for i in run.inputs.dataset_inputs]
    assert inputs == [("photos", "photos-ab")]
    assert MlflowClient(elsewhere).list_artifacts(run.info.run_id, "notes")[0].path == "notes/ü b.txt"
    assert _page(tmp_path / "there") == page
    team_as("admin")
    assert _page(tmp_path / "server") == page
    assert all(str(place).encode() not in text for text in page.values() for place in (tmp_path, Path.cwd()))


def _owner(uri: str) -> str:
    connection = sqlite3.connect(stores.sqlite_path(uri))
    (value,) = connection.execute("select value from tags where key = 'sslseg.process'").fetchone()
    connection.close()
    return value


def test_an_address_is_shown_without_its_password() -> None:
    uri = "postgresql+psycopg://mlflow:s3cret@127.0.0.1:5432/mlflow"
    assert stores.shown(uri) == "postgresql+psycopg://mlflow:***@127.0.0.1:5432/mlflow"
    assert stores.shown("sqlite:////a/b:c@d/m.db") == "sqlite:////a/b:c@d/m.db"
    with pytest.raises(SslsegError, match=r"^mysql: wanted") as caught, rows.connect("mysql://a:s3cret@b/c"):
        pass
    assert "s3cret" not in str(caught.value)
