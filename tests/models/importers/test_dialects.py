"""Checkpoints written in every dialect come back complete, bit by bit, and as the right network."""

from __future__ import annotations

import argparse

import pytest
import timm
import torch
from safetensors.torch import save_file

from sslseg.config.names import EncoderError
from sslseg.models.importers import conventions, dialects

SEQUENTIAL = {name: number for number, name in conventions.SEQUENTIAL.items()}
HEAD = {"fc.weight": torch.ones(1000, 512), "fc.bias": torch.ones(1000)}
MLP = {"l1.weight": torch.ones(3, 512), "bn1.running_mean": torch.ones(3), "l2.bias": torch.ones(2)}


@pytest.fixture(scope="module")
def target():
    """The state of a ResNet-18 with statistics of its own."""
    torch.manual_seed(0)
    state = timm.create_model("resnet18", num_classes=0).state_dict()
    return {k: torch.randn(v.shape) if v.is_floating_point() else v + 7 for k, v in state.items()}


def under(prefix, state):
    return {prefix + name: tensor for name, tensor in state.items()}


def numbered(state):
    """As nn.Sequential(*list(resnet.children())[:-1]) names them."""
    parts = {name: name.partition(".") for name in state}
    return {f"{SEQUENTIAL[first]}.{rest}": state[name] for name, (first, _, rest) in parts.items()}


def online(state):
    """Another network of the same shape."""
    return {name: tensor + 1 for name, tensor in state.items()}


def checkpoints(t):
    """name -> (content, (dialect, role, method)); the encoder in each is `t`."""
    solo = under("momentum_backbone.", t) | under("backbone.", online(t)) | under("predictor.", MLP)
    hparams = argparse.Namespace(backbone="resnet18", optimizer=argparse.Namespace(lr=1.0))
    yaox = under("module.", t) | under("module.projetion.", MLP)
    lightning = {"epoch": 34, "pytorch-lightning_version": "1.6.4", "callbacks": {"ckpt": {"best": "x"}}}
    light = under("backbone_momentum.", numbered(t)) | under("backbone.", numbered(online(t)))
    moco = under("module.encoder_k.", t) | under("module.encoder_q.", online(t))
    plain, smp = ("plain", "imported", "unknown"), ("smp", "imported", "unknown")
    supervised, yaox_target = ("plain", "imported", "supervised"), ("yaox12", "target", "byol")
    solo_target, light_target = ("solo-learn", "target", "unknown"), ("lightly", "target", "unknown")
    solo_byol = ("solo-learn", "target", "byol")
    teacher = under("teacher_backbone.", t) | under("backbone.", online(t))
    return {
        "timm": (t, plain),
        "torchvision": (t | HEAD, supervised),
        "data-parallel": ({"state_dict": under("module.", t | HEAD), "arch": "resnet18"}, supervised),
        "compiled": ({"model": under("_orig_mod.", t)}, plain),
        "model prefix": ({"state_dict": under("model.", t)}, plain),
        "encoder prefix": (under("encoder.", t), plain),
        "smp tu-": (under("encoder.model.", t) | under("decoder.", MLP), smp),
        "SSL-MedSeg fine-tuned": (lightning | {"state_dict": under("model.encoder.model.", t)}, smp),
        "yaox12": ({"target_backbone": yaox, "online_backbone": under("module.", online(t))}, yaox_target),
        "yaox12 online": ({"online_backbone": yaox}, ("yaox12", "online", "byol")),
        "yaox12 numbered": ({"target_backbone": under("module.encoder.", numbered(t))}, yaox_target),
        "solo-learn": ({"state_dict": solo, "hyper_parameters": {"method": "byol"}}, solo_byol),
        "solo-learn online": ({"state_dict": under("backbone.", t)}, ("solo-learn", "online", "unknown")),
        "SSL-MedSeg ep=34.ckpt": (lightning | {"state_dict": solo, "hyper_parameters": hparams}, solo_target),
        "SSL-MedSeg ep=25.pth": (under("momentum_backbone.", t), solo_target),
        "SSL-MedSeg backbone_last.pth": (t, plain),
        "lightly": ({"state_dict": light, "hyper_parameters": hparams}, light_target),
        "lightly teacher": ({"state_dict": teacher}, light_target),
        "moco": ({"state_dict": moco}, ("moco", "target", "moco")),
    }  # fmt: skip


@pytest.mark.parametrize("name", checkpoints({}))
def test_every_dialect(name, target, tmp_path):
    content, (dialect, role, method) = checkpoints(target)[name]
    torch.save(content, tmp_path / "a.pth")
    got = dialects.read(tmp_path / "a.pth")
    assert (got.dialect, got.role, got.method) == (dialect, role, method)
    assert (got.architecture, got.channels, got.filled) == ("resnet18", 3, ())
    assert list(got.state) == list(target)
    assert all(torch.equal(got.state[k], v) and got.state[k].dtype == v.dtype for k, v in target.items())
    assert dialects.read(tmp_path / "a.pth", dialect=dialect).state.keys() == target.keys()


def test_what_was_not_taken_is_listed(target, tmp_path):
    content = checkpoints(target)["yaox12"][0]
    torch.save(content, tmp_path / "a.pth")
    dropped = dialects.read(tmp_path / "a.pth").dropped
    assert {"projetion.l1.weight", "conv1.weight"} <= set(dropped)
    save_file(target | HEAD, tmp_path / "a.safetensors")
    got = dialects.read(tmp_path / "a.safetensors")
    assert set(got.dropped) == set(HEAD)
    assert all(torch.equal(got.state[k], v) for k, v in target.items())


def test_a_wrong_prefix_is_named(target, tmp_path):
    torch.save({"state_dict": under("momentum_backbone.", target)}, tmp_path / "a.ckpt")
    with pytest.raises(EncoderError, match=r"0/120 tensors of resnet18.*did you mean `momentum_backbone\.`"):
        dialects.read(tmp_path / "a.ckpt", dialect="lightly")
    torch.save(under("net.trunk.", target), tmp_path / "b.ckpt")
    with pytest.raises(
        EncoderError, match=r"net\.trunk\.conv1\.weight.*`momentum_backbone\.`.*architecture="
    ):
        dialects.read(tmp_path / "b.ckpt")
    with pytest.raises(EncoderError, match=r"0/120[^$]*by the prefix 'net\.trunk\.'"):
        dialects.read(tmp_path / "b.ckpt", architecture="resnet18")
    with pytest.raises(EncoderError, match="dialect: must be one of"):
        dialects.read(tmp_path / "b.ckpt", dialect="klingon")


@pytest.mark.parametrize("change", ["missing", "shape", "left over", "quantised"])
def test_an_incomplete_encoder_is_refused(change, target, tmp_path):
    state = dict(target)
    if change == "missing":
        del state["layer3.0.bn2.running_var"]
    elif change == "shape":
        state["layer4.0.conv1.weight"] = torch.ones(512, 256, 1, 1)
    elif change == "left over":
        state["layer2.0.attention.weight"] = torch.ones(3)
    else:
        state["conv1.weight"] = torch.ones_like(state["conv1.weight"], dtype=torch.int8)
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(EncoderError, match=r"1(19|20)/120 tensors|got torch\.int8"):
        dialects.read(tmp_path / "a.pth")


def test_a_deeper_network_is_not_taken_for_a_shallower_one(tmp_path):
    """Every tensor of ResNet-18 is also one of ResNet-34's."""
    torch.save(timm.create_model("resnet34").state_dict(), tmp_path / "a.pth")
    assert dialects.read(tmp_path / "a.pth").architecture == "resnet34"
    with pytest.raises(EncoderError, match=r"unexpected +\d+"):
        dialects.read(tmp_path / "a.pth", architecture="resnet18")


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"])
def test_resnets_are_told_by_their_blocks(name):
    with torch.device("meta"):
        assert conventions.resnet(timm.create_model(name).state_dict()) == name


def test_other_networks_have_to_be_named(tmp_path):
    state = timm.create_model("test_efficientnet", in_chans=1).state_dict()
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(EncoderError, match="architecture=<timm name>"):
        dialects.read(tmp_path / "a.pth")
    got = dialects.read(tmp_path / "a.pth", architecture="test_efficientnet")
    assert (got.channels, got.method) == (1, "supervised")
    assert set(got.dropped) == {"classifier.weight", "classifier.bias"}
    torch.save({"arch": "test_efficientnet", "state_dict": state}, tmp_path / "b.pth")
    assert dialects.read(tmp_path / "b.pth").architecture == "test_efficientnet"


def test_half_precision_shared_memory_and_old_files(target, tmp_path):
    flat = torch.randn(sum(v.numel() for v in target.values()), dtype=torch.float16)
    state, start = {}, 0
    for name, like in target.items():
        if not name.endswith("num_batches_tracked"):
            state[name] = flat[start : start + like.numel()].view(like.shape)
            start += like.numel()
    torch.save(state, tmp_path / "a.pth")
    got = dialects.read(tmp_path / "a.pth")
    assert len(got.filled) == 20  # one a batch norm
    assert all(torch.equal(got.state[name], tensor.float()) for name, tensor in state.items())
    assert len({tensor.data_ptr() for tensor in got.state.values()}) == len(target)
