"""A training that stops, is written to disk and goes on elsewhere is the training that never stopped."""

import dataclasses
import functools
import math

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from torch import nn

from sslseg.config.flags import resolve
from sslseg.config.names import NonFiniteLoss
from sslseg.config.params import Finetune, Pretrain
from sslseg.data.views.batches import FinetuneBatch, PretrainBatch
from sslseg.training import checkpoint, loop, losses, optim

STEPS, BATCH = 6, 4


def rng(step):
    return np.random.default_rng(step)


def pretrain_batch(step):
    views = tuple(rng(step).standard_normal((2, BATCH, 1, 32, 32), np.float32))
    return PretrainBatch(views, rng(step).integers(0, 99, BATCH))


def finetune_batch(step):
    labels = rng(step).integers(0, 4, (BATCH, 32, 32)).astype(np.uint8)
    labels[:, :3] = 255
    return FinetuneBatch(pretrain_batch(step).views[0], labels, rng(step).integers(0, 99, BATCH))


class Method:
    """The smallest method with a moving average and dropout."""

    def __init__(self):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            online, target = (
                timm.create_model("test_resnet", in_chans=1, num_classes=0, drop_path_rate=0.3)
                for _ in range(2)
            )
            head = nn.Sequential(nn.Dropout(0.2), nn.Linear(online.num_features, 8))
        self.modules = {"online": online, "head": head, "target": target.requires_grad_(False)}
        self.asked = 0

    def trainable(self):
        return [(f"{m}.{n}", p) for m in ("online", "head") for n, p in self.modules[m].named_parameters()]

    def loss(self, batch):
        views = batch.views
        with torch.no_grad():
            target = self.modules["head"](self.modules["target"](views[1]))
        prediction = self.modules["head"](self.modules["online"](views[0]))
        return losses.byol_regression(prediction, target), {
            "dear": self.dear,
            "norm": prediction.norm(),
        }

    def dear(self):
        self.asked += 1
        return 7

    def after_step(self, progress):
        tau = optim.tau_at(progress, 0.9)
        optim.ema(self.modules["target"], self.modules["online"], tau)
        return {"tau": tau}


def unet():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return smp.Unet("tu-test_resnet", encoder_weights=None, in_channels=1, classes=4,
                        decoder_channels=(16, 8, 8, 8, 8))  # fmt: skip


def pretraining(**knobs):
    return loop.pretraining(
        Method(), resolve(Pretrain(preset="demo", **{"steps": STEPS, "warmup": 0.5} | knobs))
    )


def finetuning(**knobs):
    return loop.finetuning(unet(), resolve(Finetune(preset="demo", **{"steps": STEPS} | knobs)))


KINDS = {"pretrain": (pretraining, pretrain_batch), "finetune": (finetuning, finetune_batch)}


@pytest.mark.parametrize("kind", KINDS)
def test_resumed_is_uninterrupted_to_the_last_bit(tmp_path, kind):
    make, batch_at = KINDS[kind]
    straight = make()
    wanted = list(straight.run(batch_at, log_every=1))

    first, got = make(), []
    for done in first.run(batch_at, log_every=1):
        got.append(done)
        if done.step == 3:
            checkpoint.save(tmp_path, done.step, first.state(), {})
            break
    torch.rand(17)  # the process went on with something else
    second = make()
    second.restore(checkpoint.latest(tmp_path).tensors)
    assert second.done == 3
    got += list(second.run(batch_at, log_every=1))

    assert [g.step for g in got] == [1, 2, 3, 4, 5, 6]
    assert got == wanted
    a, b = straight.state(), second.state()
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert any(not torch.equal(a[k], v) for k, v in make().state().items())  # it did learn


@pytest.mark.parametrize("kind", KINDS)
def test_global_generators_are_neither_read_nor_moved(kind):
    make, batch_at = KINDS[kind]
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = make()
    one_metrics = list(one.run(batch_at))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    other = make()
    assert list(other.run(batch_at)) == one_metrics
    follows = list(make(seed=1).run(batch_at)) != one_metrics
    assert follows == (kind == "pretrain")  # it has dropout and drop path, the U-Net has neither


def test_pretraining_equals_the_written_out_step():
    method, p = Method(), resolve(Pretrain(preset="demo", steps=2, warmup=0.0))
    method.modules["head"][0].p = 0.0
    method.modules["online"].apply(lambda m: setattr(m, "drop_prob", 0.0))
    method.modules["target"].apply(lambda m: setattr(m, "drop_prob", 0.0))
    other = Method()
    for name, net in other.modules.items():
        net.load_state_dict(method.modules[name].state_dict())
        net.apply(lambda m: setattr(m, "drop_prob", 0.0)).train()
    other.modules["head"][0].p = 0.0
    metrics = [m for _, m in loop.pretraining(method, p).run(pretrain_batch, log_every=1)]
    optimizer = optim.lars(other.trainable(), lr=p.lr, momentum=p.momentum, weight_decay=p.weight_decay,
                           trust=p.trust)  # fmt: skip
    for step in range(2):
        views = tuple(map(torch.from_numpy, pretrain_batch(step).views))
        loss, _ = other.loss(PretrainBatch(views, np.arange(BATCH)))
        optimizer.zero_grad()
        loss.backward()
        optim.set_lr(optimizer, p.lr * 0.5 * (1 + math.cos(math.pi * step / 2)))
        optimizer.step()
        optim.ema(other.modules["target"], other.modules["online"], optim.tau_at(step / 2, 0.9))
        assert metrics[step]["train/loss"] == pytest.approx(float(loss.detach()), rel=1e-4)
    for name in method.modules:
        for a, b in zip(method.modules[name].parameters(), other.modules[name].parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_method_may_ask_for_another_optimiser_and_a_constant_rate(tmp_path, optimizer):
    """Torch's own step by hand: weight decay on what has two dimensions or more, the gradient cut at `clip`."""
    knobs = {"optimizer": optimizer, "schedule": "constant", "lr": 1e-2, "clip": 0.1, "weight_decay": 0.3}
    training, by_hand = pretraining(**knobs), pretraining(**knobs)
    metrics = training.step(3, pretrain_batch(0))
    assert metrics["train/lr"] == 1e-2
    assert metrics["train/gradient_norm"] > 0.1
    named = dict(by_hand.named)
    with loop.seeded(loop.streams.torch_seed(0, "step", 3), torch.device("cpu")):
        by_hand._loss(loop.on(pretrain_batch(0), torch.device("cpu")))[0].backward()
    before = math.sqrt(sum(float(p.grad.double().square().sum()) for p in named.values()))
    assert metrics["train/gradient_norm"] == pytest.approx(before, rel=1e-5)
    torch.nn.utils.clip_grad_norm_(named.values(), 0.1)
    for name, p in named.items():
        decay = 0.3 if p.ndim > 1 else 0.0
        make = {"sgd": functools.partial(torch.optim.SGD, momentum=0.9), "adamw": torch.optim.AdamW}[
            optimizer
        ]
        make([p], lr=1e-2, weight_decay=decay).step()
        torch.testing.assert_close(dict(training.named)[name], p, rtol=1e-5, atol=1e-7)
    checkpoint.save(tmp_path, 1, training.state(), {})
    other = pretraining(**knobs)
    other.restore(checkpoint.latest(tmp_path).tensors)
    assert other.step(1, pretrain_batch(1)) == training.step(1, pretrain_batch(1))


def test_finetuning_learns_a_batch_and_clips():
    training = finetuning(steps=40, lr=3e-3, clip=0.5)
    metrics = [m for _, m in training.run(lambda step: finetune_batch(0), log_every=1)]
    assert metrics[-1]["train/loss"] < metrics[0]["train/loss"] - 0.05
    assert metrics[0].keys() == {"train/loss", "train/lr", "train/gradient_norm"}
    assert finetuning(clip=0.0).step(0, finetune_batch(0)).keys() == {"train/loss", "train/lr"}


def test_metrics_are_fetched_only_when_asked_for():
    method = Method()
    training = loop.pretraining(method, resolve(Pretrain(preset="demo", steps=STEPS)))
    steps = list(training.run(pretrain_batch, log_every=4))
    assert [bool(s.metrics) for s in steps] == [False, False, False, True, False, True]
    assert method.asked == 2
    assert steps[3].metrics.keys() == {f"train/{k}" for k in ("loss", "lr", "dear", "norm", "tau")}
    assert steps[3].metrics["train/dear"] == 7.0
    assert all(isinstance(v, float) for v in steps[3].metrics.values())
    assert list(training.run(pretrain_batch)) == []  # it is over


def spoilt(step, make=pretrain_batch, value=np.nan):
    batch = make(step)
    pixels = batch.views[0] if make is pretrain_batch else batch.images
    pixels[...] = value if step == 2 else pixels
    return batch


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("kind", KINDS)
def test_a_loss_that_is_not_finite_is_reported_with_its_own_step_and_batch(kind, value):
    make, batch_at = KINDS[kind]
    training, seen = make(), []
    with pytest.raises(NonFiniteLoss, match="nan at step 3 of 6") as caught:
        seen.extend(
            s.step for s in training.run(functools.partial(spoilt, make=batch_at, value=value), log_every=5)
        )
    assert caught.value.step == 2
    assert np.array_equal(caught.value.rows, batch_at(2).rows)
    assert ", ".join(map(str, batch_at(2).rows)) in str(caught.value)
    assert seen == [1, 2, 3, 4]  # looked at with the fifth


def test_spoilt_weights_are_never_handed_out():
    training = pretraining()
    for step in range(3):
        training.step(step, spoilt(step), fetch=False)
    with pytest.raises(NonFiniteLoss, match="step 3"):
        training.state()


def test_a_strange_checkpoint_is_refused():
    training = finetuning()
    state = training.state()
    name = next(k for k in state if k.endswith("weight"))
    with pytest.raises(RuntimeError, match="Missing key"):
        training.restore({k: v for k, v in state.items() if k != name})
    with pytest.raises(ValueError, match="no module: modules.decoder"):
        training.restore(state | {"modules.decoder.weight": torch.ones(1)})
    with pytest.raises(KeyError, match="done"):
        training.restore({})


def test_networks_can_be_read_between_steps():
    training = finetuning()
    plain = [s.metrics for s in finetuning().run(finetune_batch, log_every=1)]
    watched = []
    for done in training.run(finetune_batch, log_every=1):
        watched.append(done.metrics)
        net = training.modules["unet"].eval()
        with torch.inference_mode():
            net(torch.zeros(1, 1, 32, 32))
        net.train()
    assert watched == plain


@pytest.mark.parametrize("kind", KINDS)
def test_batches_of_tensors_are_batches_of_arrays(kind):
    """What is made on the device is not copied, and trains as what is made beside it."""
    make, batch_at = KINDS[kind]

    def tensors(step):
        batch = batch_at(step)
        if kind == "pretrain":
            return batch._replace(views=tuple(map(torch.from_numpy, batch.views)))
        images, labels = map(torch.from_numpy, (batch.images, batch.labels))
        return batch._replace(images=images, labels=labels)

    assert [s.metrics for s in make().run(tensors, log_every=1)] == [
        s.metrics for s in make().run(batch_at, log_every=1)
    ]
    batch = tensors(0)
    sent = loop.on(batch._replace(progress=0.5), torch.device("cpu"))
    assert type(sent.progress) is float
    assert sent[0] is batch[0] or sent[0][0] is batch[0][0]


def test_networks_that_came_in_evaluation_mode_are_trained():
    net = unet().eval()
    loop.finetuning(net, resolve(Finetune(preset="demo", steps=1)))
    assert all(part.training for part in net.modules())


def test_encoders_run_channels_last():
    training = pretraining()
    seen = []
    training.modules["online"].layer1.register_forward_hook(
        lambda module, args, out: seen.append(out.is_contiguous(memory_format=torch.channels_last))
    )
    training.step(0, pretrain_batch(0))
    assert seen == [True]


def test_the_plan_of_the_learning_rate():
    knobs = {"preset": "paper-text", "steps": 6, "period": 3, "encoder": "scratch"}
    p = resolve(dataclasses.replace(Finetune(), **knobs))
    rates = [s.metrics["train/lr"] for s in loop.finetuning(unet(), p).run(finetune_batch, log_every=1)]
    assert rates[:3] == rates[3:]
    assert rates[0] == p.lr == 1e-4
