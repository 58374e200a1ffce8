"""How others name the tensors of a timm network. Which network, and under which prefix, is found by `matching.py`."""

import dataclasses
import functools
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch

from sslseg.config.names import SslsegError
from sslseg.models import encoder, unet
from sslseg.models.exporters import twins

State = dict[str, torch.Tensor]
Rules = tuple[tuple[str, str | Callable[[re.Match], str]], ...]
# (blocks of layer1 to 4, bottleneck) -> timm names; shapes tell them apart (He et al. 2016, table 1)
RESNETS: dict[tuple[tuple[int, ...], bool], tuple[str, ...]] = {
    ((2, 2, 2, 2), False): ("resnet18", "resnet18d"),
    ((3, 4, 6, 3), False): ("resnet34", "resnet34d"),
    ((3, 4, 6, 3), True): ("resnet50", "resnext50_32x4d", "wide_resnet50_2", "resnet50d", "resnet50c", "resnet50_clip"),
    ((3, 4, 23, 3), True): ("resnet101", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet101_2", "resnet101d"),
    ((3, 8, 36, 3), True): ("resnet152", "resnet152d"),
}  # fmt: skip
# (blocks of the four stages, width of the first) -> size (Liu et al. 2022, 2023)
CONVNEXTS: dict[tuple[tuple[int, ...], int], str] = {
    ((2, 2, 6, 2), 40): "atto", ((2, 2, 6, 2), 48): "femto", ((2, 2, 6, 2), 64): "pico", ((2, 2, 8, 2), 80): "nano",
    ((3, 3, 9, 3), 96): "tiny", ((3, 3, 27, 3), 96): "small", ((3, 3, 27, 3), 128): "base",
    ((3, 3, 27, 3), 192): "large", ((3, 3, 27, 3), 256): "xlarge",
}  # fmt: skip
# stages and blocks of a ResNet -> its convolutions, by their numbers, and the first of these
CONVOLUTIONS = {
    r"layer([1-4])\.(\d{1,3})\.": ("conv{}.weight", 1),
    r"([4-7])\.(\d{1,3})\.": ("conv{}.weight", 1),
    r"encoder\.stages\.([0-3])\.layers\.(\d{1,3})\.": ("layer.{}.convolution.weight", 0),
}
# layers of the four dense blocks -> timm name (Huang et al. 2017, table 1)
DENSENETS = {(6, 12, 24, 16): "densenet121", (6, 12, 36, 24): "densenet161", (6, 12, 32, 32): "densenet169",
             (6, 12, 48, 32): "densenet201"}  # fmt: skip
KINDS = {"conv": "convolution", "bn": "normalization", "0": "convolution", "1": "normalization"}
OFFICIAL = ((r"^stem\.", "downsample_layers.0."), (r"^stages\.(\d)\.downsample\.", r"downsample_layers.\1."),
            (r"^(stages\.\d)\.blocks\.", r"\1."))  # fmt: skip
# what all of timm's names of a network begin with -> library -> what makes its names of them, one after the other
RENAMED: dict[str, dict[str, Rules]] = {
    r"(conv1|bn1|layer\d)\.": {
        "numbered children": (  # of `nn.Sequential(*net.children())`
            ("^conv1", "0"), ("^bn1", "1"), (r"^layer(\d)", lambda m: str(int(m[1]) + 3)),
        ),
        "a stem layer0": (("^conv1", "layer0.0"), ("^bn1", "layer0.1")),
        "OpenMMLab": (("^conv1", "stem"), ("^bn1", "stem.7")),  # of a stem in three convolutions
        "transformers": (
            (r"^(conv|bn)1\.", lambda m: f"embedder.embedder.{KINDS[m[1]]}."),
            (r"\.(conv|bn)(\d)\.", lambda m: f".layer.{int(m[2]) - 1}.{KINDS[m[1]]}."),
            (r"\.downsample\.([01])\.", lambda m: f".shortcut.{KINDS[m[1]]}."),
            (r"^layer(\d)\.", lambda m: f"encoder.stages.{int(m[1]) - 1}.layers."),
        ),
    },
    r"(stem|stages|head)\.": {
        "transformers": (
            (r"^stem\.0\.", "embeddings.patch_embeddings."), (r"^stem\.1\.", "embeddings.layernorm."),
            (r"^head\.norm\.", "layernorm."), (r"^stages\.", "encoder.stages."), (r"\.blocks\.", ".layers."),
            (r"\.downsample\.", ".downsampling_layer."), (r"\.conv_dw\.", ".dwconv."), (r"\.norm\.", ".layernorm."),
            (r"\.mlp\.fc(\d)\.", r".pwconv\1."), (r"\.mlp\.grn\.", ".grn."), (r"\.gamma", ".layer_scale_parameter"),
        ),
        "mmpretrain": (
            *OFFICIAL, (r"\.conv_dw\.", ".depthwise_conv."), (r"\.mlp\.fc(\d)\.", r".pointwise_conv\1."),
            (r"\.mlp\.grn\.weight", ".grn.gamma"), (r"\.mlp\.grn\.bias", ".grn.beta"), (r"^head\.norm\.", "norm3."),
        ),
    },
    r"features\.": {"older torchvision": ((r"(denselayer\d+\.(?:norm|conv))(\d)\.", r"\1.\2."),)},
}  # fmt: skip


@dataclass(frozen=True)
class Naming:
    """One library's names of a network's tensors."""

    library: str
    names: Mapping[str, str]  # theirs -> timm's
    partial: bool = False  # their network ends with the deepest map: timm's tail is not in it


@functools.lru_cache(maxsize=8)
def namings(architecture: str) -> tuple[Naming, ...]:
    """Every one that is known for a timm network, timm's own first; without a word that all names begin with last."""
    known = list(_namings(architecture))
    for each in tuple(known):
        tops = {theirs.partition(".")[0] for theirs in each.names}
        if len(tops) == 1:  # `net.features` alone
            bare = {theirs.partition(".")[2]: ours for theirs, ours in each.names.items()}
            known.append(dataclasses.replace(each, names=bare))
    return tuple(known)


def _namings(architecture: str) -> Iterator[Naming]:
    own = tuple(encoder.skeleton(architecture, 3).state_dict())
    yield Naming("timm", {name: name for name in own})
    for pattern, libraries in RENAMED.items():
        if all(re.match(pattern, name) for name in own):
            for library, rules in libraries.items():
                yield Naming(library, {_renamed(name, rules): name for name in own})
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


def _renamed(name: str, rules: Rules) -> str:
    for pattern, theirs in rules:
        name = re.sub(pattern, theirs, name)
    return name


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
    place = lambda tensor: (tensor.data_ptr(), tensor.numel(), tensor.dtype)  # noqa: E731
    sources, own, names = {place(t): name for name, t in table.items()}, model.state_dict(), {}
    for name, tensor in converted.items():
        if isinstance(tensor, torch.Tensor) and name in own and place(tensor) in sources:
            names[sources[place(tensor)]] = name
    return Naming("its authors", names) if names else None


# ---------------------------------------------------------------- which network
def guesses(shapes: Mapping[str, tuple[int, ...]]) -> Counter[tuple[str, ...]]:
    """timm names of the networks that these tensors could be, by the blocks of their stages.

    Returns:
        the names that a network could have (ResNets, ConvNeXts, DenseNets) -> how many networks of the file.
    """
    found: Counter[tuple[str, ...]] = Counter()
    for stage, (convolution, number) in CONVOLUTIONS.items():
        one, three = convolution.format(number), convolution.format(number + 2)
        for blocks, first in _stages(shapes, stage + re.escape(one) + "$"):
            found[RESNETS.get((blocks, first.removesuffix(one) + three in shapes), ())] += 1
    new = "v2" if any(name.endswith((".grn.weight", ".grn.gamma")) for name in shapes) else ""
    depthwise = (
        r"stages\.([0-3])\.(?:(?:blocks|layers)\.)?(\d{1,3})\.(?:conv_dw|dwconv|depthwise_conv)\.weight$"
    )
    for blocks, first in _stages(shapes, depthwise):
        size = CONVNEXTS.get((blocks, shapes[first][0]))
        found[(f"convnext{new}_{size}",) if size else ()] += 1
    for blocks, _ in _stages(shapes, r"denseblock([1-4])\.denselayer(\d{1,3})\.conv\.?1\.weight$"):
        found[(DENSENETS[blocks],) if blocks in DENSENETS else ()] += 1
    del found[()]
    return found


def _stages(names: Iterable[str], pattern: str) -> Iterator[tuple[tuple[int, ...], str]]:
    """Blocks of the stages under each prefix that has such names, and the first of the names."""
    stages: dict[str, dict[str, set[str]]] = {}
    first: dict[str, str] = {}
    for name in names:
        if match := re.search(rf"(?:^|\.){pattern}", name):
            prefix = name[: match.start()]
            first.setdefault(prefix, name)
            stages.setdefault(prefix, {}).setdefault(match[1], set()).add(match[2])
    for prefix, blocks in stages.items():
        yield tuple(len(blocks[stage]) for stage in sorted(blocks)), first[prefix]
