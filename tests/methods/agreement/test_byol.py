"""BYOL's loss by the definition of its paper, and a target that only the average moves."""

import copy

import pytest
import torch

from sslseg.config.flags import resolve
from sslseg.data import streams
from sslseg.methods.agreement import byol
from sslseg.models import encoder, heads
from sslseg.training import contract
from tests.fixtures.view_batches import pair

SMALL = {"projector_hidden": 32, "projection_size": 16, "predictor_hidden": 24}


def method(seed=0, **knobs):
    return byol.Method(
        encoder.build("test_resnet", 1, 0), resolve(byol.Params(preset="demo", **SMALL | knobs)), seed=seed
    )


def views(batch=6):
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(batch, 1, 32, 32, generator=generator) for _ in range(2))


def definition(nets, one, other):
    """BYOL eq. 2, one direction: the squared distance of both outputs on the unit sphere."""
    prediction = nets["predictor"](nets["projector"](nets["online"](one)))
    target = nets["target_projector"](nets["target"](other))
    unit = [v / v.norm(dim=1, keepdim=True) for v in (prediction, target)]
    return ((unit[0] - unit[1]) ** 2).sum(dim=1).mean()


def test_loss_is_the_papers_definition():
    byols = method()
    one, other = views()
    nets = {name: copy.deepcopy(net) for name, net in byols.modules.items()}
    nets["target_projector"][0].weight.data.mul_(0.7)  # target and online differ
    byols.modules["target_projector"][0].weight.data.mul_(0.7)
    expected = definition(nets, one, other) + definition(nets, other, one)
    assert byols.loss(pair(one, other))[0].item() == pytest.approx(expected.item(), abs=1e-6)


def test_loss_is_symmetric_in_the_views_and_bounded():
    one, other = views()
    assert method().loss(pair(one, other))[0].item() == pytest.approx(
        method().loss(pair(other, one))[0].item(), abs=1e-6
    )
    assert 0 <= method().loss(pair(one, other))[0].item() <= 8


def test_views_go_through_one_by_one():
    byols = method()
    byols.loss(pair(*views()))
    for name in ("online", "target"):  # two batches seen, not one of double size
        assert byols.modules[name].bn1.num_batches_tracked.item() == 2


def test_target_starts_as_a_copy_buffers_included():
    start = encoder.build("test_resnet", 1, 0)
    start.bn1.running_mean.fill_(3.0)  # an upstream has statistics of its own, flaw F8
    nets = byol.Method(start, resolve(byol.Params(preset="demo", **SMALL)), seed=0).modules
    for target, online in (("target", "online"), ("target_projector", "projector")):
        assert nets[target] is not nets[online]
        pairs = zip(nets[target].state_dict().items(), nets[online].state_dict().values(), strict=True)
        assert all(torch.equal(mine, theirs) for (_, mine), theirs in pairs)


def test_average_moves_the_target_and_the_optimiser_does_not():
    byols = method(tau=0.9)
    before = {name: p.detach().clone() for name, p in byols.modules["target"].named_parameters()}
    optimiser = torch.optim.SGD([p for _, p in contract.trainable(byols)], lr=0.1)
    byols.loss(pair(*views()))[0].backward()
    optimiser.step()
    assert all(torch.equal(before[n], p) for n, p in byols.modules["target"].named_parameters())
    metrics = byols.after_step(0.0)
    online = dict(byols.modules["online"].named_parameters())
    for name, p in byols.modules["target"].named_parameters():
        torch.testing.assert_close(p, 0.9 * before[name] + 0.1 * online[name])
    assert metrics == {"tau": pytest.approx(0.9)}


def test_tau_ends_at_one_and_the_target_stands_still():
    byols = method()
    byols.modules["online"].conv1[0].weight.data.add_(1.0)
    before = byols.modules["target"].conv1[0].weight.clone()
    # BYOL 3.3: 1 - (1 - tau) (cos(pi k / K) + 1) / 2
    assert byols.after_step(1.0) == {"tau": pytest.approx(1.0)}
    assert torch.equal(before, byols.modules["target"].conv1[0].weight)
    assert byols.after_step(0.5)["tau"] == pytest.approx(0.995)


def test_each_head_is_drawn_from_a_stream_of_its_own():
    nets = method(seed=3).modules
    for step, (name, size) in enumerate((("projector", nets["online"].num_features), ("predictor", 16)), 1):
        draw = streams.torch_generator(3, "initialisation", step)
        first = heads.linear(size, nets[name][0].out_features, draw)
        assert torch.equal(nets[name][0].weight, first.weight)


def test_paper_preset_has_the_originals_heads():
    p = resolve(byol.Params(preset="paper"))
    assert (p.projector_hidden, p.projection_size, p.predictor_hidden, p.tau) == (4096, 256, 8192, 0.99)
