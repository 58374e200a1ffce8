"""Mean teacher by its formulas, and a frozen encoder bit by bit."""

from __future__ import annotations

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch

from sslseg.config.flags import resolve
from sslseg.config.params import Finetune
from sslseg.training import loop, losses
from sslseg.training.mean_teacher import MeanTeacher, decay_at, ramp
from tests.training.test_loop import finetune_batch, pretrain_batch, unet

STEPS = 6


def params(**given):
    p = resolve(Finetune(encoder="scratch", steps=STEPS, lr=1e-2, warmup=0.0, clip=0.0, schedule="constant"))
    return dataclasses.replace(p, **given)


def batch_at(step):
    views = pretrain_batch(step + 50).views
    return finetune_batch(step)._replace(unlabelled=views, progress=step / STEPS)


def test_the_ramp_and_the_decay_are_the_published_ones():
    assert ramp(0.0, 1.0) == pytest.approx(math.exp(-5))
    assert ramp(0.25, 0.5) == pytest.approx(math.exp(-5 * 0.25))
    assert ramp(0.5, 0.5) == ramp(0.9, 0.5) == ramp(0.0, 0.0) == 1.0
    assert [decay_at(n, 0.99) for n in (0, 1, 9, 98, 99, 5000)] == pytest.approx(
        [0, 0.5, 0.9, 98 / 99, 0.99, 0.99]
    )


def test_the_loss_is_the_supervised_one_plus_weight_times_the_squared_difference():
    p = params(semi="mean_teacher", consistency=0.3, consistency_ramp=0.5)
    pair = MeanTeacher(unet().train(), p)
    pair.student.load_state_dict({k: v * 1.1 for k, v in pair.student.state_dict().items()})
    batch = loop.on(batch_at(1), torch.device("cpu"))
    student, teacher = copy.deepcopy(pair.student), copy.deepcopy(pair.teacher)
    with loop.seeded(5, torch.device("cpu")):
        loss, metrics = pair.loss(batch)
    supervised = losses.jaccard(student(batch.images), batch.labels)
    with loop.seeded(5, torch.device("cpu")), torch.no_grad():
        noise = (torch.randn_like(batch.unlabelled[1]) * 0.1).clamp(-0.2, 0.2)
        wanted = torch.softmax(teacher(batch.unlabelled[1] + noise), 1)
    found = torch.softmax(student(batch.unlabelled[0]), 1)
    apart = ((found - wanted) ** 2).mean()
    weight = 0.3 * math.exp(-5 * (1 - (1 / 6) / 0.5) ** 2)
    assert metrics["consistency_weight"] == pytest.approx(weight)
    assert loss.item() == pytest.approx((supervised + weight * apart).item(), rel=1e-6)
    assert apart > 1e-4
    loss.backward()
    assert all(q.grad is None for q in pair.teacher.parameters())
    assert all(q.grad is not None for q in pair.student.parameters())


def test_without_weight_the_loss_and_its_gradient_are_those_of_no_teacher():
    pair, alone = MeanTeacher(unet().train(), params(semi="mean_teacher", consistency=0.0)), unet().train()
    batch = loop.on(batch_at(2), torch.device("cpu"))
    loss, _ = pair.loss(batch)
    plain = losses.jaccard(alone(batch.images), batch.labels)
    loss.backward(), plain.backward()
    assert torch.equal(loss, plain)
    for one, other in zip(pair.student.parameters(), alone.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)


def test_the_teacher_is_the_average_of_the_students_and_goes_on_from_a_checkpoint():
    """theta' <- a theta' + (1 - a) theta with a = min(1 - 1 / (n + 1), 0.6), by hand over six steps."""
    p = params(semi="mean_teacher", ema=0.6)
    training = loop.finetuning(unet(), p)
    student, teacher = training.modules["unet"], training.modules["teacher"]
    wanted = [q.detach().clone() for q in student.parameters()]
    for n in range(STEPS):
        if n == 3:
            state = {k: v.clone() for k, v in training.state().items()}
        training.step(n, batch_at(n))
        a = min(1 - 1 / (n + 1), 0.6)
        wanted = [a * w + (1 - a) * q.detach() for w, q in zip(wanted, student.parameters(), strict=True)]
    for mine, formula in zip(teacher.parameters(), wanted, strict=True):
        assert torch.allclose(mine, formula, atol=1e-6)
    again = loop.finetuning(unet(), p)
    again.restore(state)
    for n in range(3, STEPS):
        again.step(n, batch_at(n))
    for key, tensor in training.state().items():
        assert torch.equal(tensor, again.state()[key]), key


@pytest.mark.parametrize("semi", ["none", "mean_teacher", "unimatch"])
def test_a_frozen_encoder_keeps_every_bit_and_the_decoder_learns(semi: str):
    training = loop.finetuning(unet(), params(freeze="encoder", semi=semi))
    nets = training.modules
    before = {name: copy.deepcopy(net.state_dict()) for name, net in nets.items()}
    for n in range(3):
        batch = batch_at(n)
        views = batch.unlabelled if semi != "unimatch" else (*batch.unlabelled, batch.images)
        training.step(n, batch._replace(unlabelled=views))
    for name, net in nets.items():
        for key, tensor in net.state_dict().items():
            if key.startswith("encoder."):
                assert torch.equal(tensor, before[name][key]), key
        moved = [k for k, v in net.state_dict().items() if not torch.equal(v, before[name][k])]
        assert any(key.startswith("decoder.") for key in moved)
        assert any(key.startswith("segmentation_head.") for key in moved)
    assert not any(name.startswith("encoder.") for name, _ in training.named)


def test_the_decay_is_that_of_the_step_whose_share_is_rounded():
    pair = MeanTeacher(torch.nn.Linear(1, 1), params(ema=1.0, steps=100))
    found = [pair.after_step(n / 100)["ema"] for n in range(100)]  # 29 / 100 * 100 is below 29
    assert found == [decay_at(n, 1.0) for n in range(100)]


def test_unlabelled_views_are_other_draws_than_the_annotated_ones():
    from sslseg.data.views import batches

    rows = np.arange(40)
    own = batches.order(rows, seed=0, step=0, batch_size=40)
    other = batches.order(rows, seed=0, step=0, batch_size=40, name="unlabelled order")
    assert sorted(own) == sorted(other) == list(rows)
    assert (own == other).mean() < 0.3
