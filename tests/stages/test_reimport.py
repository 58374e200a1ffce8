"""Weights that come by import although this store has made them, or although they are declared to know the data."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sslseg import execute
from sslseg.config import flags, names, params
from sslseg.config.names import FINETUNE, IMPORT, PRETRAIN
from sslseg.models import body, encoder
from sslseg.tracking.registry import resolve
from tests.fixtures.tiny_runs import ARCHITECTURE, Tiny, get


def imported(tiny: Tiny, file: Path, **texts: str) -> str:
    given = {"source": f"file:{file}", "origin": "a colleague", "architecture": ARCHITECTURE, "threads": "1",
             "cache": str(tiny.cache)} | texts  # fmt: skip
    return execute.execute(IMPORT, flags.resolve(flags.from_mapping(params.ImportEncoder, given)))


@pytest.fixture(scope="module")
def pretrained(tiny: Tiny, store: str) -> str:
    return tiny.run(PRETRAIN, save_epochs=(0,))


@pytest.fixture(scope="module")
def state(pretrained: str) -> dict[str, torch.Tensor]:
    return load_file(resolve.resolve(pretrained).path / names.WEIGHTS_FILE)


def moved(state: dict[str, torch.Tensor], by: float) -> dict[str, torch.Tensor]:
    """Other weights."""
    return {name: t + by if t.is_floating_point() else t for name, t in state.items()}


@pytest.fixture
def again(state: dict[str, torch.Tensor], tmp_path: Path) -> Path:
    """The encoder in another file, under other names."""
    torch.save({f"backbone.{name}": tensor for name, tensor in state.items()}, tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


def test_weights_that_this_store_has_made_keep_what_they_have_seen(
    tiny: Tiny, pretrained: str, again: Path, capsys: pytest.CaptureFixture[str]
):
    run_id = imported(tiny, again)
    assert get(run_id).data.tags[names.TAG_SAME_WEIGHTS] == pretrained
    assert f"-P encoder={pretrained} keeps their lineage" in capsys.readouterr().out
    with pytest.raises(
        names.LeakError, match=r"2 of the 2 val and test patients of acdc .* weights from acdc"
    ) as e:
        tiny.run(FINETUNE, encoder=run_id)
    assert e.value.exit_code == names.EXIT_LEAK
    tuned = tiny.run(FINETUNE, encoder=run_id, allow_transductive=True, steps=2)
    tags = get(tuned).data.tags
    assert tags[names.TAG_TRANSDUCTIVE] == "true"
    assert tags[names.TAG_EXPOSURE] == "declared: acdc"


def test_they_are_known_with_other_channels_and_not_before_the_first_step(
    tiny: Tiny, pretrained: str, state: dict[str, torch.Tensor], tmp_path: Path
):
    first = resolve.resolve(pretrained, epoch=0)
    torch.save(load_file(first.path / names.WEIGHTS_FILE), tmp_path / "untrained.pth")
    untrained = imported(tiny, tmp_path / "untrained.pth")
    assert names.TAG_SAME_WEIGHTS not in get(untrained).data.tags
    assert get(untrained).data.tags[names.TAG_EXPOSURE] == "unknown"
    name = f"{encoder.first_convolutions(ARCHITECTURE)[0]}.weight"
    colour = state | {name: state[name].repeat(1, 3, 1, 1) / 3}
    torch.save(colour, tmp_path / "colour.pth")
    assert get(imported(tiny, tmp_path / "colour.pth")).data.tags[names.TAG_SAME_WEIGHTS] == pretrained


@pytest.mark.parametrize("words", ["acdc", "ImageNet + ACDC 2017"])
def test_declared_data_stop_a_fine_tuning_on_them_and_through_a_pretraining(
    tiny: Tiny, store: str, words: str, state: dict[str, torch.Tensor], tmp_path: Path
):
    torch.save(moved(state, 0.01), tmp_path / "other.pth")
    run_id = imported(tiny, tmp_path / "other.pth", trained_on=words, trained_by="byol")
    assert get(run_id).data.tags[names.TAG_EXPOSURE] == f"declared: {words}"
    for upstream in (run_id, tiny.run(PRETRAIN, encoder=run_id)):
        with pytest.raises(names.LeakError, match=f"import_encoder of weights from .*run {run_id}"):
            tiny.run(FINETUNE, encoder=upstream)


def test_unknown_exposure_is_a_mark_on_run_and_card(
    tiny: Tiny, store: str, state: dict[str, torch.Tensor], tmp_path: Path, capsys
):
    torch.save(moved(state, 0.02), tmp_path / "unknown.pth")
    run_id = imported(tiny, tmp_path / "unknown.pth")
    tuned = tiny.run(FINETUNE, encoder=run_id, steps=2)
    assert get(tuned).data.tags[names.TAG_EXPOSURE] == "unknown"
    assert names.TAG_TRANSDUCTIVE not in get(tuned).data.tags
    assert "nobody knows what the imported weights have seen" in capsys.readouterr().out
    card = (resolve.resolve(tuned, kind=names.KIND_SEGMENTER).path / names.CARD_FILE).read_text()
    assert "of imported weights unknown" in card
    assert "Of this one fine-tuning from this encoder, on this one test patient." in card
    known = (resolve.resolve(run_id).path / names.CARD_FILE).read_text()
    assert "| patients it has seen | unknown |" in known


def test_the_digest_is_of_the_weights_and_not_of_their_file(state: dict[str, torch.Tensor]):
    first = f"{encoder.first_convolutions(ARCHITECTURE)[0]}.weight"
    kernel = next(name for name, t in state.items() if t.ndim == 4 and name != first)
    vector = next(name for name, t in state.items() if t.ndim == 1)
    known = body.sha256(state, ARCHITECTURE)
    for same in (
        dict(reversed(state.items())),
        state | {first: state[first].repeat(1, 3, 1, 1)},
        state | {vector: state[vector] + 1},
        {name: t.double() if t.is_floating_point() else t for name, t in state.items()},
    ):
        assert body.sha256(same, ARCHITECTURE) == known
    spoiled = state[kernel].clone()
    spoiled.view(-1)[0] += 1e-3
    for other in (state | {kernel: spoiled}, {name: t for name, t in state.items() if name != kernel}):
        assert body.sha256(other, ARCHITECTURE) != known
