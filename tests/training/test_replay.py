"""A recorded step: the same numbers as one that is not, and what cannot be recorded is refused before it is."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional

from sslseg.config import switches
from sslseg.config.flags import resolve
from sslseg.config.names import ParamError
from sslseg.config.params import Finetune, Pretrain
from sslseg.data.views.batches import PretrainBatch
from sslseg.training import devices, loop, replay
from tests.training.test_loop import Method, finetune_batch, pretrain_batch, unet

PRETRAINING = resolve(Pretrain(encoder="scratch", steps=9, device="cpu"))
FINETUNING = resolve(Finetune(encoder="scratch", steps=9, device="cpu"))


class OnCpu(replay.Replayed):
    """Recorded without a card: a replay computes the pass again, into the tensors that recording left."""

    def _record(self, batch):
        self._batch, self._graph = (
            replay.each(batch, lambda part: part.clone() if isinstance(part, torch.Tensor) else part),
            self,
        )
        self._gradients = [torch.empty_like(p) for p in self._parameters]
        self._loss = torch.empty(())
        return self

    def replay(self):
        for parameter in self._parameters:
            parameter.grad = None
        loss, self._metrics = self._plain(self._batch)
        self._loss.copy_(loss)
        for held, parameter in zip(self._gradients, self._parameters, strict=True):
            held.copy_(parameter.grad)
            parameter.grad = held


def trained(p, replayed):
    """Metrics of nine steps, the state after them, and why nothing was recorded."""
    fine = isinstance(p, Finetune)
    training = loop.finetuning(unet(), p) if fine else loop.pretraining(Method(), p)
    kind = OnCpu if replayed else lambda plain, *_: plain
    training._gradients = kind(training._plain, [w for _, w in training.named], training.modules.values())
    batch = finetune_batch if fine else pretrain_batch
    return [training.step(n, batch(n)) for n in range(9)], training.state(), training._gradients


@pytest.mark.parametrize("p", [PRETRAINING, FINETUNING], ids=["pretraining", "fine-tuning"])
def test_a_replayed_training_is_the_plain_one(p, monkeypatch):
    """Dropout, batch norm, clipping and a moving average included; the pass that is looked at leaves nothing behind.

    torch's one_hot looks at its numbers on a CPU alone, so another takes its place.
    """
    monkeypatch.setattr(functional, "one_hot", lambda x, k: (x[..., None] == torch.arange(k)).long())
    steps, state, _ = trained(p, replayed=False)
    again, other, pass_ = trained(p, replayed=True)
    assert pass_.refused == ""
    assert pass_._graph is pass_
    assert again == steps
    assert list(other) == list(state)
    assert all(torch.equal(other[name], state[name]) for name in state)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # the tracer's own
def test_compiled_networks_are_looked_at_as_they_are_written_and_stay_compiled(monkeypatch):
    """Compiled code hides what it asks, and a mode around it would have it traced anew."""
    runs = []

    def backend(graph, _):
        return lambda *given: (runs.append(1), graph(*given))[1]

    kept = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda net, **_: kept(net, backend=backend, dynamic=False))
    monkeypatch.setattr(devices, "BACKEND", "eager")
    training = loop.pretraining(Method(), dataclasses.replace(PRETRAINING, compile="on"))
    weights = [w for _, w in training.named]
    training._gradients = OnCpu(training._plain, weights, training.modules.values())
    counts = []
    for n in range(replay.WARM + 3):
        runs.clear()
        training.step(n, pretrain_batch(n))
        counts.append(len(runs))
    assert training._gradients.refused == ""
    assert len(set(counts)) == 1
    assert counts[0] > 0


@pytest.mark.parametrize(
    ("semi", "why"), [("mean_teacher", "batch.progress"), ("unimatch", "_local_scalar_dense")]
)
def test_what_depends_on_more_than_tensors_is_refused(semi, why):
    p = dataclasses.replace(FINETUNING, semi=semi)
    training = loop.finetuning(unet(), p)
    pass_ = OnCpu(training._plain, [w for _, w in training.named], training.modules.values())
    batch = finetune_batch(0)
    views = (batch.images, batch.images) if semi == "mean_teacher" else (batch.images,) * 3
    for _ in range(replay.WARM + 2):
        pass_(loop.on(batch._replace(unlabelled=views), torch.device("cpu")))
    assert why in pass_.refused
    assert pass_._graph is None


@pytest.mark.parametrize(
    ("does", "why"),
    [
        (lambda x: x * float(x.sum()), "_local_scalar_dense"),
        (lambda x: x[x > 0], "aten.index"),
        (lambda x: x.index_put((x > 0,), torch.ones(2)), "aten.index_put"),
        (lambda x: x.clone().index_put_((x > 0,), torch.ones(2)), "aten.index_put_"),
        (lambda x: x.nonzero(), "nonzero"),
        (lambda x: x.masked_select(x > 0), "masked_select"),
        (lambda x: x[torch.arange(2)], ""),
        (lambda x: x * torch.tensor([1.0, 2.0]), "lift_fresh"),
        (lambda x: (x.to("meta"), x)[1], "_to_copy"),
        (lambda x: torch.stack([x, x]), ""),
    ],
    ids=[
        "number",
        "how many",
        "put",
        "put in place",
        "where",
        "selected",
        "which",
        "numbers brought",
        "copied away",
        "nothing",
    ],
)
def test_what_a_pass_asks_of_the_device_is_seen(does, why):
    with replay.Witness() as witness:
        does(torch.ones(2))
    assert why in ", ".join(witness.seen)
    assert bool(witness.seen) == bool(why)


def test_a_watched_batch_notes_what_is_read_of_it_beside_tensors():
    batch, seen = PretrainBatch((torch.ones(1),), [3], progress=0.5), []
    noted = replay.watched(batch, seen)
    assert noted.views is batch.views
    assert not seen
    assert (noted.progress, noted.rows) == (0.5, [3])
    assert seen == ["batch.progress", "batch.rows"]


def test_the_switch(monkeypatch):
    assert switches.on(replay.SWITCH)
    monkeypatch.setenv(replay.SWITCH, "off")
    assert not switches.on(replay.SWITCH)
    monkeypatch.setenv(replay.SWITCH, "no")
    with pytest.raises(ParamError, match="wanted on or off, got 'no'"):
        switches.on(replay.SWITCH)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("p", [PRETRAINING, FINETUNING], ids=["pretraining", "fine-tuning"])
def test_on_a_card(p, monkeypatch):
    def run(switch):
        monkeypatch.setenv(replay.SWITCH, switch)
        fine = isinstance(p, Finetune)
        made = (
            loop.finetuning(unet(), p, device="cuda")
            if fine
            else loop.pretraining(Method(), p, device="cuda")
        )
        batch = finetune_batch if fine else pretrain_batch
        return [made.step(n, batch(n)) for n in range(9)], made.state()

    (steps, state), (again, other) = run("off"), run("on")
    assert again == steps
    assert all(torch.equal(other[name], state[name]) for name in state)


def test_a_network_without_dropout_draws_nothing_more_or_less():
    """Generators are after the pass that is looked at where they were before."""
    net = nn.Linear(2, 1)

    def plain(batch):
        loss = nn.functional.dropout(net(batch.views[0]), 0.5).sum()
        loss.backward()
        return loss.detach(), {}

    pass_ = OnCpu(plain, list(net.parameters()), [net])
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert pass_._why_not(PretrainBatch((torch.ones(3, 2),), [0])) == ""
    assert torch.equal(torch.get_rng_state(), before)
    assert net.weight.grad is None
