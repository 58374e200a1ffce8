"""Stages on a tiny cohort: one place for their settings, and for reading back what they left."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from mlflow import MlflowClient

from sslseg import cells, flags, launch, store
from sslseg.names import FINETUNE, PREPARE, PRETRAIN

ROOT = Path(__file__).parents[1]
ARCHITECTURE = "test_resnet"
EVERYWHERE = {"dataset": "acdc", "spacing": "0", "threads": "1"}
NETWORK = {"encoder": "scratch", "architecture": ARCHITECTURE, "image_size": "32", "batch_size": "2"}
TEXTS = {
    PREPARE: EVERYWHERE,
    FINETUNE: EVERYWHERE | NETWORK
    | {"decoder": "8,8,8,8,8", "steps": "4", "eval_every": "2", "val_slices": "4", "budget": "3"},
    # four slices, so that an epoch has two steps
    PRETRAIN: EVERYWHERE | NETWORK
    | {"fraction": "0.17", "steps": "4", "projector_hidden": "16", "projection_size": "8",
       "predictor_hidden": "16"},
}  # fmt: skip


@dataclass(frozen=True)
class Tiny:
    """Two cohorts of other patients, and a cache to prepare them in.

    Six patients of three slices, 64 x 64: test is patient 1, val patient 2, train the others.
    """

    root: Path
    other: Path
    cache: Path

    def texts(self, stage: str, **changed: object) -> dict[str, str]:
        """A stage's settings as texts; architecture is left to the upstream where one is given."""
        texts = TEXTS[stage] | {"data_root": str(self.root), "cache": str(self.cache)}
        texts |= {name: flags.to_text(value) for name, value in changed.items()}
        if texts.get("encoder", "scratch") != "scratch" and "architecture" not in changed:
            texts.pop("architecture", None)
        return texts

    def params(self, stage: str, **changed: object):
        """Resolved parameters of a stage."""
        cls = cells.parameters_of(stage, "byol" if stage == PRETRAIN else "")
        return flags.resolve(flags.from_mapping(cls, self.texts(stage, **changed)))

    def run(self, stage: str, **changed: object) -> str:
        """Run a stage in this process; returns its run ID."""
        method = "byol" if stage == PRETRAIN else None
        return launch.execute(stage, self.params(stage, **changed), method=method)

    def argv(self, stage: str, **changed: object) -> list[str]:
        """The command that `mlflow run` would start."""
        script = [f"entrypoints/{stage}.py", *(["byol"] if stage == PRETRAIN else [])]
        return [*script, *(f"--{name}={text}" for name, text in self.texts(stage, **changed).items())]


def client() -> MlflowClient:
    return MlflowClient(store.tracking_uri())


def get(run_id: str):
    """The MLflow run."""
    return client().get_run(run_id)


def all_runs(**tags: str) -> list[str]:
    """IDs of all runs there are."""
    return [run.info.run_id for run in client().search_runs(["0"])]


def numbers(run_id: str) -> dict[tuple[str, int], float]:
    """(key, step) -> value of every metric but those of time; a value logged twice must be the same."""
    found: dict[tuple[str, int], float] = {}
    for key in get(run_id).data.metrics:
        if key.startswith(("cost/", "system/")):
            continue
        for point in client().get_metric_history(run_id, key):
            before = found.setdefault((key, point.step), point.value)
            assert before == point.value or before != before, (key, point.step)
    return found


def models(run_id: str) -> list:
    """Logged models of a run."""
    return client().search_logged_models(["0"], f"source_run_id = '{run_id}'")


def equal_states(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def python(*argv: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess:
    """Run Python in a cold process, in a clone at `cwd`."""
    env = os.environ | {"PYTHONPATH": f"{cwd}/src:{cwd}", "OMP_NUM_THREADS": "1"} | environment
    env.pop("MLFLOW_RUN_ID", None)
    return subprocess.run(
        [sys.executable, *argv], cwd=cwd, env=env, capture_output=True, text=True, timeout=300
    )
