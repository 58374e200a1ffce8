"""Where a convolution is faster as a matrix product: `python -m benchmarks.products`.

For each layer forward and both gradients, channels-last, float32, one thread, in turn with PyTorch's own; medians.
"Used" says what `models/convolution.py` chooses there.
"""

from __future__ import annotations

from typing import Any

from benchmarks.compare import ROUNDS, compare

LAYERS = (  # of ResNet-18 and ResNet-50 at 64, 96, 128 and 224 px: channels in, out, kernel, stride
    (64, 64, 3, 1), (64, 128, 3, 2), (128, 128, 3, 1), (128, 256, 3, 2), (256, 256, 3, 1), (256, 512, 3, 2),
    (512, 512, 3, 1), (1024, 256, 1, 1), (256, 1024, 1, 1), (2048, 512, 1, 1), (512, 1024, 1, 2),
)  # fmt: skip
DEPTH = {64: 4, 128: 8, 256: 16, 512: 32}  # of the 3 x 3 kernels: the image's pixels to one of the map
SIZES = (64, 96, 128, 224)


def side_of(layer: tuple[int, int, int, int], size: int) -> int:
    """Side of the map that the layer reads, for images of `size` px."""
    channels, out, kernel, stride = layer
    width = min(channels, out) if kernel == 1 and stride == 1 else out
    depth = DEPTH[width] if kernel == 3 else {256: 16, 512: 32, 1024: 16}[width]
    return -(-size // depth) * stride


def measure(layer: tuple[int, int, int, int], side: int, batch: int, rounds: int) -> dict[str, Any]:
    """Seconds of both ways, and whether the project takes the product."""
    import torch
    from torch.nn import functional

    from sslseg.models import convolution

    channels, out, kernel, stride = layer
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

    times = compare(
        {
            "ours": lambda: step(convolution.Product.apply),
            "peer": lambda: step(functional.conv2d),
        },
        rounds=rounds,
    )
    used = convolution.pays(images, weight, stride, kernel // 2)
    return {name: times.median(name) for name in ("ours", "peer")} | {"used": used}


def main() -> None:
    """Print the table, and what the rule loses or misses."""
    print(
        "| channels | kernel | stride | image, px | map | batch | conv2d, ms | product, ms | ratio | used |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for layer in LAYERS:
        for size in SIZES:
            side = side_of(layer, size)
            for batch in (4, 16):
                found = measure(layer, side, batch, ROUNDS)
                cells = (
                    f"{layer[0]} to {layer[1]}", layer[2], layer[3], size, side, batch, f"{1e3 * found['peer']:.2f}",
                    f"{1e3 * found['ours']:.2f}", f"{found['peer'] / found['ours']:.2f}",
                    "yes" if found["used"] else "",
                )  # fmt: skip
                print("|", " | ".join(map(str, cells)), "|", flush=True)


if __name__ == "__main__":
    main()
