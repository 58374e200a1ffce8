"""A U-Net around an encoder (paper, 3.4).

smp builds it, on timm's `features_only` view of the network. That view renames tensors (`stages.0` ->
`stages_0`) and drops those behind the deepest map, so the transfer is named, compared and undone here.
"""

import functools
from collections.abc import Mapping, Sequence

import segmentation_models_pytorch as smp
import torch
from torch import nn

from sslseg.config.names import EncoderError, ParamError
from sslseg.config.texts import some
from sslseg.data import streams
from sslseg.models import cpu, encoder
from sslseg.models.audit import audit, check_equal
from sslseg.models.canary import same_features
from sslseg.models.encoder import State
from sslseg.models.heads import kaiming_uniform
from sslseg.models.modes import Unfilled

DEPTH = 5  # stages; the input is halved five times, so sides are multiples of 32


def build(
    encoder_state: State, config: dict, *, classes: int, decoder_channels: Sequence[int], seed: int
) -> tuple[smp.Unet, State]:
    """A U-Net [B,C,H,W] -> logits [B,K,H,W] whose trunk is `encoder_state`, bit by bit.

    Decoder and head are Kaiming-uniform from stream "decoder" of the seed: the same whatever the encoder's
    weights are, and whatever was drawn before.

    Returns:
        the U-Net, and the head tensors that it has no place for (see `encoder_state`).

    Raises:
        EncoderError: a trunk tensor is missing or of another shape, or the network cannot carry a U-Net.
    """
    architecture, channels = config["architecture"], encoder.channels_of(config)
    with Unfilled():
        net = empty(architecture, channels, classes, decoder_channels)
    whole, names = encoder.skeleton(architecture, channels).state_dict(), trunk_names(net)
    audit(whole, encoder_state).raise_for_problems(architecture)
    net.encoder.model.load_state_dict({ours: encoder_state[theirs] for ours, theirs in names.items()})
    generator = streams.torch_generator(seed, "decoder")
    kaiming_uniform(net.decoder, generator)
    kaiming_uniform(net.segmentation_head, generator)
    placed = set(names.values())
    return net, {outer: tensor.clone() for outer, tensor in encoder_state.items() if outer not in placed}


def scratch(
    architecture: str, channels: int, classes: int, decoder_channels: Sequence[int], seed: int
) -> tuple[smp.Unet, State]:
    """`build` around `encoder.build`: all random, on purpose. Raises EncoderError: see `build`."""
    state = encoder.build(architecture, channels, seed).state_dict()
    config = {"architecture": architecture, "model_args": {"in_chans": channels}}
    return build(state, config, classes=classes, decoder_channels=decoder_channels, seed=seed)


def empty(architecture: str, channels: int, classes: int, decoder_channels: Sequence[int]) -> smp.Unet:
    """The network with weights of no meaning, to be filled.

    Raises:
        ParamError: not five decoder stages.
        EncoderError: the network's stages do not fit a U-Net (vision transformers, say).
    """
    if len(decoder_channels) != DEPTH:
        raise ParamError(f"decoder: wanted {DEPTH} channel counts, got {len(decoder_channels)}")
    encoder.skeleton(architecture, channels)  # unknown names are refused before smp sees them
    try:
        with torch.random.fork_rng(devices=[]):
            net = smp.Unet(
                f"tu-{architecture}", encoder_weights=None, encoder_depth=DEPTH, in_channels=channels,
                classes=classes, decoder_channels=tuple(decoder_channels), decoder_interpolation="nearest",
            )  # fmt: skip
    except (ValueError, RuntimeError, AttributeError, AssertionError, LookupError, TypeError) as error:
        raise EncoderError(
            f"{architecture} cannot be the encoder of a U-Net: {error} (wanted a CNN whose maps halve stage "
            "by stage, such as resnet50 or tf_efficientnet_lite0)"
        ) from error
    cpu.lighten(net)
    return net


@functools.lru_cache(maxsize=8)
def skeleton(architecture: str, channels: int, classes: int, decoder_channels: tuple[int, ...]) -> smp.Unet:
    """The same network without storage (meta tensors): names and shapes. Only to be read."""
    with torch.device("meta"):
        return empty(architecture, channels, classes, decoder_channels)


def trunk_names(net: smp.Unet) -> Mapping[str, str]:
    """Tensor name inside the U-Net's trunk -> name in the timm encoder; all of the trunk, or an error.

    Raises:
        EncoderError: a trunk tensor has no counterpart, or two.
    """
    return _trunk_names(net.encoder.name, net.encoder._in_channels, tuple(net.encoder.model.state_dict()))


@functools.lru_cache(maxsize=8)
def _trunk_names(architecture: str, channels: int, trunk: tuple[str, ...]) -> Mapping[str, str]:
    """timm flattens `a.0.b` to `a_0.b`, or puts `model.` before all, so names are compared without either."""
    flat: dict[str, list[str]] = {}
    for outer in encoder.skeleton(architecture, channels).state_dict():
        flat.setdefault(outer.replace(".", "_"), []).append(outer)
    wrapper = trunk[0].partition(".")[0] + "."
    bare = trunk[0].replace(".", "_") in flat or not all(inner.startswith(wrapper) for inner in trunk)
    same = {inner: (inner if bare else inner.removeprefix(wrapper)).replace(".", "_") for inner in trunk}
    found = {inner: flat.get(name, []) for inner, name in same.items()}
    if astray := [inner for inner, outers in found.items() if len(outers) != 1]:
        raise EncoderError(
            f"{architecture}: {len(astray)} of {len(trunk)} trunk tensors of the U-Net have no counterpart "
            f"in the encoder, or several: {some(astray, 6)}"
        )
    return {inner: outers[0] for inner, outers in found.items()}


def encoder_state(net: smp.Unet, carried: Mapping[str, torch.Tensor]) -> State:
    """The full timm state dict of a U-Net's encoder, in timm's order: its trunk and what was carried along.

    Raises:
        EncoderError: `carried` is not what this network's trunk lacks.
    """
    names = {outer: inner for inner, outer in trunk_names(net).items()}
    trunk = net.encoder.model.state_dict()
    state = {outer: trunk[inner].detach().cpu().clone() for outer, inner in names.items()}
    state |= {outer: tensor.detach().cpu().clone() for outer, tensor in carried.items()}
    wanted = encoder.skeleton(net.encoder.name, net.encoder._in_channels).state_dict()
    audit(wanted, state).raise_for_problems(f"encoder of the U-Net ({net.encoder.name})")
    return {outer: state[outer] for outer in wanted}


def check_canary(state: Mapping[str, torch.Tensor], config: dict, net: nn.Module, carried: Mapping) -> None:
    """Prove that a U-Net holds the encoder it was built from: features, then every tensor bit by bit.

    Raises:
        EncoderError: features or tensors differ.
    """
    donor = encoder.from_state(dict(state), config)
    context = f"U-Net around {config['architecture']}"
    same_features(donor, net, encoder.channels_of(config), context=context)
    check_equal(state, encoder_state(net, carried), context)
