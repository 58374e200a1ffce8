"""The number of workers of a sweep on CUDA, from some steps of its most frequent fine-tuning, measured alone on a card."""

import dataclasses
import sys
from collections import Counter
from itertools import islice
from types import ModuleType

from sslseg.config import names, params
from sslseg.config.names import SslsegError
from sslseg.config.params import Sweep
from sslseg.plans import sharing
from sslseg.plans.cells import Cell
from sslseg.plans.jobs import Context, Graph, Job
from sslseg.plans.sharing import Alone

WARM, TIMED = 5, 10  # steps: the first choose their algorithms


def settle(p: Sweep, cells: list[Cell], context: Context, backend: ModuleType) -> Sweep:
    """The sweep with its workers, where they share a card and nobody has said how many."""
    devices = backend.devices(p) if p.executor == "local" and not p.workers else 0
    frequent = _most_frequent(cells)
    if not devices or frequent is None:
        return p
    alone = _measure(p, frequent, context, backend)
    if alone is None:
        return p
    cores = max(1, params.cores() // devices)
    number, why = sharing.per_card(alone, cores, any(cell.stage == names.PRETRAIN for cell in cells))
    number = min(number, -(-len(cells) // devices))
    print(f"{number} workers a card: {why} (-P workers= says otherwise)", flush=True)
    return dataclasses.replace(p, workers=number * devices)


def _most_frequent(cells: list[Cell]) -> Cell | None:
    """A fine-tuning like most others: by network, size of views and batch, as far as their texts tell."""
    tuned = [cell for cell in cells if cell.stage == names.FINETUNE]
    kinds = {
        cell.name: tuple(cell.texts.get(k) for k in ("architecture", "image_size", "batch_size"))
        for cell in tuned
    }
    counts = Counter(kinds.values())
    return max(tuned, key=lambda cell: counts[kinds[cell.name]], default=None)


def _measure(p: Sweep, cell: Cell, context: Context, backend: ModuleType) -> Alone | None:
    """Measured in a process of its own, which is gone afterwards; None where that fails: one worker a card then."""
    texts = cell.texts | {"encoder": names.SCRATCH, "encoder_epoch": "", "decoder_from": "fresh"}
    job = Cell("measure", names.FINETUNE, texts)
    try:
        (found,) = backend.run(Graph([job], context), work, dataclasses.replace(p, workers=1))
    except SslsegError as error:
        found = None
        print(f"sslseg: {error}", file=sys.stderr)
    if found is None or found.error:
        why = found.error if found else ""
        print(
            f"sslseg: a step on the card could not be measured, so each has one worker: {why}",
            file=sys.stderr,
        )
        return None
    return found.value


def work(job: Job) -> Alone:
    """Some steps of a fine-tuning on this process's card: how long they take, how long the card computes."""
    import time

    import torch

    from sslseg.data import training_set
    from sslseg.data.views import batches, render_device
    from sslseg.models import unet
    from sslseg.training import devices, loop

    p = devices.fill(dataclasses.replace(job.params(), norm="dataset", steps=WARM + 2 * TIMED))
    devices.use(p)
    data, device = training_set.load(p), devices.of(p)
    net, _ = unet.scratch(
        p.architecture, data.store.channels, len(data.store.classes), p.decoder, seed=p.seed
    )
    there = render_device.place(data.store, device, labels=True)

    def batch_at(step: int) -> batches.FinetuneBatch:
        return batches.finetune_batch(
            there, data.labelled["train"], training_set.view_ranges(p), data.intensity,
            seed=p.seed, step=step, batch_size=p.batch_size,
        )  # fmt: skip

    def passed(count: int) -> float:
        torch.cuda.synchronize()
        begun = time.perf_counter()
        for _ in islice(steps, count):
            pass
        torch.cuda.synchronize()
        return time.perf_counter() - begun

    steps = loop.finetuning(net, p, device=device).run(batch_at)
    passed(WARM)
    step = passed(TIMED) / TIMED
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as seen:
        passed(TIMED)
    steps.close()
    busy = sum(event.self_device_time_total for event in seen.key_averages()) / 1e6 / TIMED
    card = torch.cuda.get_device_properties(device).total_memory
    return Alone(step, min(busy, step), float(torch.cuda.max_memory_reserved()), float(card))
