"""Logging and registering a model: whole and once, whatever call is the last, and under a name that MLflow takes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mlflow import MlflowClient

from sslseg.config import names
from sslseg.config.names import EncoderError
from sslseg.tracking import session
from sslseg.tracking.registry import resolve
from tests.fixtures.registered import weight_of


@pytest.mark.parametrize(
    ("lineage", "alias"),
    [
        ("supervised > byol@acdc:25", "supervised--byol-acdc"),
        ("supervised-imagenet > byol-acdc@25", "supervised-imagenet--byol-acdc"),
        ("byol@photos:5 > byol@acdc:25", "byol-photos-5--byol-acdc"),
        ("supervised+byol@target", "supervised--byol-target"),
        ("latest", "latest-"),
        ("v3", "v3-"),
        ("", "unknown"),
    ],
)
def test_aliases_are_ones_that_mlflow_takes(lineage: str, alias: str):
    from mlflow.utils.validation import _validate_model_alias_name, _validate_model_alias_name_reserved

    assert resolve.alias_of(lineage) == alias
    _validate_model_alias_name(alias)
    _validate_model_alias_name_reserved(alias)


def test_an_alias_that_leaves_a_model_of_other_data_says_where_that_is(store: str, log, capsys):
    def made(digest: str, value: float) -> str:
        with session.open_run("pretrain") as run:
            run.tag(names.TAG_DATA_DIGEST, digest)
            log(run, value, name="encoder-moved", alias="byol-images-data")
        return run.id

    first = made("one", 501.0)
    made("one", 502.0)
    assert "warning" not in capsys.readouterr().out
    made("other", 503.0)
    said = capsys.readouterr().out
    assert "models:/encoder-moved@byol-images-data is version 3 now; it was version 2" in said
    assert "models:/encoder-moved/2 names it still" in said
    assert resolve.resolve("models:/encoder-moved/1").run_id == first


def test_wrong_digest_or_folder_is_refused_before_anything_is_logged(store: str, log, tmp_path: Path):
    with session.open_run("pretrain") as run:
        with pytest.raises(EncoderError, match="wanted sha256 abc"):
            log(run, 1.0, sha256="abc")
        with pytest.raises(EncoderError, match=r"no model\.safetensors"):
            resolve.log_encoder(
                run, tmp_path / "no", name="n", role="r", method="m", dataset="d", lineage="l"
            )
    outputs = MlflowClient(store).get_run(run.id).outputs
    assert not (outputs and outputs.model_outputs)


CALLS = (
    "create_logged_model", "log_model_artifacts", "finalize_logged_model", "log_outputs",
    "create_registered_model", "create_model_version", "set_registered_model_alias", "set_logged_model_tags",
)  # fmt: skip


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", CALLS)
def test_killed_in_the_middle_of_registering(store: str, log, monkeypatch, call: str, after: bool):
    """Whatever call of MLflow is the last: done again, there is one whole model, version and alias."""
    real, name = getattr(MlflowClient, call), f"encoder-{call}-{after}"
    api = MlflowClient(store)

    def die(self, *given, **rest):
        if after:
            real(self, *given, **rest)
        raise SystemExit(9)  # like SIGKILL: what comes next in this process does not happen

    with session.open_run("pretrain") as run:
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, call, die)
            if call != "finalize_logged_model":
                patch.setattr(MlflowClient, "finalize_logged_model", _unless_failed)
            with pytest.raises(SystemExit):
                log(run, 1.0, epoch=1, step=1, name=name)
        half = api.search_registered_models(f"name = '{name}'")
        versions = [v for r in half for v in api.search_model_versions(f"name = '{r.name}'")]
        for version in versions:  # nothing is registered that is not whole
            assert api.get_logged_model(version.source.removeprefix("models:/")).status == "READY"
        made = log(run, 1.0, epoch=1, step=1, name=name)
    [version] = api.search_model_versions(f"name = '{name}'")
    assert version.source == f"models:/{made}"
    assert api.get_model_version_by_alias(name, "byol-photos").version == version.version
    assert f'"version": "{version.version}"' in api.get_logged_model(made).tags["mlflow.modelVersions"]
    outputs = [m.model_id for m in api.get_run(run.id).outputs.model_outputs]
    assert outputs == [made]
    assert weight_of(resolve.resolve(f"models:/{name}@byol-photos")) == 1.0


def _unless_failed(self, model_id: str, status):
    """A killed process does not mark its model FAILED either."""
    if status != "FAILED":
        return FINALIZE(self, model_id, status)
    return None


FINALIZE = MlflowClient.finalize_logged_model


@pytest.mark.parametrize("number", [28, 30], ids=["full", "read-only"])
def test_no_room_for_the_artifacts(store: str, log, monkeypatch, number: int):
    seen = []

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    def stage() -> None:
        with session.open_run("pretrain") as run:
            seen.append(run.id)
            log(run, 1.0, epoch=1, step=1, name=f"encoder-{number}")

    monkeypatch.setattr(MlflowClient, "log_model_artifacts", refuse)
    with pytest.raises(OSError, match="No space|Read-only"):
        stage()
    api = MlflowClient(store)
    assert api.get_run(seen[0]).info.status == "FAILED"
    assert os.strerror(number) in api.get_run(seen[0]).data.tags[names.TAG_REASON]
    assert api.search_registered_models(f"name = 'encoder-{number}'") == []
    [model] = api.search_logged_models(["0"], f"source_run_id = '{seen[0]}'")
    assert model.status == "FAILED"


@pytest.mark.parametrize("kept", [0, 40, None], ids=["empty", "short", "absent"])
def test_an_upload_that_is_cut_without_an_error(store: str, log, monkeypatch, kept: int | None):
    """Nothing is registered of it; done again whole, it is."""
    real, name = MlflowClient.log_model_artifacts, f"encoder-cut-{kept}"

    def cut(self, model_id: str, place: str):
        weights = Path(place) / "model.safetensors"
        whole = weights.read_bytes()
        weights.write_bytes(whole[:kept]) if kept is not None else weights.unlink()
        real(self, model_id, place)
        weights.write_bytes(whole)

    with session.open_run("pretrain") as run:
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, "log_model_artifacts", cut)
            with pytest.raises(
                names.EncoderError, match=rf"model.safetensors was stored with {kept} of its \d+ bytes"
            ):
                log(run, 1.0, epoch=1, step=1, name=name)
        api = MlflowClient(store)
        assert api.search_registered_models(f"name = '{name}'") == []
        [model] = api.search_logged_models(["0"], f"source_run_id = '{run.id}'")
        assert model.status == "FAILED"
        log(run, 1.0, epoch=1, step=1, name=name)
    assert weight_of(resolve.resolve(f"models:/{name}@byol-photos")) == 1.0
