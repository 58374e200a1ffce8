"""The same network in torchvision, smp and MONAI: one builds it under other names, in the same order.

Which pairs compute the same was measured, and a test measures it again. Left out are pairs whose batch norm has another
epsilon (torchvision's MobileNetV3, EfficientNetV2 and EfficientNet-B5 to B7) or whose padding is fixed for one size of
image (smp's and MONAI's EfficientNets but B0).
"""

import functools
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import segmentation_models_pytorch as smp
import torch
import torchvision
from torch import nn

from sslseg.config.names import EncoderError
from sslseg.config.texts import some
from sslseg.models import encoder

State = dict[str, torch.Tensor]
RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
CLASSES = 1000  # outputs of a classifier that these libraries build
# timm's name -> torchvision's
TORCHVISION = {
    name: name
    for name in (*RESNETS, "resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2",
                 "wide_resnet101_2", "densenet121", "densenet161", "densenet169", "densenet201", "efficientnet_b0",
                 "efficientnet_b1", "efficientnet_b2", "efficientnet_b3", "efficientnet_b4", "convnext_tiny",
                 "convnext_small", "convnext_base", "convnext_large")
} | {"mobilenetv2_100": "mobilenet_v2"}  # fmt: skip
SMP = {"tf_efficientnet_b0": "efficientnet-b0"}
MONAI = {name: name for name in RESNETS} | SMP


@dataclass(frozen=True)
class Twin:
    """A timm network as another library builds it, without classifier: images [B, C, H, W] -> features."""

    library: str
    name: str  # the library's
    build: Callable[[int], nn.Module]  # input channels -> the network, weights of no meaning

    @property
    def opens(self) -> str:
        """What builds it there, with its classifier."""
        if self.library == "torchvision":
            return f"torchvision.models.{self.name}()"
        if self.name in RESNETS:
            kind = 'spatial_dims=2, conv1_t_stride=2, shortcut_type="B", bias_downsample=False'
            return f"monai.networks.nets.{self.name}({kind})"
        return f'monai.networks.nets.EfficientNetBN("{self.name}", spatial_dims=2)'


def of(architecture: str) -> tuple[Twin, ...]:
    """Every twin of a timm network whose library is installed."""
    return tuple(
        Twin(library, names[architecture], functools.partial(build, names[architecture]))
        for library, (names, build) in LIBRARIES.items()
        if architecture in names and (library != "monai" or importlib.util.find_spec("monai"))
    )


def _monai(name: str, channels: int) -> nn.Module:
    from monai.networks import nets

    if name in RESNETS:
        return getattr(nets, name)(
            spatial_dims=2, n_input_channels=channels, conv1_t_stride=2, shortcut_type="B", bias_downsample=False,
            feed_forward=False,
        )  # fmt: skip
    net = nets.EfficientNetBN(
        name, spatial_dims=2, in_channels=channels, pretrained=False, num_classes=CLASSES
    )
    return _headless(net, channels)


def _headless(net: nn.Module, channels: int) -> nn.Module:
    """Without its classifier, reading `channels` channels."""
    for name, part in list(net.named_modules()):
        if isinstance(part, nn.Linear) and part.out_features == CLASSES:
            net.set_submodule(name, nn.Identity())
    old = next(part for part in net.modules() if isinstance(part, nn.Conv2d))
    if old.in_channels != channels:
        old.in_channels = channels
        old.weight = nn.Parameter(old.weight.detach()[:, :1].repeat(1, channels, 1, 1))
    return net


LIBRARIES: dict[str, tuple[dict[str, str], Callable[[str, int], nn.Module]]] = {
    "torchvision": (
        TORCHVISION,
        lambda name, n: _headless(getattr(torchvision.models, name)(weights=None), n),
    ),
    "smp": (SMP, lambda name, n: smp.encoders.get_encoder(name, in_channels=n, weights=None)),
    "monai": (MONAI, _monai),
}


@functools.lru_cache(maxsize=8)
def _names(architecture: str, library: str) -> dict[str, str]:
    twin = next(twin for twin in of(architecture) if twin.library == library)
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        theirs = twin.build(3).state_dict()
    ours = encoder.skeleton(architecture, 3).state_dict()
    pairs = list(zip(theirs.items(), ours.items(), strict=False))
    wrong = [f"{a} for {b}" for (a, one), (b, other) in pairs if not alike(one.shape, other.shape)]
    if wrong or len(theirs) != len(ours):
        raise EncoderError(
            f"{architecture}: this release of {library} builds {twin.name} in another order, with {len(theirs)} "
            f"tensors for {len(ours)}: {some(wrong)}"
        )
    return {a: b for (a, _), (b, _) in pairs}


def names(
    architecture: str, libraries: tuple[str, ...] = ("torchvision", "smp")
) -> dict[str, Mapping[str, str]]:
    """Library -> its names of a network's tensors and timm's, where they differ.

    Raises:
        EncoderError: an installed release has changed the order.
    """
    found = {t.library: _names(architecture, t.library) for t in of(architecture) if t.library in libraries}
    return {library: pairs for library, pairs in found.items() if any(a != b for a, b in pairs.items())}


def translated(state: Mapping[str, torch.Tensor], architecture: str, twin: Twin, net: nn.Module) -> State:
    """timm's tensors under the twin's names and in its shapes; `net` is what `twin.build` gave."""
    shapes = {name: tensor.shape for name, tensor in net.state_dict().items()}
    return {
        theirs: state[ours].detach().cpu().reshape(shapes[theirs]).clone()
        for theirs, ours in _names(architecture, twin.library).items()
    }


def alike(one: torch.Size | tuple[int, ...], other: torch.Size | tuple[int, ...]) -> bool:
    """The same shape but for sides of one: a scale [C] is written [C, 1, 1] elsewhere."""
    return [n for n in one if n != 1] == [n for n in other if n != 1]
