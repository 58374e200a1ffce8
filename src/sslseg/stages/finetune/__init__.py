"""A U-Net around an encoder, fine-tuned on n annotated slices (paper, section 4)."""

import functools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from sslseg.config import names
from sslseg.config.names import DataError
from sslseg.config.params import Finetune
from sslseg.data import subsets, training_set
from sslseg.data.subsets import Manifest
from sslseg.data.training_set import Inputs
from sslseg.data.views import batches, render_device
from sslseg.models import segmenter, sizes, unet
from sslseg.models.encoder import State
from sslseg.plans import pipelines, titles
from sslseg.scoring import segmentation
from sslseg.stages.finetune import decoder, results
from sslseg.stages.intake import leaks, likeness, upstream
from sslseg.stages.intake.upstream import Start
from sslseg.stages.outcome import cards, curves, endings, handed_on
from sslseg.tracking import lineage, session
from sslseg.tracking.registry import resolve
from sslseg.training import devices, loop, unimatch

Report = Callable[[int, float], None]
SHOWN = (names.TEST_IOU, names.TEST_LOSS, names.BEST_VAL_IOU)  # of a run's metrics, on its models too


def fill(p: Finetune) -> Finetune:
    """A hook of `launch`: the parameters with what the upstream brings.

    Raises:
        ParamError, EncoderError: see `upstream.settle` and `decoder.of`.
    """
    p = upstream.fill(p)
    return decoder.settle(
        p, decoder.of(p, upstream.resolve(p) if p.decoder_from == decoder.UPSTREAM else None)
    )


def identify(p: Finetune) -> str:
    """sha256 of all that determines the result: parameters, upstream, data, subset and code."""
    resolved = upstream.resolve(p)
    handed = decoder.of(p, resolved)
    p = decoder.settle(upstream.settle(p, resolved), handed)
    more = [handed.sha256] if handed else []
    return upstream.identify(p, resolved, lambda data: _subset(p, data).sha256, *more)


def run(p: Finetune, run: session.Run) -> None:
    """Fine-tune, validate, test, and register the model and its encoder."""
    started = time.perf_counter()
    start = upstream.begin(p, run)
    net, carried, progress = train(start)
    _finish(start, net, progress.best, carried)
    run.log({names.SECONDS: time.perf_counter() - started}, p.steps)


def train(start: Start[Finetune], report: Report | None = None) -> tuple[nn.Module, State, curves.Progress]:
    """All but the test, and without reading a test slice: what settings are compared by.

    Args:
        report: called with step and mean foreground IoU after every validation; what it raises ends it all.

    Returns:
        The network as it is after the last step, the head tensors it has no place for, and the curve.
    """
    p, run, data = start.p, start.run, start.data
    manifest = _subset(p, data)
    _describe(start, manifest)
    leaks.copies(run, data, allow=p.allow_transductive)
    leaks.gate(run, start.source.resolved, data, allow=p.allow_transductive)
    net, carried = _network(start)
    rows = np.asarray(manifest.rows)
    upstream.examine(start, rows, labelled=True)
    net, progress = _fit(start, net, rows, report)
    data.store.check_read()
    return net, carried, progress


def _subset(p: Finetune, data: Inputs) -> Manifest:
    index = data.store.index
    if not len(data.labelled["train"]):
        held = ", ".join(f"{len(data.labelled[side])} in {side}" for side in ("train", "val", "test"))
        raise DataError(
            f"{p.data_root or p.dataset}: wanted annotated slices of train patients, got none: dataset={p.dataset} read "
            f"{index['volume'].nunique()} volumes of {index['patient'].nunique()} patients there, and annotated slices "
            f"are {held} (split={p.split}). docs/reference/data.md says how masks are found, -e prepare lists every file"
        )
    index = index.iloc[data.labelled["train"]]
    return subsets.draw(index, p.budget, p.budget_unit, p.subset, p.seed)


def _describe(start: Start[Finetune], manifest: Manifest) -> None:
    """Everything about the run that is known before its first step."""
    start.enter()
    p, run, data = start.p, start.run, start.data
    if p.decoder_from == decoder.UPSTREAM:
        run.tag(names.TAG_DECODER, p.decoder_from)
    hops = lineage.walk(run.id)
    pipeline = lineage.pipeline(hops, p.dataset, pipelines.variants_of(p))
    patients = data.store.index["patient"].to_numpy()[list(manifest.rows)]
    run.tags(
        {
            names.TAG_SUBSET: manifest.sha256,
            names.TAG_SUBSET_KIND: manifest.kind,
            names.TAG_LINEAGE: lineage.text(hops),
            names.TAG_PIPELINE: pipeline,
        }
    )
    run.params({"slices": len(manifest.rows), "patients": len(set(patients))} | _beside(p, data, manifest))
    used = len(manifest.rows) if p.budget_unit == "slice" else len(set(patients))
    run.by({names.BY_PIPELINE: pipeline, names.BY_BUDGET: used, names.BY_SEED: p.seed})
    if run.stage == names.FINETUNE:
        run.rename(titles.finetuning(p, pipeline))
    run.text(subsets.to_csv(manifest, data.store.index), "subset.csv")


def _beside(p: Finetune, data: Inputs, manifest: Manifest) -> dict[str, int]:
    """What a run learns from without masks, as logged."""
    if p.semi == "none":
        return {}
    rows = training_set.beside(data, manifest.rows)
    patients = data.store.index["patient"].to_numpy()[rows]
    return {"unlabelled_slices": len(rows), "unlabelled_patients": len(set(patients))}


def _network(start: Start[Finetune]) -> tuple[nn.Module, State]:
    """The U-Net, proven to hold the upstream's encoder; and the head tensors it has no place for."""
    p, source, data = start.p, start.source, start.data
    classes, channels = len(data.store.classes), data.store.channels
    handed = decoder.of(p, source.resolved)
    if source.resolved is None:
        net, carried = unet.scratch(source.architecture, channels, classes, p.decoder, seed=p.seed)
    else:
        net, carried = unet.build(
            source.state, source.config, classes=classes, decoder_channels=p.decoder, seed=p.seed
        )
        unet.check_canary(source.state, source.config, net, carried)
    if handed:
        state = segmenter.read_decoder(handed.file, source.architecture, channels, handed.channels)
        net.decoder.load_state_dict(state, strict=True)
    sizes.check(
        net, source.architecture, channels, [(p.image_size, p.image_size), *training_set.extremes(data.store)]
    )
    return net, carried


def _fit(
    start: Start[Finetune], net: nn.Module, rows: np.ndarray, report: Report | None
) -> tuple[nn.Module, curves.Progress]:
    """Run the loop; returns the network to be used and its validation curve, with the best network.

    It is chosen by the masks of val alone, with unlabelled slices as without; these are train slices.
    """
    p, run, data, folder = start.p, start.run, start.data, start.checkpoints
    device = devices.of(p)
    fixed = curves.spread(data.labelled["val"], p.val_slices)
    held = segmentation.prepare(data.store, fixed, data.intensity, device=device)
    training = loop.finetuning(net, p, device=device)
    net = training.modules.get("teacher", net)
    progress = curves.Progress.start(folder, training, run)

    def validate(step: int) -> None:
        found = segmentation.evaluate(net, held, data.store.classes, absent=p.absent, device=device)
        run.log({f"val/{key}": value for key, value in found.summary.items()}, step)
        progress.note(step, found.summary["iou"], net)
        if report:
            report(step, found.summary["iou"])

    there = render_device.place(data.store, device, labels=True)
    ranges = training_set.view_ranges(p)
    others = training_set.beside(data, rows) if p.semi != "none" else rows[:0]
    shades = unimatch.shades(ranges) if p.semi == "unimatch" else (ranges, ranges)

    def batch_at(step: int) -> batches.FinetuneBatch:
        at = {"seed": p.seed, "step": step, "batch_size": p.batch_size}
        batch = batches.finetune_batch(there, rows, ranges, data.intensity, **at)
        if p.semi != "none":
            beside = batches.unlabelled_views(there, others, shades, data.intensity, **at)
            batch = batch._replace(unlabelled=beside)
        return batch._replace(progress=step / p.steps)

    if training.done == 0:
        validate(0)
    save = functools.partial(progress.save, folder, training, run)
    for step, metrics in curves.followed(start, training, batch_at, "fine-tuning", save):
        run.log(metrics, step)
        if step % p.eval_every == 0 or step == p.steps:
            validate(step)
    run.log(progress.summary(), p.steps)
    return net, progress


def _finish(start: Start[Finetune], net: nn.Module, best: curves.Best, carried: State) -> None:
    """Test the last and the best network, once if they are one; register the best and its encoder."""
    p, run, data, device = start.p, start.run, start.data, devices.of(start.p)

    def test() -> segmentation.Evaluation:
        rows, shown = data.labelled["test"], set(results.fixed(data))
        held = segmentation.lazily(data.store, rows, data.intensity, batch_size=p.batch_size, device=device)
        return segmentation.evaluate(
            net, held, data.store.classes, absent=p.absent, device=device, keep=shown
        )

    tested = test()
    run.log({f"test_last/{k}": v for k, v in tested.summary.items()}, p.steps)
    if best.step != p.steps:
        net.load_state_dict(best.state)
        tested = test()
    run.log({f"test/{k}": v for k, v in tested.summary.items()}, p.steps)
    results.log(run, tested, data, net, device)
    data.store.check_read()
    _register(start, net, carried, best.step, tested.summary)


def _register(
    start: Start[Finetune], net: nn.Module, carried: State, step: int, summary: dict[str, float]
) -> None:
    p, run, data, architecture = start.p, start.run, start.data, start.source.architecture
    annotated, hops, name = _subset(p, data).rows, lineage.walk(run.id), f"unet-{architecture}"
    seen = np.union1d(annotated, data.labelled["val"])  # val has chosen the network
    if p.semi != "none":
        seen = np.union1d(seen, training_set.beside(data, annotated))
    common: dict[str, Any] = {
        "method": "supervised", "step": step, "role": names.ROLE_FINE_TUNED, "metrics": SHOWN,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "segmenter"
        sha = segmenter.save(
            net, folder, architecture=architecture, channels=data.store.channels, classes=data.store.classes,
            decoder_channels=p.decoder, normalisation=data.intensity, spacing=data.store.spacing,
            extra={"run_id": run.id, **likeness.facts(data.store)},
        )  # fmt: skip
        leaks.write(folder, run, start.source.resolved, data, seen)
        card = cards.segmenter(start, hops, summary)
        resolve.log_segmenter(
            run, folder, name=name, card=card, sha256=sha, **handed_on.known(start, hops), **common
        )
    state = unet.encoder_state(net, carried)
    handed_on.log(start, state, hops, seen, "finetuned-encoder", **common)
    endings.finetuned(run.id, name, p.dataset, summary)
