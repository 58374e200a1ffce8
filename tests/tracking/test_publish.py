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
from sslseg.config import flags, names, params
from sslseg.config.names import ParamError, SslsegError
from sslseg.tracking import session
from sslseg.tracking.capsule import pack, publish
from sslseg.tracking.registry import resolve
from sslseg.tracking.upkeep import doctor
from tests.fixtures.planted import plant
from tests.fixtures.planted_study import make

FOLDER = "/srv/private/hearts"


@pytest.mark.parametrize(
    ("text", "goes"),
    [
        ("byol@natural+byol@target/n=30/seed=2/epoch=6", True),
        ("byol@nat+tgt n30 s2 acdc", True),
        ("finetuned-encoder-resnet50", True),
        ("steps=10,batch_size=4", True),
        ("c874d2b1bb59f7715b919aaa84ea587a", True),
        ("0.08,1.0", True),
        (f"{FOLDER}/x.nii.gz", False),
        ("postgresql://ada:secret@db/x", False),
        ("C:\\Users\\Ada Lovelace\\scans", False),
        ("my folder with blanks", False),
        ("jane-doe-1970", False),
    ],
)
def test_only_words_of_the_project_go_out(text: str, goes: bool) -> None:
    assert publish.is_public(text) == goes


def test_nothing_planted_goes_out_whatever_the_field(store: str, packed: Path) -> None:
    """Each text of every row gets a secret, one after the other; no row that goes out holds one."""
    from sslseg.tracking.capsule import pack, rows

    with rows.connect(store) as (connection, tables, _):
        found = rows.read(connection, tables, pack.chosen("0", store)[0])
    planted = {"Doe Jane 1970", "/home/jane/doe", "jane.doe@clinic.org", "postgresql://jane:doe@db"}
    keys = {"key", "tag_key"}  # of what a program names, not a person
    fixed = {
        "run_uuid",
        "run_id",
        "source_run_id",
        "model_id",
        "source_id",
        "destination_id",
        "dataset_uuid",
        "input_uuid",
    }

    def soiled(row: dict, secret: str) -> dict:
        if row.get("tag_key") == publish.VERSIONS:
            return row
        return {k: secret if isinstance(v, str) and k not in keys | fixed else v for k, v in row.items()}

    for secret in planted:
        dirty = {table: [soiled(row, secret) for row in some] for table, some in found.items()}
        text = json.dumps(publish.public(dirty)).lower()
        assert "jane" not in text
        assert "doe" not in text


def test_aliases_of_persons_and_tags_of_other_programs_stay_behind() -> None:
    found = dict.fromkeys(publish.rows.CHOSEN_BY, [])
    found |= {
        "registered_models": [{"name": "encoder-resnet18"}, {"name": "jane"}],
        "registered_model_aliases": [
            {"name": "encoder-resnet18", "alias": "byol-demo", "version": 1}, {"name": "jane", "alias": "doe", "version": 1},
            {"name": "jane", "alias": "scratch", "version": 2},
        ],
        "params": [{"key": "sslseg.cfg.architecture", "value": "resnet18"}],
        "tags": [{"key": key, "value": "1"} for key in ("sslseg.seed", "mlflow.runName", "clinic.patient", names.TAG_REASON)],
    }  # fmt: skip
    public = publish.public(found)
    aliases = [(row["name"], row["alias"]) for row in public["registered_model_aliases"]]
    assert aliases == [("encoder-resnet18", "byol-demo"), ("model-1", "scratch")]
    assert [row["key"] for row in public["tags"]] == ["sslseg.seed", "mlflow.runName"]


def test_a_password_in_a_parameter_is_refused_before_it_is_logged() -> None:
    argv = ["--encoder", "scratch", "--dataset", "demo", "--storage", "postgresql://ada:secret@db/optuna"]
    with pytest.raises(ParamError, match="storage: holds a password") as error:
        flags.resolve(flags.parse(params.Tune, argv))
    assert "secret" not in str(error.value)
    flags.resolve(flags.parse(params.Tune, [*argv[:-1], "postgresql://db/optuna"]))


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
    pack.pack("0", tmp_path / "committed.tar.gz", store, public=True)
    return tmp_path / "committed.tar.gz"


def test_nothing_of_people_places_weights_or_images_is_in_it(packed: Path) -> None:
    with tarfile.open(packed) as tar:
        members = tar.getnames()
        text = json.dumps(json.load(tar.extractfile("store.json")), ensure_ascii=False)
    assert {Path(m).name for m in members[1:]} == {names.CELLS}
    assert "private" not in text
    assert str(packed.parent) not in text
    assert names.TAG_PROCESS not in text
    assert "hearts" not in text


def test_shown_from_it_every_table_is_as_committed(packed: Path, store: str, tmp_path: Path, capsys) -> None:
    committed = tmp_path / "committed"
    assert __main__.main(["--out", str(committed), "--dataset", "acdc"]) == 0
    packed.rename(committed / show.STUDY)
    where = ["--committed", str(committed), "--folder", str(tmp_path / "s"), "--out", str(tmp_path / "o")]
    assert show.main(where) == 0, capsys.readouterr()
    assert f"{len(show.compared(committed))} of {len(show.compared(committed))}" in capsys.readouterr().out
    assert len(show.compared(committed)) >= 8
    findings = list(doctor.examine(f"sqlite:///{tmp_path}/s/committed/mlflow.db", tmp_path))
    assert [found for found in findings if found.grave] == []
    assert "out of an archive without any of their files" in findings[0].fault
    (committed / "fig4.csv").write_text("else")
    assert show.main(where) == 1
    assert "not as committed: fig4.csv" in capsys.readouterr().err


def test_nothing_to_show_is_one_sentence(tmp_path: Path, capsys) -> None:
    assert show.main(["--committed", str(tmp_path)]) == 1
    assert "there is no such file" in capsys.readouterr().err


def test_a_server_has_no_rows(tmp_path: Path) -> None:
    with pytest.raises(SslsegError, match="the database itself"):
        pack.pack("0", tmp_path / "x", "http://127.0.0.1:1", public=True)
