"""What a stage with an upstream begins with: its encoder, proven to have arrived or drawn afresh on purpose, and its data."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from torch import nn

from sslseg.config import caches, flags, names, params, plugins
from sslseg.config.wanted import Wanted
from sslseg.data import outside, training_set
from sslseg.data.training_set import Inputs
from sslseg.data.views import probe
from sslseg.models import encoder
from sslseg.stages.intake import inputs, likeness
from sslseg.tracking import identity, lineage
from sslseg.tracking.registry import resolve as registry_resolve
from sslseg.tracking.registry import stored
from sslseg.tracking.registry.resolve import Resolved
from sslseg.tracking.runs import Run
from sslseg.training import devices

T = TypeVar("T", params.Pretrain, params.Finetune)
Starting = params.Pretrain | params.Finetune | params.Probe | params.Worklist  # the stages with an upstream
S = TypeVar("S", bound=Starting)


@dataclass(frozen=True)
class Upstream:
    """The encoder a stage starts from."""

    resolved: Resolved | None  # None: scratch, whose state and config are empty
    state: encoder.State
    config: dict[str, Any]
    architecture: str
    summed: bool = False  # its first layer, made for RGB, was summed to read grey slices

    def network(self, channels: int, seed: int) -> nn.Module:
        """The encoder with its weights; without an upstream, of so many channels and drawn from the seed."""
        if self.resolved is None:
            return encoder.build(self.architecture, channels, seed)
        return encoder.from_state(self.state, self.config)

    @property
    def sha256(self) -> str:
        """sha256 of the upstream's weights; `scratch` without one."""
        return self.resolved.sha256 if self.resolved else names.SCRATCH

    @property
    def normalisation(self) -> dict | None:
        """How the inputs of the upstream were normalised; None for scratch."""
        return self.config["pretrained_cfg"] if self.config else None


@dataclass(frozen=True)
class Start(Generic[S]):
    """All that a stage with an upstream begins with."""

    p: S
    run: Run
    source: Upstream
    data: Inputs

    @property
    def checkpoints(self) -> Path:
        """Folder of the run's checkpoints."""
        return caches.checkpoint_folder(self.p.cache, self.run.id)

    def network(self, channels: int | None = None) -> nn.Module:
        """The encoder, for images of so many channels; None = of the data's."""
        return self.source.network(channels or self.data.store.channels, self.p.seed)

    def enter(self) -> None:
        """Write on the run which encoder and data it starts from, and whether these are like the encoder's own.

        The encoder is a model input of MLflow's, too.
        """
        if model := self.source.resolved:
            summed = {names.TAG_SUMMED: str(outside.RGB)} if self.source.summed else {}
            self.run.tags(model.upstream_tags | summed)
            self.run.input_model(model.model_id)
        else:
            self.run.tags({names.TAG_UPSTREAM_RUN: names.SCRATCH, names.TAG_UPSTREAM_SHA: names.SCRATCH})
        likeness.check(self.run, self.source, self.data.store)
        inputs.record(self.p, self.data, self.run)


def resolve(p: Starting) -> Resolved | None:
    """The upstream model of `p.encoder`, or None for scratch. Reads no weights.

    Raises:
        EncoderError: unknown, ambiguous, failed or damaged.
    """
    if p.encoder == names.SCRATCH:
        return None
    return registry_resolve.resolve(
        p.encoder, role=p.encoder_role, epoch=p.encoder_epoch, kind=names.KIND_ENCODER, cache=p.cache
    )


def settle(p: T, resolved: Resolved | None) -> T:
    """The parameters with the architecture that the upstream brings: what is logged, and in the identity.

    Raises:
        EncoderError: another one was asked for, neither the preset's nor the upstream's.
    """
    if resolved is None:
        return p
    theirs = resolved.tags[names.MODEL_ARCHITECTURE]
    usual = flags.usual(p, "architecture")
    if p.architecture not in (usual, theirs):
        raise names.EncoderError(
            f"run {resolved.run_id}: its encoder is a {theirs}, architecture={p.architecture} was asked for; "
            "leave architecture out, it is only read for encoder=scratch"
        )
    return dataclasses.replace(p, architecture=theirs)


def fill(p: T) -> T:
    """A hook of `launch` for the stages that have an upstream."""
    return settle(devices.fill(p), resolve(p))


def identify(
    p: params.Pretrain | params.Finetune, resolved: Resolved | None, subset: Callable[[Inputs], str], *more: str, method: str = ""
) -> str:  # fmt: skip
    """sha256 of all that determines the result: parameters, method, upstream, data, subset and code.

    Of the upstream its weights and the lineage they come by: an encoder kept before the first step has its own
    upstream's weights, and yet another lineage.

    Args:
        more: digests of what else is taken over.
    """
    data = training_set.load(p, registry_resolve.normalisation(resolved) if p.norm == "encoder" else None)
    handed = f"{resolved.sha256} {resolved.tags.get(names.MODEL_LINEAGE, '')}" if resolved else names.SCRATCH
    files = [plugins.path("datasets", p.dataset)] + ([plugins.path("methods", method)] if method else [])
    stage = names.PRETRAIN if method else names.FINETUNE
    return identity.of(
        p, upstream_sha=" ".join([handed, *more]), data=data.store.digest, subset=subset(data), numerics=devices.numerics(p),
        code=identity.code_digest(f"sslseg.stages.{stage}", *files),
    )  # fmt: skip


def fetch(p: Starting, wanted: Wanted | None = None) -> Upstream:
    """Resolve and read the weights, for the channels of the data; their sha256 and their ancestors' are checked.

    The first layer of an encoder of RGB pictures is summed for grey slices, which it then sees as it saw their
    replicas in three channels.

    Args:
        wanted: what the method of a pretraining asks for, which may read less of the data.

    Raises:
        EncoderError: see `resolve` and `stored.check`; or its tensors are not those of its network; or it cannot be
            fed with these data.
    """
    resolved = resolve(p)
    if resolved is None:
        return Upstream(None, {}, {}, "" if isinstance(p, params.Worklist) else p.architecture)
    ancestry(resolved, p.cache)
    try:
        state, config = encoder.read_state(resolved.path)
    except names.EncoderError as error:
        raise names.EncoderError(f"run {resolved.run_id}: {error}") from None
    channels, theirs = training_set.store(p).channels, encoder.channels_of(config)
    channels = wanted.reads(channels) if wanted else channels
    if fault := outside.misfit(theirs, channels, config.get("sslseg", {}).get("channel_names") or ()):
        raise names.EncoderError(f"run {resolved.run_id}: {fault}")
    state, config = encoder.adapt(state, config, channels)
    return Upstream(resolved, state, config, config["architecture"], summed=theirs != channels)


def begin(p: S, run: Run, wanted: Wanted | None = None) -> Start[S]:
    """The encoder and the data that a stage starts from, on the device that it runs on; see `fetch`."""
    devices.use(p)
    source = fetch(p, wanted)
    return Start(p, run, source, training_set.load(p, source.normalisation))


def ancestry(resolved: Resolved, cache: str) -> list[lineage.Hop]:
    """The lineage of a model whose own digest was checked, with the digests of all it comes from checked too.

    Raises:
        EncoderError: see `stored.check`.
    """
    hops = lineage.walk(resolved.run_id, model_id=resolved.model_id)
    for gone in stored.check(hops[:-1], cache):
        print(
            f"warning: run {gone.run_id}: its weights are no longer in the store, or cannot be reached: not checked"
        )
    return hops


def examine(
    start: Start[params.Pretrain] | Start[params.Finetune], rows: np.ndarray, *, labelled: bool
) -> None:
    """Probe the input before the first step and log it; stop the run, or warn, when it is damaged.

    Raises:
        ProbeError: the input suffers one of the flaws F1 to F3 and the knob `probe` is "stop".
    """
    p, run, data = start.p, start.run, start.data
    ranges = training_set.view_ranges(p)
    metrics = probe.examine(data.store, rows, ranges, data.intensity, seed=p.seed, labelled=labelled)
    run.log(metrics, 0)
    faults = probe.verdict(metrics)
    if faults and p.probe == "stop":
        raise names.ProbeError("the network's input is damaged: " + "; ".join(faults))
    for fault in faults:
        print(f"warning: {fault}")
    if faults:
        run.tag(names.TAG_PROBE, "; ".join(faults))
