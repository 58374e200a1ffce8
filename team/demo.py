"""The demo: a small sweep with several workers, once into a file and once through the server."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
NETWORK = "architecture=test_resnet;image_size=32;batch_size=2;steps=4;spacing=0"
FINETUNE = f"{NETWORK};decoder=8,8,8,8,8;eval_every=2;val_slices=4"
PRETRAIN = f"{NETWORK};fraction=0.17;projector_hidden=16;projection_size=8;predictor_hidden=16"
PIPELINES, BUDGETS, SEEDS, WORKERS = "scratch,byol@target", "3,6", "0,1", 2
OF_THE_RUN = ("run_id", "run_ids", "upstream_run_id")  # columns that name runs


def phantom(folder: Path) -> Path:
    """Six simulated patients of three small slices, in ACDC's layout."""
    from sslseg.data.phantom import tree

    return tree.write(folder, patients=6, seed=1, size=64, slices=3)


def sweep(data: Path, cache: Path, environment: Mapping[str, str]) -> None:
    """Two pipelines, two budgets, two seeds, on two workers. Its numbers mean nothing but themselves.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    knobs = {
        "dataset": "acdc", "data_root": data, "cache": cache, "pipelines": PIPELINES, "budgets": BUDGETS,
        "seeds": SEEDS, "finetune": FINETUNE, "pretrain": PRETRAIN, "threads": 1, "workers": WORKERS,
    }  # fmt: skip
    _python(["entrypoints/sweep.py", *(f"--{name}={value}" for name, value in knobs.items())], environment)


def figures(folder: Path, environment: Mapping[str, str], *only: str) -> Path:
    """`python -m analysis` on that store."""
    asked = [f"--only={','.join(only)}"] if only else []
    _python(["-m", "analysis", f"--out={folder}", "--experiment=Default", *asked], environment)
    return folder


def _python(words: list[str], environment: Mapping[str, str]) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    own |= {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "MLFLOW_DISABLE_TELEMETRY": "true"} | dict(environment)
    done = subprocess.run([sys.executable, *words], cwd=ROOT, env=own, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words[:2])} ended with {done.returncode}:\n{done.stderr[-4000:]}")


def differences(one: Path, other: Path) -> list[str]:
    """Tables of two analyses that are not the same, the IDs of runs left out; [] = all are."""
    names = sorted({p.name for folder in (one, other) for p in folder.glob("*.csv")})
    return [name for name in names if _rows(one / name) != _rows(other / name)] + ([] if names else ["none"])


def _rows(path: Path) -> list[dict[str, str]] | None:
    if not path.exists():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        return [{k: v for k, v in row.items() if k not in OF_THE_RUN} for row in csv.DictReader(file)]
