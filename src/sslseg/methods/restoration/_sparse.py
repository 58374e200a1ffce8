"""A convolutional encoder that sees some patches alone, as with sparse convolutions (SparK, Tian et al. 2023, 3.2).

What lies outside of the visible patches is zero behind every convolution, norm and pooling of maps, and behind the linear
layers that ConvNeXt has in place of convolutions, so the pattern of what is hidden does not fade from layer to layer;
batch norms count visible places alone.
"""

import contextlib
import functools
from collections.abc import Iterator

import torch
from timm.layers import LayerNorm2d, LayerNorm2dFp32
from torch import Tensor, nn
from torch.nn import functional

# timm's other layer norms lie in front of linear layers
KINDS = (nn.Conv2d, nn.Linear, nn.GroupNorm, LayerNorm2d, LayerNorm2dFp32, nn.MaxPool2d, nn.AvgPool2d)


def at(mask: Tensor, like: Tensor) -> Tensor:
    """The mask [B,1,S,S] at the resolution of maps [B,F,h,w]: a place counts as visible where any of it is."""
    return functional.adaptive_max_pool2d(mask, like.shape[-2:])


@contextlib.contextmanager
def visible_only(net: nn.Module, mask: Tensor) -> Iterator[None]:
    """Inside, `net` computes with visible places alone.

    Args:
        mask: float [B,1,S,S], 1 where visible.
    """
    norms = [part for part in net.modules() if isinstance(part, nn.BatchNorm2d)]
    zeroed = functools.partial(_zeroed, mask)
    hooks = [part.register_forward_hook(zeroed) for part in net.modules() if isinstance(part, KINDS)]
    try:
        for part in norms:
            part.forward = functools.partial(_normed, part, mask)  # type: ignore[method-assign] # for now
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for part in norms:
            del part.forward  # the class's own again


def _zeroed(mask: Tensor, layer: nn.Module, given: tuple, out: Tensor) -> Tensor:
    """A layer's output at visible places alone; that of a linear one is [B,h,w,F], or without places."""
    if not isinstance(layer, nn.Linear):
        return out * at(mask, out)
    return out * at(mask, out.movedim(3, 1)).movedim(1, 3) if out.ndim == 4 else out


def _normed(norm: nn.BatchNorm2d, mask: Tensor, x: Tensor) -> Tensor:
    """Batch norm over visible places, and what timm does in the same layer: dropout and activation."""
    shown, held = at(mask, x), dict(norm.named_buffers())
    mean, var = held["running_mean"], held["running_var"]
    if norm.training:
        n = shown.sum()
        mean = (x.float() * shown).sum((0, 2, 3)) / n
        var = ((x.float() - mean[:, None, None]).square() * shown).sum((0, 2, 3)) / n
        with torch.no_grad():
            held["num_batches_tracked"] += 1
            held["running_mean"].lerp_(mean.detach(), norm.momentum or 0.0)
            held["running_var"].lerp_(var.detach() * n / (n - 1), norm.momentum or 0.0)
    scale = norm.weight * (var + norm.eps).rsqrt()
    y = x * scale[:, None, None] + (norm.bias - mean * scale)[:, None, None]
    for name in ("drop", "act"):
        y = getattr(norm, name, nn.Identity())(y)
    return y * shown
