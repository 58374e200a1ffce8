"""Smp's decoder blocks without the upsampled copy: the same sums, fewer of them.

A 3 x 3 convolution of a map that was doubled by repeating its pixels reads each pixel twice or four times. Summed
first, its taps are those of a 4 x 4 transposed convolution of stride 2 on the small map: 4 products for 9, and neither
the doubled nor the concatenated map is ever made. Equal but for the order of the sums. A whole training step on a CPU
takes 4 to 5 % less (`python -m benchmarks P4`: ResNet-18 at 96 px).

On a card the blocks are smp's, but for how compiled networks double a map: a tenth of a U-Net's step (docs/results/gpu.md).
"""

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn
from torch.nn import functional

LEAST = 16  # pixels of a side: below, maps are small, kernels large, and summing the taps costs more than it saves


class Block(nn.Module):
    """The layers of smp's `UnetDecoderBlock`, under their names; called as it is."""

    def __init__(self, block: nn.Module):
        super().__init__()
        for name, part in block.named_children():  # conv1, conv2, and attentions: nothing, smp's default
            self.add_module(name, part)

    def forward(
        self, feature_map: Tensor, height: int, width: int, skip_connection: Tensor | None = None
    ) -> Tensor:
        """[B, C, H, W] and skip [B, C', height, width] -> [B, D, height, width]."""
        conv, *rest = self.get_submodule("conv1").children()
        size = height, width
        doubled = size == (2 * feature_map.shape[2], 2 * feature_map.shape[3])
        if doubled and min(size) >= LEAST and feature_map.device.type == "cpu":
            first = doubled_and_convolved(feature_map, skip_connection, conv.get_parameter("weight"))
        else:
            compiled = doubled and feature_map.is_cuda and torch.compiler.is_compiling()
            wide = repeated(feature_map) if compiled else functional.interpolate(feature_map, size)  # nearest
            wide = wide if skip_connection is None else torch.cat([wide, skip_connection], 1)
            first = conv(wide)
        for layer in rest:
            first = layer(first)
        return self.get_submodule("conv2")(first)


def repeated(small: Tensor) -> Tensor:
    """Nearest-doubled `small`, [B, C, H, W] -> [B, C, 2H, 2W], channels last.

    The compiler makes a sum of its gradient, where that of `interpolate` becomes atomic additions one by one.
    """
    b, c, h, w = small.shape
    pixels = small.permute(0, 2, 3, 1)[:, :, None, :, None]
    return pixels.expand(b, h, 2, w, 2, c).reshape(b, 2 * h, 2 * w, c).permute(0, 3, 1, 2)


def doubled_and_convolved(small: Tensor, skip: Tensor | None, weight: Tensor) -> Tensor:
    """`conv2d(cat([nearest-doubled small, skip], 1), weight, padding=1)`, `weight` being [D, C + C', 3, 3]."""
    channels = small.shape[1]
    taps = _summed(_summed(weight[:, :channels], 2), 3).transpose(0, 1)
    out = functional.conv_transpose2d(small, taps, stride=2, padding=1)
    if skip is None or not skip.shape[1]:  # timm gives maps of no channels where a network has none
        return out
    return out + functional.conv2d(skip, weight[:, channels:], padding=1)


def _summed(weight: Tensor, axis: int) -> Tensor:
    """Three taps along `axis` as the four of the transposed convolution."""
    first, middle, last = weight.unbind(axis)
    return torch.stack([last, middle + last, first + middle, first], axis)


def lighten(net: smp.Unet) -> None:
    """Put `Block`s in the place of the decoder's blocks; weights and their names stay."""
    blocks = net.decoder.blocks
    for i, block in enumerate(blocks):
        blocks[i] = Block(block)
