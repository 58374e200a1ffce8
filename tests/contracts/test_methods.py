"""What every file in src/sslseg/methods promises; a new one is tested without a change here."""

import copy
import dataclasses
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sslseg.config import flags, params, plugins
from sslseg.models import audit, canary, encoder, unet

METHODS = plugins.names("methods")
SOURCE = Path(__file__).parents[2] / "src"
ARCHITECTURE = "test_efficientnet"  # has head tensors that a U-Net drops
pytestmark = pytest.mark.parametrize("name", METHODS)


def create(name, seed=0, upstream=0):
    module = plugins.load("methods", name)
    p = flags.resolve(module.Params(preset="demo"))
    return module.Method(encoder.build(ARCHITECTURE, 1, upstream), p, seed=seed)


def views(method, batch=8, size=32):
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(batch, 1, size, size, generator=generator)
    return tuple(base + 0.3 * torch.randn(base.shape, generator=generator) for _ in range(method.VIEWS))


def train(method, steps):
    optimiser = torch.optim.Adam([p for _, p in method.trainable()], lr=1e-3)
    found = []
    for step in range(steps):
        loss, _ = method.loss(views(method))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        method.after_step(step / steps)
        found.append(loss.item())
    return found


def tensors(method):
    return {
        f"{part}.{k}": v.clone() for part, net in method.modules.items() for k, v in net.state_dict().items()
    }


def test_parameters_are_read_without_torch(name):
    code = (
        "import sys; sys.modules.update(torch=None, numpy=None, mlflow=None, timm=None)\n"
        "from sslseg.config import flags, params, plugins\n"
        f"cls = plugins.load('methods', {name!r}).Params\n"
        "assert issubclass(cls, params.Pretrain) and flags.knobs(cls)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(SOURCE)},
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_every_preset_of_pretraining_resolves_and_own_knobs_say_their_source(name):
    cls = plugins.load("methods", name).Params
    for preset in flags.presets_of(params.Pretrain):
        if preset in flags.knobs(cls)["preset"][1].choices:
            flags.resolve(cls(preset=preset))
    own = flags.knobs(cls).keys() - flags.knobs(params.Pretrain).keys()
    assert all(flags.knobs(cls)[knob][1].source and flags.knobs(cls)[knob][1].help for knob in own)
    assert dataclasses.is_dataclass(cls)
    assert cls.__dataclass_params__.frozen


def test_loss_falls_and_metrics_are_scalars(name):
    method = create(name)
    found = train(method, 12)
    assert sum(found[-3:]) < sum(found[:3])
    metrics = method.loss(views(method))[1] | method.after_step(1.0)
    values = {
        key: value() if callable(value) else value for key, value in metrics.items()
    }  # as the loop does
    assert all(math.isfinite(float(value)) and "/" not in key for key, value in values.items())
    assert {"representation_std", "effective_rank"} <= metrics.keys()


def test_only_what_is_trainable_gets_a_gradient(name):
    method = create(name)
    method.loss(views(method))[0].backward()
    trained = {id(p): key for key, p in method.trainable()}
    everything = [p for net in method.modules.values() for p in net.parameters()]
    assert len(trained) == len({key for key, _ in method.trainable()})
    assert trained.keys() <= {id(p) for p in everything}
    for p in everything:
        assert p.requires_grad == (id(p) in trained)
        assert (p.grad is not None) == (id(p) in trained), trained.get(id(p))
    assert all(torch.isfinite(p.grad).all() for _, p in method.trainable())


def test_exports_are_the_upstream_before_the_first_step_and_move_in_training(name):
    method, upstream = create(name, upstream=7), encoder.build(ARCHITECTURE, 1, 7)
    assert method.DEFAULT_ROLE in method.exports()
    for role, exported in method.exports().items():
        audit.check_equal(upstream.state_dict(), exported.state_dict(), role)
        canary.same_features(upstream, exported, 1, context=role)
    train(method, 2)
    for role, exported in method.exports().items():
        assert not torch.equal(next(upstream.parameters()), next(exported.parameters())), role


def test_modules_beside_the_encoder_are_fresh_and_kaiming_uniform(name):
    method = create(name, seed=3)
    exported = {id(net) for net in method.exports().values()}
    heads = {part: net for part, net in method.modules.items() if id(net) not in exported}
    other = create(name, seed=4)
    for part, net in heads.items():
        for key, layer in net.named_modules():
            if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
                bound = math.sqrt(6 / layer.weight[0].numel())
                assert 0.98 * bound < layer.weight.abs().max() <= bound
                assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
                assert not torch.equal(layer.weight, other.modules[part].get_submodule(key).weight)
            if isinstance(layer, torch.nn.BatchNorm1d):
                assert not layer.running_mean.any()
                assert torch.equal(layer.weight, torch.ones_like(layer.weight))


def test_equal_seeds_give_equal_weights_whatever_was_drawn_before(name):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = create(name, seed=5)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    second = create(name, seed=5)
    train(first, 2)
    train(second, 2)
    audit.check_equal(tensors(first), tensors(second), "equal seeds")


def test_modules_hold_all_of_the_state(name):
    method = create(name)
    train(method, 2)
    resumed = create(name, seed=9, upstream=9)
    for part, net in resumed.modules.items():
        net.load_state_dict(copy.deepcopy(method.modules[part].state_dict()))
    assert torch.equal(method.loss(views(method))[0], resumed.loss(views(resumed))[0])


def test_exported_encoders_load_into_a_unet(name, tmp_path):
    method = create(name)
    train(method, 1)
    for role, exported in method.exports().items():
        encoder.save(exported, tmp_path / role, architecture=ARCHITECTURE, channels=1)
        state, config = encoder.read_state(tmp_path / role)
        net, carried = unet.build(state, config, classes=4, decoder_channels=(8,) * 5, seed=0)
        unet.check_canary(exported.state_dict(), config, net, carried)
