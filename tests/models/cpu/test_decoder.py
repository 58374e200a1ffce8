"""smp's own blocks are the reference; in double precision what is left is rounding."""

from __future__ import annotations

import copy

import pytest
import segmentation_models_pytorch as smp
import torch
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoderBlock

from sslseg.models import unet
from sslseg.models.cpu import decoder


def pair(channels: int, skip: int) -> tuple[torch.nn.Module, torch.nn.Module]:
    torch.manual_seed(0)
    theirs = UnetDecoderBlock(channels, skip, 6).double()
    return theirs, decoder.Block(copy.deepcopy(theirs))


@pytest.mark.parametrize("skip", [None, 0, 5])
@pytest.mark.parametrize(
    ("small", "large"), [((8, 12), (16, 24)), ((4, 4), (8, 8)), ((8, 8), (17, 16)), ((9, 9), (16, 16))]
)
def test_values_and_gradients_are_those_of_smp(
    small: tuple[int, int], large: tuple[int, int], skip: int | None
):
    given, beside = torch.randn(2, 7, *small).double(), torch.randn(2, skip or 0, *large).double()
    results = []
    for block in pair(7, skip or 0):
        x, s = given.clone().requires_grad_(), beside.clone().requires_grad_()
        out = block(x, *large, skip_connection=None if skip is None else s)
        (out * torch.linspace(-1, 1, out.numel()).double().view_as(out)).sum().backward()
        results.append([out, x.grad, *([s.grad] if skip else []), *(p.grad for p in block.parameters())])
    for mine, theirs in zip(*results, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-9, atol=1e-9)


def test_the_map_is_not_doubled_where_it_is_fine(monkeypatch: pytest.MonkeyPatch):
    def refuse(*args: object, **named: object) -> None:
        raise AssertionError("doubled")

    monkeypatch.setattr(decoder.functional, "interpolate", refuse)
    _, mine = pair(7, 0)
    mine(torch.randn(2, 7, 8, 8).double(), 16, 16)
    with pytest.raises(AssertionError, match="doubled"):
        mine(torch.randn(2, 7, 4, 4).double(), 8, 8)


def test_weights_and_logits_of_the_whole_network_are_those_of_smp():
    mine, _ = unet.scratch("resnet18", 1, 4, (16, 8, 8, 8, 4), 0)
    theirs = smp.Unet("tu-resnet18", encoder_weights=None, in_channels=1, classes=4,
                      decoder_channels=(16, 8, 8, 8, 4))  # fmt: skip
    assert list(mine.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(mine.state_dict())
    given = torch.randn(2, 1, 96, 64)
    assert torch.allclose(mine(given), theirs(given), atol=1e-5)


def test_pixels_repeated_for_the_compiler_are_the_doubled_map_with_its_gradient():
    small = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last).requires_grad_()
    mine, theirs = decoder.repeated(small), torch.nn.functional.interpolate(small, (8, 10), mode="nearest")
    assert torch.equal(mine, theirs)
    assert mine.is_contiguous(memory_format=torch.channels_last)
    weights = torch.randn_like(mine)
    gradients = [torch.autograd.grad(wide, small, weights)[0] for wide in (mine, theirs)]
    torch.testing.assert_close(*gradients)
