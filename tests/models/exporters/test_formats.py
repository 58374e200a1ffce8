"""Every file of an export is opened by the library that it is for, and answers as its source; a false one is not kept."""

from __future__ import annotations

import importlib.util
import stat
from pathlib import Path

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import timm
import torch
import torchvision

from sslseg.config.names import KIND_ENCODER, KIND_SEGMENTER, EncoderError, ParamError
from sslseg.models import encoder
from sslseg.models.exporters import formats, graphs, proof, twins
from tests.fixtures import trained_models

HAS_ONNX = all(importlib.util.find_spec(name) for name in graphs.ONNX_PACKAGES)
IMAGES = torch.randn(3, 1, 64, 96, generator=torch.Generator().manual_seed(5))


def saved(folder: Path, architecture: str) -> Path:
    encoder.save(encoder.build(architecture, 1, 1), folder, architecture=architecture, channels=1)
    return folder


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory):
    """A ResNet-18 in every format but the slow ones, and what it answers."""
    folder = saved(tmp_path_factory.mktemp("resnet") / "encoder", "resnet18")
    given = formats.source(folder, KIND_ENCODER)
    written = formats.write(given, folder.parent / "out", ("timm", "torchvision", "smp"))
    with torch.no_grad():
        return folder.parent / "out", written, given, given.net(IMAGES)


def test_what_was_written(resnet):
    out, written, given, _ = resnet
    assert [w.file for w in written] == ["timm/", "torchvision/resnet18.pth", "smp/tu-resnet18.pth"]
    assert all(0 <= w.gap <= 1e-5 and not w.skipped for w in written)
    assert not [part for part in given.net.modules() if type(part).__module__.startswith("sslseg")]
    assert all(stat.S_IMODE(f.stat().st_mode) & 0o044 == 0o044 for f in out.rglob("*") if f.is_file())


def test_timm_torchvision_and_smp_open_them(resnet):
    out, _, _, wanted = resnet
    with torch.no_grad():
        net = timm.create_model(f"local-dir:{out / 'timm'}", pretrained=True).eval()
        torch.testing.assert_close(net(IMAGES), wanted)
        net = torchvision.models.resnet18()
        net.conv1, net.fc = torch.nn.Conv2d(1, 64, 7, 2, 3, bias=False), torch.nn.Identity()
        net.load_state_dict(torch.load(out / "torchvision/resnet18.pth", weights_only=True))
        torch.testing.assert_close(net.eval()(IMAGES), wanted)
        unet = smp.Unet("tu-resnet18", encoder_weights=None, in_channels=1, classes=2)
        unet.encoder.load_state_dict(torch.load(out / "smp/tu-resnet18.pth", weights_only=True))
        torch.testing.assert_close(unet.eval().encoder(IMAGES)[-1].mean((2, 3)), wanted)


@pytest.mark.slow
def test_monai_opens_its_own(resnet, tmp_path):
    nets = pytest.importorskip("monai.networks.nets", reason="monai, an extra, is not installed")
    _, _, given, wanted = resnet
    (written,) = formats.write(given, tmp_path / "out", ("monai",))
    net = nets.resnet18(spatial_dims=2, n_input_channels=1, conv1_t_stride=2, shortcut_type="B", bias_downsample=False,
                        feed_forward=False)  # fmt: skip
    net.load_state_dict(torch.load(tmp_path / "out" / written.file, weights_only=True))
    with torch.no_grad():
        torch.testing.assert_close(net.eval()(IMAGES), wanted)


@pytest.mark.parametrize("name", ["program", "onnx"])
def test_a_graph_reads_any_batch_and_size(name, tmp_path):
    """Also with TensorFlow's padding, which is a constant there."""
    if name == "onnx" and not HAS_ONNX:
        pytest.skip("onnx, an extra, is not installed")
    given = formats.source(saved(tmp_path / "encoder", "test_efficientnet"), KIND_ENCODER)
    (written,) = formats.write(given, tmp_path / "out", (name,))
    assert written.gap <= 1e-5
    file = tmp_path / "out" / written.file
    with torch.no_grad():
        if name == "program":
            got = torch.export.load(file).module()(IMAGES)
        else:
            import onnxruntime

            session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
            got = torch.from_numpy(session.run(None, {"image": IMAGES.numpy()})[0])
        torch.testing.assert_close(got, given.net(IMAGES), rtol=1e-4, atol=1e-5)


def test_same_padding_as_a_constant():
    """Where each stage's maps have even sides: exactly what timm computes; what it has to be told is the size alone."""
    net = timm.create_model("tf_efficientnet_lite0", num_classes=0, in_chans=1).eval()
    fixed = graphs.plain(net)
    kinds = [type(part).__name__ for part in fixed.modules()]
    assert kinds.count("_Padded") == sum(type(p).__name__ == "Conv2dSame" for p in net.modules()) > 4
    with torch.no_grad():
        assert torch.equal(fixed(IMAGES), net(IMAGES))
        odd = torch.randn(1, 1, 50, 75)
        assert not torch.equal(fixed(odd), net(odd))


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("unet")
    return formats.source(trained_models.folder(folder / "model"), KIND_SEGMENTER), folder / "out"


def test_a_whole_unet_through_smp_and_as_a_graph(unet):
    given, out = unet
    asked = ("smp", "program", "onnx") if HAS_ONNX else ("smp", "program")
    written = {w.format: w for w in formats.write(given, out, asked)}
    assert all(w.gap <= 1e-5 for w in written.values())
    with torch.no_grad():
        wanted = given.net(IMAGES)
        torch.testing.assert_close(smp.from_pretrained(out / "smp").eval()(IMAGES), wanted)
        torch.testing.assert_close(torch.export.load(out / written["program"].file).module()(IMAGES), wanted)
    if HAS_ONNX:
        import onnxruntime

        session = onnxruntime.InferenceSession(
            str(out / written["onnx"].file), providers=["CPUExecutionProvider"]
        )
        got = session.run(["logits"], {"image": IMAGES.numpy()})[0]
        np.testing.assert_allclose(got, wanted.numpy(), rtol=1e-4, atol=1e-4)


def test_a_file_that_computes_something_else_is_not_kept(resnet, tmp_path, monkeypatch):
    _, _, given, _ = resnet
    real = twins.translated

    def scaled(*args):
        return {k: v * 1.01 if k == "bn1.weight" else v for k, v in real(*args).items()}

    monkeypatch.setattr(twins, "translated", scaled)
    with pytest.raises(
        EncoderError, match=r"torchvision: the file computes something else than its source: \d"
    ):
        formats.write(given, tmp_path / "a", ("torchvision",))
    monkeypatch.setitem(formats.FORMATS, KIND_ENCODER, {"torchvision": formats._twin})
    (written,) = formats.write(given, tmp_path / "b")
    assert "computes something else" in written.skipped
    assert list((tmp_path / "b").iterdir()) == []


@pytest.mark.parametrize(
    "wrong",
    [
        lambda found, images: found * np.nan,
        lambda found, images: found * (1 + 3e-4),
        lambda found, images: found if images.shape[2] == images.shape[3] else 2 * found,
    ],
    ids=["no number", "a little", "where height and width differ"],
)
def test_an_answer_that_is_wrong_anywhere_is_found(wrong, tmp_path):
    given = formats.source(saved(tmp_path, "test_resnet"), KIND_ENCODER)
    own = proof.answering(given.net)
    proof.compared(given, "x", tmp_path, "", own)
    with pytest.raises(EncoderError, match="x: the file computes something else than its source"):
        proof.compared(given, "x", tmp_path, "", lambda images: wrong(own(images), images))


def test_what_there_is_not_is_said(tmp_path, monkeypatch):
    given = formats.source(saved(tmp_path / "encoder", "test_efficientnet"), KIND_ENCODER)
    with pytest.raises(
        ParamError, match="torchvision has no network that computes what test_efficientnet does"
    ):
        formats.write(given, tmp_path / "a", ("torchvision",))
    with pytest.raises(ParamError, match="formats: tensorrt: a encoder is exported as timm,"):
        formats.write(given, tmp_path / "b", ("tensorrt",))
    monkeypatch.setattr(graphs, "ONNX_PACKAGES", ("no_such_package",))
    with pytest.raises(ParamError, match=r"onnx needs no_such_package: pip install 'sslseg\[export\]'"):
        formats.write(given, tmp_path / "c", ("onnx",))
    few = {name: formats.FORMATS[KIND_ENCODER][name] for name in ("timm", "torchvision", "monai", "onnx")}
    monkeypatch.setitem(formats.FORMATS, KIND_ENCODER, few)
    found = formats.write(given, tmp_path / "d")
    assert [bool(w.skipped) for w in found] == [False, True, True, True]
    assert [f.name for f in (tmp_path / "d").iterdir()] == ["timm"]
    assert found[1].row()["gap"] is None


def test_a_network_of_one_size(tmp_path):
    given = formats.source(saved(tmp_path / "encoder", "test_vit"), KIND_ENCODER)
    assert given.own == 160
    written = formats.write(given, tmp_path / "out", ("timm", "program"))
    assert all(w.gap <= 1e-5 for w in written)
    with pytest.raises(ParamError, match="formats: smp: test_vit cannot be the encoder of a U-Net"):
        formats.write(given, tmp_path / "b", ("smp",))
