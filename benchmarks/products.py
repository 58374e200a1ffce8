"""Where a convolution is faster as a matrix product: `python -m benchmarks.products`.

For each layer forward and both gradients, channels-last, float32, one thread, in turn with PyTorch's own; medians.
"Used" says what `models/cpu/convolution.py` chooses there.
"""

import itertools
from functools import partial

from benchmarks.compare import compare

Layer = tuple[int, int, int, int, int]
LAYERS: tuple[Layer, ...] = (  # of ResNet-18 and ResNet-50: channels in, out, kernel, stride, image's pixels to one written
    (64, 64, 3, 1, 4), (64, 128, 3, 2, 8), (128, 128, 3, 1, 8), (128, 256, 3, 2, 16), (256, 256, 3, 1, 16),
    (256, 512, 3, 2, 32), (512, 512, 3, 1, 32), (1024, 256, 1, 1, 16), (256, 1024, 1, 1, 16), (2048, 512, 1, 1, 32),
    (512, 1024, 1, 2, 16),
)  # fmt: skip
SIZES, BATCHES = (64, 96, 128, 224), (4, 16)


def measure(layer: Layer, side: int, batch: int) -> tuple[float, float, bool]:
    """Seconds of the convolution and of the product on maps of `side`, and whether the project takes the product."""
    import torch
    from torch.nn import functional

    from sslseg.models.cpu import convolution

    channels, out, kernel, stride, _ = layer
    generator = torch.Generator().manual_seed(0)
    images, weight = (
        torch.randn(*shape, generator=generator)
        .contiguous(memory_format=torch.channels_last)
        .requires_grad_()
        for shape in ((batch, channels, side, side), (out, channels, kernel, kernel))
    )

    def step(how):
        result = how(images, weight, None, stride, kernel // 2)
        result.backward(torch.ones_like(result))

    ways = {"conv2d": functional.conv2d, "product": convolution.Product.apply}
    times = compare({name: partial(step, how) for name, how in ways.items()})
    used = convolution.pays(images, weight, stride, kernel // 2)
    return times.median("conv2d"), times.median("product"), used


def main() -> None:
    """Print the table."""
    print(
        "| channels | kernel | stride | image, px | map | batch | conv2d, ms | product, ms | ratio | used |"
    )
    print("|---" * 10 + "|")
    for layer, size, batch in itertools.product(LAYERS, SIZES, BATCHES):
        channels, out, kernel, stride, depth = layer
        side = size // depth * stride
        theirs, ours, used = measure(layer, side, batch)
        asked = f"| {channels} to {out} | {kernel} | {stride} | {size} | {side} | {batch}"
        found = f"| {1e3 * theirs:.2f} | {1e3 * ours:.2f} | {theirs / ours:.2f} | {'yes' if used else ''} |"
        print(asked, found, flush=True)


if __name__ == "__main__":
    main()
