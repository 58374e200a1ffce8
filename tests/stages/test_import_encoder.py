"""Which network of a file was taken is printed, on the run, on the model and on its card; and it is a choice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import timm
import torch

from sslseg import execute
from sslseg.config import flags, names, params
from sslseg.config.names import IMPORT, EncoderError
from sslseg.models import encoder
from sslseg.tracking.registry import resolve
from tests.fixtures.checkpoints import drawn, online, under
from tests.fixtures.tiny_runs import client, get


def bring(path: Path, **told: object) -> str:
    given = {"source": f"file:{path}", "origin": "a colleague", "channels": "3", **told}
    return execute.execute(IMPORT, flags.resolve(flags.from_mapping(params.ImportEncoder, given)))


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return drawn(timm.create_model("test_resnet", num_classes=0).state_dict())


@pytest.fixture
def dino(state, tmp_path: Path) -> Path:
    content = {"teacher": under("backbone.", state), "student": under("module.backbone.", online(state)),
               "dino_loss": {"center": torch.ones(3)}}  # fmt: skip
    torch.save(content, tmp_path / "a.pth")
    return tmp_path / "a.pth"


@pytest.mark.parametrize(
    ("asked", "word", "role", "other"),
    [("", "teacher", "target", "student"), ("student", "student", "online", "teacher"),
     ("online", "student", "online", "teacher")],
)  # fmt: skip
def test_role_is_printed_tagged_on_the_card_and_a_choice(
    asked, word, role, other, dino, state, store, tmp_path, capsys
):
    run_id = bring(dino, architecture="test_resnet", role=asked)
    printed = capsys.readouterr().out
    place = {"teacher": "`teacher.backbone.`", "student": "`student.backbone.`"}
    assert f"network taken: {word} (role {role}), under {place[word]}" in printed
    assert f"also in the file: {other} under {place[other]} (-P role=)" in printed
    tags = get(run_id).data.tags
    assert (tags[names.MODEL_ROLE], tags[names.MODEL_NETWORK], tags[names.TAG_METHOD]) == (role, word, "dino")
    found = resolve.resolve(run_id)
    assert found.tags[names.MODEL_NETWORK] == word
    assert f"| network of the file | {word} (role {role})" in (found.path / names.CARD_FILE).read_text()
    (version,) = client().search_model_versions(f"run_id = '{run_id}'")
    assert f"{word} (role {role})" in version.description
    known = json.loads(
        Path(client().download_artifacts(run_id, "provenance.json", str(tmp_path))).read_text()
    )
    assert (known["network"], known["prefix"]) == (word, place[word].strip("`"))
    shift = 1 if word == "student" else 0
    assert torch.equal(encoder.load(found.path).state_dict()["bn1.bias"], state["bn1.bias"] + shift)


def test_a_role_that_the_file_has_not(dino, store):
    with pytest.raises(EncoderError, match="no network in it says that it is the query one"):
        bring(dino, architecture="test_resnet", role="query")


def test_what_is_left_and_what_is_not_known_is_said(state, store, tmp_path, capsys):
    torch.save(
        {"net": under("x.y.", state) | under("x.projector.", {"w": torch.ones(3), "v": torch.ones(2)})},
        tmp_path / "a.pth",
    )
    run_id = bring(tmp_path / "a.pth", architecture="test_resnet", strip="x.y")
    printed = capsys.readouterr().out
    assert "network taken: the only one (role imported), under `net.x.y`" in printed
    assert "left in the file: net.x (2)" in printed
    assert "does not say how it was trained: -P trained_by=" in printed
    assert get(run_id).data.tags[names.TAG_METHOD] == "unknown"
