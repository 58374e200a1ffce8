"""Where others put an encoder in a checkpoint, and how they name its tensors. Tables only."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sslseg.config.names import ROLE_IMPORTED, ROLE_ONLINE, ROLE_TARGET

UNKNOWN = "unknown"
CONTAINERS = ("state_dict", "model_state_dict", "model", "")  # "": the checkpoint is the state dict itself
# Modules that a network is trained through and that an encoder does not have.
HEADS = (
    "fc",
    "classifier",
    "head",
    "last_linear",
    "linear",
    "projector",
    "projection",
    "projetion",
    "predictor",
)
# Children of a torchvision ResNet, as `nn.Sequential(*list(net.children())[:-1])` numbers them.
SEQUENTIAL = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
# (blocks of layer1 to 4, bottleneck) -> timm name (He et al. 2016, table 1)
RESNETS = {
    ((2, 2, 2, 2), False): "resnet18", ((3, 4, 6, 3), False): "resnet34", ((3, 4, 6, 3), True): "resnet50",
    ((3, 4, 23, 3), True): "resnet101", ((3, 8, 36, 3), True): "resnet152",
}  # fmt: skip


@dataclass(frozen=True)
class Convention:
    """One way to write an encoder down."""

    dialect: str
    prefix: str
    role: str = ROLE_IMPORTED
    method: str = UNKNOWN  # what the convention alone says of the training
    container: str = ""  # key of the checkpoint that must hold the tensors; "" = any of CONTAINERS
    numbered: bool = False  # the first name is an index of SEQUENTIAL

    def rename(self, name: str) -> str | None:
        """timm's name of a tensor, None if it is not part of the network."""
        if not name.startswith(self.prefix):
            return None
        first, dot, rest = name.removeprefix(self.prefix).partition(".")
        return SEQUENTIAL.get(first, first) + dot + rest if self.numbered else first + dot + rest

    def __str__(self) -> str:
        place = f"{self.container}: " if self.container else ""
        return (
            f"{place}`{self.prefix}` ({self.dialect})"
            if self.prefix
            else f"{place}no prefix ({self.dialect})"
        )


# In order of preference: a target (momentum) network before the online one of the same file.
CONVENTIONS = (
    # yaox12/BYOL-PyTorch: resnet50_byol_imagenet2012.pth.tar; model/basic_modules.py numbers its encoder
    Convention("yaox12", "", ROLE_TARGET, "byol", "target_backbone"),
    Convention("yaox12", "encoder.", ROLE_TARGET, "byol", "target_backbone", numbered=True),
    Convention("yaox12", "", ROLE_ONLINE, "byol", "online_backbone"),
    Convention("yaox12", "encoder.", ROLE_ONLINE, "byol", "online_backbone", numbered=True),
    # solo-learn, and what SSL-MedSeg published of it: *.ckpt of Lightning, flat *.pth, un-prefixed *.pth
    Convention("solo-learn", "momentum_backbone.", ROLE_TARGET),
    Convention("solo-learn", "momentum_encoder.", ROLE_TARGET),  # older releases
    Convention("lightly", "teacher_backbone.", ROLE_TARGET),
    Convention("lightly", "backbone_momentum.", ROLE_TARGET, numbered=True),
    Convention("solo-learn", "backbone.", ROLE_ONLINE),
    Convention("lightly", "backbone.", ROLE_ONLINE, numbered=True),
    Convention("moco", "encoder_k.", ROLE_TARGET, "moco"),
    Convention("moco", "encoder_q.", ROLE_ONLINE, "moco"),
    # a U-Net of segmentation_models_pytorch around a tu- encoder, alone or inside a Lightning module
    Convention("smp", "encoder.model."),
    Convention("smp", "model.encoder.model."),
    Convention("plain", ""),
    Convention("plain", "model."),
    Convention("plain", "encoder."),
)
DIALECTS = tuple(dict.fromkeys(c.dialect for c in CONVENTIONS))


def resnet(names: Iterable[str]) -> str:
    """timm name of the ResNet with these tensor names, by the blocks of its layers; "" for anything else."""
    names = set(names)
    blocks: list[set[str]] = [set(), set(), set(), set()]
    for name in names:
        if match := re.match(r"layer([1-4])\.(\d{1,3})\.conv1\.weight$", name):
            blocks[int(match[1]) - 1].add(match[2])
    counts = tuple(len(layer) for layer in blocks)
    return RESNETS.get((counts, "layer1.0.conv3.weight" in names), "")
