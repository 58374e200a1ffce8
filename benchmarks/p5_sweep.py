"""P5: twelve tiny fine-tunings, warm in one sweep or each as a cold `mlflow run`; equal to the bit.

Both go the way of a user: `mlflow run . -e …` with data prepared before. CPU seconds of all processes. Cold runs are
timed one by one, in random order; sweeps take their turns among them. The ratio is 12 median cold runs to
the median sweep, its spread 12 of the fastest to the slowest sweep, and the other way round. Whoever has no
six minutes of CPU to spare: SSLSEG_BENCH_COLD=4 does so many of the twelve cold runs, and one sweep; the row says so.
"""

import os
import random
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks import compare, subjects
from benchmarks.compare import Answer, Question

ROOT = Path(__file__).parents[1]
CELLS = 12
COLD = int(os.environ.get("SSLSEG_BENCH_COLD", CELLS))
SWEEPS = 2 if COLD == CELLS else 1
TINY = {
    "spacing": "0", "architecture": "test_resnet", "image_size": "64", "decoder": "16,16,16,16,16", "steps": "10",
    "batch_size": "4", "eval_every": "5", "val_slices": "4",
}  # fmt: skip
PRESET, BUDGET = "cpu", "3"
UNEQUAL = ("cost/", "system/")  # metrics of time


def mlflow_run(entry: str, place: Path, **parameters: str) -> None:
    """`mlflow run` of an entry point of this project, into the store at `place`; ends when it has ended."""
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{place}/mlflow.db", "MLFLOW_DISABLE_TELEMETRY": "true",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
    run(environment, place, "-m", "mlflow", "run", str(ROOT), "-e", entry, "--env-manager", "local",
        *(f"-P{name}={text}" for name, text in parameters.items()))  # fmt: skip


def run(environment: dict[str, str], place: Path, *words: str) -> None:
    """Python in a new process in folder `place`; it must succeed."""
    done = subprocess.run(
        [sys.executable, *words], env=environment, cwd=place, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{words[:4]}: {done.stderr[-2000:]}"


def new_store() -> Path:
    """A folder with an empty store, so that no run is found finished."""
    from sslseg.tracking.store import ensure_store

    place = subjects.folder()
    ensure_store(f"sqlite:///{place}/mlflow.db")
    return place


def spelled(texts: dict[str, str]) -> str:
    """Knobs as a sweep takes them."""
    return ";".join(f"{name}={text}" for name, text in texts.items())


def shared(cache: Path) -> dict[str, str]:
    """What both are told: the data, the folder of prepared data, one thread."""
    root = subjects.cohort(patients=6, side=64, slices=3)
    return {"dataset": "acdc", "data_root": str(root), "cache": str(cache), "threads": "1", "device": "cpu"}


def sweep(cells: int, place: Path, cache: Path) -> None:
    """One `mlflow run -e sweep` with one worker."""
    mlflow_run(
        "sweep", place, **shared(cache), preset=PRESET, pipelines="scratch", budgets=BUDGET, workers="1",
        seeds=",".join(map(str, range(cells))), finetune=spelled(TINY),
    )  # fmt: skip


def cold(seed: int, place: Path, cache: Path) -> None:
    """One `mlflow run -e finetune`."""
    mlflow_run("finetune", place, **shared(cache), **TINY, preset=PRESET, budget=BUDGET, encoder="scratch",
               seed=str(seed))  # fmt: skip


def numbers(place: Path) -> dict[tuple[int, str, int], float]:
    """(seed, key, step) -> value of all fine-tunings of a store, but for times."""
    from sslseg.tracking.history import frames

    uri = f"sqlite:///{place}/mlflow.db"
    runs = frames.runs(uri=uri)
    tuned = runs[runs["stage"] == "finetune"]
    seeds = dict(zip(tuned["run_id"], tuned["seed"].astype(int), strict=True))
    keys = [c for c in runs.columns if "/" in c and not c.startswith(UNEQUAL)]
    curves = frames.curves(list(seeds), keys, uri=uri)
    return {(seeds[r], k, s): v for r, k, s, v in curves.itertuples(index=False)}


def check(one: Path, other: Path, cells: int, cold_cells: int) -> int:
    """All cells are in `one`, and every metric at every step of those that are in `other` is the same to the bit.

    Returns:
        how many numbers were compared.
    """
    a, b = numbers(one), numbers(other)
    assert {seed for seed, _, _ in a} == set(range(cells)), "cells are missing"
    there = {seed for seed, _, _ in b}
    assert len(there) == cold_cells, "cold runs are missing"
    a = {key: value for key, value in a.items() if key[0] in there}
    assert a.keys() == b.keys(), "other metrics"
    assert all(a[key] == b[key] or a[key] != a[key] for key in a), "the metrics differ"
    return len(a)


def measure() -> Answer:
    """Every sweep has a new store, and leaves what the cold runs leave."""
    from sslseg.data.slices import prepare

    cache, one_by_one, draw = subjects.folder(), new_store(), random.Random(0)
    prepare.prepare("acdc", Path(shared(cache)["data_root"]), cache, spacing=0, progress=False)
    turns: list[int | None] = [*draw.sample(range(CELLS), COLD), *[None] * SWEEPS]
    draw.shuffle(turns)
    taken: dict[str, list[float]] = {"sweep": [], "cold run": []}
    stores = []
    for seed in turns:
        if seed is None:
            stores.append(new_store())
        start = compare.cpu_of_children()
        if seed is None:
            sweep(CELLS, stores[-1], cache)
        else:
            cold(seed, one_by_one, cache)
        taken["sweep" if seed is None else "cold run"].append(compare.cpu_of_children() - start)
    equal = [check(store, one_by_one, CELLS, COLD) for store in stores]
    ours, theirs = taken["sweep"], [CELLS * t for t in taken["cold run"]]
    medians = {name: statistics.median(values) for name, values in taken.items()}
    ratio = statistics.median(theirs) / medians["sweep"]
    spread = (min(theirs) / max(ours), max(theirs) / min(ours))
    return Answer(
        ratio, spread, COLD, medians, {"cold_runs": COLD, "sweeps": SWEEPS, "equal_numbers": equal[0]}
    )


QUESTIONS = (
    Question("P5", "12 tiny fine-tunings as one warm sweep, metrics equal to the bit", "12 cold `mlflow run`",
             measure, reach=3, moonshot=8, packages=("mlflow",)),
)  # fmt: skip
