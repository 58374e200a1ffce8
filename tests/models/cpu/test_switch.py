"""One switch: off, everything is timm's, smp's and torch's; on another device it is so anyway."""

from __future__ import annotations

import os

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from torch import nn

from sslseg.config.names import ParamError
from sslseg.config.params import Prepare
from sslseg.models import cpu, encoder, unet
from sslseg.models.cpu import convolution, decoder
from sslseg.models.cpu.adam import ChannelsLastAdam
from sslseg.training import devices, optim

SMALL = (8, 8, 8, 8, 8)


def own(*nets: nn.Module) -> set[str]:
    """Names of the classes of this project in networks and optimisers."""
    parts = [part for net in nets for part in net.modules()]
    return {type(part).__name__ for part in parts if type(part).__module__.startswith("sslseg")}


def test_off_is_plain_timm_smp_and_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    made = encoder.build("resnet18", 1, 0), unet.scratch("resnet18", 1, 2, SMALL, 0)[0]
    assert own(*made) == {"Convolution", "Block"}
    assert isinstance(optim.adam(made[0].named_parameters(), lr=1.0), ChannelsLastAdam)
    monkeypatch.setenv(cpu.SWITCH, "off")
    plain = encoder.build("resnet18", 1, 0), unet.scratch("resnet18", 1, 2, SMALL, 0)[0]
    assert not own(*plain)
    theirs = (
        timm.create_model("resnet18", in_chans=1, num_classes=0),
        smp.Unet("tu-resnet18", encoder_weights=None, in_channels=1, classes=2, decoder_channels=SMALL,
                 decoder_interpolation="nearest"),
    )  # fmt: skip
    for one, other, mine in zip(plain, theirs, made, strict=True):
        assert [type(part) for part in one.modules()] == [type(part) for part in other.modules()]
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), mine.parameters(), strict=True))
    assert type(optim.adam(plain[0].named_parameters(), lr=1.0)) is torch.optim.Adam


def test_the_manifest_says_which_and_a_slip_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert devices.name(Prepare(device="cpu")) == "cpu"
    monkeypatch.setenv(cpu.SWITCH, "off")
    assert devices.name(Prepare(device="cpu")) == "cpu, plain kernels"
    monkeypatch.setenv(cpu.SWITCH, "no")
    with pytest.raises(ParamError, match="SSLSEG_CPU_KERNELS: wanted on or off, got 'no'"):
        encoder.build("test_resnet", 1, 0)


@pytest.mark.parametrize("before", [None, "on", "off"])
def test_what_was_switched_off_is_afterwards_as_it_was(
    before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(cpu.SWITCH, raising=False)
    if before:
        monkeypatch.setenv(cpu.SWITCH, before)
    with cpu.switched_off():
        assert not cpu.active()
    assert os.environ.get(cpu.SWITCH) == before


def test_never_on_another_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tensors are not on a CPU ("meta" stands for CUDA here) none of the kernels is entered."""

    def refuse(*args: object, **named: object) -> None:
        raise AssertionError("a CPU kernel")

    net, _ = unet.scratch("resnet18", 1, 2, SMALL, 0)
    images = torch.randn(2, 1, 64, 64)
    monkeypatch.setattr(convolution.Product, "apply", refuse)
    monkeypatch.setattr(decoder, "doubled_and_convolved", refuse)
    with pytest.raises(AssertionError, match="a CPU kernel"):
        net(images)
    assert net.to("meta")(images.to("meta")).shape == (2, 2, 64, 64)
    assert type(cpu.fused_adam([nn.Parameter(torch.empty(3, device="meta"))], 1.0)) is torch.optim.Adam


@pytest.mark.parametrize("bias", [False, True])
def test_what_a_product_hands_out_may_be_changed_in_place(bias: bool) -> None:
    """As squeeze-and-excitation does; the gradients are torch's."""
    results = []
    for how in (nn.functional.conv2d, convolution.Product.apply):
        torch.manual_seed(0)
        images, weight = torch.randn(2, 4, 1, 1).double(), torch.randn(6, 4, 1, 1).double()
        leaves = [t.requires_grad_() for t in (images, weight, torch.randn(6).double())]
        out = how(leaves[0], leaves[1], leaves[2] if bias else None, 1, 0)
        assert not out._is_view()
        nn.functional.relu(out, inplace=True).square().sum().backward()
        results.append([out.detach(), *(leaf.grad for leaf in leaves[: 2 + bias])])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)
