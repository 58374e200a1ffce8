"""Seconds of a fine-tuning on this machine, measured in warm workers that are all busy."""

import dataclasses
import os
import time
from collections.abc import Mapping
from itertools import islice
from types import ModuleType

from analysis.statistics.design import Costs
from sslseg.config.names import FINETUNE, SslsegError
from sslseg.config.params import Finetune, Workers
from sslseg.data import training_set
from sslseg.data.views import batches
from sslseg.models import unet
from sslseg.plans.cells import Cell
from sslseg.plans.jobs import Context, Graph, Job
from sslseg.scoring import segmentation
from sslseg.stages.outcome import curves
from sslseg.training import devices, loop

WARM, TIMED = 2, 6  # steps: the first ones are slower than all that follow
SAMPLE = 32  # test slices of a timed evaluation
TESTS = 2  # of a fine-tuning: the last and the best network
REST = 6.0  # seconds of a fine-tuning for its records, checks, models and registration [H]
PAGE = 30.0  # seconds of the analysis at the end [H]


def measure(p: Workers, backend: ModuleType, cells: Mapping[str, Cell], context: Context) -> Costs:
    """Costs per pipeline, the slowest worker's.

    Args:
        cells: pipeline -> a fine-tuning of its network; weights do not matter, so from scratch.

    Raises:
        SslsegError: a worker failed.
    """
    places, asked = backend.places(p)[0], time.time()
    different = {cell.texts["architecture"]: cell for cell in cells.values()}
    told = context | {"cells": different, "asked": asked}
    jobs = Graph([Cell(f"measure {n}", FINETUNE, {}) for n in range(places)], told)
    found = []
    for outcome in backend.run(jobs, work, p):
        if outcome.error:
            raise SslsegError(f"a fine-tuning could not be measured: {outcome.error}")
        found.append(outcome.value)
    seconds = {name: max(took[name] for _, took in found) for name in different}
    runs = {pipeline: seconds[cell.texts["architecture"]] for pipeline, cell in cells.items()}
    return Costs(runs, places, start=max(start for start, _ in found), page=PAGE)


def work(job: Job) -> tuple[float, dict[str, float]]:
    """Seconds that the worker took to begin, and those of a run by network."""
    context = job.context
    start = time.time() - context["asked"]
    os.environ["MLFLOW_TRACKING_URI"] = context["uri"]
    return start, {n: of_run(Job(cell, context=context).params()) for n, cell in context["cells"].items()}


def of_run(p: Finetune) -> float:
    """Seconds of a whole fine-tuning, from some steps, a validation and a piece of the test."""
    p = devices.fill(dataclasses.replace(p, norm="dataset"))  # an encoder's own normalisation costs the same
    devices.use(p)
    data, device = training_set.load(p), devices.of(p)
    begun = time.perf_counter()
    classes, channels = len(data.store.classes), data.store.channels
    net, _ = unet.scratch(p.architecture, channels, classes, p.decoder, seed=p.seed)
    fixed = curves.spread(data.labelled["val"], p.val_slices)
    held = segmentation.prepare(data.store, fixed, data.intensity, device=device)
    ready = time.perf_counter() - begun
    step = _step(p, loop.finetuning(net, p, device=device), data)
    begun = time.perf_counter()
    segmentation.evaluate(net, held, data.store.classes, device=device)
    validation = time.perf_counter() - begun
    some = curves.spread(data.labelled["test"], SAMPLE)
    begun = time.perf_counter()
    held = segmentation.lazily(data.store, some, data.intensity, device=device)
    segmentation.evaluate(net, held, data.store.classes, device=device)
    test = (time.perf_counter() - begun) * len(data.labelled["test"]) / len(some)
    validations = 1 + -(-p.steps // p.eval_every)
    return REST + ready + p.steps * step + validations * validation + TESTS * test


def _step(p: Finetune, training: loop.Training, data: training_set.Inputs) -> float:
    """Seconds of one step: batch, forward, backward, update."""

    def batch_at(step: int) -> batches.FinetuneBatch:
        return batches.finetune_batch(
            data.store, data.labelled["train"], training_set.view_ranges(p), data.intensity,
            seed=p.seed, step=step, batch_size=p.batch_size,
        )  # fmt: skip

    marks = [time.perf_counter()]
    steps = training.run(batch_at, log_every=1)
    marks += [time.perf_counter() for _ in islice(steps, WARM + TIMED)]
    steps.close()
    skipped = min(WARM, len(marks) - 2)
    return (marks[-1] - marks[skipped]) / (len(marks) - 1 - skipped)
