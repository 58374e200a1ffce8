"""P9: how cost grows with slices, runs and seeds: the exponent of CPU time against size, fitted over a factor of 10.

Least squares of log(seconds) on log(size) over three sizes, medians of the rounds; below 1 where a fixed part
weighs. What a size needs beforehand is made before and not timed.
"""

from __future__ import annotations

import functools
import hashlib
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks import compare, subjects
from benchmarks.compare import Answer, Question

ROOT = Path(__file__).parents[1]  # of tests.fixtures, whose modules fill stores with runs


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Slope of log(seconds) on log(size), least squares."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def fitted(
    work: Callable[[int], Callable[[], object]], sizes: Sequence[int], rounds: int = compare.ROUNDS
) -> Answer:
    """Exponent over the medians; its spread over the rounds.

    Args:
        work: size -> a call that does the work of that size.
    """
    times = compare.compare({str(n): work(n) for n in sizes}, rounds=rounds)
    by_round = [exponent(sizes, [times.seconds[str(n)][r] for n in sizes]) for r in range(rounds)]
    medians = {str(n): times.median(str(n)) for n in sizes}
    return Answer(exponent(sizes, list(medians.values())), (min(by_round), max(by_round)), rounds, medians)


# ---------------------------------------------------------------- slices
def preparing(patients: int) -> Callable[[], object]:
    """Make the slice store of that many patients: 2 frames of 8 slices of 128 x 128 each."""
    from sslseg.data.phantom import tree
    from sslseg.data.slices import prepare as stores

    root = tree.write(subjects.folder() / "acdc", patients=patients, seed=0, size=128, slices=8)
    cache = subjects.folder()

    def prepare() -> object:
        shutil.rmtree(cache, ignore_errors=True)
        return stores.prepare("acdc", root, cache, spacing=0, progress=False)

    return prepare


# ---------------------------------------------------------------- runs
def identity_of(name: str) -> str:
    """The identity that a planted run has."""
    return hashlib.sha256(name.encode()).hexdigest()


@functools.cache
def planted(runs: int, points: int = 20, keys: int = 10) -> str:
    """URI of a SQLite store with that many fine-tunings of `keys` curves of `points` steps."""
    from sslseg.config import names
    from sslseg.tracking import store
    from tests.fixtures.planted import Planted, plant

    uri = store.ensure_store(f"sqlite:///{subjects.folder()}/mlflow.db")
    curves = {f"val/m{j}": [(step, step / 7) for step in range(points)] for j in range(keys)}
    cfg = {f"knob{i}": str(i) for i in range(45)} | {"seed": "0", "slices": "30"}

    def run(i: int) -> Planted:
        tags = {names.TAG_STAGE: names.FINETUNE, names.TAG_IDENTITY: identity_of(f"run{i}")}
        return Planted(f"run{i}", tags | {f"tag{j}": str(j) for j in range(15)}, cfg, curves)

    plant(uri, map(run, range(runs)))
    return uri


def reading(runs: int) -> Callable[[], object]:
    """Table and one curve of every run, as a figure wants them."""
    from sslseg.tracking.history import frames

    uri = planted(runs)

    def read() -> object:
        found = frames.runs(uri=uri)
        assert len(found) == runs
        return frames.curves(found["run_id"], ["val/m0"], uri=uri)

    return read


def finding(runs: int) -> Callable[[], object]:
    """Ask for the finished run of every cell, as a sweep that is started again does, in a store of those runs."""
    from sslseg.tracking import session

    uri = planted(runs)

    def find() -> None:
        for i in range(runs):
            assert session.find(identity_of(f"run{i}"), uri=uri)

    return find


# ---------------------------------------------------------------- seeds
def deciding(seeds: int) -> Callable[[], object]:
    """Curves, verdicts and worth of two pipelines at five budgets, from runs that are in memory."""
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))
    from analysis.comparison import cells, decisions, measures
    from tests.fixtures.planted_study import curves_of, make, runs_of

    made = make(("scratch", "byol@target"), seeds=seeds)
    runs, curves = runs_of(made), curves_of(made)

    def decide() -> object:
        study = cells.study(runs)
        scores = measures.measure(study, curves)
        return decisions.decide(study, scores, decisions.curves(study, scores))

    return decide


def question(grows: str, work: str, measure: Callable[[], Answer]) -> Question:
    """All rows of P9 want the same: no more than linear growth."""
    return Question("P9", f"exponent of cost: {work}", f"{grows}, to the power of 1", measure, reach=1.05,
                    moonshot=1.0, packages=("mlflow", "pandas"), at_most=True)  # fmt: skip


QUESTIONS = (
    question("slices", "slice store of 32, 96, 320 slices", lambda: fitted(preparing, (2, 6, 20))),
    question("runs", "table and curves of 60, 190, 600 runs", lambda: fitted(reading, (60, 190, 600))),
    question(
        "cells", "finding 20, 63, 200 cells among as many runs", lambda: fitted(finding, (20, 63, 200), 3)
    ),
    question("seeds", "analysis of 3, 10, 30 seeds", lambda: fitted(deciding, (3, 10, 30), 3)),
)
