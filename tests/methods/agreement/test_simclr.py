"""SimCLR's loss by the definition of its paper."""

import copy

import pytest
import torch

from sslseg.config.flags import resolve
from sslseg.methods.agreement import simclr
from sslseg.models import encoder
from sslseg.training import contract
from tests.fixtures.view_batches import pair


def method(**knobs):
    p = resolve(simclr.Params(preset="demo", projector_hidden=32, projection_size=16, **knobs))
    return simclr.Method(encoder.build("test_resnet", 1, 0), p, seed=0)


def views(batch=5):
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(batch, 1, 32, 32, generator=generator) for _ in range(2))


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_loss_is_the_papers_definition(temperature):
    simclrs = method(temperature=temperature)
    nets = copy.deepcopy(simclrs.modules)
    z = torch.cat([nets["projector"](nets["online"](view)) for view in views()]).double()
    z = z / z.norm(dim=1, keepdim=True)
    total = 0.0
    for i in range(10):  # eq. 1, term by term
        j = (i + 5) % 10
        rest = sum(torch.exp(z[i] @ z[k] / temperature) for k in range(10) if k != i)
        total -= torch.log(torch.exp(z[i] @ z[j] / temperature) / rest)
    assert simclrs.loss(pair(*views()))[0].item() == pytest.approx((total / 10).item(), rel=1e-4)


def test_loss_is_symmetric_in_the_views():
    one, other = views()
    assert method().loss(pair(one, other))[0].item() == pytest.approx(
        method().loss(pair(other, one))[0].item(), rel=1e-5
    )


def test_pairs_that_agree_cost_less_than_pairs_that_do_not():
    one, _ = views()
    assert method().loss(pair(one, one))[0] < method().loss(pair(one, one.roll(1, 0)))[0]


def test_every_parameter_is_trained_and_after_step_has_nothing_to_do():
    simclrs = method()
    trained = dict(contract.trainable(simclrs))
    assert len(trained) == sum(1 for net in simclrs.modules.values() for _ in net.parameters())
    assert contract.after_step(simclrs, 0.5) == {}
