"""The search space: whole, inside the knobs' own bounds, and changed by a text."""

from __future__ import annotations

import optuna
import pytest

from sslseg.config import flags, params, plugins
from sslseg.config.names import FINETUNE, PRETRAIN, ParamError
from sslseg.plans import searchspace
from sslseg.plans.searchspace import Range

BYOL = plugins.load("methods", "byol").Params
CLASSES = {FINETUNE: params.Finetune, PRETRAIN: BYOL}


@pytest.mark.parametrize("stage", [FINETUNE, PRETRAIN])
def test_the_space_lies_inside_the_knobs_bounds_and_around_the_cpu_preset(stage: str):
    found = searchspace.ranges(stage, CLASSES[stage])
    assert found == searchspace.SPACES[stage]
    default = flags.resolve(CLASSES[stage]())
    assert all(wanted.holds(getattr(default, name)) for name, wanted in found.items())


@pytest.mark.parametrize("stage", [FINETUNE, PRETRAIN])
def test_each_suggestion_is_a_valid_parameter(stage: str):
    found = searchspace.ranges(stage, CLASSES[stage])
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        texts = searchspace.suggest(study.ask(), found)
        p = flags.resolve(flags.from_mapping(CLASSES[stage], texts))
        assert all(wanted.holds(getattr(p, name)) for name, wanted in found.items())


def test_a_text_replaces_adds_and_takes_out():
    text = "lr=float:0.001:0.002:log; batch_size = int:2:8;crop_scale=choice:0.1,1.0|0.5,1.0;jitter=fixed"
    found = searchspace.ranges(FINETUNE, params.Finetune, text)
    assert found["lr"] == Range("float", 0.001, 0.002, log=True)
    assert found["batch_size"] == Range("int", 2, 8)
    assert [found["batch_size"].holds(value) for value in (1, 2, 8, 9)] == [False, True, True, False]
    assert found["crop_scale"].choices == ("0.1,1.0", "0.5,1.0")
    assert "jitter" not in found
    assert found["clip"] == searchspace.SPACES[FINETUNE]["clip"]


def test_a_method_s_own_knob_can_be_searched():
    assert "tau" in searchspace.ranges(PRETRAIN, BYOL, "tau=float:0.9:0.999")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr", "wanted name=float"),
        ("lr=float:1", "wanted name=float"),
        ("lr=float:2:1", "wanted name=float"),
        ("lr=float:1:1", "wanted name=float"),
        ("lr=float:0:1:log", "above 0"),
        ("lr=float:0.1:1:lag", "wanted name=float"),
        ("lr=float:-1:1", "lr: must be at least 0"),
        ("batch_size=float:1.5:4", "batch_size: wanted a whole number"),
        ("schedule=choice:cosine|step", "schedule: must be one of"),
        ("crop_scale=float:0.1:0.5", "does not hold a number"),
        ("steps=int:1:9", "steps is not to be searched; can be: "),  # a longer trial always looks better
        ("absent=choice:one", "not to be searched"),
        ("threads=int:1:2", "not to be searched"),
        ("rl=float:0:1", "not to be searched"),
        (";".join(f"{name}=fixed" for name in searchspace.SPACES[FINETUNE]), "nothing is left"),
    ],
)
def test_what_is_no_space_is_refused(text: str, message: str):
    with pytest.raises(ParamError, match=message):
        searchspace.ranges(FINETUNE, params.Finetune, text)
