"""Checkpoints as libraries write them come back complete, bit by bit, as the right network, with its role and training."""

from __future__ import annotations

import pytest
import timm
import torch
from safetensors.torch import save_file

from sslseg.config.names import EncoderError
from sslseg.models.importers import checkpoint
from tests.fixtures.checkpoints import HEAD, MLP, SMALL, checkpoints, drawn, online, under


@pytest.fixture(scope="module")
def target():
    """The state of a ResNet-18 with statistics of its own."""
    return drawn(timm.create_model("resnet18", num_classes=0).state_dict())


@pytest.fixture(scope="module")
def small():
    """That of a ResNet of 0.4 M parameters."""
    return drawn(timm.create_model(SMALL, num_classes=0).state_dict())


@pytest.mark.parametrize("name", checkpoints({}))
def test_every_kind_of_file(name, small, tmp_path):
    content, wanted = checkpoints(small)[name]
    torch.save(content, tmp_path / "a.pth")
    got = checkpoint.read(tmp_path / "a.pth", architecture=SMALL)
    assert (got.role, got.network, got.method) == wanted
    counters = sum("num_batches" in name for name in small)
    assert len(got.filled) == (counters if name == "torchvision detection" else 0)
    assert (got.architecture, got.channels, got.drawn) == (SMALL, 3, ())
    assert list(got.state) == list(small)
    same = [
        torch.equal(got.state[k], v) and got.state[k].dtype == v.dtype
        for k, v in small.items()
        if k not in got.filled
    ]
    assert all(same)
    if got.network:
        assert checkpoint.read(tmp_path / "a.pth", architecture=SMALL, role=got.network).prefix == got.prefix
    for other in got.others:
        again = checkpoint.read(tmp_path / "a.pth", architecture=SMALL, role=other.partition(" ")[0])
        assert again.role == "online"
        assert torch.equal(again.state["bn1.bias"], small["bn1.bias"] + 1)
        assert checkpoint.read(tmp_path / "a.pth", architecture=SMALL, role="online").prefix == again.prefix


@pytest.mark.parametrize(
    "name", ["torchvision", "yaox12 numbered", "lightly", "moco v2", "vissl", "a stem of its own"]
)
def test_a_resnet_need_not_be_named(name, target, tmp_path):
    torch.save(checkpoints(target)[name][0], tmp_path / "a.pth")
    got = checkpoint.read(tmp_path / "a.pth")
    assert got.architecture == "resnet18"
    assert all(torch.equal(got.state[k], v) for k, v in target.items())


def test_what_was_not_taken_is_listed(target, tmp_path):
    torch.save(checkpoints(target)["yaox12"][0], tmp_path / "a.pth")
    dropped = checkpoint.read(tmp_path / "a.pth").dropped
    assert {"target_backbone.projetion.l1.weight", "online_backbone.conv1.weight"} <= set(dropped)
    save_file(target | HEAD, tmp_path / "a.bin")  # by its content, not by its name
    got = checkpoint.read(tmp_path / "a.bin")
    assert set(got.dropped) == set(HEAD)
    assert all(torch.equal(got.state[k], v) for k, v in target.items())


# ---------------------------------------------------------------- which network, and how it was trained
def test_two_networks_of_one_role_have_to_be_told_apart(target, tmp_path):
    content = {"a": under("left.", target), "b": under("right.", online(target))}
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(
        EncoderError, match=r"2 different networks.*strip=(.|\n)*`a\.left\.`(.|\n)*`b\.right\.`"
    ):
        checkpoint.read(tmp_path / "a.pth")
    assert torch.equal(
        checkpoint.read(tmp_path / "a.pth", strip=("left",)).state["bn1.bias"], target["bn1.bias"]
    )
    assert torch.equal(
        checkpoint.read(tmp_path / "a.pth", strip=("b.right.",)).state["bn1.bias"], target["bn1.bias"] + 1
    )
    with pytest.raises(EncoderError, match="no network in it says that it is the teacher one"):
        checkpoint.read(tmp_path / "a.pth", role="teacher")


def test_twice_the_same_network_is_one(target, tmp_path):
    torch.save({"a": target, "b": {k: v.clone() for k, v in target.items()}}, tmp_path / "a.pth")
    got = checkpoint.read(tmp_path / "a.pth")
    assert (got.role, got.others) == ("imported", ())


@pytest.mark.parametrize("how", ["torch", "timm", "bias of zero", "a projection"])
def test_an_untouched_classifier_is_no_supervision(how, target, tmp_path):
    """A self-supervised network that keeps the classifier it was built with is not the supervised row."""
    torch.manual_seed(0)
    head = torch.nn.Linear(512, 128 if how == "a projection" else 1000)
    if how == "timm":
        torch.nn.init.uniform_(head.weight, -(1000**-0.5), 1000**-0.5)
    elif how == "bias of zero":
        torch.nn.init.normal_(head.weight, std=0.01)
        torch.nn.init.zeros_(head.bias)
    elif how == "a projection":
        torch.nn.init.normal_(head.weight)
    torch.save(target | under("fc.", head.state_dict()), tmp_path / "a.pth")
    assert checkpoint.read(tmp_path / "a.pth").method == "unknown"
    if how != "a projection":
        torch.nn.init.normal_(head.weight, std=0.05)
        torch.nn.init.normal_(head.bias, std=0.05)
        torch.save(target | under("fc.", head.state_dict()), tmp_path / "a.pth")
        assert checkpoint.read(tmp_path / "a.pth").method == "supervised"


# ---------------------------------------------------------------- refusals
def test_what_fits_nothing_is_named(target, tmp_path):
    torch.save(under("net.trunk.", {f"x{k}": v for k, v in target.items()}), tmp_path / "b.ckpt")
    with pytest.raises(
        EncoderError, match=r"net\.trunk\.xconv1\.weight.*no ResNet or ConvNeXt.*architecture="
    ):
        checkpoint.read(tmp_path / "b.ckpt")
    with pytest.raises(EncoderError, match=r"0 tensors of resnet18 matched.*strip="):
        checkpoint.read(tmp_path / "b.ckpt", architecture="resnet18")


def test_a_network_in_parts_is_put_together_by_strip(target, tmp_path):
    parts = {k: v for k, v in target.items() if k.startswith("layer")}
    stem = {k: v for k, v in target.items() if k not in parts}
    torch.save(
        under("model.stem.", stem) | under("model.body.", parts) | under("model.x.", MLP), tmp_path / "a.pth"
    )
    with pytest.raises(EncoderError, match=r"114/120 tensors of resnet18"):
        checkpoint.read(tmp_path / "a.pth")
    got = checkpoint.read(tmp_path / "a.pth", strip=("stem", "body."))
    assert all(torch.equal(got.state[k], v) for k, v in target.items())


@pytest.mark.parametrize("change", ["missing", "shape", "left over", "one more block", "quantised"])
def test_an_incomplete_encoder_is_refused(change, target, tmp_path):
    state = target | HEAD
    if change == "missing":
        del state["layer3.0.bn2.running_var"]
    elif change == "shape":
        state["layer4.0.conv1.weight"] = torch.ones(512, 256, 1, 1)
    elif change == "left over":
        state["layer2.0.attention.weight"] = torch.ones(3)
    elif change == "one more block":
        state["layer5.0.conv1.weight"] = torch.ones(3, 3, 3, 3)
    else:
        state["conv1.weight"] = torch.ones_like(state["conv1.weight"], dtype=torch.int8)
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(
        EncoderError, match=r"1(19|20)/120 tensors(.|\n)*carried +2 +fc\.bias, fc\.weight|got torch\.int8"
    ):
        checkpoint.read(tmp_path / "a.pth")


def test_a_deeper_network_is_not_taken_for_a_shallower_one(tmp_path):
    """Every tensor of ResNet-18 is also one of ResNet-34's."""
    torch.save(timm.create_model("resnet34").state_dict(), tmp_path / "a.pth")
    assert checkpoint.read(tmp_path / "a.pth").architecture == "resnet34"
    with pytest.raises(EncoderError, match=r"unexpected +\d+"):
        checkpoint.read(tmp_path / "a.pth", architecture="resnet18")


def test_shapes_tell_networks_of_the_same_blocks_apart(tmp_path):
    state = timm.create_model("resnext50_32x4d", num_classes=0).state_dict()
    torch.save(under("encoder.", {k: v.half() for k, v in state.items()}), tmp_path / "a.pth")
    assert checkpoint.read(tmp_path / "a.pth").architecture == "resnext50_32x4d"


def test_other_networks_have_to_be_named(tmp_path):
    state = drawn(timm.create_model("test_efficientnet", in_chans=1).state_dict())
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(EncoderError, match="architecture=<timm name>"):
        checkpoint.read(tmp_path / "a.pth")
    got = checkpoint.read(tmp_path / "a.pth", architecture="test_efficientnet")
    assert (got.channels, got.method) == (1, "supervised")
    assert set(got.dropped) == {"classifier.weight", "classifier.bias"}
    torch.save({"arch": "test_efficientnet", "state_dict": state}, tmp_path / "b.pth")
    assert checkpoint.read(tmp_path / "b.pth").architecture == "test_efficientnet"


def test_half_precision_shared_memory_and_old_files(target, tmp_path):
    flat = torch.randn(sum(v.numel() for v in target.values()), dtype=torch.float16)
    state, start = {}, 0
    for name, like in target.items():
        if not name.endswith("num_batches_tracked"):
            state[name] = flat[start : start + like.numel()].view(like.shape)
            start += like.numel()
    torch.save(state, tmp_path / "a.pth")
    got = checkpoint.read(tmp_path / "a.pth")
    assert len(got.filled) == 20  # one a batch norm
    assert all(torch.equal(got.state[name], tensor.float()) for name, tensor in state.items())
    assert len({tensor.data_ptr() for tensor in got.state.values()}) == len(target)
