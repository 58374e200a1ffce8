"""The first line of a stage: the short truth, with the minutes of runs like it."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from sslseg.config import flags, names, params
from sslseg.stages.forecast import opening

FINETUNE = flags.resolve(params.Finetune(encoder="scratch", dataset="acdc", budget=30, preset="cpu"))


@pytest.fixture
def earlier(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """Rows of the store."""
    rows: list[dict] = []
    monkeypatch.setattr(opening.frames, "runs", lambda uri: pd.DataFrame(rows))
    return rows


def test_a_fine_tuning_says_what_it_does_and_how_long_runs_like_it_took(earlier: list[dict]) -> None:
    said = opening.line(names.FINETUNE, None, FINETUNE, "cpu", None)
    assert (
        said
        == "finetune acdc: from scratch, 30 slices, 200 steps of 8, on cpu, no earlier run tells how long"
    )
    one = {"stage": "finetune", "method": "", "device": "cpu", "run_id": "a", "cfg.preset": "cpu", "cfg.steps": 100,
           "cfg.architecture": FINETUNE.architecture, "cfg.batch_size": 8, names.SECONDS: 90.0}  # fmt: skip
    earlier += [one, one | {"device": "cuda: H200", names.SECONDS: 1.0}]
    said = opening.line(names.FINETUNE, None, FINETUNE, "cpu", None)
    assert said.endswith("on cpu, about 3 minutes by 1 earlier run")  # twice the steps of the 90 seconds
    other = dataclasses.replace(FINETUNE, architecture="resnet50")
    assert opening.line(names.FINETUNE, None, other, "cpu", None).endswith("no earlier run tells how long")


def test_a_sweep_counts_its_grid() -> None:
    p = params.Sweep(dataset="acdc", pipelines=("scratch", "supervised"), budgets=(3, 30), seeds=(0,))
    assert (
        opening.line(names.SWEEP, None, p, "cpu", None) == "sweep acdc: 2 pipelines, 2 sizes, 1 seed, on cpu"
    )
    three = opening.line(names.SWEEP, None, dataclasses.replace(p, seeds=(3,)), "cpu", None)
    assert "1 seed (3; three are seeds=0,1,2), on cpu" in three  # who writes 3 may want so many


def test_a_tuning_names_each_encoder_that_it_searches_from():
    p = flags.resolve(params.Tune(dataset="acdc", encoder=("scratch", "byol@target"), trials=5))
    said = opening.line("tune", None, p, "cpu", None)
    assert said == "tune acdc: from scratch,byol@target, 5 trials, on cpu"
