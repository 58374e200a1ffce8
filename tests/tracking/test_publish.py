"""A study for others: no weights, no places, and the same tables come out of it."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from analysis import __main__
from analysis.page import show
from sslseg.config import names
from sslseg.config.names import SslsegError
from sslseg.tracking import session
from sslseg.tracking.capsule import publish
from sslseg.tracking.registry import resolve
from tests.fixtures.planted import plant
from tests.fixtures.planted_study import make

FOLDER = "/srv/private/hearts"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("/data/acdc/training", "…/training"),
        (f"error in {FOLDER}/x.nii.gz: cut short", "error in …/x.nii.gz: cut short"),
        ("file:///srv/mlruns/0", "file://…/0"),
        ("sqlite:////srv/a/mlflow.db", "sqlite:///…/mlflow.db"),
        (f'{{"cache": "{FOLDER}/c", "n": 3}}', '{"cache": "…/c", "n": 3}'),
        ("models:/encoder/3", "models:/encoder/3"),
        ("runs:/0123/encoder", "runs:/0123/encoder"),
        ("test/iou/RV", "test/iou/RV"),
        ("IoU 3/4/5 and </b>", "IoU 3/4/5 and </b>"),
    ],
)
def test_paths_lose_their_folders(text: str, wanted: str) -> None:
    assert publish.without_paths(text) == wanted


@pytest.fixture
def packed(store: str, model_folder: Callable[..., Path], tmp_path: Path) -> Path:
    if not MlflowClient(store).search_runs(["0"], max_results=1):  # the store is the module's
        plant(store, make(("scratch", "byol@target"), (3, 30, 100, 300), 3))
    with session.open_run("sweep") as run:
        run.params({"data_root": FOLDER, "cache": f"{FOLDER}/.sslseg"})
        run.text(json.dumps([]), names.CELLS)
        run.text("secret", "image.png")
        run.input_dataset("acdc", "ab", FOLDER, "sweep")
        resolve.log_encoder(run, model_folder(1.0), name="e", role="target", method="byol", dataset="acdc",
                             lineage="byol@acdc", card=f"from {FOLDER}/x", epoch=1)  # fmt: skip
    publish.publish("0", tmp_path / "committed.tar.gz", store)
    return tmp_path / "committed.tar.gz"


def test_nothing_of_people_places_weights_or_images_is_in_it(packed: Path) -> None:
    with tarfile.open(packed) as tar:
        members = tar.getnames()
        text = json.dumps(json.load(tar.extractfile("store.json")), ensure_ascii=False)
    assert {Path(m).name for m in members[1:]} == {names.CELLS}
    assert "private" not in text
    assert str(packed.parent) not in text
    assert names.TAG_PROCESS not in text
    assert "…/hearts" in text


def test_shown_from_it_every_table_is_as_committed(packed: Path, store: str, tmp_path: Path, capsys) -> None:
    committed = tmp_path / "committed"
    assert __main__.main(["--out", str(committed), "--dataset", "acdc"]) == 0
    packed.rename(committed / show.STUDY)
    where = ["--committed", str(committed), "--folder", str(tmp_path / "s"), "--out", str(tmp_path / "o")]
    assert show.main(where) == 0
    assert f"{len(show.compared(committed))} of {len(show.compared(committed))}" in capsys.readouterr().out
    assert len(show.compared(committed)) >= 8
    (committed / "fig4.csv").write_text("else")
    assert show.main(where) == 1
    assert "not as committed: fig4.csv" in capsys.readouterr().err


def test_nothing_to_show_is_one_sentence(tmp_path: Path, capsys) -> None:
    assert show.main(["--committed", str(tmp_path)]) == 1
    assert "there is no such file" in capsys.readouterr().err


def test_a_server_has_no_rows(tmp_path: Path) -> None:
    with pytest.raises(SslsegError, match="the database itself"):
        publish.publish("0", tmp_path / "x", "http://127.0.0.1:1")
