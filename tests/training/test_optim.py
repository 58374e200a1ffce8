"""LARS against its written-out step, schedules against known values, the average against a loop."""

import copy
import math
from dataclasses import replace

import pytest
import timm.optim
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sslseg.config.names import ParamError
from sslseg.config.params import Pretrain
from sslseg.training import optim

SETTINGS = {"lr": 0.3, "momentum": 0.9, "weight_decay": 1e-2, "trust": 0.02}


def network(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 3))


def gradients(net, step):
    draw = torch.Generator().manual_seed(step)
    return [torch.randn(p.shape, generator=draw) * 10 ** (step - 1) for p in net.parameters()]


def reference_step(p, grad, buffer, lr, momentum, weight_decay, trust):
    """LARS of solo-learn with clip_lr and exclude_bias_n_norm, one parameter at a time."""
    if p.ndim > 1:
        ratio = trust * p.norm() / (grad.norm() + weight_decay * p.norm() + 1e-8)
        grad = (grad + weight_decay * p) * min(float(ratio) / lr, 1.0)
    buffer = grad.clone() if buffer is None else momentum * buffer + grad
    return p - lr * buffer, buffer


@pytest.mark.parametrize("weight_decay", [1e-2, 0.0])
def test_lars_equals_the_written_out_step(weight_decay):
    net = network()
    settings = SETTINGS | {"weight_decay": weight_decay}
    optimizer = optim.lars(net.named_parameters(), **settings)
    wanted, buffers = [p.detach().clone() for p in net.parameters()], [None] * 6
    for step in range(4):
        for p, grad in zip(net.parameters(), gradients(net, step), strict=True):
            p.grad = grad
        optim.set_lr(optimizer, settings["lr"] / (step + 1))
        optimizer.step()
        now = settings | {"lr": settings["lr"] / (step + 1)}
        for i, grad in enumerate(gradients(net, step)):
            wanted[i], buffers[i] = reference_step(wanted[i], grad, buffers[i], **now)
    for p, w in zip(net.parameters(), wanted, strict=True):
        torch.testing.assert_close(p.detach(), w, rtol=1e-5, atol=1e-7)


def test_lars_equals_timm_one_tensor_at_a_time():
    ours, theirs = network(), network()
    optimizer = optim.lars(ours.named_parameters(), **SETTINGS)
    groups = [{"params": [p for p in theirs.parameters() if p.ndim > 1]}]
    groups += [{"params": [p for p in theirs.parameters() if p.ndim <= 1], "weight_decay": 0.0}]
    settings = {"lr": 0.3, "momentum": 0.9, "weight_decay": 1e-2, "trust_coeff": 0.02}
    other = timm.optim.Lars(groups, **settings, trust_clip=True, foreach=False)
    for step in range(3):
        for net in (ours, theirs):
            for p, grad in zip(net.parameters(), gradients(net, step), strict=True):
                p.grad = grad
        optimizer.step()
        other.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("of_gradient", [torch.channels_last, torch.contiguous_format])
def test_adam_is_torchs_plain_one_whatever_lies_how(layout, of_gradient):
    shapes = [(6, 5, 3, 3), (8, 1, 7, 7), (4, 16, 1, 1), (7, 3), (5,)]
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(shape, generator=generator) for shape in shapes]
    plain, mine = [torch.nn.Parameter(s.clone()) for s in start], []
    for s in start:
        laid = s.clone(memory_format=layout) if s.ndim == 4 else s.clone()
        mine.append(torch.nn.Parameter(laid))
    theirs = torch.optim.Adam(plain, lr=0.01, foreach=False, fused=False)
    ours = optim.adam([(str(i), p) for i, p in enumerate(mine)], lr=0.01)
    for _ in range(4):
        for p, q in zip(plain, mine, strict=True):
            p.grad = torch.randn(p.shape, generator=generator)
            q.grad = p.grad.clone(memory_format=of_gradient) if p.ndim == 4 else p.grad.clone()
        theirs.step()
        ours.step()
    for p, q in zip(plain, mine, strict=True):
        torch.testing.assert_close(q, p, rtol=1e-5, atol=1e-6)
        assert ours.state[q]["exp_avg"].shape == q.shape
        torch.testing.assert_close(ours.state[q]["exp_avg_sq"], theirs.state[p]["exp_avg_sq"])


def test_biases_and_norms_do_not_decay():
    net = network()
    optimizer = optim.lars(net.named_parameters(), **SETTINGS)
    before = copy.deepcopy(net.state_dict())
    for p in net.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    changed = {k for k, v in net.state_dict().items() if not torch.equal(v, before[k])}
    assert changed <= {"0.weight", "3.weight"}


def test_warmup_cosine():
    def lr(step):
        return optim.lr_at("warmup-cosine", step, 100, 0.25, warmup=0.4, warmup_lr=3e-5)

    assert lr(0) == 3e-5
    assert lr(20) == pytest.approx((3e-5 + 0.25) / 2)
    assert lr(40) == 0.25
    assert lr(70) == pytest.approx(0.125)
    assert lr(100) == pytest.approx(0, abs=1e-15)
    assert optim.lr_at("warmup-cosine", 29, 100, 0.25, warmup=0.29) == 0.25  # 0.29 * 100 is below 29
    rise = [lr(s) for s in range(41)]
    assert max(map(abs, (b - a - (rise[1] - rise[0]) for a, b in zip(rise, rise[1:], strict=False)))) < 1e-12


def test_cosine_is_torchs():
    p = nn.Parameter(torch.zeros(1))
    sgd = torch.optim.SGD([p], lr=0.1)
    plain = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, T_max=20)
    for step in range(20):
        assert optim.lr_at("cosine", step, 20, 0.1) == pytest.approx(plain.get_last_lr()[0], abs=1e-12)
        sgd.step()
        plain.step()


def test_cosine_restarts_is_torchs():
    p = nn.Parameter(torch.zeros(1))
    sgd = torch.optim.SGD([p], lr=0.1)
    periodic = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(sgd, T_0=7)
    for step in range(21):
        assert optim.lr_at("cosine-restarts", step, 21, 0.1, period=7) == pytest.approx(
            periodic.get_last_lr()[0]
        )
        sgd.step()
        periodic.step()


def test_constant():
    assert optim.lr_at("constant", 5, 10, 0.1, warmup=0.9) == 0.1


@given(st.sampled_from(["constant", "cosine", "warmup-cosine", "cosine-restarts"]), st.integers(1, 500),
       st.floats(0, 1), st.integers(1, 50), st.data())  # fmt: skip
def test_lr_stays_between_zero_and_peak(schedule, steps, warmup, period, data):
    step = data.draw(st.integers(0, steps - 1))
    assert 0 <= optim.lr_at(schedule, step, steps, 0.1, warmup, 0.0, period) <= 0.1


def test_tau_rises_from_tau_to_one():
    assert optim.tau_at(0.0, 0.99) == pytest.approx(0.99)
    assert optim.tau_at(0.5, 0.99) == pytest.approx(0.995)
    assert optim.tau_at(1.0, 0.99) == 1.0
    assert optim.tau_at(0.3, 0.99) == pytest.approx(1 - 0.01 * (math.cos(0.3 * math.pi) + 1) / 2)


def test_ema_equals_a_loop():
    target, online = network(0), network(1)
    online(torch.randn(2, 1, 3, 3, generator=torch.Generator().manual_seed(0)))  # moves the statistics
    before, theirs = copy.deepcopy(target.state_dict()), online.state_dict()
    optim.ema(target, online, 0.9)
    for key, now in target.state_dict().items():
        mixed = 0.9 * before[key] + 0.1 * theirs[key]
        if "num_batches" in key:
            mixed = theirs[key]
        torch.testing.assert_close(now, mixed, rtol=1e-6, atol=1e-7)
    assert all(torch.equal(v, theirs[k]) for k, v in online.state_dict().items())


def test_ema_refuses_another_structure():
    with pytest.raises(ValueError, match="zip"):
        optim.ema(network(), nn.Linear(2, 2), 0.9)


def test_the_papers_epochs_are_the_presets_steps():
    assert optim.steps_of_epochs(25, 20_000, 128) == 3906
    assert optim.steps_of_epochs(400, 20_000, 128) == 62_500
    assert optim.steps_of_epochs(0, 20_000, 128) == 0
    assert optim.steps_of_epochs(1, 3, 128) == 1


@given(st.integers(1, 500), st.integers(1, 30_000), st.integers(1, 256))
def test_steps_are_the_most_that_fit_the_epochs(epochs, slices, batch):
    steps = optim.steps_of_epochs(epochs, slices, batch)
    assert optim.epochs_of_steps(steps + 1, slices, batch) > epochs
    assert steps == 1 or optim.epochs_of_steps(steps, slices, batch) <= epochs


def test_kept_are_the_steps_the_ends_of_epochs_and_the_last_one():
    """80 slices in batches of 8: ten steps an epoch."""
    p = Pretrain(dataset="phantom", batch_size=8, steps=25, save_steps=(7, 25), save_epochs=(0, 2))
    assert optim.kept_steps(p, 80) == {0: 0, 7: None, 20: 2, 25: None}
    assert optim.kept_steps(replace(p, save_steps=(), save_epochs=()), 80) == {25: None}
    with pytest.raises(ParamError, match=r"26, 3 lie beyond the end of the run \(25 steps, 2.50 epochs\)"):
        optim.kept_steps(replace(p, save_steps=(26,), save_epochs=(3,)), 80)


def test_momentum_is_that_of_every_optimiser():
    named = list(network().named_parameters())
    p = Pretrain(dataset="phantom", momentum=0.8, lr=0.1)
    found = [optim.of(replace(p, optimizer=name), named).defaults for name in ("lars", "sgd", "adamw")]
    assert [one.get("momentum", one.get("betas")) for one in found] == [0.8, 0.8, (0.8, 0.999)]
