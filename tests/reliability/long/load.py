"""Many writers at one store: is every number there afterwards, and how long did the slowest call take?

    python -m tests.reliability.long.load file     # 8 processes, one SQLite file
    python -m tests.reliability.long.load server   # 16 processes, PostgreSQL behind `mlflow server` with passwords

Each run opens, logs its parameters, 1,500 values in 15 batches and a file, registers a model, and ends, through
the code that the stages use. Every value can be told from its run, metric and step; all are read back.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.reliability.long import record
from tests.reliability.long.places import forked

RUNS, METRICS, STEPS, KNOBS = 200, 10, 150, 40
WRITERS = {"file": 8, "server": 16}
TITLES = {"file": "one SQLite file", "server": "PostgreSQL, `mlflow server`, passwords"}
CELL = "load.cell"
NAME = "encoder-load"


@dataclass(frozen=True)
class Task:
    """What one process writes."""

    environment: dict[str, str]
    runs: range
    folder: str  # of a model
    batches: int  # that a run's values are written in
    every: int  # one of so many runs registers the model


def value(run: int, metric: int, step: int) -> float:
    """The one number that belongs there."""
    return run * 1e4 + metric * 1e3 + step


def write(task: Task) -> list[tuple[str, float]]:
    """(kind of call, seconds) of everything that this process asked of the store."""
    os.environ.update(task.environment)
    from sslseg.tracking import session

    calls: list[tuple[str, float]] = []

    def timed(kind: str, call: Callable[[], object]) -> None:
        start = time.monotonic()
        call()
        calls.append((kind, time.monotonic() - start))

    for i in task.runs:
        start = time.monotonic()
        with session.open_run("load", tags={CELL: str(i)}) as run:
            calls.append(("open a run", time.monotonic() - start))
            timed("parameters", lambda i=i: run.params({f"knob{k}": i for k in range(KNOBS)}))
            timed("data set", lambda: run.input_dataset("load", "ab", "load-ab", "train"))
            for batch in np.array_split(np.arange(STEPS), task.batches):
                for step in map(int, batch):
                    run.log({f"val/m{m}": value(i, m, step) for m in range(METRICS)}, step)
                timed("metrics", run.flush)
            timed("file", lambda i=i: run.text(f"{i}\n", "cell.txt"))
            if i % task.every == 0:
                timed("model, registered", lambda: _register(run, task.folder))
            start = time.monotonic()
        calls.append(("end a run", time.monotonic() - start))
    return calls


def _register(run: Any, folder: str) -> None:
    from sslseg.tracking.registry import resolve

    resolve.log_encoder(run, folder, name=NAME, role="target", method="byol", dataset="load", lineage="byol-load",
                         epoch=1, step=STEPS)  # fmt: skip


@contextmanager
def place(kind: str, folder: Path) -> Iterator[dict[str, str]]:
    """A fresh store; yields what names it in the environment."""
    if kind == "file":
        yield {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
        return
    from team import server

    if reason := server.missing():
        raise SystemExit(reason)
    with server.started(folder / "server", workers=2) as made:
        yield made.environment()


def run(kind: str, runs: int, writers: int, batches: int, every: int, folder: Path) -> dict[str, object]:
    """Write, read everything back, and say what was found.

    Raises:
        AssertionError: something was lost.
    """
    model, calls, out = _model(folder / "model"), [], folder / "lost.json"
    with place(kind, folder) as environment:
        _in_fork(environment, "it cannot be made", _make)
        shares = [range(w, runs, writers) for w in range(writers)]
        tasks = [Task(environment, share, str(model), batches, every) for share in shares]
        start = time.monotonic()
        # forks of a process that has opened no store: what is asked is how they share it, not how they start
        with multiprocessing.get_context("fork").Pool(writers) as pool:
            for part in pool.map(write, tasks, chunksize=1):
                calls += part
        wall = time.monotonic() - start

        _in_fork(
            environment, "it cannot be read back", lambda: out.write_text(json.dumps(check(runs, every)))
        )
    slowest = max(calls, key=lambda call: call[1])
    middle = float(np.median([seconds for name, seconds in calls if name == "metrics"]))
    return {
        "clients": writers, "runs": runs, "values": runs * METRICS * STEPS,
        "registered models": len(range(0, runs, every)), "lost": json.loads(out.read_text()), "calls": len(calls),
        "seconds": round(wall, 1), "slowest call, s": f"{slowest[1]:.2f} ({slowest[0]})",
        "values a write": METRICS * STEPS // batches, "median write, ms": round(1e3 * middle, 1),
    }  # fmt: skip


def _make() -> None:
    from sslseg.tracking import store

    store.ensure_store()


def _in_fork(environment: dict[str, str], otherwise: str, action: Callable[[], object]) -> None:
    """In a process of its own: the one that forks the writers holds no connection that they would share."""
    if forked(lambda: (os.environ.update(environment), action())):
        raise AssertionError(otherwise)


def check(runs: int, every: int) -> dict[str, int]:
    """Everything that was written, counted and compared: what is missing, by kind; empty is good."""
    from sslseg.tracking import session, store
    from sslseg.tracking.history import frames
    from sslseg.tracking.registry import resolve

    cells = {r.info.run_id: int(r.data.tags[CELL]) for r in session.search({"sslseg.stage": "load"})}
    table = frames.runs()
    keys = [f"val/m{m}" for m in range(METRICS)]
    found = frames.points(store.tracking_uri(), list(cells), keys)
    wanted = value(
        found["run_id"].map(cells).to_numpy(float),
        found["key"].str.removeprefix("val/m").to_numpy().astype(float), found["step"].to_numpy(float),
    )  # fmt: skip
    versions = [row for row in resolve.versions() if row["name"] == NAME]
    models = len(range(0, runs, every))
    lost = {
        "runs": runs - len(set(cells.values())),
        "finished runs": runs - len(table),
        "values": runs * METRICS * STEPS - len(found.drop_duplicates(["run_id", "key", "step"])),
        "values twice": int(found.duplicated(["run_id", "key", "step"]).sum()),
        "wrong values": int((found["value"].to_numpy() != wanted).sum()),
        "model versions": models - len({row["run_id"] for row in versions}),
        "numbers of versions": models - len({row["version"] for row in versions}),
        "parameters": int(runs * KNOBS - table[[f"cfg.knob{k}" for k in range(KNOBS)]].notna().sum().sum()),
    }
    return {name: count for name, count in lost.items() if count}


def _model(folder: Path) -> Path:
    from safetensors.numpy import save_file

    folder.mkdir()
    save_file({"conv.weight": np.ones((2, 1), np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"architecture": "load", "sslseg": {}}))
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=tuple(WRITERS))
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--writers", type=int)
    parser.add_argument(
        "--batches", type=int, default=15, help="that the 1,500 values of a run are written in"
    )
    parser.add_argument("--every", type=int, default=1, help="one of so many runs registers a model")
    parser.add_argument("--record", action="store_true", help="into docs/reference/reliability.md")
    asked = parser.parse_args()
    from sslseg.tracking import session  # noqa: F401 once, before the forks

    with tempfile.TemporaryDirectory(prefix="sslseg-load-") as scratch:
        writers = asked.writers or WRITERS[asked.kind]
        found = run(asked.kind, asked.runs, writers, asked.batches, asked.every, Path(scratch))
    print(json.dumps(found))
    lost = found["lost"]
    if asked.record:
        shown = ", ".join(f"{n} {name}" for name, n in lost.items()) or "nothing"
        record.keep("load", {TITLES[asked.kind]: found | {"lost": shown}})
    sys.exit(bool(lost))


if __name__ == "__main__":
    main()
