"""The small networks that sit on an encoder while it is pretrained."""

import copy
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils import skip_init

from sslseg.data import streams
from sslseg.models.encoder import Encoder, feature_size

# width of the encoder's features, what weights are drawn from
Make = Callable[[int, torch.Generator], nn.Module]


def stack(
    sizes: Sequence[int], generator: torch.Generator, *, norm: bool = True, between: type[nn.Module] = nn.ReLU
) -> nn.Sequential:
    """[B,sizes[0]] -> [B,sizes[-1]]: Linear, batch norm (where asked for), `between` for each but the last, a Linear."""
    parts: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layer = skip_init(nn.Linear, a, b)  # no global draw
        parts += [layer, nn.BatchNorm1d(b), between()] if norm else [layer, between()]
    head = nn.Sequential(*parts[: -2 if norm else -1])
    kaiming_uniform(head, generator)
    return head


class Queue(nn.Module):
    """The last keys that were seen, newest first: [K, D] of unit length, random directions at first."""

    def __init__(self, length: int, size: int, generator: torch.Generator):
        super().__init__()
        keys = torch.randn(length, size, generator=generator)
        self.keys: torch.Tensor
        self.register_buffer("keys", nn.functional.normalize(keys, dim=1))

    @torch.no_grad()
    def forward(self, keys: torch.Tensor) -> torch.Tensor:
        """What was held so far; then keys [B, D] come in front, as unit vectors, and as many fall out behind."""
        held, new = self.keys.clone(), nn.functional.normalize(keys.float(), dim=1)
        self.keys.copy_(torch.cat([new, held])[: len(held)])
        return held


class Centre(nn.Module):
    """A moving average of outputs: [K]."""

    def __init__(self, size: int):
        super().__init__()
        self.value: torch.Tensor
        self.register_buffer("value", torch.zeros(size))

    @torch.no_grad()
    def forward(self, outputs: torch.Tensor, momentum: float) -> torch.Tensor:
        """Where it was; then it moves towards the mean of outputs [N, K]."""
        before = self.value.clone()
        self.value.lerp_(outputs.float().mean(0), 1 - momentum)
        return before


def linear(size: int, out: int, generator: torch.Generator, *, bias: bool = True) -> nn.Linear:
    """[B,size] -> [B,out]."""
    layer = skip_init(nn.Linear, size, out, bias=bias)
    kaiming_uniform(layer, generator)
    return layer


def beside(encoder: Encoder, seed: int, **fresh: Make) -> dict[str, nn.Module]:
    """{"online": encoder} and fresh networks beside it; all of them learn.

    Args:
        fresh: name -> what makes a network; the k-th draws from step k of stream "initialisation", whose
            step 0 drew the encoder, if it is a fresh one.
    """
    modules: dict[str, nn.Module] = {"online": encoder}
    for step, (name, make) in enumerate(fresh.items(), 1):
        modules[name] = make(feature_size(encoder), streams.torch_generator(seed, "initialisation", step))
    for module in modules.values():
        module.train().requires_grad_(True)
    return modules


def targets(modules: Mapping[str, nn.Module], *parts: str) -> dict[str, nn.Module]:
    """Copies of the online encoder and of `parts`, buffers included, which only follow: `target`, `target_<part>`."""
    return {target_of(p): copy.deepcopy(modules[p]).requires_grad_(False) for p in ("online", *parts)}


def target_of(part: str) -> str:
    """What the copy is called that follows a network of that name."""
    return "target" if part == "online" else f"target_{part}"


@torch.no_grad()
def kaiming_uniform(module: nn.Module, generator: torch.Generator) -> None:
    """Draw all weights of a fresh module (paper, 3.1): U(-b, b), b = sqrt(6 / fan_in); biases are zero."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
