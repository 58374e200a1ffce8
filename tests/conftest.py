"""Fixtures for everything that touches a tracking store. Making one takes seconds: made once, then copied."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Before numpy and torch are imported, which read it once: the suite has a worker a core, and threads that wait for
# each other take the time of the other worker.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import numpy as np
import pytest
from filelock import FileLock
from safetensors.numpy import save_file

HERE = Path(__file__).parent
hypothesis.settings.register_profile(
    "suite", deadline=None
)  # how long an example takes is no matter of tests
hypothesis.settings.load_profile("suite")


# ---------------------------------------------------------------- who runs what, and when
# folders of long files
FIRST = ("reliability", "executors", "stages", "tracking", "project", "models", "data", "commands")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, so that in the end no worker is left alone with one."""
    items.sort(key=lambda item: _rank(item.path))


def _rank(file: Path) -> int:
    inside = file.relative_to(HERE).parts[0] if file.is_relative_to(HERE) else ""
    if _asks_the_team_s_server(file):
        return -1
    return FIRST.index(inside) if inside in FIRST else len(FIRST)


@functools.cache
def _asks_the_team_s_server(file: Path) -> bool:
    return bool(re.search(r"\bteam_(server|as)\b", file.read_text(encoding="utf-8")))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """`--dist loadfile` in the order of collection; files that ask the team's server go to one worker: it starts once."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "team" if _asks_the_team_s_server(config.rootpath / file) else file

    config.option.loadscopereorder = False
    return ByFile(config, log)


# ---------------------------------------------------------------- stores
@pytest.fixture(scope="session")
def store_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store, shared by the workers of pytest-xdist."""
    from sslseg.tracking.store import ensure_store

    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    path = base / "template.db"
    with FileLock(base / "template.lock"):
        if not path.exists():
            ensure_store(f"sqlite:///{base}/making.db")
            with sqlite3.connect(base / "making.db") as connection:
                connection.execute("pragma wal_checkpoint(truncate)")
            connection.close()
            shutil.copy(base / "making.db", path)
    return path


@pytest.fixture(scope="module")
def store(store_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URI of a fresh SQLite store of this test module, named by MLFLOW_TRACKING_URI."""
    folder = tmp_path_factory.mktemp("store")
    shutil.copy(store_template, folder / "mlflow.db")
    with sqlite3.connect(folder / "mlflow.db") as connection:
        connection.execute("update experiments set artifact_location = ?", (f"{folder}/mlruns/0",))
    connection.close()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
            patch.delenv(name, raising=False)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        yield f"sqlite:///{folder}/mlflow.db"


@pytest.fixture
def api(store: str):
    """MLflow's client of the store."""
    from mlflow import MlflowClient

    return MlflowClient(store)


@pytest.fixture
def tmp_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh cache folder, named by SSLSEG_CACHE."""
    monkeypatch.setenv("SSLSEG_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells run in this process, one after the other."""
    from tests.fixtures import one_process

    one_process.install(monkeypatch)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write a folder with the two files of a model; `value` makes its weights, `facts` go under "sslseg"."""

    def write(value: float = 0.0, **facts: str) -> Path:
        folder = tmp_path_factory.mktemp(f"model-{value}-")
        save_file({"conv.weight": np.full((2, 1), value, np.float32)}, folder / "model.safetensors")
        config = {
            "architecture": "resnet18",
            "pretrained_cfg": {"mean": [0.5], "std": [0.5]},
            "sslseg": facts,
        }
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    return write


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory):
    """Two tiny cohorts and a cache that all tests of stages share; see `tiny_runs.Tiny`."""
    from sslseg.data.phantom import tree
    from tests.fixtures.tiny_runs import Tiny

    base = tmp_path_factory.mktemp("tiny")
    roots = [tree.write(base / f"acdc{seed}", patients=6, seed=seed, size=64, slices=3) for seed in (1, 2)]
    return Tiny(*roots, base / "cache")


@pytest.fixture(scope="session")
def team_server(tmp_path_factory: pytest.TempPathFactory):
    """PostgreSQL and `mlflow server` with passwords on loopback; see `team.server.Server`."""
    from team import server

    if reason := server.missing():
        pytest.skip(reason)
    with server.started(tmp_path_factory.mktemp("team")) as made:
        yield made


@pytest.fixture(scope="module")
def team_as(team_server) -> Iterator[Callable[[str], None]]:
    """Go on as this user of `team_server`, for the rest of the module."""
    with pytest.MonkeyPatch.context() as patch:

        def become(user: str) -> None:
            for name, value in team_server.environment(user).items():
                patch.setenv(name, value)

        yield become
