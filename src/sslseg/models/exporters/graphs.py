"""A network as a program that runs without this project: torch.export, and ONNX where its packages are installed.

Batch, height and width stay free. Sides are multiples of 32, so that every map that a stage halves has even sides, and
TensorFlow's "same" padding, which depends on the size elsewhere, is a constant.
"""

import contextlib
import copy
import importlib.util
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from timm.layers import Conv2dSame
from torch import nn
from torch.nn import functional

from sslseg.config.names import KIND_ENCODER
from sslseg.models.exporters.proof import Answer, Source, Unavailable, answering

MULTIPLE = 32
EXAMPLE = (2, 96, 64)  # batch, height, width that the program is written down with
FREE = {0: torch.export.Dim.DYNAMIC}
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


class _Padded(nn.Module):
    """A convolution behind the padding that "same" comes to where its stride divides the sides."""

    def __init__(self, layer: Conv2dSame):
        super().__init__()
        steps = zip(layer.kernel_size, layer.dilation, layer.stride, strict=True)
        total = [max((k - 1) * d + 1 - s, 0) for k, d, s in steps]
        self.pad = (total[1] // 2, total[1] - total[1] // 2, total[0] // 2, total[0] - total[0] // 2)
        self.layer = layer

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] -> [B, D, H', W']."""
        layer = self.layer
        return functional.conv2d(
            functional.pad(images, self.pad), layer.weight, layer.bias, layer.stride, 0, layer.dilation, layer.groups
        )  # fmt: skip


def plain(net: nn.Module) -> nn.Module:
    """A copy in evaluation mode whose padding does not depend on the size."""
    net = copy.deepcopy(net).cpu().eval()
    for name, layer in list(net.named_modules()):
        if isinstance(layer, Conv2dSame):
            net.set_submodule(name, _Padded(layer))
    return net


def program(net: nn.Module, channels: int, own: int = 0) -> torch.export.ExportedProgram:
    """Images [B, C, 32 i, 32 j] -> what `net` gives.

    Args:
        own: side of the only image that the network reads, pixels; 0 = it reads any.
    """
    batch, height, width = (EXAMPLE[0], own, own) if own else EXAMPLE
    sides = {i: MULTIPLE * torch.export.Dim(name, min=1, max=256) for i, name in ((2, "h"), (3, "w"))}
    example = torch.zeros(batch, channels, height, width)
    with torch.no_grad(), _quiet():
        return torch.export.export(plain(net), (example,), dynamic_shapes=(FREE if own else FREE | sides,))


def write_program(given: Source, path: Path) -> Answer:
    """Save for `torch.export.load`; returns the saved program's answer."""
    found = program(given.net, given.channels, given.own)
    with _quiet():
        torch.export.save(found, path)
        return answering(torch.export.load(path).module())


def write_onnx(given: Source, path: Path) -> Answer:
    """Save one ONNX file of input "image"; returns onnxruntime's answer. Raises Unavailable: the extra is not installed."""
    if absent := [name for name in ONNX_PACKAGES if not importlib.util.find_spec(name)]:
        raise Unavailable(f"onnx needs {', '.join(absent)}: pip install 'sslseg[export]'")
    import onnxruntime

    found = program(given.net, given.channels, given.own)
    with _quiet():
        torch.onnx.export(
            found, (), str(path), input_names=["image"], dynamo=True, external_data=False, verbose=False,
            output_names=["features" if given.kind == KIND_ENCODER else "logits"],
        )  # fmt: skip
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"image": images})[0]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the deprecations that torch's exporters raise about themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(old)
