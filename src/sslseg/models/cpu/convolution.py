"""Convolutions of small maps as one matrix product, on a CPU.

Deep in a network maps are a few pixels wide and kernels are megabytes; there oneDNN, which PyTorch's convolutions call,
spends its time on laying out the kernel, and on strided ones in the gradient of the kernel. The pixels under each place
of the kernel, side by side in a matrix, times the kernel as a matrix, is the same sum. Channels-last maps and kernels
are such matrices already. Where it is used was measured layer by layer (`python -m benchmarks.products`).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

POINTS = 14  # pixels of a side, at most, for kernels of one pixel
WEIGHTS = 2**15  # of a kernel of one pixel, at least: below, both take microseconds
CHANNELS = 42  # of the output, for each pixel of a side, at least, for kernels of 3 x 3; half with stride 2


class Convolution(nn.Conv2d):
    """A `Conv2d` that takes the faster way; see `lighten`."""

    def forward(self, images: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, D, H', W']."""
        edge = int(self.padding[0])
        # for a program that has no `Product`
        recorded = torch.jit.is_tracing() or torch.compiler.is_compiling()
        if not recorded and pays(images, self.weight, self.stride[0], edge):
            return Product.apply(images, self.weight, self.bias, self.stride[0], edge)
        return functional.conv2d(images, self.weight, self.bias, self.stride, self.padding)


def pays(images: Tensor, weight: Tensor, stride: int, padding: int) -> bool:
    """Whether a product takes less time than the convolution: small maps and large kernels, on a CPU."""
    if images.device.type != "cpu" or images.dtype != weight.dtype:
        return False
    kernel = weight.shape[2]
    least, side = sorted(_sides(images, kernel, stride, padding))
    if least < 1:  # conv2d says what is wrong
        return False
    if kernel == 1:
        return side <= POINTS and weight.numel() >= WEIGHTS
    return side * CHANNELS <= weight.shape[0] * stride


def _sides(images: Tensor, kernel: int, stride: int, padding: int) -> tuple[int, int]:
    height, width = images.shape[2:]
    return (height + 2 * padding - kernel) // stride + 1, (width + 2 * padding - kernel) // stride + 1


class Product(torch.autograd.Function):
    """`conv2d(images, weight, bias, stride, padding)`, square kernel, by way of the matrix of `_patches`."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int
    ) -> Tensor:
        """[B, C, H, W] and [D, C, k, k] -> [B, D, H', W'], channels last."""
        kernel = weight.shape[2]
        sides = _sides(images, kernel, stride, padding)
        patches = _patches(images, kernel, stride, padding, sides)
        ctx.save_for_backward(patches, weight)
        ctx.place = images.shape, stride, padding, sides
        kernels = _matrix(weight).t()
        shape = (images.shape[0], weight.shape[0], *sides)
        # What is handed out must be no view: torch refuses to change one in place, as squeeze-and-excitation does.
        out = torch.empty(shape, dtype=images.dtype, memory_format=torch.channels_last)
        rows = out.permute(0, 2, 3, 1).view(len(patches), weight.shape[0])
        if bias is None:
            torch.mm(patches, kernels, out=rows)
        else:
            torch.addmm(bias, patches, kernels, out=rows)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of images, weight and bias, as far as they are asked for."""
        patches, weight = ctx.saved_tensors
        rows = gradient.permute(0, 2, 3, 1).reshape(-1, weight.shape[0])
        to_images = to_weight = to_bias = None
        if ctx.needs_input_grad[0]:
            to_images = _scattered(rows @ _matrix(weight), weight.shape[2], *ctx.place)
        if ctx.needs_input_grad[1]:
            taps = (weight.shape[0], *weight.shape[2:], weight.shape[1])
            to_weight = (rows.t() @ patches).view(taps).permute(0, 3, 1, 2)
        if ctx.needs_input_grad[2]:
            to_bias = rows.sum(0)
        return to_images, to_weight, to_bias, None, None


def _matrix(weight: Tensor) -> Tensor:
    """[D, C, k, k] -> [D, k k C]; no copy of a channels-last one."""
    return weight.permute(0, 2, 3, 1).reshape(weight.shape[0], -1)


def _patches(images: Tensor, kernel: int, stride: int, padding: int, sides: tuple[int, int]) -> Tensor:
    """[B, C, H, W] -> [B H' W', k k C]: what lies under the kernel at each of its places."""
    last = images.permute(0, 2, 3, 1)
    if kernel == 1 and not padding:
        return last[:, ::stride, ::stride].reshape(-1, images.shape[1])
    last = functional.pad(last, (0, 0, padding, padding, padding, padding)).contiguous()
    image, row, pixel, one = last.stride()
    shape = (images.shape[0], *sides, kernel, kernel, images.shape[1])
    windows = last.as_strided(shape, (image, row * stride, pixel * stride, row, pixel, one))
    return windows.reshape(-1, kernel * kernel * images.shape[1])


def _scattered(
    patches: Tensor, kernel: int, shape: torch.Size, stride: int, padding: int, sides: tuple[int, int]
) -> Tensor:
    """Gradients of `_patches` added up where they were read: [B H' W', k k C] -> [B, C, H, W]."""
    batch, channels, height, width = shape
    taps = patches.view(batch, *sides, kernel, kernel, channels)
    if kernel == stride == 1 and not padding:
        return taps.view(batch, height, width, channels).permute(0, 3, 1, 2)
    out = patches.new_zeros(batch, height + 2 * padding, width + 2 * padding, channels)
    down, across = (stride * (side - 1) + 1 for side in sides)
    for i in range(kernel):
        for j in range(kernel):
            out[:, i : i + down : stride, j : j + across : stride] += taps[:, :, :, i, j]
    return out[:, padding : padding + height, padding : padding + width].permute(0, 3, 1, 2)


def lighten(net: nn.Module) -> None:
    """Make a `Convolution` of each layer that can be one, in place: it stays a `Conv2d`, its weights are untouched."""
    for layer in net.modules():
        if _replaceable(layer):
            layer.__class__ = Convolution


def _replaceable(layer: nn.Module) -> bool:
    if type(layer) is not nn.Conv2d or layer.groups != 1 or layer.dilation != (1, 1):
        return False
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return False
    square = all(len(set(sizes)) == 1 for sizes in (layer.kernel_size, layer.stride, layer.padding))
    return square and (layer.kernel_size[0], layer.stride[0]) in ((1, 1), (1, 2), (3, 1), (3, 2))
