"""Which network of a file is taken, and in which row it lands: words of many libraries, and no silent choice."""

from __future__ import annotations

import pytest
import timm
import torch

from sslseg.config.names import EncoderError
from sslseg.models.importers import checkpoint, roles
from tests.fixtures.checkpoints import HEAD, SMALL, drawn, online, under

TABLES = {"projection_head.0.weight": torch.ones(4, 4)}


@pytest.fixture(scope="module")
def t():
    return drawn(timm.create_model(SMALL, num_classes=0).state_dict())


def files(t):
    """name -> (content, the network's word, method); the encoder that is meant is `t`."""
    o = online(t)
    sgd = lambda n: {"state": {}, "param_groups": [{"params": list(range(n))}]}  # noqa: E731
    mmengine = {"steps": torch.tensor(9)} | under("module.backbone.", o)
    prototypes = {
        "prototypes.prototypes0.weight": torch.ones(3, 2),
        "prototypes.prototypes1.weight": torch.ones(3, 2),
    }
    return {
        "capitals inside": (under("teacherNet.", t) | under("studentNet.", o), "teacher", "unknown"),
        "a capital at the end": (under("encoderQ.", o) | under("encoderK.", t), "key", "unknown"),
        "backbone_ema": (under("backbone.", o) | under("backbone_ema.", t), "ema", "unknown"),
        "Lightning's SWA": ({"state_dict": o, "callbacks": {"SWA": {"average_model_state": t}}}, "ema", "unknown"),
        "Lightning's averaging": ({"state_dict": t, "current_model_state": o, "averaging_state": {}}, "ema", "unknown"),
        "MMEngine's EMAHook": ({"state_dict": under("backbone.", t), "ema_state_dict": mmengine}, "ema", "unknown"),
        "averaged wrapper": ({"n_averaged": torch.tensor(5)} | under("module.backbone.", t), "ema", "unknown"),
        "trained whole": ({"state_dict": t | HEAD, "optimizer": sgd(62)}, "", "supervised"),
        "linear probe": ({"state_dict": t | HEAD, "optimizer": sgd(2)}, "", "unknown"),
        "NaN in the classifier": (t | HEAD | {"fc.weight": HEAD["fc.weight"] * float("nan")}, "", "unknown"),
        "several tables of prototypes": (t | TABLES | prototypes, "", "unknown"),
        "SwAV": (t | TABLES | {"prototypes.weight": torch.ones(3, 2)}, "", "swav"),
        "a word that is no method": ({"state_dict": t, "method": "linear"}, "", "unknown"),
        "a method in capitals": ({"state_dict": t, "hyper_parameters": {"method": "BYOL"}}, "", "byol"),
        "settings in cfg": ({"state_dict": t, "hyper_parameters": {"cfg": {"method": "simclr"}}}, "", "simclr"),
        "masked autoencoder": (t | {"mask_token": torch.ones(1, 4), "decoder_pos_embed": torch.ones(1, 4)}, "", "unknown"),
        "frozen batch norm": ({k: v for k, v in t.items() if not k.startswith("layer1") or "batches" not in k}, "", "unknown"),
    }  # fmt: skip


@pytest.mark.parametrize("name", files({}))
def test_the_network_that_is_meant_and_its_training(name, t, tmp_path):
    content, word, method = files(t)[name]
    torch.save(content, tmp_path / "a.pth")
    got = checkpoint.read(tmp_path / "a.pth", architecture=SMALL)
    assert (got.network, got.role, got.method) == (word, "target" if word else "imported", method)
    assert all(torch.equal(got.state[k], v) for k, v in t.items() if k not in got.filled)


def test_networks_of_two_kinds_are_both_seen(tmp_path):
    """A network distilled from another one that has the same blocks, and another stem."""
    states = {a: drawn(timm.create_model(a, num_classes=0).state_dict()) for a in ("resnet18", "resnet18d")}
    torch.save(
        under("student.", states["resnet18"]) | under("teacher.", states["resnet18d"]), tmp_path / "a.pth"
    )
    got = checkpoint.read(tmp_path / "a.pth")
    assert (got.architecture, got.network, got.others) == (
        "resnet18d",
        "teacher",
        ("student under `student.`",),
    )
    got = checkpoint.read(tmp_path / "a.pth", role="student")
    assert (got.architecture, got.role) == ("resnet18", "online")
    torch.save(under("a.", states["resnet18"]) | under("b.", states["resnet18d"]), tmp_path / "b.pth")
    with pytest.raises(EncoderError, match="2 different networks"):
        checkpoint.read(tmp_path / "b.pth")


def test_a_network_known_only_with_masks_is_no_supervised_one(tmp_path):
    """All published ConvNeXt V2 began as masked autoencoders, also those with a classifier."""
    torch.save(drawn(timm.create_model("convnextv2_atto").state_dict()), tmp_path / "a.pth")
    assert checkpoint.read(tmp_path / "a.pth").method == "unknown"


def solid(t):
    return {k: v.unsqueeze(2) if v.ndim == 4 else v for k, v in t.items()}


@pytest.mark.parametrize(
    ("change", "said"),
    [(solid, r"3D network .*\[\d+, \d+, 1, 3, 3\]"),
     (lambda t: t | {"layer1.0.conv1.weight": t["layer1.0.conv1.weight"] * float("nan")}, "1 tensors hold NaN or infinity"),
     (lambda t: {k: torch.zeros_like(v) if v.ndim == 4 else v for k, v in t.items()}, "all weights of its kernels are zero"),
     (lambda t: {k.replace("0.conv1.weight", "0.conv1.weight_v"): v for k, v in t.items()}, r"in factors \(.*weight_v\)"),
     (lambda t: {k.replace("0.conv1.weight", "0.conv1.weight_orig"): v for k, v in t.items()}, r"in factors \(.*weight_orig\)"),
     (lambda t: {"state_dict": {k: v.numpy() for k, v in t.items() if v.ndim < 2}}, "weights are arrays of NumPy"),
     (lambda t: {"network_weights": {"decoder.seg_layers.0.weight": torch.ones(3, 3)}, "trainer_name": "x"}, "nnU-Net's U-Net"),
     (lambda t: {"model": {"model.0.conv.unit0.conv.weight": torch.ones(4, 1, 3, 3)}}, "MONAI's U-Net"),
     (lambda t: {"inc.double_conv.0.weight": torch.ones(4, 1, 3, 3)}, "Pytorch-UNet's U-Net"),
     (lambda t: under("", t) | {"layer2.0.downsample.0.bias": torch.ones(4)}, "have a bias .*as MONAI.*bias_downsample=False"),
     (lambda t: {"model": {f"backbone.bottom_up.stem.{k.replace('bn1', 'conv1.norm')}": v for k, v in t.items()}},
      "weights of Detectron2 .*STRIDE_IN_1X1"),
     (lambda t: under("student.", t) | under("teacher.", online(t)) | under("ema.", online(online(t))), "different networks")],
    ids=["3D", "NaN", "zero", "weight norm", "pruned", "numpy", "nnU-Net", "MONAI", "milesial",
         "MONAI's ResNet", "Detectron2", "three networks"],
)  # fmt: skip
def test_what_cannot_be_an_encoder_is_said_in_a_sentence(change, said, t, tmp_path):
    torch.save(change(t), tmp_path / "a.pth")
    with pytest.raises(EncoderError, match=said):
        checkpoint.read(tmp_path / "a.pth", architecture=SMALL)


@pytest.mark.parametrize("width", [64, 512])
def test_a_layer_as_it_was_drawn_is_told_from_a_trained_one_of_the_same_spread(width):
    """torch draws evenly between bounds of 1 / sqrt(width); a bell of that s.d. is wider than they are."""
    generator, bound = torch.Generator().manual_seed(0), width**-0.5
    even = (2 * torch.rand(1000, width, generator=generator) - 1) * bound
    bell = torch.randn(1000, width, generator=generator) * bound / 3**0.5
    bias = torch.full((1000,), 0.1)
    assert roles._untouched(even, bias)
    assert not roles._untouched(bell.clamp(-1.8 * bound, 1.8 * bound), bias)
    assert not roles._untouched(0.8 * even, bias)
    assert roles._untouched(bell, torch.zeros(1000))
