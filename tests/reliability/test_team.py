"""PostgreSQL, `mlflow server`, passwords: for real, on loopback. Who may do what, and what they are told."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from sslseg.commands import encoders, pack
from sslseg.config import names
from sslseg.config.names import EncoderError, SslsegError
from sslseg.tracking import client, session
from sslseg.tracking.history import frames
from sslseg.tracking.registry import resolve
from team import accounts, refusals

READING = 9  # of the attempts, the first ones only read
OWN = {"start an experiment", "register a model"}  # MLflow lets every account that is not denied


@pytest.fixture(scope="module")
def prey(team_server, team_as: Callable[[str], None], tmp_path_factory) -> refusals.Prey:
    """A run and an encoder of a member's, made through the server."""
    accounts.add(team_server)
    team_as(accounts.MEMBER)
    folder = tmp_path_factory.mktemp("encoder")
    save_file({"conv.weight": np.ones((2, 1), np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text('{"architecture": "resnet18", "sslseg": {}}')
    with session.open_run("pretrain") as run:
        run.params({"steps": 4})
        run.log({"test/iou": 0.5}, 4)
        run.text("x", "a.txt")
        resolve.log_encoder(
            run, folder, name="encoder-team", role="target", method="byol", dataset="photos",
            lineage="byol@photos", card="# card", epoch=1, step=4,
        )  # fmt: skip
    return refusals.prey(team_server)


def test_who_may_not_read_register_or_delete(prey: refusals.Prey, team_server) -> None:
    assert set(refusals.answers(team_server, "", prey).values()) == {401}
    assert set(refusals.answers(team_server, accounts.GUEST, prey).values()) == {403}
    viewer = list(refusals.answers(team_server, accounts.VIEWER, prey).items())
    assert {status for _, status in viewer[:READING]} == {200}
    assert {status for does, status in viewer[READING:] if does not in OWN} == {403}
    still = team_server.ask("GET", "/api/2.0/mlflow/runs/get", params={"run_id": prey.run}).json()
    assert still["run"]["info"]["lifecycle_stage"] == "active"


@pytest.mark.parametrize("password", ["wrong", None])
def test_an_account_that_the_server_does_not_know_is_told_in_words(
    password: str | None, prey: refusals.Prey, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.check_answers.cache_clear()
    if password:
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
    else:
        monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
        monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD")
    with pytest.raises(SslsegError, match=r"wants an account; set MLFLOW_TRACKING_USERNAME"):
        encoders.run(Namespace(kind=names.KIND_ENCODER))


def test_a_member_works_as_on_a_file(
    prey: refusals.Prey, team_as: Callable[[str], None], tmp_path: Path, tmp_cache: Path, capsys
) -> None:
    team_as(accounts.MEMBER)
    encoders.run(Namespace(kind=names.KIND_ENCODER))
    assert prey.run in capsys.readouterr().out
    for reference in (prey.run, "models:/encoder-team@byol-photos", f"models:/{prey.model}"):
        found = resolve.resolve(reference)
        assert found.path.is_relative_to(tmp_cache)
        assert found.epoch == 1
    assert frames.artifact(prey.run, "a.txt", tmp_path).read_text() == "x"
    runs = frames.runs("Default")
    assert prey.run in set(runs["run_id"])
    assert frames.curves([prey.run], ["test/iou"])["value"].tolist() == [0.5]


def test_a_guest_is_told_in_a_sentence(
    prey: refusals.Prey, team_as: Callable[[str], None], tmp_path: Path, tmp_cache: Path, capsys
) -> None:
    team_as(accounts.GUEST)
    encoders.run(Namespace(kind=names.KIND_ENCODER))
    assert "no encoder is registered yet" in capsys.readouterr().out
    for reference in (prey.run, f"models:/{prey.model}", "models:/encoder-team/1"):
        with pytest.raises(EncoderError, match="may not read|nothing is registered"):
            resolve.resolve(reference)
    assert frames.runs().empty
    with pytest.raises(SslsegError, match="Permission denied"):
        frames.runs("Default")
    with pytest.raises(SslsegError, match="a server does not hand out its rows"):
        pack.run(Namespace(study="Default", file=tmp_path / "stolen.tar.gz", public=False, artifacts=None))
    assert not list(tmp_path.glob("*stolen*"))
