"""Encoders, and the folder an encoder is kept in.

The folder is timm's own `local-dir` layout, so that
`timm.create_model("local-dir:<folder>", pretrained=True)` and
`smp.Unet("tu-local-dir:<folder>", encoder_weights=True, in_channels=C)` open it without this project:

    model.safetensors   every tensor of the headless network, timm's names
    config.json         architecture, num_features, model_args.in_chans, pretrained_cfg, and "sslseg"
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import timm
import torch
from torch import nn

from sslseg.config.names import EncoderError, quoted
from sslseg.config.texts import nearest
from sslseg.data import streams
from sslseg.models import canary, cpu, folders
from sslseg.models.audit import audit
from sslseg.models.modes import Unfilled

CLASSIFIER = 0  # num_classes: an encoder has none
CFG_KEYS = ("input_size", "fixed_input_size", "interpolation", "crop_pct", "first_conv", "classifier")
State = dict[str, torch.Tensor]


class Encoder(nn.Module):
    """What is read of a timm network beside its features: a name for the type checker, nothing is made of it."""

    num_features: int
    pretrained_cfg: dict[str, Any]
    forward_features: Callable[[torch.Tensor], torch.Tensor]
    forward_head: Callable[[torch.Tensor], torch.Tensor]
    forward_intermediates: Callable[..., list[torch.Tensor]]


def build(architecture: str, channels: int, seed: int) -> Encoder:
    """A headless timm network [B,C,S,S] -> [B,F] with weights drawn from stream "initialisation".

    Raises:
        EncoderError: timm has no network of that name, or the name is one of weights.
    """
    network, _, tag = architecture.partition(".")
    if tag and timm.is_model(network):
        raise EncoderError(
            f"architecture: {quoted(architecture)} names weights, and here weights are drawn at random; the network is "
            f"{network}, and import_encoder with source=timm:{architecture} brings those weights"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(streams.torch_seed(seed, "initialisation"))
        return _create(architecture, channels)


@functools.lru_cache(maxsize=8)
def skeleton(architecture: str, channels: int) -> Encoder:
    """The same network without storage (meta tensors): names, shapes and timm's description of it. Only to be read."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return _create(architecture, channels)


def _create(architecture: str, channels: int) -> Encoder:
    # `is_model` keeps "hf-hub:…" and "local-dir:…" out: a config.json must not name another source.
    if not timm.is_model(architecture):
        close = nearest(architecture, timm.list_models())
        raise EncoderError(
            f"architecture: timm {timm.__version__} has no network {quoted(architecture)}"
            + (f"; did you mean {close!r}?" if close else "")
        )
    try:
        net = timm.create_model(architecture, pretrained=False, num_classes=CLASSIFIER, in_chans=channels)
    except (RuntimeError, TypeError, ValueError) as error:
        raise EncoderError(
            f"architecture: timm cannot build {architecture!r} without head for {channels} channels: {error}"
        ) from error
    cpu.lighten(net)
    return cast(Encoder, net)


def feature_size(encoder: Encoder) -> int:
    """F of the pooled features [B,F]; some networks widen them after the last stage."""
    return int(getattr(encoder, "head_hidden_size", None) or encoder.num_features)


# ---------------------------------------------------------------- config.json
def channels_of(config: dict) -> int:
    """Input channels of the network a config describes."""
    return int(config.get("model_args", {}).get("in_chans", 3))


def config_of(
    architecture: str, channels: int, *, normalisation: Mapping | None = None, extra: Mapping | None = None
) -> dict:
    """The config.json of an encoder.

    Args:
        normalisation: of the input; its `mean` and `std` (numbers, or one a channel) go where timm looks for them.
        extra: whatever else belongs to the encoder, JSON values; kept under "sslseg".
    """
    model = skeleton(architecture, channels)
    described = {key: model.pretrained_cfg[key] for key in CFG_KEYS if key in model.pretrained_cfg}
    size = tuple(model.pretrained_cfg["input_size"])[1:]
    given = {**model.pretrained_cfg, **(normalisation or {})}
    norm = {key: _per_channel(given[key], channels) for key in ("mean", "std")}
    return {
        "architecture": architecture,
        "num_classes": CLASSIFIER,
        "num_features": model.num_features,
        # Without in_chans the folder opens as a three-channel network with a converted first layer.
        "model_args": {"in_chans": channels},
        "pretrained_cfg": described | norm | {"input_size": [channels, *size], "num_classes": CLASSIFIER},
        "sslseg": {"format": 1, "law": dict(normalisation or {}), **(extra or {})},
    }


def _per_channel(value: float | list[float] | tuple[float, ...], channels: int) -> list[float]:
    values = [float(v) for v in value] if isinstance(value, list | tuple) else [float(value)]
    return values if len(values) == channels else [sum(values) / len(values)] * channels


# ---------------------------------------------------------------- the folder
def save(
    model: nn.Module | Mapping[str, torch.Tensor],
    folder: Path | str,
    *,
    architecture: str,
    channels: int,
    normalisation: Mapping | None = None,
    extra: Mapping | None = None,
) -> str:
    """Write an encoder folder; an incomplete encoder is not written.

    Returns:
        sha256 of the weights file.

    Raises:
        EncoderError: tensors are missing, left over (a classifier: see `without_classifier`), of another
            shape, or not finite.
    """
    state = model.state_dict() if isinstance(model, nn.Module) else model
    checked = audit(skeleton(architecture, channels).state_dict(), state)
    checked.raise_for_problems(f"saving {architecture} with {channels} channels")
    config = config_of(architecture, channels, normalisation=normalisation, extra=extra)
    net = model if isinstance(model, nn.Module) else from_state(dict(state), config)
    config["sslseg"] |= canary.kept(canary.of_encoder, net, channels)
    return folders.write(folder, state, config)


def read_state(folder: Path | str) -> tuple[State, dict]:
    """Tensors and config of an encoder folder, compared with the network that the config names.

    Raises:
        EncoderError: a file is absent, damaged or oversized, or the tensors are not the network's.
    """
    state, config = folders.read(folder)
    model = skeleton(config["architecture"], channels_of(config))
    audit(model.state_dict(), state).raise_for_problems(f"encoder folder {folder}")
    return state, config


def load(folder: Path | str) -> Encoder:
    """The encoder of a folder. Raises EncoderError: see `read_state` and `from_state`."""
    return from_state(*read_state(folder))


def from_state(state: State, config: dict) -> Encoder:
    """The network of `config` holding exactly `state`.

    Raises:
        EncoderError: tensors are missing, left over or of another shape; or see `canary.check`.
    """
    with torch.random.fork_rng(devices=[]), Unfilled():
        model = _create(config["architecture"], channels_of(config))
    audit(model.state_dict(), state).raise_for_problems(config["architecture"])
    model.load_state_dict(state, strict=True)
    canary.check(config, canary.of_encoder, model, channels_of(config), config["architecture"])
    return model


# ---------------------------------------------------------------- from elsewhere
def sum_rgb(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """First-convolution weight [O,I,k,k] -> [O,channels,k,k] by depth-wise summation (paper, 3.4).

    A grey image through the result is its RGB replica through the original. With more than one channel
    each gets an equal part of the sum, so that the same holds for replicas of a grey image.

    Raises:
        EncoderError: not the weight of a 2D convolution.
    """
    if weight.ndim != 4:
        raise EncoderError(f"first convolution: wanted a weight [O,I,k,k], got {list(weight.shape)}")
    if weight.shape[1] == channels:
        return weight.clone()
    summed = weight.double().sum(dim=1, keepdim=True) / channels
    return summed.to(weight.dtype).repeat(1, channels, 1, 1)


def declared(architecture: str, part: str) -> tuple[str, ...]:
    """Names of the modules that timm declares to be the `first_conv` or the `classifier` of a network."""
    found = skeleton(architecture, 3).pretrained_cfg.get(part) or ()
    return (found,) if isinstance(found, str) else tuple(found)


def first_convolutions(architecture: str) -> tuple[str, ...]:
    """Module names of the convolutions that read the image, as timm declares them."""
    if first := declared(architecture, "first_conv"):
        return first
    raise EncoderError(f"{architecture}: timm names no first convolution, so its channels cannot be adapted")


def with_channels(state: Mapping[str, torch.Tensor], architecture: str, channels: int) -> State:
    """The state with the convolutions that read the image summed by `sum_rgb`."""
    first = [f"{name}.weight" for name in first_convolutions(architecture)]
    return {**state, **{name: sum_rgb(state[name], channels) for name in first}}


def adapt(state: State, config: dict, channels: int) -> tuple[State, dict]:
    """The same encoder for `channels` input channels; unchanged if it has them already.

    Raises:
        EncoderError: the first convolution is not found.
    """
    if channels == channels_of(config):
        return state, config
    architecture = config["architecture"]
    known, cfg = config.get("sslseg", {}), config["pretrained_cfg"]
    own = {key: value for key, value in known.items() if key not in ("format", "law", canary.KEY)}
    own["adapted_from_channels"] = channels_of(config)
    normalisation = known.get("law") or {key: cfg[key] for key in ("mean", "std") if key in cfg}
    config = config_of(architecture, channels, normalisation=normalisation, extra=own)
    return with_channels(state, architecture, channels), config


def without_classifier(state: State, architecture: str) -> tuple[State, tuple[str, ...]]:
    """A full timm state dict without its classifier, and the names of what was dropped."""
    modules = tuple(f"{module}." for module in declared(architecture, "classifier"))
    dropped = tuple(name for name in state if name.startswith(modules))
    return {name: tensor for name, tensor in state.items() if name not in dropped}, dropped
