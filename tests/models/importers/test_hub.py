"""Folders of hubs: what config.json says is believed where it can be, and refused where it would build another network."""

from __future__ import annotations

import json
import re
import warnings

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from safetensors.torch import save_file

from sslseg.config import files
from sslseg.config.names import EncoderError
from sslseg.data.slices.intensity import Intensity
from sslseg.models import encoder, segmenter, unet
from sslseg.models.importers import checkpoint, hub, imports
from tests.fixtures.checkpoints import drawn, under

ARCHITECTURE = "test_resnet"
MEAN, STD = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]


@pytest.fixture
def state():
    return drawn(timm.create_model(ARCHITECTURE).state_dict())


def write(folder, config, **files):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))


def timm_config(**more):
    cfg = {"tag": "x", "mean": MEAN, "std": STD, "input_size": [3, 160, 160], "classifier": "fc"}
    return {
        "architecture": ARCHITECTURE,
        "num_classes": 1000,
        "num_features": 256,
        "pretrained_cfg": cfg,
    } | more


def same(got, state):
    return all(torch.equal(tensor, state[name]) for name, tensor in got.state.items())


def test_a_timm_folder_says_its_network_and_its_law(state, tmp_path):
    write(tmp_path, timm_config())
    save_file(state, tmp_path / "model.safetensors")
    got = checkpoint.read(tmp_path)
    assert same(got, state)
    assert (got.architecture, got.method) == (ARCHITECTURE, "supervised")
    found = imports.fetch(f"file:{tmp_path}", origin="a hub", channels=3)
    assert (found.normalisation["mean"], found.normalisation["std"], found.normalisation["known_from"]) == (
        MEAN,
        STD,
        "its config",
    )
    # as older releases wrote it
    write(tmp_path, {"architecture": f"{ARCHITECTURE}.r160_in1k", "mean": MEAN, "std": STD})
    assert imports.fetch(f"file:{tmp_path}", origin="a hub", channels=3).normalisation["mean"] == MEAN
    write(tmp_path, timm_config(model_args={"in_chans": 3, "output_stride": 8}))
    with pytest.raises(EncoderError, match="builds its network with output_stride"):
        checkpoint.read(tmp_path)


def test_a_file_is_read_with_the_config_beside_it(state, tmp_path):
    """Where the folder would be read for this file; its digest then is the folder's, and changes with the config."""
    save_file(state, tmp_path / "model.safetensors")
    alone = checkpoint.digest(tmp_path / "model.safetensors")
    write(tmp_path, timm_config(), preprocessor_config={"image_mean": STD, "image_std": STD})
    got = checkpoint.read(tmp_path / "model.safetensors")
    assert (got.architecture, got.method, got.normalisation) == (
        ARCHITECTURE,
        "supervised",
        {"mean": MEAN, "std": STD, "known_from": "its config"},
    )
    assert got.files == ("model.safetensors", "config.json", "preprocessor_config.json")
    assert checkpoint.digest(tmp_path / "model.safetensors") == checkpoint.digest(tmp_path) != alone
    found = imports.fetch(f"file:{tmp_path / 'model.safetensors'}", origin="a hub", channels=3)
    assert found.provenance["file_sha256"] == alone
    torch.save(state, tmp_path / "another.pth")  # the config is not about it
    assert checkpoint.digest(tmp_path / "another.pth") == files.sha256(tmp_path / "another.pth")
    got = checkpoint.read(tmp_path / "another.pth", architecture=ARCHITECTURE)
    assert (got.normalisation, got.files) == (None, ())
    for name in ("model.safetensors", "preprocessor_config.json"):
        (tmp_path / name).unlink()
    assert checkpoint.read(tmp_path / "another.pth").normalisation["mean"] == MEAN  # the only one now


def test_weights_in_several_files(state, tmp_path):
    write(tmp_path, timm_config())
    names = sorted(state)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, held in parts.items():
        save_file({name: state[name] for name in held}, tmp_path / file)
    index = tmp_path / "model.safetensors.index.json"  # says what the names of the files say, and is not read
    index.write_text(json.dumps({"weight_map": {"a": "../../secret.bin"}}))
    assert same(checkpoint.read(tmp_path), state)
    with pytest.raises(EncoderError, match="one of 2 parts of a checkpoint; the folder"):
        checkpoint.read(tmp_path / "model-00002-of-00002.safetensors")
    before = checkpoint.digest(tmp_path)
    (tmp_path / "README.md").write_text("not read")
    assert checkpoint.digest(tmp_path) == before
    write(tmp_path, timm_config(num_classes=7))
    assert checkpoint.digest(tmp_path) != before
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(
        EncoderError, match=r"wanted all parts of model-\*-of-00002; found model-00001-of-00002"
    ):
        checkpoint.read(tmp_path)
    torch.save(state, tmp_path / "pytorch_model.bin")  # whole, but safetensors come first
    with pytest.raises(EncoderError, match="wanted all parts"):
        checkpoint.read(tmp_path)


def test_parts_beside_another_file_and_two_networks(state, tmp_path):
    """All parts are one network; accelerate's second network is another."""
    names, folder = sorted(state), tmp_path / "parts"
    write(folder, timm_config())
    for i in (0, 1):
        save_file({n: state[n] for n in names[i::2]}, folder / f"model-0000{i + 1}-of-00002.safetensors")
    assert same(checkpoint.read(folder), state)
    (folder / "model-00002-of-00002.safetensors").unlink()
    save_file(state, folder / "other.safetensors")
    with pytest.raises(EncoderError, match=r"wanted all parts of model-\*-of-00002"):
        checkpoint.read(folder)
    write(tmp_path, timm_config())
    with pytest.raises(EncoderError, match="found none; folders in it are not entered: parts"):
        checkpoint.read(tmp_path)
    save_file(state, tmp_path / "model.safetensors")
    assert checkpoint.read(tmp_path).files == ("model.safetensors", "config.json")
    save_file(state, tmp_path / "model_1.safetensors")
    with pytest.raises(
        EncoderError, match=r"found model\.safetensors, model_1\.safetensors: name one of them"
    ):
        checkpoint.read(tmp_path)


@pytest.mark.parametrize(
    ("tag", "method"), [("a1_in1k", "supervised"), ("fb_swsl_ig1b_ft_in1k", "unknown"), ("dino", "unknown")]
)
def test_the_tag_of_a_folder_says_how_it_was_trained(tag, method, state, tmp_path):
    write(tmp_path, timm_config(pretrained_cfg={"tag": tag, "mean": MEAN, "std": STD}))
    save_file(state, tmp_path / "model.safetensors")
    assert checkpoint.read(tmp_path).method == method


def test_pytorch_model_bin_and_a_wrapper_of_timm(state, tmp_path):
    """transformers' TimmWrapperModel."""
    write(
        tmp_path, timm_config(model_type="timm_wrapper", architectures=["TimmWrapperForImageClassification"])
    )
    torch.save(under("timm_model.", state), tmp_path / "pytorch_model.bin")
    assert same(checkpoint.read(tmp_path), state)


def resnet_of_transformers(name: str) -> str:
    """transformers' ResNetModel, written out from models/resnet/modeling_resnet.py there."""
    fixed = {"conv1.": "embedder.embedder.convolution.", "bn1.": "embedder.embedder.normalization."}
    for ours, theirs in fixed.items():
        if name.startswith(ours):
            return name.replace(ours, theirs, 1)
    stage, block, rest = re.match(r"layer(\d)\.(\d)\.(.*)", name).groups()
    rest = re.sub(r"^downsample\.0", "shortcut.convolution", rest)
    rest = re.sub(r"^downsample\.1", "shortcut.normalization", rest)
    rest = re.sub(r"^conv(\d)", lambda m: f"layer.{int(m[1]) - 1}.convolution", rest)
    rest = re.sub(r"^bn(\d)", lambda m: f"layer.{int(m[1]) - 1}.normalization", rest)
    return f"encoder.stages.{int(stage) - 1}.layers.{block}.{rest}"


def test_a_resnet_of_transformers(tmp_path):
    state = drawn(timm.create_model("resnet18", num_classes=0).state_dict())
    theirs = {f"resnet.{resnet_of_transformers(k)}": v for k, v in state.items()}
    config = {
        "model_type": "resnet",
        "depths": [2, 2, 2, 2],
        "hidden_sizes": [64, 128, 256, 512],
        "layer_type": "basic",
    }
    write(tmp_path, config, preprocessor_config={"image_mean": MEAN, "image_std": STD})
    save_file(theirs | {"classifier.1.weight": torch.ones(1000, 512)}, tmp_path / "model.safetensors")
    got = checkpoint.read(tmp_path)
    assert same(got, state)
    assert (got.architecture, got.prefix, got.library) == ("resnet18", "resnet.", "transformers")
    assert got.normalisation["mean"] == MEAN
    write(tmp_path, config | {"downsample_in_bottleneck": True})
    with pytest.raises(EncoderError, match="a resnet of transformers; .*architecture="):
        checkpoint.read(tmp_path)


def test_a_convnext_of_transformers(tmp_path):
    state = drawn(timm.create_model("convnextv2_atto", num_classes=0).state_dict())
    theirs = {}
    for name, tensor in state.items():
        name = name.replace("head.norm.", "layernorm.").replace("stem.0.", "embeddings.patch_embeddings.")
        name = name.replace("stem.1.", "embeddings.layernorm.").replace(
            ".downsample.", ".downsampling_layer."
        )
        name = re.sub(r"^stages\.(\d)\.blocks\.(\d+)\.norm\.", r"stages.\1.blocks.\2.layernorm.", name)
        name = re.sub(
            r"^stages\.(\d)\.(blocks\.)?",
            lambda m: f"encoder.stages.{m[1]}.{'layers.' if m[2] else ''}",
            name,
        )
        for ours, other in ((".conv_dw.", ".dwconv."), (".mlp.fc1.", ".pwconv1."), (".mlp.fc2.", ".pwconv2."),
                            (".mlp.grn.", ".grn."), (".gamma", ".layer_scale_parameter")):  # fmt: skip
            name = name.replace(ours, other)
        theirs[f"convnextv2.{name}"] = tensor.view(1, 1, 1, -1) if ".grn." in name else tensor
    write(tmp_path, {"model_type": "convnextv2", "depths": [2, 2, 6, 2], "hidden_sizes": [40, 80, 160, 320]})
    save_file(theirs, tmp_path / "model.safetensors")
    got = checkpoint.read(tmp_path)
    assert (got.architecture, got.library) == ("convnextv2_atto", "transformers")
    assert same(got, state)


def test_another_network_of_transformers_is_named(tmp_path):
    write(tmp_path, {"model_type": "segformer", "depths": [2, 2, 2, 2]})
    save_file({"segformer.encoder.x.weight": torch.ones(3)}, tmp_path / "model.safetensors")
    with pytest.raises(EncoderError, match="a segformer of transformers"):
        checkpoint.read(tmp_path)


def test_a_unet_that_smp_has_saved(tmp_path):
    net = smp.Unet(
        f"tu-{ARCHITECTURE}", encoder_weights=None, in_channels=2, classes=3, decoder_channels=(8,) * 5
    )
    net.load_state_dict(drawn(net.state_dict()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net.save_pretrained(tmp_path)
    got = checkpoint.read(tmp_path)
    assert (got.architecture, got.channels, got.prefix) == (ARCHITECTURE, 2, "encoder.model.")
    assert all(torch.equal(v, got.state[k]) for k, v in net.encoder.model.state_dict().items())


def test_folders_of_this_project(tmp_path):
    net = encoder.build(ARCHITECTURE, 1, 0)
    encoder.save(
        net,
        tmp_path / "e",
        architecture=ARCHITECTURE,
        channels=1,
        normalisation={"mean": [0.3], "std": [0.2]},
    )
    got = imports.fetch(f"file:{tmp_path / 'e'}", origin="another store")
    assert same(got, net.state_dict())
    assert (got.normalisation["mean"], got.channels) == ([0.3], 1)
    whole, _ = unet.scratch("tf_efficientnet_lite0", 1, 2, (8,) * 5, 0)
    segmenter.save(whole, tmp_path / "s", architecture="tf_efficientnet_lite0", channels=1, classes=("a", "b"),
                   decoder_channels=(8,) * 5,
                   normalisation=Intensity("dataset", (0.7,), (0.9,)), spacing=0)  # fmt: skip
    got = imports.fetch(f"file:{tmp_path / 's'}", origin="another store")
    assert (got.architecture, got.normalisation["mean"]) == ("tf_efficientnet_lite0", [0.7])
    assert got.provenance["drawn"] == [
        "conv_head.weight",
        "bn2.weight",
        "bn2.bias",
        "bn2.running_mean",
        "bn2.running_var",
    ]
    names = unet.trunk_names(whole)
    assert all(torch.equal(v, got.state[names[k]]) for k, v in whole.encoder.model.state_dict().items())


def test_which_file_of_a_folder(state, tmp_path):
    with pytest.raises(EncoderError, match=r"wanted model\.safetensors .* found none"):
        checkpoint.read(tmp_path)
    torch.save({"arch": ARCHITECTURE, "state_dict": state}, tmp_path / "best.pth")
    assert same(checkpoint.read(tmp_path), state)
    torch.save(state, tmp_path / "last.pth")
    with pytest.raises(EncoderError, match=r"found best\.pth, last\.pth: name one of them"):
        checkpoint.read(tmp_path)
    for name in ("best.pth", "last.pth"):
        (tmp_path / name).unlink()
    (tmp_path / ".metadata").write_bytes(b"")
    with pytest.raises(EncoderError, match="dcp_to_torch"):
        checkpoint.read(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[1]", "{", '{"architecture": 3}', '{"pretrained_cfg": {"mean": ["x"], "std": [1]}}']
)
def test_a_strange_config_is_no_traceback(text, state, tmp_path):
    (tmp_path / "config.json").write_text(text)
    save_file(state, tmp_path / "model.safetensors")
    if text.startswith('{"'):
        assert checkpoint.read(tmp_path, architecture=ARCHITECTURE).normalisation is None
    else:
        with pytest.raises(EncoderError, match=r"config\.json: (not JSON|wanted a JSON object)"):
            checkpoint.read(tmp_path)


@pytest.mark.parametrize("std", [[0.0], [-0.2], ["0.2"], [], [float("nan")], 0.2])
def test_a_spread_that_nothing_can_be_divided_by_is_none(std):
    assert hub._normalisation({"mean": [0.5], "std": [0.2]}, "mean", "std") is not None
    assert hub._normalisation({"mean": [0.5], "std": std}, "mean", "std") is None
