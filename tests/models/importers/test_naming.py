"""One network under the names of many libraries: found, and with the features of the network that was saved."""

from __future__ import annotations

import re
import warnings

import pytest
import segmentation_models_pytorch as smp
import timm
import torch

from sslseg.config.names import EncoderError
from sslseg.models import unet
from sslseg.models.importers import checkpoint, naming
from tests.fixtures.checkpoints import MLP, drawn, online, under
from tests.models.importers.test_hub import resnet_of_transformers

RESNETS = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "wide_resnet101_2",
)


@pytest.mark.parametrize(
    "name", [*RESNETS, "convnext_atto", "convnextv2_nano", "convnext_small", "convnext_base"]
)
def test_resnets_and_convnexts_are_told_by_their_blocks(name):
    with torch.device("meta"):
        shapes = {k: tuple(v.shape) for k, v in timm.create_model(name).state_dict().items()}
    assert any(name in names for names in naming.guesses(shapes))


def test_blocks_that_no_network_has_are_no_guess():
    layers = (f"features.denseblock{b}.denselayer{n}.conv1.weight" for b in range(1, 5) for n in range(3))
    assert not naming.guesses(dict.fromkeys(layers, (128, 64, 1, 1)))


def official(name: str) -> str:
    """facebookresearch/ConvNeXt's names of timm's, written out from models/convnext.py there."""
    name = name.replace("head.norm.", "norm.")
    name = re.sub(r"^stem\.", "downsample_layers.0.", name)
    name = re.sub(r"^stages\.(\d)\.downsample\.", r"downsample_layers.\1.", name)
    name = re.sub(r"^stages\.(\d)\.blocks\.(\d+)\.", r"stages.\1.\2.", name)
    for ours, theirs in ((".conv_dw.", ".dwconv."), (".mlp.fc1.", ".pwconv1."), (".mlp.fc2.", ".pwconv2."),
                         (".mlp.grn.weight", ".grn.gamma"), (".mlp.grn.bias", ".grn.beta")):  # fmt: skip
        name = name.replace(ours, theirs)
    return name


@pytest.mark.parametrize("prefix", ["", "encoder.trunk."])
def test_convnexts_official_names(prefix, tmp_path):
    state = drawn(timm.create_model("convnextv2_atto", num_classes=0).state_dict())
    theirs = {official(k): v.view(1, 1, 1, -1) if ".grn." in k else v for k, v in state.items()}
    theirs |= {"head.weight": torch.randn(1000, 320), "head.bias": torch.randn(1000)}
    torch.save({"model": under(prefix, theirs)}, tmp_path / "a.pth")
    got = checkpoint.read(tmp_path / "a.pth")
    assert (got.architecture, got.prefix, got.library) == (
        "convnextv2_atto",
        f"model.{prefix}",
        "its authors",
    )
    assert all(torch.equal(got.state[k], v) for k, v in state.items())


def openmmlab(name: str) -> str:
    """mmseg's ResNetV1d: the stem is one Sequential."""
    return f"backbone.{re.sub('^bn1', 'stem.7', re.sub('^conv1', 'stem', name))}"


def of_transformers(name: str) -> str:
    return f"resnet.{resnet_of_transformers(name)}"


def traced(net):
    """As TorchScript, which packs its code."""
    return torch.jit.trace(net, torch.zeros(1, net.conv1.in_channels, 64, 64))


def scripted(net):
    """The same from its source, one module deeper."""
    return torch.jit.script(torch.nn.Sequential(net))


@pytest.mark.parametrize(
    ("architecture", "channels", "content", "library"),
    [("resnet18d", 3, openmmlab, "OpenMMLab"), ("resnet18", 3, of_transformers, "transformers"),
     ("resnet18", 1, str, "timm"), ("resnet18", 3, traced, "timm"), ("resnet18", 1, scripted, "timm")],
)  # fmt: skip
def test_features_are_those_of_the_network_that_was_saved(architecture, channels, content, library, tmp_path):
    """A fine-tuned network with five classes, found without being named."""
    theirs = timm.create_model(architecture, num_classes=5, in_chans=channels).eval()
    state = drawn(theirs.state_dict())
    theirs.load_state_dict({k: v.abs() * 0.1 + 0.01 if v.ndim == 1 else v * 0.1 for k, v in state.items()})
    if content in (traced, scripted):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.jit is deprecated
            torch.jit.save(content(theirs), tmp_path / "a.pt")
    else:
        torch.save(
            {"state_dict": {content(k): v for k, v in theirs.state_dict().items() if "fc" not in k}},
            tmp_path / "a.pt",
        )
    got = checkpoint.read(tmp_path / "a.pt")
    assert (got.architecture, got.channels, got.library, got.method) == (
        architecture,
        channels,
        library,
        "unknown",
    )
    mine = timm.create_model(architecture, num_classes=0, in_chans=channels).eval()
    mine.load_state_dict(got.state)
    images = torch.randn(2, channels, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = theirs.forward_head(theirs.forward_features(images), pre_logits=True)
        assert wanted.std() > 0
        torch.testing.assert_close(mine(images), wanted)


@pytest.mark.parametrize("chunked", [False, True])
def test_dinov2_teacher_and_student(chunked, tmp_path):
    """Vision transformers have to be named; training files share their blocks out in chunks."""
    state = drawn(timm.create_model("test_vit", num_classes=0, dynamic_img_size=True).state_dict())
    theirs = {re.sub(r"^blocks\.(\d+)\.", r"blocks.0.\1.", k) if chunked else k: v for k, v in state.items()}
    extra = {"mask_token": torch.ones(1, 64)}
    content = {"teacher": under("backbone.", theirs | extra) | under("dino_head.", MLP),
               "student": under("backbone.", online(theirs) | extra) | under("ibot_head.", MLP)}  # fmt: skip
    torch.save(content, tmp_path / "a.pth")
    got = checkpoint.read(tmp_path / "a.pth", architecture="test_vit")
    assert (got.role, got.network) == ("target", "teacher")
    assert all(torch.equal(got.state[k], v) for k, v in state.items())
    content["teacher"]["backbone.register_tokens"] = torch.ones(1, 4, 64)  # another network
    torch.save({"teacher": content["teacher"]}, tmp_path / "b.pth")
    with pytest.raises(EncoderError, match="unexpected +1 +register_tokens"):
        checkpoint.read(tmp_path / "b.pth", architecture="test_vit")


@pytest.mark.parametrize(
    ("encoder", "architecture"),
    [("tu-tf_efficientnet_lite0", "tf_efficientnet_lite0"), ("tu-test_efficientnet", "test_efficientnet"),
     ("efficientnet-b0", "tf_efficientnet_b0"), ("mobilenet_v2", "mobilenetv2_100"), ("tu-test_convnext", "test_convnext")],
)  # fmt: skip
def test_unets_of_smp(encoder, architecture, tmp_path):
    """The encoder inside arrives in a U-Net of ours tensor by tensor; what no U-Net reads is said to be drawn."""
    net = smp.Unet(encoder, encoder_weights=None, in_channels=1, classes=2)
    state = drawn(net.state_dict())
    torch.save({"state_dict": under("model.", state)}, tmp_path / "a.ckpt")
    got = checkpoint.read(tmp_path / "a.ckpt", architecture=architecture)
    assert (got.channels, got.role) == (1, "imported")
    config = {"architecture": architecture, "model_args": {"in_chans": 1}}
    mine, carried = unet.build(got.state, config, classes=2, decoder_channels=(8, 8, 8, 8, 8), seed=0)
    assert set(got.drawn) <= set(carried)
    if encoder.startswith("tu-"):
        theirs = {k.removeprefix("encoder."): v for k, v in state.items() if k.startswith("encoder.")}
        assert all(torch.equal(v, theirs[k]) for k, v in mine.encoder.state_dict().items())
    else:
        there = {tuple(v.shape): [] for v in state.values()}
        for v in state.values():
            there[tuple(v.shape)].append(v)
        assert all(
            any(torch.equal(v, u) for u in there[tuple(v.shape)]) for v in mine.encoder.state_dict().values()
        )


def test_a_tail_that_is_there_in_part_is_no_unet(tmp_path):
    state = timm.create_model("tf_efficientnet_lite0", num_classes=0).state_dict()
    del state["bn2.running_var"]
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(EncoderError, match=r"293/294 tensors of tf_efficientnet_lite0"):
        checkpoint.read(tmp_path / "a.pth", architecture="tf_efficientnet_lite0")


def test_a_torchvision_convnext(tmp_path):
    import torchvision

    theirs = torchvision.models.convnext_tiny(weights=None).eval()
    with torch.no_grad():
        for block in theirs.modules():
            if hasattr(block, "layer_scale"):
                block.layer_scale.fill_(0.3)
    torch.save(theirs.state_dict(), tmp_path / "a.pth")
    got = checkpoint.read(tmp_path / "a.pth", architecture="convnext_tiny")
    mine = timm.create_model("convnext_tiny", num_classes=0).eval()
    mine.load_state_dict(got.state)
    theirs.classifier[2] = torch.nn.Identity()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(mine(images), theirs(images), rtol=1e-4, atol=1e-4)


def mmpretrain(name: str) -> str:
    pairs = (
        ("head.norm", "norm3"),
        ("stem.", "downsample_layers.0."),
        (".blocks.", "."),
        ("conv_dw", "depthwise_conv"),
    )
    for ours, theirs in (*pairs, ("mlp.fc", "pointwise_conv")):
        name = name.replace(ours, theirs)
    parts = name.split(".")
    return ".".join(["downsample_layers", parts[1], *parts[3:]] if "downsample" in parts else parts)


def chexnet(name: str) -> str:
    """torchvision's before 0.3: `norm.1`, and with it CheXNet's."""
    for part in ("norm1", "norm2", "conv1", "conv2"):
        if "denselayer" in name:
            name = name.replace(f".{part}.", f".{part[:4]}.{part[4]}.")
    return name


@pytest.mark.parametrize(
    ("architecture", "theirs"),
    [("convnext_atto", mmpretrain), ("densenet121", chexnet), ("densenet121", lambda name: name.removeprefix("features."))],
    ids=["mmpretrain", "older torchvision", "features alone"],
)  # fmt: skip
def test_names_of_other_releases(architecture, theirs, tmp_path):
    state = drawn(timm.create_model(architecture, num_classes=0).state_dict())
    torch.save({"state_dict": {f"backbone.0.{theirs(k)}": v for k, v in state.items()}}, tmp_path / "a.pth")
    got = checkpoint.read(
        tmp_path / "a.pth", architecture="" if "dense" in theirs("denselayer1") else architecture
    )
    assert got.architecture == architecture
    assert all(torch.equal(got.state[k], v) for k, v in state.items())
