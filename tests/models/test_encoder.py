"""The encoder folder: opened by timm and smp as it is, and by nobody when it is damaged."""

import json
import struct

import pytest
import segmentation_models_pytorch as smp
import timm
import torch

from sslseg.config.names import CONFIG_FILE, WEIGHTS_FILE, EncoderError
from sslseg.models import encoder, folders

ARCHITECTURES = ("test_resnet", "resnet10t", "tf_efficientnet_lite0")


def saved(folder, architecture="test_resnet", channels=1, seed=0, **kwargs):
    model = encoder.build(architecture, channels, seed)
    return model, encoder.save(model, folder, architecture=architecture, channels=channels, **kwargs)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_timm_and_smp_open_the_folder_as_it_is(tmp_path, architecture, channels):
    model, _ = saved(tmp_path, architecture, channels)
    opened = timm.create_model(f"local-dir:{tmp_path}", pretrained=True)
    assert same(model.state_dict(), opened.state_dict())
    unet = smp.Unet(f"tu-local-dir:{tmp_path}", encoder_weights=True, in_channels=channels, classes=4)
    trunk, batch = unet.encoder.model.state_dict(), torch.randn(2, channels, 64, 64).double()
    assert all(torch.equal(model.state_dict()[name], trunk[name]) for name in trunk)
    with torch.no_grad():  # in double precision: ours adds up in another order (models/cpu/convolution.py)
        deepest = model.double().eval().forward_intermediates(batch, intermediates_only=True)[-1]
        torch.testing.assert_close(unet.double().eval().encoder(batch)[-1], deepest, rtol=1e-9, atol=1e-9)


def test_round_trip_keeps_bits_config_and_digest(tmp_path):
    law = {"kind": "dataset", "mean": 0.3, "std": 0.2}
    model, digest = saved(tmp_path / "a", normalisation=law, extra={"origin": "a test"})
    state, config = encoder.read_state(tmp_path / "a")
    assert same(model.state_dict(), state)
    assert same(model.state_dict(), encoder.load(tmp_path / "a").state_dict())
    assert (config["pretrained_cfg"]["mean"], config["pretrained_cfg"]["std"]) == ([0.3], [0.2])
    answer = config["sslseg"].pop("canary")
    assert config["sslseg"] == {"format": 1, "law": law, "origin": "a test"}
    assert len(answer) == 8
    assert config["model_args"] == {"in_chans": 1}
    assert digest == folders.sha256(tmp_path / "a") == saved(tmp_path / "b")[1]
    assert digest != saved(tmp_path / "c", seed=1)[1]


def test_build_depends_on_the_seed_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = encoder.build("test_resnet", 1, seed=3).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert same(first, encoder.build("test_resnet", 1, seed=3).state_dict())
    assert not same(first, encoder.build("test_resnet", 1, seed=4).state_dict())


@pytest.mark.parametrize("architecture", ["test_resnet", "tf_efficientnet_lite0", "mobilenetv3_small_050"])
def test_feature_size_is_what_comes_out(architecture):
    model = encoder.build(architecture, 1, 0).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 1, 64, 64)).shape == (1, encoder.feature_size(model))


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("architecture", ["test_resnet", "tf_efficientnet_lite0"])
def test_summed_stem_sees_a_grey_image_as_the_original_saw_its_replica(tmp_path, architecture, channels):
    model, _ = saved(tmp_path, architecture, channels=3)
    adapted = encoder.from_state(*encoder.adapt(*encoder.read_state(tmp_path), channels))
    grey = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        expected = model.eval()(grey.repeat(1, 3, 1, 1))
        torch.testing.assert_close(
            adapted.eval()(grey.repeat(1, channels, 1, 1)), expected, rtol=1e-4, atol=1e-5
        )
    assert same(model.state_dict(), encoder.load(tmp_path).state_dict())


def test_adapted_config_tells_what_happened(tmp_path):
    law = {"kind": "encoder", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    saved(tmp_path, channels=3, normalisation=law, extra={"origin": "a test"})
    _, config = encoder.adapt(*encoder.read_state(tmp_path), 1)
    assert config["model_args"] == {"in_chans": 1}
    assert config["sslseg"]["adapted_from_channels"] == 3
    assert config["sslseg"]["origin"] == "a test"
    assert config["sslseg"]["law"] == law  # three channels' own, which is what it was trained under
    # one channel gets the mean of the three channels' constants
    assert config["pretrained_cfg"]["mean"] == pytest.approx([0.449], abs=1e-3)


def test_sum_rgb_sums_and_refuses_what_is_no_convolution():
    weight = torch.arange(12.0).reshape(1, 3, 2, 2)
    assert torch.equal(encoder.sum_rgb(weight, 1), weight.sum(1, keepdim=True))
    with pytest.raises(EncoderError, match=r"wanted a weight \[O,I,k,k\]"):
        encoder.sum_rgb(torch.zeros(3, 4), 1)


@pytest.mark.parametrize("architecture", ["resnet18", "test_convnext", "tf_efficientnet_lite0"])
def test_only_the_classifier_is_dropped(architecture):
    full = timm.create_model(architecture, pretrained=False, num_classes=7, in_chans=1).state_dict()
    state, dropped = encoder.without_classifier(full, architecture)
    assert {full[name].shape[0] for name in dropped} == {7}
    assert state.keys() == encoder.skeleton(architecture, 1).state_dict().keys()


def test_unknown_networks_and_other_sources_are_refused():
    with pytest.raises(EncoderError, match="did you mean 'resnet50'"):
        encoder.build("resnet-50", 1, 0)
    for name in ("hf-hub:someone/something", "local-dir:/somewhere", "resnet50.no_such_tag"):
        with pytest.raises(EncoderError, match="architecture"):
            encoder.build(name, 1, 0)


def test_incomplete_or_damaged_weights_are_not_saved(tmp_path):
    state = encoder.build("test_resnet", 1, 0).state_dict()
    with pytest.raises(EncoderError, match="missing +1 +layer1.0.conv1.weight"):
        encoder.save({k: v for k, v in state.items() if k != "layer1.0.conv1.weight"}, tmp_path,
                     architecture="test_resnet", channels=1)  # fmt: skip
    state["conv1.0.weight"][0] = torch.nan
    with pytest.raises(EncoderError, match="1 tensors hold NaN"):
        encoder.save(state, tmp_path, architecture="test_resnet", channels=1)
    assert not (tmp_path / WEIGHTS_FILE).exists()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: (f / WEIGHTS_FILE).unlink(), "there is none"),
        (lambda f: (f / CONFIG_FILE).unlink(), "there is no config.json"),
        (lambda f: (f / WEIGHTS_FILE).write_bytes(b"PK"), "cut short"),
        (lambda f: (f / WEIGHTS_FILE).write_bytes(struct.pack("<Q", 1 << 62) + b"{}"), "cut short"),
        (lambda f: (f / WEIGHTS_FILE).write_bytes((f / WEIGHTS_FILE).read_bytes()[:-9]), "damaged weights"),
        (
            lambda f: (f / WEIGHTS_FILE).write_bytes(struct.pack("<Q", 4) + b"{{{{" + b"0" * 9),
            "damaged weights",
        ),
        (lambda f: (f / CONFIG_FILE).write_text("{"), "not JSON"),
        (lambda f: (f / CONFIG_FILE).write_text("[]"), "wanted a JSON object"),
        (lambda f: (f / CONFIG_FILE).write_text(" " * (2 << 20)), "at most"),
        (lambda f: (f / CONFIG_FILE).write_text('{"architecture": "resnet18"}'), "wanted all 120 tensors"),
        (lambda f: (f / CONFIG_FILE).write_text('{"architecture": "hf-hub:a/b"}'), "has no network"),
        (lambda f: edit(f, model_args={"in_chans": 10**9}), "in_chans"),
        (lambda f: edit(f, model_args={"in_chans": "1"}), "in_chans"),
        (lambda f: edit(f, model_args={"in_chans": 1.0}), "in_chans"),
        (lambda f: edit(f, model_args={"in_chans": 3}), "mismatched +1 +conv1.0.weight wanted"),
    ],
)
def test_a_damaged_folder_is_named(tmp_path, damage, words):
    saved(tmp_path)
    damage(tmp_path)
    with pytest.raises(EncoderError, match=words):
        encoder.load(tmp_path)


def edit(folder, **values):
    path = folder / CONFIG_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
