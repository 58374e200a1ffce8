"""Compiled networks: the same losses, the same names of tensors, and no wait for the device."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from sslseg.config.flags import resolve
from sslseg.config.names import ParamError
from sslseg.config.params import COMPILE_FROM, Finetune, Pretrain
from sslseg.models.modes import evaluating
from sslseg.tracking import identity
from sslseg.training import devices, loop
from tests.training.test_loop import Method, finetune_batch, pretrain_batch, unet

BYOL = resolve(Pretrain(encoder="scratch", steps=3, device="cpu"))
UNET = resolve(Finetune(encoder="scratch", steps=3, device="cpu"))


def trained(p, **changes):
    """Losses of three steps, and the state after them."""
    p = dataclasses.replace(p, **changes)
    if isinstance(p, Pretrain):
        training, batch = loop.pretraining(Method(), p), pretrain_batch
    else:
        training, batch = loop.finetuning(unet(), p), finetune_batch
    return [training.step(n, batch(n))["train/loss"] for n in range(3)], training


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # the tracer's own
@pytest.mark.parametrize("p", [BYOL, UNET], ids=["pretraining", "fine-tuning"])
def test_compiled_networks_give_the_same_losses_and_the_same_states(p, monkeypatch):
    monkeypatch.setattr(devices, "BACKEND", "eager")  # what is traced, without a compiler of machine code
    calls = []
    kept = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda net, **how: (calls.append(how), kept(net, **how)))
    losses, training = trained(p, compile="off")
    assert not calls
    again, compiled = trained(p, compile="on")
    assert {how["backend"] for how in calls} == {"eager"}
    assert again == losses
    plain, state = training.state(), compiled.state()
    assert list(state) == list(plain)
    assert not [name for name in state if "_orig_mod" in name]
    assert all(torch.equal(state[name], plain[name]) for name in plain)
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    net, images = next(iter(compiled.modules.values())), torch.zeros(1, 1, 64, 96)
    with evaluating(net):  # a size of its own, and nothing is compiled for it
        net(images)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before > 0


class Waits(TorchDispatchMode):
    """Notes what makes the processor wait for a device: a number, or how many there are, is read from it."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in (torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero):
            self.found.append(func)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("p", [BYOL, UNET], ids=["pretraining", "fine-tuning"])
def test_a_step_whose_loss_is_not_asked_for_never_waits_for_the_device(p, monkeypatch):
    """torch's one_hot looks at its numbers on a CPU alone, so another takes its place."""
    monkeypatch.setattr(functional, "one_hot", lambda x, k: (x[..., None] == torch.arange(k)).long())
    fine = isinstance(p, Finetune)
    training = loop.finetuning(unet(), p) if fine else loop.pretraining(Method(), p)
    batch = (finetune_batch if fine else pretrain_batch)(0)
    with Waits() as waits:
        training.step(0, batch, fetch=False)
        training.step(1, batch, fetch=False)
        assert not waits.found
        torch.ones(1).item()
        assert waits.found


def test_who_is_compiled(monkeypatch):
    long, short = (dataclasses.replace(BYOL, steps=n) for n in (COMPILE_FROM, COMPILE_FROM - 1))
    assert not devices.compiles(long)  # no card
    monkeypatch.setattr(devices, "of", lambda p: torch.device("cuda"))
    monkeypatch.setattr(devices, "find_spec", lambda name: name)
    assert devices.compiles(long)
    assert not devices.compiles(short)
    assert not devices.compiles(dataclasses.replace(long, compile="off"))
    assert devices.compiles(dataclasses.replace(short, compile="on"))
    monkeypatch.setattr(devices, "find_spec", lambda name: None)
    assert not devices.compiles(long)
    with pytest.raises(ParamError, match="no triton"):
        devices.compiles(dataclasses.replace(long, compile="on"))


@pytest.mark.parametrize("backend", ["inductor", "eager", "aot_eager"])
def test_it_is_in_the_identity_only_where_it_changes_numbers(backend, monkeypatch):
    monkeypatch.setattr(devices, "BACKEND", backend)
    monkeypatch.setattr(devices.shutil, "which", lambda name: name)

    def of(compile):
        p = dataclasses.replace(UNET, compile=compile)
        return identity.of(p, upstream_sha="", data="", subset="", code="", numerics=devices.numerics(p))

    assert of("auto") == of("off")
    assert (of("on") == of("off")) == (backend != "inductor")
    monkeypatch.setattr(devices.shutil, "which", lambda name: None)
    if backend == "inductor":
        with pytest.raises(ParamError, match="no C\\+\\+ compiler"):
            of("on")
