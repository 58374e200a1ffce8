"""How others name the tensors of a timm network. Which network, and under which prefix, is found by `matching.py`."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch

from sslseg.config.names import SslsegError
from sslseg.models import encoder, unet
from sslseg.models.exporters import twins

State = dict[str, torch.Tensor]
# Children of a torchvision ResNet as `nn.Sequential(*net.children())` numbers them, or with a stem of their own.
RESNET = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")
CHILDREN = {
    "numbered children": dict(zip(RESNET, ("0", "1", "4", "5", "6", "7"), strict=True)),
    "a stem layer0": {"conv1": "layer0.0", "bn1": "layer0.1"},
}
# (blocks of layer1 to 4, bottleneck) -> timm names; shapes tell them apart (He et al. 2016, table 1)
RESNETS = {
    ((2, 2, 2, 2), False): ("resnet18",),
    ((3, 4, 6, 3), False): ("resnet34",),
    ((3, 4, 6, 3), True): ("resnet50", "resnext50_32x4d", "wide_resnet50_2"),
    ((3, 4, 23, 3), True): ("resnet101", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet101_2"),
    ((3, 8, 36, 3), True): ("resnet152",),
}
# (blocks of the four stages, width of the first) -> size (Liu et al. 2022, 2023)
CONVNEXTS = {
    ((2, 2, 6, 2), 40): "atto", ((2, 2, 6, 2), 48): "femto", ((2, 2, 6, 2), 64): "pico", ((2, 2, 8, 2), 80): "nano",
    ((3, 3, 9, 3), 96): "tiny", ((3, 3, 27, 3), 96): "small", ((3, 3, 27, 3), 128): "base",
    ((3, 3, 27, 3), 192): "large", ((3, 3, 27, 3), 256): "xlarge",
}  # fmt: skip
# timm's beginning of a name -> that of transformers' ResNetModel and ConvNextModel
TRANSFORMERS = {
    "conv1.": "embedder.embedder.convolution.", "bn1.": "embedder.embedder.normalization.",
    "stem.0.": "embeddings.patch_embeddings.", "stem.1.": "embeddings.layernorm.", "head.norm.": "layernorm.",
}  # fmt: skip
KINDS = {"conv": "convolution", "bn": "normalization", "0": "convolution", "1": "normalization"}
IN_A_STAGE = {
    ".blocks.": ".layers.", ".downsample.": ".downsampling_layer.", ".conv_dw.": ".dwconv.", ".norm.": ".layernorm.",
    ".mlp.fc1.": ".pwconv1.", ".mlp.fc2.": ".pwconv2.", ".mlp.grn.": ".grn.", ".gamma": ".layer_scale_parameter",
}  # fmt: skip


@dataclass(frozen=True)
class Naming:
    """One library's names of a network's tensors."""

    library: str
    names: Mapping[str, str]  # theirs -> timm's
    partial: bool = False  # their network ends with the deepest map: timm's tail is not in it


@functools.lru_cache(maxsize=8)
def namings(architecture: str) -> tuple[Naming, ...]:
    """Every one that is known for a timm network, timm's own first."""
    return tuple(_namings(architecture))


def _namings(architecture: str) -> Iterator[Naming]:
    own = tuple(encoder.skeleton(architecture, 3).state_dict())
    yield Naming("timm", {name: name for name in own})
    if {name.partition(".")[0] for name in own} == set(RESNET):
        for library, children in CHILDREN.items():
            yield Naming(library, {_child(name, children): name for name in own})
    theirs = {_transformers(name): name for name in own}
    if len(theirs) == len(own) and None not in theirs:
        yield Naming("transformers", theirs)
    for library, found in twins.names(architecture).items():
        yield Naming(library, found)
    try:
        trunk = unet.trunk_names(unet.skeleton(architecture, 3, 1, (16, 16, 16, 16, 16)))
    except SslsegError:
        return  # it carries no U-Net
    if set(trunk.values()) != set(own):
        yield Naming("timm", {name: name for name in trunk.values()}, partial=True)
    if any(theirs != ours for theirs, ours in trunk.items()):
        yield Naming("smp", trunk, partial=True)


def _child(name: str, children: Mapping[str, str]) -> str:
    first, dot, rest = name.partition(".")
    return children.get(first, first) + dot + rest


def _transformers(name: str) -> str | None:
    for ours, theirs in TRANSFORMERS.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    if match := re.fullmatch(r"layer(\d)\.(\d+)\.(?:(conv|bn)(\d)|downsample\.([01]))\.(\w+)", name):
        stage, block, kind, number, shortcut, last = match.groups()
        place = f"layer.{int(number) - 1}" if kind else "shortcut"
        return f"encoder.stages.{int(stage) - 1}.layers.{block}.{place}.{KINDS[kind or shortcut]}.{last}"
    if name.startswith("stages."):
        for ours, theirs in IN_A_STAGE.items():
            name = name.replace(ours, theirs)
        return f"encoder.{name}"
    return None


def published(table: State, architecture: str) -> Naming | None:
    """As the authors of the network name it: what timm's own converter for their files makes of `table`.

    A converter also resizes and joins tensors; only those that it passes on as they are count.
    """
    model = encoder.skeleton(architecture, 3)
    convert: Callable | None = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return None
    try:
        with torch.no_grad():
            converted = convert(dict(table), model)
    except Exception:  # written for the files of one laboratory each: anything can be missing in another file
        return None
    if not isinstance(converted, Mapping):
        return None
    sources = {(tensor.data_ptr(), tensor.numel(), tensor.dtype): name for name, tensor in table.items()}
    names = {}
    for name, tensor in converted.items():
        if isinstance(tensor, torch.Tensor):
            source = sources.get((tensor.data_ptr(), tensor.numel(), tensor.dtype))
            if source is not None and name in model.state_dict():
                names[source] = name
    return Naming("its authors", names) if names else None


# ---------------------------------------------------------------- which network
def guesses(names: Iterable[str], shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """timm names of the ResNets and ConvNeXts that these tensors could be, by the blocks of their stages."""
    found: dict[str, None] = {}
    for blocks, deep in _stages(
        names, r"(?:^|\.)layer([1-4])\.(\d{1,3})\.conv1\.weight$", "layer1.0.conv3.weight", 1
    ):
        found |= dict.fromkeys(RESNETS.get((blocks, deep), ()))
    for blocks, deep in _stages(names, r"(?:^|\.)([4-7])\.(\d{1,3})\.conv1\.weight$", "4.0.conv3.weight", 4):
        found |= dict.fromkeys(RESNETS.get((blocks, deep), ()))
    pattern = r"(?:^|\.)stages\.([0-3])\.(?:blocks\.)?(\d{1,3})\.(?:conv_dw|dwconv)\.weight$"
    for blocks, _ in _stages(names, pattern, "", 0):
        widths = {
            shapes[name][0]
            for name in names
            if re.search(pattern, name) and re.search(pattern, name)[1] == "0"
        }
        new = "v2" if any(name.endswith(("mlp.grn.weight", ".grn.gamma")) for name in names) else ""
        found |= {f"convnext{new}_{CONVNEXTS[blocks, w]}": None for w in widths if (blocks, w) in CONVNEXTS}
    return list(found)


def _stages(
    names: Collection[str], pattern: str, deep: str, first: int
) -> Iterator[tuple[tuple[int, ...], bool]]:
    """Blocks of the four stages under each prefix that has such names; and whether a name ends with `deep`."""
    stages: dict[str, list[set[str]]] = {}
    for name in names:
        if match := re.search(pattern, name):
            prefix = name[: match.start()]
            stages.setdefault(prefix, [set(), set(), set(), set()])[int(match[1]) - first].add(match[2])
    names = set(names)
    for prefix, blocks in stages.items():
        yield tuple(map(len, blocks)), bool(deep) and f"{prefix}.{deep}".lstrip(".") in names
