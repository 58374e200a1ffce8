"""What is no checkpoint is named as what it is, whatever its name; nothing of it is run."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import subprocess
import tarfile
import warnings
import zipfile

import numpy as np
import pytest
import timm
import torch

from sslseg.config.names import EncoderError
from sslseg.models.importers import checkpoint, unpickle

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 102530333\n"
ONNX = b"\x08\x0a\x12\x07pytorch\x1a\x062.14.1:\xd9\x05\n\x0bconv1.weight"


class Evil:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def files():
    """name -> (bytes, what the refusal says)."""
    net = timm.create_model("test_resnet").eval()
    frozen, whole, old, numpy, tar = (io.BytesIO() for _ in range(5))
    torch.jit.save(torch.jit.freeze(torch.jit.trace(net, torch.zeros(1, 3, 64, 64))), frozen)
    arrays = {"stem.conv1.weight": np.ones((2, 3, 3, 3), np.float32)}
    torch.save(net, whole)
    torch.save(
        {"epoch": 3, "model": torch.nn.Linear(2, 2), "ema": None}, old, _use_new_zipfile_serialization=False
    )
    np.savez(numpy, a=np.arange(9))
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.pth"))
    keras = io.BytesIO()
    with zipfile.ZipFile(keras, "w") as archive:
        archive.writestr("model.weights.h5", b"")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("release/model.safetensors", b"x")
    state = io.BytesIO()
    torch.save(net.state_dict(), state)
    return {
        "torchscript": (frozen.getvalue(), "a TorchScript program that is frozen.*state_dict"),
        "whole": (whole.getvalue(), r"a whole pickled object, timm\.models\.resnet\.ResNet"),
        "whole in a table": (old.getvalue(), r"a whole pickled object, model \(torch\.nn\.modules\.linear\.Linear\)"),
        "onnx": (ONNX, "an ONNX graph"),
        "html": (b"\n<!DOCTYPE html>\n<html><title>Sign in</title>", "a web page"),
        "html in capitals": (b"<HTML><HEAD><TITLE>404", "a web page"),
        "xml": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML document"),
        "json": (b'{"error": "Repository not found"}', "a JSON text"),
        "lfs": (LFS, r"a Git LFS pointer.*git lfs pull.*102,530,333 bytes"),
        "annex": (b"/annex/objects/MD5E-s123--ab.pth\n", "a git-annex pointer"),
        "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file"),
        "tflite": (b"\x1c\0\0\0TFL3" + bytes(99), "a TensorFlow Lite file.*np.transpose"),
        "TensorFlow's list": (b'model_checkpoint_path: "model.ckpt-10"\n', "TensorFlow's list of checkpoints"),
        "Detectron2": (pickle.dumps({"model": arrays, "__author__": "x"}, 4), "weights of Detectron2.*STRIDE_IN_1X1"),
        "arrays in a pickle": (pickle.dumps({"a": arrays}, 2), r"a plain pickle.*torch\.save"),
        "gzip": (gzip.compress(b"x" * 99), "a compressed file .gzip."),
        "tar": (tar.getvalue(), "a tar archive"),
        "npz": (numpy.getvalue(), "arrays of NumPy"),
        "keras": (keras.getvalue(), "a Keras file"),
        "zip": (packed.getvalue(), r"a zip archive \(release/model\.safetensors\); unpack it first"),
        "pickled without torch": (pickle.dumps({"w": torch.ones(3)}), "holds another pickle, which may be hostile"),
        "empty": (b"", "an empty file"),
        "cut short": (state.getvalue()[:5000], "its end is missing"),
    }  # fmt: skip


@pytest.fixture(scope="module")
def others():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        return files()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_each_is_named(others, suffix, tmp_path):
    for name, (content, said) in others.items():
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(content)
        with pytest.raises(EncoderError, match=said):
            checkpoint.read(path, architecture="test_resnet")


@pytest.mark.parametrize(
    ("file", "said"),
    [("variables.data-00000-of-00001", "a part of a checkpoint of TensorFlow"), ("model.ckpt-9.index", "a part of a checkpoint"),
     ("frozen.pb", "a graph of TensorFlow"), ("flax_model.msgpack", "weights of Flax.*from_flax=True"),
     ("tf/saved_model.pb", "a SavedModel of TensorFlow"), ("tf/model.ckpt-9.index", "a checkpoint of TensorFlow"),
     ("tf/.metadata", "dcp_to_torch"), ("tf/tf_model.h5", "a Keras file"), ("tf/flax_model.msgpack", "weights of Flax")],
)  # fmt: skip
def test_what_has_no_sign_is_told_by_its_name(file, said, tmp_path):
    """Files, and folders for what lies in them."""
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"\x0a\x29\x0a\x05image\x12\x0bPlaceholder" + bytes(50))
    with pytest.raises(EncoderError, match=said):
        checkpoint.read(path if path.parent == tmp_path else path.parent)
    if path.parent == tmp_path:  # a checkpoint may be called anything
        torch.save(timm.create_model("test_resnet").state_dict(), path)
        assert checkpoint.read(path, architecture="test_resnet").prefix == ""


def test_a_program_of_torch_export_is_named(tmp_path):
    program = torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),))
    torch.export.save(program, tmp_path / "a.pt2")
    with pytest.raises(EncoderError, match=r"a program of torch\.export"):
        checkpoint.read(tmp_path / "a.pt2")


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
@pytest.mark.parametrize(
    "call",
    [(os.system, "true"), (eval, "1"), (exec, ""), (subprocess.Popen, ("true",)), (__import__, "os"), (os.putenv, "a", "b")],
)  # fmt: skip
def test_a_hostile_pickle_is_called_hostile(call, protocol, tmp_path):
    """Bare, and inside a checkpoint that holds a whole network beside it."""
    state = timm.create_model("test_resnet").state_dict()
    (tmp_path / "bare.pth").write_bytes(pickle.dumps(Evil(*call), protocol))
    with pytest.raises(EncoderError, match=r"bare\.pth: a hostile pickle.*has it call \w+\.\w+"):
        checkpoint.read(tmp_path / "bare.pth", architecture="test_resnet")
    if protocol > 1:
        torch.save({"state_dict": state, "args": Evil(*call)}, tmp_path / "a.pth", pickle_protocol=protocol)
        with pytest.raises(EncoderError, match=r"a\.pth: a hostile pickle"):
            checkpoint.read(tmp_path / "a.pth", architecture="test_resnet")


@pytest.mark.parametrize(
    ("name", "hostile"),
    [("posix.system", True), ("builtins.exec.__call__", True), ("torch.serialization.os.system", True), ("builtins.eval", True),
     ("io.open", True), ("importlib.import_module", True), ("builtins.set", False), ("builtins.getattr", False),
     ("pickle.loads", True), ("torch.hub.load", True), ("torch.load", True), ("numpy.testing._private.utils.runstring", True),
     ("types.FunctionType", True), ("operator.attrgetter", True), ("__main__.__builtins__.eval", True), ("joblib.load", True),
     ("numpy.core.multiarray._reconstruct", False), ("torch.storage.UntypedStorage", False),
     ("pathlib.PosixPath", False), ("argparse.Namespace", False), ("omegaconf.dictconfig.DictConfig", False),
     ("functools.partial", False), ("numpy.core.multiarray.scalar", False), ("_codecs.encode", False),
     ("mmengine.evaluator.Evaluator", False), ("codecs.encode", False), ("project.eval.Meter", False)],
)  # fmt: skip
def test_what_is_hostile(name, hostile):
    assert unpickle.is_hostile(name) == hostile


@pytest.mark.parametrize(
    "program",
    [b"(S'true'\nios\nsystem\n.", b"(cos\nsystem\nS'true'\no.",
     b"\x80\x04\x8c\x04junk0\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
     b"\x80\x02cbuiltins\ngetattr\nc__main__\n__builtins__\nX\x04\x00\x00\x00eval\x86R.",
     b"(lp0\nI01\naF1.5\na(dp1\nVk\nL5L\nsacposix\nsystem\n."],
    ids=["INST", "OBJ", "something dropped before", "by getattr", "among protocol 0's literals"],
)  # fmt: skip
def test_a_detour_to_a_command_is_called_hostile(program, tmp_path):
    (tmp_path / "a.pth").write_bytes(program)
    with pytest.raises(EncoderError, match="a hostile pickle"):
        checkpoint.read(tmp_path / "a.pth")


@pytest.mark.parametrize("protocol", [1, 5])
def test_other_protocols_and_tensors_with_attributes(protocol, tmp_path):
    state = {name: tensor.clone() for name, tensor in timm.create_model("test_resnet").state_dict().items()}
    for tensor in state.values():
        tensor.note = "x"  # torch pickles it with the tensor
    content = {"model": state, "yes": True, "large": 10**20, "text": [b"x", 1.5, (1, 2, 3, 4)]}
    torch.save(content, tmp_path / "a.pth", pickle_protocol=protocol)
    got = checkpoint.read(tmp_path / "a.pth", architecture="test_resnet")
    assert all(torch.equal(tensor, state[name]) for name, tensor in got.state.items())
