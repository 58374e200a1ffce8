"""Convolutions of small maps as matrix products: torch's own numbers, in the same layers, where they are faster."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from sslseg.models import encoder, unet
from sslseg.models.cpu import convolution

CASES = [  # channels in, out, kernel, stride, padding, height, width
    (3, 5, 3, 1, 1, 3, 3),
    (3, 5, 3, 1, 1, 4, 2),
    (3, 5, 3, 2, 1, 6, 6),
    (3, 5, 3, 2, 1, 5, 4),  # odd sides: a row that no window reads
    (3, 5, 3, 1, 0, 4, 5),
    (3, 5, 3, 1, 2, 3, 3),
    (4, 6, 1, 1, 0, 3, 2),
    (4, 6, 1, 2, 0, 5, 4),
    (4, 6, 1, 2, 1, 3, 3),
    (3, 5, 3, 1, 1, 1, 1),
]


def _both(case, bias: bool, layout: torch.memory_format):
    c, d, kernel, stride, padding, height, width = case
    generator = torch.Generator().manual_seed(0)
    images, weight, shift = (
        torch.randn(*shape, dtype=torch.float64, generator=generator)
        for shape in ((2, c, height, width), (d, c, kernel, kernel), (d,))
    )
    found = []
    for how in (functional.conv2d, convolution.Product.apply):
        leaves = [images.to(memory_format=layout), weight.to(memory_format=layout), shift]
        leaves = [leaf.clone().requires_grad_() for leaf in leaves]
        out = how(leaves[0], leaves[1], leaves[2] if bias else None, stride, padding)
        (out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)).sum().backward()
        found.append([out.detach(), *(leaf.grad for leaf in leaves[: 2 + bias])])
    return found


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_those_of_torch(case, bias: bool, layout: torch.memory_format) -> None:
    for theirs, mine in zip(*_both(case, bias, layout), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


def test_only_the_gradients_that_are_asked_for() -> None:
    images, weight = torch.randn(1, 2, 3, 3), torch.randn(4, 2, 3, 3, requires_grad=True)
    convolution.Product.apply(images, weight, None, 1, 1).sum().backward()
    assert images.grad is None
    frozen = weight.detach()
    images.requires_grad_()
    convolution.Product.apply(images, frozen, None, 1, 1).sum().backward()
    torch.testing.assert_close(
        images.grad, functional.conv_transpose2d(torch.ones(1, 4, 3, 3), frozen, padding=1)
    )


def test_which_layers_and_which_maps() -> None:
    layers = nn.Sequential(
        nn.Conv2d(256, 512, 3, 2, 1), nn.Conv2d(512, 512, 3, padding=1), nn.Conv2d(512, 256, 1),
        nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 8, 3, dilation=2), nn.Conv2d(8, 8, 3, padding="same"),
        nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"), nn.Conv2d(1, 64, 7, 2, 3), nn.Conv2d(8, 8, (1, 3)),
    )  # fmt: skip
    names, owners = list(layers.state_dict()), [id(p) for p in layers.parameters()]
    convolution.lighten(layers)
    convolution.lighten(layers)  # twice is once
    assert [type(layer) is convolution.Convolution for layer in layers] == [True] * 3 + [False] * 6
    assert all(isinstance(layer, nn.Conv2d) for layer in layers)  # what draws or counts weights still sees it
    assert (list(layers.state_dict()), [id(p) for p in layers.parameters()]) == (names, owners)

    def pays(layer: nn.Conv2d, side: int, **kind) -> bool:
        images = torch.empty(1, layer.in_channels, side, side, **kind)
        return convolution.pays(images, layer.weight, layer.stride[0], layer.padding[0])

    strided, wide, point = layers[:3]
    assert [pays(strided, side) for side in (6, 48, 50)] == [True, True, False]
    assert [pays(wide, side) for side in (3, 12, 13)] == [True, True, False]
    assert [pays(point, side) for side in (3, 14, 15)] == [True, True, False]
    assert not pays(wide, 3, device="meta")
    assert not pays(wide, 3, dtype=torch.float64)  # conv2d says what is wrong


@pytest.fixture
def products(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """The shapes of the maps that were multiplied as matrices so far."""
    seen, real = [], convolution._patches

    def counted(images, *rest):
        seen.append(images.shape[2:])
        return real(images, *rest)

    monkeypatch.setattr(convolution, "_patches", counted)
    return seen


def test_an_image_smaller_than_its_kernel_is_refused_in_torch_s_words() -> None:
    layer = nn.Sequential(nn.Conv2d(64, 128, 3))
    convolution.lighten(layer)
    with pytest.raises(RuntimeError, match="Kernel size can't be greater than actual input size"):
        layer(torch.zeros(1, 64, 2, 2))


def test_an_encoder_and_a_unet_answer_as_before(products: list) -> None:
    """In double precision: against the same networks whose layers are torch's again."""
    images = torch.randn(2, 1, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    nets = (
        encoder.build("resnet18", 1, 0),
        encoder.build("resnet26", 1, 0),
        unet.scratch("resnet18", 1, 3, (256, 128, 64, 32, 16), 0)[0],
    )
    for net in nets:
        mine = net.double().to(memory_format=torch.channels_last).train()
        plain = copy.deepcopy(mine)
        for layer in plain.modules():
            if type(layer) is convolution.Convolution:
                layer.__class__ = nn.Conv2d
        products.clear()
        for one in (mine, plain):
            one(images).square().mean().backward()
        assert len(products) >= 4
        assert max(products) <= (16, 16)
        for (name, one), other in zip(mine.named_parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(
                one.grad, other.grad, rtol=1e-6, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}"
            )
        torch.testing.assert_close(mine(images), plain(images), rtol=1e-9, atol=1e-9)


def test_a_copy_has_weights_of_its_own() -> None:
    net = encoder.build("resnet18", 1, 0)
    other = copy.deepcopy(net)
    with torch.no_grad():
        other.layer4[0].downsample[0].weight.zero_()  # the way that an untrained block takes
    images = torch.randn(1, 1, 64, 64)
    assert not torch.equal(net.eval()(images), other.eval()(images))


def test_what_is_written_down_for_other_programs_has_torch_s_layers(products: list, monkeypatch) -> None:
    layer = nn.Sequential(nn.Conv2d(512, 512, 3, padding=1, bias=False))
    convolution.lighten(layer)
    images = torch.randn(1, 512, 2, 2)
    direct = layer(images)
    assert len(products) == 1
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    torch.testing.assert_close(layer(images), direct, rtol=1e-4, atol=1e-4)
    assert len(products) == 1
