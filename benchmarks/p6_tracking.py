"""P6: what a number costs to track, at several numbers between two flushes; and tracking's share of a run.

A run flushes at 1,000 numbers or after ten seconds, so how many there are depends on its pace: `ratio_at` has the
ratio at fewer. The share is of CPU seconds, in every public call of MlflowClient: the row's is that of numbers, tags,
parameters and inputs; files and the registry, where results are kept and not tracked, are beside it.
"""

import atexit
import functools
import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import compare, subjects
from benchmarks.compare import Answer, Question

NUMBERS = 1000  # of one call of a variant: a full buffer of `Run`
FEWER = (300, 100, 30)
KEEPING = ("model", "artifact", "log_text", "registered")  # in the names of calls that keep results


@functools.cache
def store_uri() -> str:
    """A fresh SQLite store, made as every stage makes it: both variants write to the same kind."""
    from sslseg.tracking.store import ensure_store

    uri = ensure_store(f"sqlite:///{subjects.folder()}/mlflow.db")
    os.environ["MLFLOW_TRACKING_URI"] = uri
    return uri


def writers(numbers: int) -> tuple[dict[str, Callable[[], None]], dict[str, str]]:
    """Variant -> a call that logs `numbers` values of ten metrics at the next steps; variant -> its run's ID."""
    from mlflow import MlflowClient

    from sslseg.tracking import session

    uri = store_uri()
    api = MlflowClient(uri)
    run = session.open_run("finetune", uri=uri)
    opened = run.__enter__()
    atexit.register(run.__exit__, None, None, None)
    theirs = api.create_run("0").info.run_id
    steps = {name: itertools.count() for name in ("ours", "peer")}

    def rows(name: str) -> Iterator[tuple[int, dict[str, float]]]:
        for _, step in zip(range(numbers // 10), steps[name], strict=False):
            yield step, {f"train/m{i}": step + i / 7 for i in range(10)}

    def ours(at_once: int = numbers) -> None:
        for n, (step, values) in enumerate(rows("ours"), 1):
            opened.log(values, step)
            if not 10 * n % at_once:
                opened.flush()
        opened.flush()

    def peer() -> None:
        for step, values in rows("peer"):
            for key, value in values.items():
                api.log_metric(theirs, key, value, step=step)

    return {"ours": ours, "peer": peer}, {"ours": opened.id, "peer": theirs}


def check(variants: dict[str, Callable[[], None]], runs: dict[str, str]) -> None:
    """Both leave the same numbers."""
    from sslseg.tracking.history import frames

    for variant in variants.values():
        variant()
    keys = [f"train/m{i}" for i in range(10)]
    left = [frames.curves([run], keys, uri=store_uri()).drop(columns="run_id") for run in runs.values()]
    assert len(left[0]), "nothing was logged"
    assert left[0].equals(left[1]), "the numbers differ"


def measure() -> Answer:
    """Into open runs, flushed at the end of every call as `Run` does every ten seconds."""
    variants, runs = writers(NUMBERS)
    check(variants, runs)
    fewer = {f"ours at {n}": functools.partial(variants["ours"], n) for n in FEWER}
    times = compare.compare(variants | fewer)
    at = {str(n): times.median("peer") / times.median(f"ours at {n}") for n in FEWER}
    return times.answer(per_second=NUMBERS, ratio_at=at)


# ---------------------------------------------------------------- the share of a run
class Meter:
    """CPU seconds inside calls, by name; of calls within calls the outermost counts."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._inside = False

    def wrap(self, name: str, call: Callable) -> Callable:
        """`call`, timed."""

        @functools.wraps(call)
        def timed(*args: Any, **named: Any) -> Any:
            if self._inside:
                return call(*args, **named)
            self._inside, start = True, compare.cpu()
            try:
                return call(*args, **named)
            finally:
                self._inside = False
                self.seconds[name] += compare.cpu() - start

        return timed


def share(**knobs: str) -> tuple[Meter, float]:
    """CPU seconds in each call of MlflowClient, and of the whole of a fine-tuning with these knobs."""
    from mlflow import MlflowClient

    from sslseg import execute
    from sslseg.config import flags, params

    store_uri()
    texts = {
        "dataset": "acdc", "data_root": str(subjects.cohort()), "cache": str(subjects.folder()), "preset": "cpu",
        "encoder": "scratch", "budget": "30", "threads": "1", "device": "cpu",
    }  # fmt: skip
    p = flags.resolve(flags.from_mapping(params.Finetune, texts | knobs))
    meter = Meter()
    kept = {k: v for k, v in vars(MlflowClient).items() if callable(v) and not k.startswith("_")}
    try:
        for name, call in kept.items():
            setattr(MlflowClient, name, meter.wrap(name, call))
        start = compare.cpu()
        execute.execute("finetune", p)
        return meter, compare.cpu() - start
    finally:
        for name, call in kept.items():
            setattr(MlflowClient, name, call)


def measure_share() -> Answer:
    """A fine-tuning of preset cpu, EfficientNet-Lite0, 30 slices; once to warm up, with 2 steps, then whole."""
    compare.one_thread()
    share(steps="2")
    meter, whole = share()
    keeping = sum(s for name, s in meter.seconds.items() if any(part in name for part in KEEPING))
    bookkeeping = sum(meter.seconds.values()) - keeping
    percent = 100 * bookkeeping / whole
    seconds = {"tracking": bookkeeping, "files and registry": keeping, "run": whole}
    return Answer(
        percent,
        (percent, percent),
        1,
        seconds,
        {"with_registry_percent": 100 * (bookkeeping + keeping) / whole},
    )


QUESTIONS = (
    Question("P6", "a number into the tracking store (SQLite), 1,000 between two flushes",
             "MlflowClient.log_metric, a call each", measure, reach=30, moonshot=100, packages=("mlflow",)),
    Question("P6", "tracking's share of a fine-tuning of preset cpu, percent of its CPU time", "the run itself",
             measure_share, reach=1, moonshot=0.5, packages=("mlflow",), at_most=True),
)  # fmt: skip
