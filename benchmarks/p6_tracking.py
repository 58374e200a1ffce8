"""P6: what a number costs to track."""

from __future__ import annotations

import atexit
import functools
import itertools
import os
from collections.abc import Callable, Iterator

from benchmarks import compare, subjects
from benchmarks.compare import Answer, Question

NUMBERS = 1000  # of one call of a variant: a full buffer of `Run`


@functools.cache
def store_uri() -> str:
    """A fresh SQLite store, made as every stage makes it: both variants write to the same kind."""
    from sslseg.store import ensure_store

    uri = ensure_store(f"sqlite:///{subjects.folder()}/mlflow.db")
    os.environ["MLFLOW_TRACKING_URI"] = uri
    return uri


def writers(numbers: int) -> tuple[dict[str, Callable[[], None]], dict[str, str]]:
    """Variant -> a call that logs `numbers` values of ten metrics at the next steps; variant -> its run's ID."""
    from mlflow import MlflowClient

    from sslseg import tracking

    uri = store_uri()
    api = MlflowClient(uri)
    run = tracking.open_run("finetune", uri=uri)
    opened = run.__enter__()
    atexit.register(run.__exit__, None, None, None)
    theirs = api.create_run("0").info.run_id
    steps = {name: itertools.count() for name in ("ours", "peer")}

    def rows(name: str) -> Iterator[tuple[int, dict[str, float]]]:
        for _, step in zip(range(numbers // 10), steps[name], strict=False):
            yield step, {f"train/m{i}": step + i / 7 for i in range(10)}

    def ours() -> None:
        for step, values in rows("ours"):
            opened.log(values, step)
        opened.flush()

    def peer() -> None:
        for step, values in rows("peer"):
            for key, value in values.items():
                api.log_metric(theirs, key, value, step=step)

    return {"ours": ours, "peer": peer}, {"ours": opened.id, "peer": theirs}


def check(variants: dict[str, Callable[[], None]], runs: dict[str, str]) -> None:
    """Both leave the same numbers."""
    from sslseg import history

    for variant in variants.values():
        variant()
    keys = [f"train/m{i}" for i in range(10)]
    left = [history.curves([run], keys, uri=store_uri()).drop(columns="run_id") for run in runs.values()]
    assert len(left[0]), "nothing was logged"
    assert left[0].equals(left[1]), "the numbers differ"


def measure() -> Answer:
    """Into open runs, flushed at the end of every call as `Run` does every ten seconds."""
    variants, runs = writers(NUMBERS)
    check(variants, runs)
    return compare.compare(variants).answer(per_second=NUMBERS)


QUESTIONS = (
    Question("P6", "a number into the tracking store (SQLite), 1,000 between two flushes",
             "MlflowClient.log_metric, a call each", measure, reach=30, moonshot=100, packages=("mlflow",)),
)  # fmt: skip
