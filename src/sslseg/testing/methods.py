"""What every method promises. The fixture `name` says which one is asked; see `sslseg.testing`."""

import copy
import dataclasses
import hashlib
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from sslseg.config import flags, names, params, plugins
from sslseg.models import audit, canary, encoder, segmenter, unet
from sslseg.testing.slices import TinySlices
from sslseg.testing.small import (
    ARCHITECTURE,
    VOLUME,
    VOLUMES,
    batch,
    create,
    loss,
    reads,
    seen,
    settings,
    slices,
    tensors,
    train,
)  # fmt: skip
from sslseg.training import contract, vitals

WITHOUT = "import sys; sys.modules.update(torch=None, numpy=None, mlflow=None, timm=None)\n"


class TwoDirections(torch.nn.Module):
    """An encoder whose features [N, F] keep two directions of those of `encoder`: the dimensions have collapsed."""

    def __init__(self, encoder: torch.nn.Module):
        super().__init__()
        self.encoder = encoder

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.encoder(images)
        return torch.nn.functional.pad(features[:, :2], (0, features.shape[1] - 2))


def _prints(tensors: Any) -> set[bytes]:
    return {hashlib.sha256(t.detach().contiguous().numpy().tobytes()).digest() for t in tensors}


def test_parameters_are_read_without_torch(name: str) -> None:
    code = (
        f"{WITHOUT}from sslseg.config import flags, params, plugins\n"
        f"cls = plugins.load('methods', {name!r}).Params\n"
        "assert issubclass(cls, params.Pretrain) and flags.knobs(cls)\n"
    )
    where = os.pathsep.join([str(plugins.PACKAGE.parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": where}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_every_preset_resolves_and_own_knobs_say_their_source(name: str) -> None:
    cls = plugins.load("methods", name).Params
    for preset in flags.knobs(cls)["preset"][1].choices or ():
        flags.resolve(cls(preset=preset))
    common = flags.knobs(params.Pretrain)
    for knob, (field, meta, _) in flags.knobs(cls).items():
        changed = knob not in common or (field.default, meta.presets) != (
            common[knob][0].default,
            common[knob][1].presets,
        )
        assert not changed or (meta.source and meta.help), knob
    assert dataclasses.is_dataclass(cls)
    assert getattr(cls, "__dataclass_params__").frozen  # noqa: B009 the type has no such attribute, its class has


def test_loss_falls_and_metrics_are_scalars(name: str) -> None:
    method = create(name)
    found = train(method, name, 12)
    assert sum(found[-3:]) < sum(found[:3])
    assert not vitals.collapsed(
        vitals.of_encoder(contract.exports(method)[contract.role(method)], seen(name))
    )
    metrics = {**loss(method, batch(name))[1], **contract.after_step(method, 1.0)}
    values = {k: value() if callable(value) else value for k, value in metrics.items()}  # as the loop does
    assert all(math.isfinite(float(value)) and "/" not in key for key, value in values.items())
    assert {"representation_std", "effective_rank"} <= metrics.keys()


def test_only_what_is_trainable_gets_a_gradient(name: str) -> None:
    method = create(name)
    loss(method, batch(name))[0].backward()
    trained = {id(p): key for key, p in contract.trainable(method)}
    everything = [p for net in method.modules.values() for p in net.parameters()]
    assert len(trained) == len({key for key, _ in contract.trainable(method)})
    assert trained.keys() <= {id(p) for p in everything}
    for p in everything:
        assert p.requires_grad == (id(p) in trained)
        assert (p.grad is not None) == (id(p) in trained), trained.get(id(p))
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for _, p in contract.trainable(method))


def test_exports_are_the_upstream_before_the_first_step_and_move_in_training(name: str) -> None:
    method = create(name, upstream=7)
    channels = reads(name)
    upstream = encoder.build(ARCHITECTURE, channels, 7)
    assert contract.role(method) == next(iter(contract.exports(method)))
    assert set(contract.exports(method)) <= {names.ROLE_TARGET, names.ROLE_ONLINE}
    for role, exported in contract.exports(method).items():
        audit.check_equal(upstream.state_dict(), exported.state_dict(), role)
        canary.same_features(upstream, exported, channels, context=role)
    train(method, name, 2)
    for role, exported in contract.exports(method).items():
        assert not torch.equal(next(upstream.parameters()), next(exported.parameters())), role


def test_modules_beside_the_encoder_are_fresh_and_kaiming_uniform(name: str) -> None:
    method, other = create(name, seed=3), create(name, seed=4)
    handed = _prints(next(iter(contract.exports(method).values())).state_dict().values())
    for part, net in method.modules.items():
        for key, layer in net.named_modules():
            if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d) and not _prints([layer.weight]) <= handed:
                bound = math.sqrt(6 / layer.weight[0].numel())
                # of few weights the largest may be small, and the spread be told less well
                n = layer.weight.numel()
                assert min(0.98, 1e-6 ** (1 / n)) * bound < layer.weight.abs().max() <= bound
                sure = max(0.02, 5 * math.sqrt(0.2 / n))  # five standard errors of a uniform sample's s.d.
                assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=sure)
                assert not torch.equal(layer.weight, other.modules[part].get_submodule(key).weight)
                assert layer.bias is None or not layer.bias.any()
            if isinstance(layer, torch.nn.BatchNorm1d):
                assert layer.running_mean is None or not layer.running_mean.any()
                assert layer.weight is None or torch.equal(layer.weight, torch.ones_like(layer.weight))


def test_equal_seeds_give_equal_weights_whatever_was_drawn_before(name: str) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = create(name, seed=5)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    second = create(name, seed=5)
    train(first, name, 2)
    train(second, name, 2)
    audit.check_equal(tensors(first), tensors(second), "equal seeds")


def test_slices_that_it_is_not_given_change_nothing(name: str) -> None:
    """Those of a test patient are other ones: the weights after two steps are the same to the bit."""
    wanted = plugins.load("methods", name).Method.wanted(settings(name))
    store, trained = slices(wanted.channels or 1), list[dict[str, torch.Tensor]]()
    kept = [row for row in range(len(VOLUME)) if VOLUME[row] < VOLUMES - 2]
    images = [
        store.codes(row) if row in kept else store.codes(row)[:, ::-1] * 3 + 7 for row in range(len(VOLUME))
    ]
    for one in (store, TinySlices(images, volume=VOLUME)):
        method = create(name)
        train(method, name, 2, store=one, rows=kept)
        trained.append(tensors(method))
    audit.check_equal(trained[0], trained[1], "another test patient")


def test_modules_hold_all_of_the_state(name: str) -> None:
    method = create(name)
    train(method, name, 2)
    resumed = create(name, seed=9, upstream=9)
    for part, net in resumed.modules.items():
        net.load_state_dict(copy.deepcopy(method.modules[part].state_dict()))
    assert torch.equal(loss(method, batch(name))[0], loss(resumed, batch(name))[0])


def test_exported_encoders_load_into_a_unet(name: str, tmp_path: Path) -> None:
    method = create(name)
    channels = reads(name)
    train(method, name, 1)
    for role, exported in contract.exports(method).items():
        encoder.save(exported, tmp_path / role, architecture=ARCHITECTURE, channels=channels)
        state, config = encoder.read_state(tmp_path / role)
        net, carried = unet.build(state, config, classes=4, decoder_channels=(8,) * 5, seed=0)
        unet.check_canary(exported.state_dict(), config, net, carried)


def test_a_collapsed_encoder_is_noticed(name: str) -> None:
    """Features of two directions alone, however far apart; and an encoder of zeros, by the training's own signs, too."""
    method = create(name)
    exported = contract.exports(method)
    found = vitals.of_encoder(TwoDirections(exported[contract.role(method)]), seen(name))
    assert found["spread"] > vitals.LEAST_SPREAD
    assert found["effective_rank"] > 1.8
    assert vitals.collapsed(found)
    with torch.no_grad():
        for parameter in [p for net in exported.values() for p in net.parameters()]:
            parameter.zero_()
    encoder_of = exported[contract.role(method)]
    learning = {id(p) for net in method.modules.values() for p in net.parameters()}
    if learning >= set(map(id, encoder_of.parameters())):  # a copy says nothing of the network that trains
        assert float(loss(method, batch(name))[1]["representation_std"]) < 1e-3
    assert vitals.collapsed(vitals.of_encoder(encoder_of, seen(name)))


def test_a_decoder_that_is_handed_on_fits_the_unet_of_a_fine_tuning(name: str, tmp_path: Path) -> None:
    """Encoder and decoder of the method, put into a U-Net, give what the method's own network gives."""
    method, p = create(name), settings(name)
    if (decoder := contract.decoder(method)) is None:
        return
    channels = reads(name)
    train(method, name, 1)
    segmenter.write_decoder(tmp_path, decoder)
    state = segmenter.read_decoder(tmp_path / names.DECODER_FILE, ARCHITECTURE, channels, p.decoder)
    config = encoder.config_of(ARCHITECTURE, channels)
    exported = contract.exports(method)[contract.role(method)]
    net, _ = unet.build(exported.state_dict(), config, classes=2, decoder_channels=p.decoder, seed=0)
    net.decoder.load_state_dict(state, strict=True)
    audit.check_equal(decoder.state_dict(), net.decoder.state_dict(), "decoder")


__all__ = [name for name in dir() if name.startswith("test_")]
