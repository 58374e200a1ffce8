"""On a server: every ancestor's weights are downloaded once and hashed at each load, and the store's own on demand."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest

from sslseg import __main__
from sslseg.commands import doctor as command
from sslseg.config import names
from sslseg.config.names import EncoderError, SslsegError
from sslseg.stages.intake import upstream
from sslseg.tracking import lineage, session, store
from sslseg.tracking.registry import files, resolve, stored
from sslseg.tracking.upkeep import doctor
from team import accounts

# names of its own: other tests of this server unpack a study into it, and compare its tables
EXPERIMENT = "lineages"
FACTS = {"name": "encoder-of-a-lineage", "role": "target", "method": "byol"}


@pytest.fixture
def chain(team_server, team_as: Callable[[str], None], model_folder: Callable[..., Path], tmp_cache: Path):
    """Two pretrainings on the server, the second from the first: their models."""
    accounts.add(team_server)
    team_as(accounts.MEMBER)
    place = store.ensure_experiment(EXPERIMENT)
    with session.open_run("pretrain", experiment_id=place) as first:
        resolve.log_encoder(first, model_folder(1.0), dataset="photos", lineage="byol@photos", **FACTS)
    source = resolve.resolve(first.id)
    with session.open_run("pretrain", experiment_id=place) as second:
        second.tags({names.TAG_UPSTREAM_RUN: first.id, names.TAG_UPSTREAM_MODEL: source.model_id,
                     names.TAG_UPSTREAM_SHA: source.sha256})  # fmt: skip
        resolve.log_encoder(
            second, model_folder(2.0), dataset="acdc", lineage="byol@photos > byol@acdc", **FACTS
        )
    return source, resolve.resolve(second.id)


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def _stored(server, model_id: str) -> Path:
    """The weights of that model where the server keeps them."""
    (found,) = server.artifacts.rglob(f"{model_id}/**/{names.WEIGHTS_FILE}")
    return found


def test_an_ancestor_is_downloaded_hashed_and_stops_the_load(chain, tmp_path: Path, team_server) -> None:
    first, second = chain
    assert upstream.ancestry(second, str(tmp_path / "mine"))[0].sha == first.sha256
    copy = tmp_path / "mine" / "models" / first.model_id / names.WEIGHTS_FILE
    assert copy.is_file()
    assert store.local_path(store.client().get_logged_model(first.model_id).artifact_location) is None
    _flip(copy)
    with pytest.raises(EncoderError, match=f"run {first.run_id}: .* expected sha256 {first.sha256}, actual "):
        upstream.ancestry(second, str(tmp_path / "mine"))
    assert len(upstream.ancestry(second, str(tmp_path / "another"))) == 2  # whose copy is whole


def test_what_the_server_holds_now_is_read_afresh(chain, team_server, capsys) -> None:
    first, second = chain
    hops = lineage.walk(second.run_id, model_id=second.model_id)
    assert [one.ok for one in stored.verify(hops)] == [True, True]
    _flip(_stored(team_server, first.model_id))
    assert [one.ok for one in stored.verify(hops)] == [False, True]
    assert __main__.main(["lineage", second.run_id]) == 1
    assert f"run {first.run_id}: expected {first.sha256}" in capsys.readouterr().err

    quiet = Namespace(fix=False, resume=False, cache="", prune=False, keep=(), download=False)
    subject = f"models:/{first.model_id} ("
    command.run(quiet)
    assert subject not in capsys.readouterr().out
    quiet.download = True
    with pytest.raises(SslsegError, match="faults that are left"):
        command.run(quiet)
    assert subject in capsys.readouterr().out


def test_weights_that_are_gone_are_said_to_be(chain, team_server, tmp_path: Path, capsys) -> None:
    first, second = chain
    _stored(team_server, first.model_id).unlink()
    assert len(upstream.ancestry(second, str(tmp_path / "mine"))) == 2
    assert f"run {first.run_id}: its weights are no longer in the store" in capsys.readouterr().out
    model = store.client().get_logged_model(first.model_id)
    with pytest.raises(EncoderError, match=f"run {first.run_id}: missing artifact"):
        files.stored_sha(model)
    (found,) = [f for f in doctor.changed_files(store.tracking_uri(), [model]) if first.model_id in f.subject]
    assert "missing artifact" in found.fault
