"""B1: every curve of a study out of the store, against MLflow's client, run by run.

The store: 1,000 runs of ten metrics at 150 steps in one SQLite file. We read all of it, runs and curves, from
the file each time: nothing is kept between the calls. The client reads 50 of the runs
(`get_metric_history`, the one public call for whole curves); its time is multiplied by 20.
"""

import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.compare import ROUNDS, Answer, Question, compare
from sslseg.tracking import store
from sslseg.tracking.history import frames
from tests.fixtures.planted import Planted, plant

RUNS, CLIENTS_RUNS, METRICS, STEPS = 1000, 50, 10, 150
KEYS = [f"val/metric {m}" for m in range(METRICS)]


def measure(runs: int = RUNS, client_runs: int = CLIENTS_RUNS, rounds: int = ROUNDS) -> Answer:
    """Runs and curves as frames; the curves of the client's runs are the same frame."""
    with tempfile.TemporaryDirectory() as folder:
        uri = store.ensure_store(f"sqlite:///{folder}/mlflow.db")
        ids = fill(uri, runs)
        some = ids[:client_runs]
        check(frames.curves(some, KEYS, uri), by_client(some, KEYS, uri))
        walls: list[float] = []

        def ours() -> None:
            start = time.monotonic()
            found = frames.curves(frames.runs(uri=uri)["run_id"], KEYS, uri)
            walls.append(time.monotonic() - start)
            assert len(found) == runs * METRICS * STEPS, f"{len(found)} values"

        times = compare({"ours": ours, "peer": lambda: by_client(some, KEYS, uri)}, rounds=rounds)
        size = (Path(folder) / "mlflow.db").stat().st_size / 1e6
        found = times.answer(wall_seconds={"least": min(walls), "most": max(walls)}, megabytes=size)
    scale = runs / client_runs
    return replace(
        found, ratio=found.ratio * scale, spread=tuple(v * scale for v in found.spread),
        seconds={"ours, all": found.seconds["ours"], f"client, {client_runs} runs": found.seconds["peer"]},
    )  # fmt: skip


def fill(uri: str, runs: int) -> list[str]:
    """Plant the runs; returns their IDs."""
    rng = np.random.default_rng(0)
    planted = [
        Planted(f"run {i}", metrics={key: list(enumerate(rng.random(STEPS).tolist())) for key in KEYS})
        for i in range(runs)
    ]
    plant(uri, planted)
    return [run.run_id for run in planted]


def by_client(ids: Iterable[str], keys: Iterable[str], uri: str) -> pd.DataFrame:
    """What MLflow's documentation does, as a frame."""
    api = store.client(uri)
    rows = [
        (run, key, point.step, point.value)
        for run in ids
        for key in keys
        for point in api.get_metric_history(run, key)
    ]
    return pd.DataFrame(rows, columns=["run_id", "key", "step", "value"])


def check(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    """The same frame to the bit, but for the order of its rows."""
    theirs = theirs.sort_values(["run_id", "key", "step"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True)


QUESTIONS = (
    Question("B1", "1,000 runs x 10 metrics x 150 steps from a SQLite store into data frames",
             "MlflowClient.get_metric_history, run by run (50 runs, scaled)", measure, reach=20, moonshot=100,
             packages=("mlflow", "sqlalchemy", "pandas")),
)  # fmt: skip
