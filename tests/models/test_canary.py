"""A network answers as it did when it was saved, or is not used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file

from sslseg.config.names import EncoderError
from sslseg.data import streams
from sslseg.data.slices.intensity import Intensity
from sslseg.models import canary, encoder, segmenter, unet
from sslseg.models.cpu import decoder


@pytest.fixture
def encoder_folder(tmp_path: Path) -> Path:
    encoder.save(encoder.build("test_resnet", 1, 0), tmp_path / "e", architecture="test_resnet", channels=1)
    return tmp_path / "e"


@pytest.fixture
def segmenter_folder(tmp_path: Path) -> Path:
    net, _ = unet.scratch("test_resnet", 1, 3, (8, 8, 8, 8, 8), 0)
    segmenter.save(net, tmp_path / "s", architecture="test_resnet", channels=1, classes=("background", "a", "b"),
                   decoder_channels=(8, 8, 8, 8, 8),
                   normalisation=Intensity("dataset"), spacing=0)  # fmt: skip
    return tmp_path / "s"


def answer(folder: Path) -> list[float]:
    return json.loads((folder / "config.json").read_text())["sslseg"][canary.KEY]


def test_the_answer_is_that_of_the_features(encoder_folder: Path):
    net = timm.create_model("test_resnet", in_chans=1, num_classes=0)
    net.load_state_dict(load_file(encoder_folder / "model.safetensors"))
    noise = streams.stream(0, "canary").standard_normal((4, 1, 96, 96))
    with torch.no_grad():
        features = net.eval().forward_features(torch.from_numpy(noise).float()).mean((2, 3))
    mixed = features.double() @ torch.arange(features.shape[1]).double().cos()
    wanted = [*features.norm(dim=1).tolist(), *mixed.tolist()]
    assert answer(encoder_folder) == pytest.approx(wanted, rel=1e-4, abs=1e-4)


def test_another_program_is_found(
    encoder_folder: Path, segmenter_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    encoder.load(encoder_folder)
    segmenter.load(segmenter_folder)
    relu = torch.nn.functional.relu  # a release of torch in which it leaks a little
    monkeypatch.setattr(torch.nn.functional, "relu", lambda x, inplace=False: relu(x) + 0.05 * x)
    with pytest.raises(EncoderError, match="test_resnet: this machine computes other features"):
        encoder.load(encoder_folder)
    with pytest.raises(EncoderError, match="segmenter folder .*computes other features"):
        segmenter.load(segmenter_folder)


@pytest.mark.parametrize(("factor", "passes"), [(1.0005, True), (1.002, False)])
def test_a_thousandth_of_their_scale_is_allowed(encoder_folder: Path, factor: float, passes: bool):
    state, config = encoder.read_state(encoder_folder)
    kept = config["sslseg"][canary.KEY]
    kept[5] += (factor - 1) * max(kept[:4])
    if passes:
        encoder.from_state(state, config)
        return
    with pytest.raises(EncoderError, match="of their size apart, allowed 0.001"):
        encoder.from_state(state, config)


def test_the_decoder_answers_too(segmenter_folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        decoder, "_summed", lambda weight, axis: torch.cat([weight, weight.narrow(axis, 0, 1)], axis)
    )
    with pytest.raises(EncoderError, match="computes other features"):
        segmenter.load(segmenter_folder)


@pytest.mark.parametrize("wanted", [[1.0], "x", [float("nan")] * 8, ["1"] * 8, {"a": 1}, 3])
def test_a_config_that_says_something_else_is_refused(encoder_folder: Path, wanted: object):
    file = encoder_folder / "config.json"
    config = json.loads(file.read_text())
    config["sslseg"][canary.KEY] = wanted
    file.write_text(json.dumps(config))
    with pytest.raises(EncoderError, match="wanted 8 numbers under 'canary'"):
        encoder.load(encoder_folder)


def test_folders_from_before_and_other_channels_pass(encoder_folder: Path):
    state, config = encoder.read_state(encoder_folder)
    assert canary.KEY not in encoder.adapt(state, config, 2)[1]["sslseg"]
    encoder.from_state(*encoder.adapt(state, config, 2))
    del config["sslseg"][canary.KEY]
    encoder.from_state(state, config)
    del config["sslseg"]
    encoder.from_state(state, config)


def test_a_network_of_one_size_has_none(tmp_path: Path):
    net = timm.create_model("vit_tiny_patch16_224", in_chans=1, num_classes=0)
    encoder.save(net, tmp_path, architecture="vit_tiny_patch16_224", channels=1)
    assert canary.KEY not in json.loads((tmp_path / "config.json").read_text())["sslseg"]
    encoder.load(tmp_path)
