"""Configs and arrays of stored networks that no run has written: a sentence, and no traceback."""

import json

import numpy as np
import pytest
import torch

from sslseg.config.names import DataError, EncoderError
from sslseg.data.slices.encode import encode
from sslseg.data.slices.intensity import Intensity
from sslseg.data.source import Volume
from sslseg.models import encoder, inference, segmenter, unet
from sslseg.models.exporters import formats, served
from sslseg.models.importers import checkpoint, roles

NETWORK, DECODER = "test_resnet", (8,) * 5


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored")
    net, _ = unet.scratch(NETWORK, 1, 3, DECODER, 0)
    segmenter.save(
        net, folder / "unet", architecture=NETWORK, channels=1, classes=["background", "a", "b"],
        decoder_channels=DECODER, normalisation=Intensity("dataset"), spacing=1.5,
    )  # fmt: skip
    encoder.save(encoder.build(NETWORK, 1, 0), folder / "encoder", architecture=NETWORK, channels=1)
    return folder


def _with(folder, **change):
    file = folder / "config.json"
    before = file.read_text()
    file.write_text(json.dumps(json.loads(before) | change))
    return lambda: file.write_text(before)


LAW = {"kind": "dataset", "mean": [0.0], "std": [1.0]}


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"law": {}}, DataError, "wanted kind, mean and std"),
        ({"law": LAW | {"mean": 3}}, DataError, "wanted kind, mean and std"),
        ({"law": LAW | {"mean": ["a"]}}, DataError, "wanted kind, mean and std"),
        ({"law": LAW | {"mean": [None]}}, DataError, "finite means"),
        ({"sslseg": {"reading": {"axis": 7}}}, EncoderError, "axis 0, 1 or 2"),
        ({"sslseg": {"reading": {"axis": "z"}}}, EncoderError, "axis 0, 1 or 2"),
        ({"sslseg": {"reading": [1]}}, EncoderError, "axis 0, 1 or 2"),
        ({"classes": ["background", "a", "a"]}, EncoderError, "names, all different"),
        ({"classes": ["background", "", "b"]}, EncoderError, "names, all different"),
        ({"decoder_channels": ["8"] * 5}, EncoderError, "numbers from 1 to 4,096"),
        ({"spacing": 1000}, EncoderError, "wanted 'spacing' in mm"),
    ],
)
def test_a_segmenter_of_a_strange_config_is_refused(stored, change, error, said):
    back = _with(stored / "unet", **change)
    try:
        with pytest.raises(error, match=said):
            inference.open_model(stored / "unet")
    finally:
        back()


@pytest.mark.parametrize(
    "change",
    [
        {"pretrained_cfg": {}},
        {"pretrained_cfg": {"mean": 0.5, "std": 1}},
        {"pretrained_cfg": {"mean": ["x"], "std": [1]}},
    ],
)
def test_an_encoder_without_normalisation_is_not_served(stored, change):
    back = _with(stored / "encoder", **change)
    try:
        with pytest.raises(DataError, match="wanted kind, mean and std"):
            served._load_pyfunc(str(stored / "encoder"))
    finally:
        back()


def test_a_format_that_is_named_twice_is_written_once(stored, tmp_path):
    source = formats.source(stored / "encoder", "encoder")
    assert [found.format for found in formats.write(source, tmp_path / "out", ["timm", "timm"])] == ["timm"]


def test_the_name_of_weights_is_no_network(tmp_path):
    """timm builds `resnet18.a1_in1k` with random weights, whatever its name says."""
    with pytest.raises(EncoderError, match="the network is resnet18, .*source=timm:resnet18.a1_in1k"):
        encoder.build("resnet18.a1_in1k", 1, 0)
    state = encoder.build(NETWORK, 3, 0).state_dict()
    torch.save(state, tmp_path / "a.pth")
    assert checkpoint.read(tmp_path / "a.pth", architecture=f"{NETWORK}.tag").architecture == NETWORK


def test_a_head_of_zeros_or_of_eight_bits():
    draw = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(1000, 64, generator=draw), torch.randn(1000, generator=draw)
    assert roles._untouched(torch.zeros(1000, 64), bias)
    assert not roles._untouched(weight, bias)
    assert not roles._untouched(weight.to(torch.float8_e4m3fn), bias.to(torch.float8_e4m3fn))


@pytest.mark.parametrize("fill", [np.float32(3.4e38), np.float32(-1e12)])
def test_a_fill_value_that_leaves_no_grey_levels_is_refused(fill):
    image = np.random.default_rng(0).uniform(0, 900, (1, 2, 40, 40)).astype(np.float32)
    image[0, 0, 0, :3] = 20_000
    kept = encode(Volume(image, None, (5.0, 1.0, 1.0)), 0, 2)
    assert (
        np.abs(kept.codes[:, 0] * kept.scale[0] + kept.intercept[0] - image[0]).max()
        <= 0.51 * kept.scale[0]
        < 0.2
    )
    image[0, 0, 0, :3] = fill
    with pytest.raises(DataError, match="98 % of its voxels lie between .*fill value"):
        encode(Volume(image, None, (5.0, 1.0, 1.0)), 0, 2)
    with pytest.raises(DataError, match="32 bits can hold"):
        encode(Volume(np.where(image == fill, 1e300, image.astype(float)), None, (5.0, 1.0, 1.0)), 0, 2)
