"""Checkpoints as libraries write them come back complete, bit by bit, as the right network, with its role and training."""

from __future__ import annotations

import argparse
import re
import warnings
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from safetensors.torch import save_file

from sslseg.config.names import EncoderError
from sslseg.models import unet
from sslseg.models.importers import checkpoint, naming

SMALL = "test_resnet"
NUMBERS = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
HEAD = {"fc.weight": torch.ones(1000, 512), "fc.bias": torch.ones(1000)}
MLP = {"l1.weight": torch.ones(3, 512), "bn1.running_mean": torch.ones(3), "l2.bias": torch.ones(2)}


def drawn(state: dict[str, torch.Tensor], seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights and statistics of its own for each tensor."""
    draw = torch.Generator().manual_seed(seed)
    return {
        k: torch.randn(v.shape, generator=draw) if v.is_floating_point() else v + 7 for k, v in state.items()
    }


@pytest.fixture(scope="module")
def target():
    """The state of a ResNet-18 with statistics of its own."""
    return drawn(timm.create_model("resnet18", num_classes=0).state_dict())


@pytest.fixture(scope="module")
def small():
    """That of a ResNet of 0.4 M parameters."""
    return drawn(timm.create_model(SMALL, num_classes=0).state_dict())


def under(prefix, state):
    return {prefix + name: tensor for name, tensor in state.items()}


def numbered(state):
    """As nn.Sequential(*list(resnet.children())[:-1]) names them."""
    parts = {name: name.partition(".") for name in state}
    return {f"{NUMBERS.get(first, first)}.{rest}": state[name] for name, (first, _, rest) in parts.items()}


def online(state):
    """Another network of the same shape."""
    return {name: tensor + 1 for name, tensor in state.items()}


def checkpoints(t):
    """name -> (content, (role, the file's word, method)); the encoder in each is `t`."""
    other = online(t)
    solo = under("momentum_backbone.", t) | under("backbone.", other) | under("predictor.", MLP)
    hparams = argparse.Namespace(backbone="resnet18", optimizer=argparse.Namespace(lr=1.0))
    yaox = under("module.", t) | under("module.projetion.", MLP)
    lightning = {"epoch": 34, "pytorch-lightning_version": "1.6.4", "callbacks": {"ckpt": {"best": "x"}}}
    light = under("backbone_momentum.", numbered(t)) | under("backbone.", numbered(other))
    moco = under("module.encoder_k.", t) | under("module.encoder_q.", other)
    queue = {"module.queue": torch.ones(128, 9), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}
    adam = {"state": {0: {"exp_avg": torch.ones(3, 3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    only, supervised = ("imported", "", "unknown"), ("imported", "", "supervised")
    momentum, teacher, byol = (
        ("target", "momentum", "unknown"),
        ("target", "teacher", "unknown"),
        ("target", "target", "byol"),
    )
    inner = {
        re.sub(r"^(layer\d\.\d)\.", r"\1._fsdp_wrapped_module._checkpoint_wrapped_module.", k): v
        for k, v in t.items()
    }
    fpn = {
        "backbone.fpn.inner_blocks.0.0.weight": torch.ones(2, 2, 1, 1),
        "rpn.head.cls_logits.bias": torch.ones(3),
    }
    student = under("student_embedding_model.wrapped_model._model.", other)
    return {
        "timm": (t, only),
        "torchvision": (t | HEAD, supervised),
        "data-parallel": ({"state_dict": under("module.", t | HEAD), "arch": "resnet18"}, supervised),
        "compiled": ({"model": under("_orig_mod.", t)}, only),
        "model prefix": ({"state_dict": under("model.", t)}, only),
        "encoder prefix": (under("encoder.", t), only),
        "net": (under("net.", t), only),
        "deep in tables": ({"a": {"b": [{"c": under("trunk.body.", t)}]}}, only),
        "smp tu-": (under("encoder.model.", t) | under("decoder.", MLP), only),
        "SSL-MedSeg fine-tuned": (lightning | {"state_dict": under("model.encoder.model.", t)}, only),
        "yaox12": ({"target_backbone": yaox, "online_backbone": under("module.", other)}, byol),
        "yaox12 online": ({"online_backbone": yaox}, ("online", "online", "byol")),
        "yaox12 numbered": ({"target_backbone": under("module.encoder.", numbered(t))}, byol),
        "solo-learn": ({"state_dict": solo, "hyper_parameters": {"method": "byol"}}, ("target", "momentum", "byol")),
        "solo-learn without momentum": ({"state_dict": under("backbone.", t)}, only),
        "SSL-MedSeg ep=34.ckpt": (lightning | {"state_dict": solo, "hyper_parameters": hparams}, momentum),
        "SSL-MedSeg ep=25.pth": (under("momentum_backbone.", t), momentum),
        "SSL-MedSeg backbone_last.pth": (t, only),
        "lightly": ({"state_dict": light, "hyper_parameters": hparams}, momentum),
        "lightly teacher": ({"state_dict": under("teacher_backbone.", t) | under("backbone.", other)}, teacher),
        "moco": ({"state_dict": moco}, ("target", "key", "moco")),
        "moco v2": ({"epoch": 3, "arch": "resnet18", "state_dict": moco | queue, "optimizer": adam}, ("target", "key", "moco")),
        "moco v3": ({"state_dict": under("module.momentum_encoder.", t) | under("module.base_encoder.", other)
                     | under("module.momentum_encoder.fc.", MLP) | under("module.predictor.", MLP)}, momentum),
        "densecl": ({"state_dict": under("encoder_k.0.", t) | under("encoder_q.0.", other) | under("encoder_q.1.", MLP)
                     | {"queue": torch.ones(2, 2), "queue2": torch.ones(2, 2)}}, ("target", "key", "unknown")),
        "pixpro": ({"opt": hparams, "model": under("module.encoder_k.", t) | under("module.encoder.", other)
                    | under("module.projector_k.", MLP) | under("module.value_transform.", MLP)}, ("target", "key", "pixpro")),
        "swav": (under("module.", t) | under("module.projection_head.", MLP)
                 | {"module.prototypes.weight": torch.ones(3, 2)}, ("imported", "", "swav")),
        "dino": ({"student": under("module.backbone.", other) | under("module.head.", MLP), "epoch": 9, "args": hparams,
                  "teacher": under("backbone.", t) | under("head.", MLP), "dino_loss": {"center": torch.ones(1, 3)}},
                 ("target", "teacher", "dino")),
        "vissl": ({"classy_state_dict": {"base_model": {"meta": {}, "model": {
            "heads": {"0.clf.0.weight": torch.ones(3, 3)}, "trunk": under("_feature_blocks.", t)}}}}, only),
        "mmselfsup byol": ({"meta": {"epoch": 1}, "state_dict": under("target_net.0.", t) | under("target_net.1.", MLP)
                            | under("online_net.0.", other) | under("online_net.1.", MLP)}, ("target", "target", "unknown")),
        "mmpretrain": ({"state_dict": under("backbone.", t) | under("head.", HEAD)}, only),
        "spark": ({"module": under("sparse_encoder.sp_cnn.", t) | under("dense_decoder.", MLP)
                   | {"mask_tokens.0": torch.ones(1, 512, 1, 1)}}, only),
        "deepspeed": ({"module": t | HEAD, "buffer_names": ["x"], "optimizer": None, "ds_config": {"a": 1}}, supervised),
        "timm train, ema": ({"arch": "resnet18", "state_dict": other | HEAD, "state_dict_ema": t | HEAD, "optimizer": adam},
                            ("target", "ema", "supervised")),
        "model_ema": ({"model": other, "model_ema": t, "args": hparams}, ("target", "ema", "unknown")),
        "averaged": ({"n_averaged": torch.tensor(5)} | under("module.", t), ("target", "ema", "unknown")),
        "fsdp": ({"model": under("_fsdp_wrapped_module.", inner)}, only),
        "lucidrains": (under("net.", other) | under("online_encoder.net.", other) | under("online_encoder.projector.", MLP)
                       | under("target_encoder.net.", t) | under("online_predictor.", MLP), byol),
        "mmselfsup encoder": (under("encoder_q.0.", t), ("online", "query", "unknown")),
        "torchvision detection": ({k: v for k, v in (under("backbone.body.", t) | fpn).items() if "batches" not in k}, only),
        "lightly-train": (lightning | {"state_dict": under("teacher_embedding_model.wrapped_model._model.", t) | student
                                       | under("teacher_projection_head.", MLP), "lightly_train": hparams}, teacher),
        "vicreg": ({"model": under("module.backbone.", t) | under("module.projector.", MLP)}, only),
        "simsiam": ({"state_dict": under("module.encoder.", t) | under("module.encoder.fc.", MLP)
                     | under("module.predictor.", MLP)}, only),
        "radimagenet": (under("backbone.", numbered(t)), only),
        "a stem of its own": ({re.sub("^(conv1|bn1)", lambda m: f"layer0.{'01'[m[1] == 'bn1']}", k): v
                               for k, v in under("", t).items()}, only),
    }  # fmt: skip


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
    state = dict(target)
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
    with pytest.raises(EncoderError, match=r"1(19|20)/120 tensors|got torch\.int8"):
        checkpoint.read(tmp_path / "a.pth")


def test_a_deeper_network_is_not_taken_for_a_shallower_one(tmp_path):
    """Every tensor of ResNet-18 is also one of ResNet-34's."""
    torch.save(timm.create_model("resnet34").state_dict(), tmp_path / "a.pth")
    assert checkpoint.read(tmp_path / "a.pth").architecture == "resnet34"
    with pytest.raises(EncoderError, match=r"unexpected +\d+"):
        checkpoint.read(tmp_path / "a.pth", architecture="resnet18")


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


# ---------------------------------------------------------------- other libraries' names
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
    from tests.models.importers.test_hub import resnet_of_transformers

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
    assert Path(tmp_path / "a.pth").is_file()
