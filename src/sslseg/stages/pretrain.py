"""Self-supervised pretraining: any method on any dataset, one encoder per kept epoch."""

import time

import numpy as np
import torch

from sslseg.config import names, plugins
from sslseg.config.params import Pretrain
from sslseg.data import outside, streams, training_set
from sslseg.data.slices.intensity import UNIT
from sslseg.data.views import batches, colour, render_device
from sslseg.models import audit, canary, sizes
from sslseg.models import encoder as encoders
from sslseg.plans import titles
from sslseg.stages.intake import leaks, upstream
from sslseg.stages.intake.upstream import Start, Upstream, fill  # noqa: F401 fill is a hook of `launch`
from sslseg.stages.outcome import curves, endings, handed_on
from sslseg.stages.probe import features
from sslseg.tracking import lineage, session
from sslseg.training import checkpoint, contract, devices, loop, optim, vitals

VITAL_SLICES = 64  # fixed slices that the encoder's vital signs are read on


def method_of(p: Pretrain) -> str:
    """The method a parameter object belongs to: the name of the file that declares its class."""
    return type(p).__module__.rpartition(".")[2]


def identify(p: Pretrain) -> str:
    """sha256 of all that determines the result: parameters, method, upstream, data and code."""
    resolved, method = upstream.resolve(p), method_of(p)
    return upstream.identify(upstream.settle(p, resolved), resolved, lambda data: method, method=method)


def run(p: Pretrain, run: session.Run, *, register: bool = True) -> None:
    """Pretrain, keep an encoder at the epochs asked for, and register it.

    Args:
        register: False logs the encoders without new versions in the registry (trials of a tuning).
    """
    started = time.perf_counter()
    make = plugins.load("methods", method_of(p)).Method
    wanted = make.wanted(p)
    start = upstream.begin(p, run, wanted)
    data = start.data
    rows = training_set.share(data.rows["train"], p.fraction, p.seed)
    if fault := outside.unsuited(method_of(p), wanted, data.store, rows):
        raise names.DataError(f"{p.dataset}: {fault}")
    if p.probe_every and wanted.grey:
        raise names.ParamError(
            f"probe_every: {method_of(p)} makes an encoder of grey images out of colours, which cannot be looked at with it; "
            "probe it on grey slices, with -e probe"
        )
    _describe(start, rows)
    leaks.copies(run, data, across=True)
    method = make(_encoder(start, wanted.reads(data.store.channels)), p, seed=p.seed)
    _check_arrival(start.source, method)
    upstream.examine(start, rows, labelled=False)
    _train(start, method, rows, register)
    run.log({names.SECONDS: time.perf_counter() - started}, p.steps)
    endings.pretrained(p, run.id, f"encoder-{start.source.architecture}", len(data.labelled["train"]))


def _describe(start: Start[Pretrain], rows: np.ndarray) -> None:
    start.enter()
    p, run = start.p, start.run
    leaks.note(run, leaks.ancestry(start.source.resolved))
    run.tag(names.TAG_METHOD, method_of(p))
    hops = lineage.walk(run.id)
    run.tag(names.TAG_LINEAGE, lineage.text(hops))
    run.by({names.BY_PIPELINE: lineage.label(hops), names.BY_SEED: p.seed})
    run.rename(titles.title(lineage.label(hops), f"s{p.seed}", behind=run.stage))
    epochs = optim.epochs_of_steps(p.steps, len(rows), p.batch_size)
    run.params({"slices": len(rows), "epochs": round(epochs, 3)})


def _encoder(start: Start[Pretrain], channels: int) -> torch.nn.Module:
    """The encoder of images of so many channels, bit-equal to its upstream, or fresh from the initialisation stream."""
    p, source, encoder = start.p, start.source, start.network(channels)
    if source.resolved:
        audit.check_equal(source.state, encoder.state_dict(), f"run {source.resolved.run_id}")
    sizes.check(encoder, source.architecture, channels, [(p.image_size, p.image_size)])
    return encoder


def _check_arrival(source: Upstream, method: contract.Method) -> None:
    """Prove that every network which the method would hand on begins as the upstream: its features, before a step.

    Raises:
        EncoderError: they differ.
    """
    if source.resolved is None:
        return
    donor, channels = encoders.from_state(source.state, source.config), encoders.channels_of(source.config)
    for role, encoder in contract.exports(method).items():
        context = f"run {source.resolved.run_id}, {role} of {type(method).__module__.rpartition('.')[2]}"
        canary.same_features(donor, encoder, channels, context=context)


def _train(start: Start[Pretrain], method: contract.Method, rows: np.ndarray, register: bool) -> None:
    p, run, source, data, folder = start.p, start.run, start.source, start.data, start.checkpoints
    kept = optim.kept_steps(p, len(rows))
    training = loop.pretraining(method, p, device=devices.of(p))
    saved = checkpoint.latest(folder, warn=print)
    if saved:
        training.restore(saved.tensors)
        run.tag(names.TAG_RESUMED_AT, str(training.done))

    there = render_device.place(data.store, training.device)
    wanted = method.wanted(p)
    memory = batches.memory(p.batch_size, data.store.channels, wanted.sizes(p.image_size))
    known = batches.places(data.store) if wanted.places else None

    def batch_at(step: int) -> batches.PretrainBatch:
        return batches.pretrain_batch(
            there, rows, training_set.view_ranges(p), data.intensity, out=memory[step % len(memory)],
            seed=p.seed, step=step, batch_size=p.batch_size, wanted=wanted, known=known, steps=p.steps,
        )  # fmt: skip

    parent = None
    if p.probe_every and source.resolved:  # the encoder as it came
        parent = encoders.from_state(source.state, source.config).to(training.device)

    def look(step: int) -> None:
        if p.probe_every and (step % p.probe_every == 0 or step == p.steps):
            encoder = contract.exports(method)[contract.role(method)]
            run.log(features.measure(encoder, p, data, parent, run.beat), step)
        if step in kept:
            _keep(start, method, step, kept[step], rows, register)

    def save() -> None:
        checkpoint.save(folder, training.done, training.state(), {})

    if training.done == 0:
        look(0)
    for step, metrics in curves.followed(start, training, batch_at, "pretraining", save):
        if metrics:
            epoch = optim.epochs_of_steps(step, len(rows), p.batch_size)
            run.log(metrics | {"train/epoch": epoch, "train/images_seen": step * p.batch_size}, step)
        look(step)


def _vitals(
    start: Start[Pretrain], encoder: torch.nn.Module, grey: bool, rows: np.ndarray
) -> dict[str, float]:
    """Vital signs of the encoder on fixed slices: no label is read."""
    p, data = start.p, start.data
    fixed = np.sort(streams.stream(0, "vitals").permutation(rows)[:VITAL_SLICES])
    intensity = UNIT if grey else data.intensity
    images = torch.from_numpy(batches.whole_batch(data.store, fixed, intensity, p.image_size))
    images = images.to(devices.of(p))
    return vitals.of_encoder(encoder, colour.lightness(images) if grey else images)


def _keep(
    start: Start[Pretrain],
    method: contract.Method,
    step: int,
    epoch: int | None,
    rows: np.ndarray,
    register: bool,
) -> None:
    """Export, log and register every network of the method as it is after `step` steps."""
    p, run = start.p, start.run
    start.data.store.check_read()
    hops, grey, first = lineage.walk(run.id, epoch=epoch), method.wanted(p).grey, contract.role(method)
    for role, encoder in contract.exports(method).items():
        signs = _vitals(start, encoder, grey, rows)
        collapsed = vitals.collapsed(signs)
        told = {**signs, "collapsed": float(collapsed)}
        run.log({f"vitals/{role}/{k}": v for k, v in told.items()}, step)
        if role == first:
            run.tag(names.TAG_COLLAPSED, str(collapsed).lower())
            if collapsed:
                endings.tell(
                    f"WARNING: after {step} steps the encoder has collapsed: its features differ no longer, "
                    "or in next to no direction "
                    f"(effective rank {signs['effective_rank']:.1f}, spread {signs['spread']:.3f})"
                )
        handed_on.log(
            start, encoder.state_dict(), hops, rows, "encoder", role=role, method=method_of(p), epoch=epoch, step=step,
            decoder=contract.decoder(method) if role == first else None, grey=grey, signs=signs,
            register=register and role == first, promote=not collapsed and step == p.steps,
            metrics=[f"vitals/{role}/{key}" for key in ("spread", "effective_rank")],
        )  # fmt: skip
