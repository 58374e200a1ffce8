"""Whether the cells of a sweep can work: what each would stop at, before the first step of any.

Torch is imported only for a network or a size that no preset has.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from sslseg.config import flags, names, params, plugins, references
from sslseg.config.names import DataError, EncoderError, ParamError, SslsegError
from sslseg.config.texts import some
from sslseg.data import outside, subsets, training_set
from sslseg.data.slices.slice_store import Slices
from sslseg.plans import refusals
from sslseg.plans.cells import Cell
from sslseg.plans.jobs import Context, Job
from sslseg.plans.refusals import SOME

BUNDLED = {references.BUNDLED: "tf_efficientnet_lite0"}  # models/importers/bundled.py, which imports torch
Trained = params.Pretrain | params.Finetune  # the stages that have a network to train
Rows = Mapping[str, np.ndarray]  # of each side of the division
SIZES = ("architecture", "image_size", "decoder")  # knobs that a network may not be able to take


@dataclass(frozen=True)
class Handed:
    """What a cell hands on: its encoder, as far as it is known before it is there."""

    architecture: str  # '' = only a file tells
    channels: int
    called: tuple[str, ...] = ()  # its channels, by name
    epochs: tuple[int, ...] = ()  # those it is kept at, beside the last


def check(cells: Iterable[Cell], context: Context) -> None:
    """Go through the grid, reading the data but training nothing.

    Args:
        cells: each after its upstream.
        context: `cache`, `threads` and `device` of the workers.

    Raises:
        ParamError: cells cannot work; a line for each reason, with the cells and the cure.
    """
    handed: dict[str, Handed] = {}
    faults: dict[str, list[str]] = {}
    tried: set[tuple] = set()
    cells = list(cells)
    for cell in cells:
        if cell.upstream and cell.upstream not in handed:
            continue  # the fault of its upstream is told
        try:
            handed[cell.name] = _try(cell, handed.get(cell.upstream), context, tried)
        except SslsegError as error:
            faults.setdefault(str(error), []).append(cell.name)
    if faults:
        lost = len(cells) - len(handed)
        lines = "\n".join(f"  {some(where)}: {reason}" for reason, where in faults.items())
        raise ParamError(f"{lost} of {len(cells)} cells cannot work, so none was started:\n{lines}")


def fitted(cells: list[Cell], context: Context) -> list[Cell]:
    """The cells, imports for the channels of the data that they are for: RGB where any of these is in colour."""
    wanted: dict[str, set[int]] = {}
    imports = {cell.name for cell in cells if cell.stage == names.IMPORT}
    for cell in cells:
        if cell.upstream in imports:
            wanted.setdefault(cell.upstream, set()).update(_channels(cell, context))
    return [
        replace(cell, texts=cell.texts | {"channels": str(max(wanted[cell.name]))})
        if max(wanted.get(cell.name, {1})) > 1 else cell
        for cell in cells
    ]  # fmt: skip


def _channels(cell: Cell, context: Context) -> Iterator[int]:
    try:
        p = Job(cell, SOME if cell.upstream else "", context).params()
        yield _reads(cell, p, training_set.store(p).channels)
    except SslsegError:  # `check` tells it
        yield 1


def _try(cell: Cell, before: Handed | None, context: Context, tried: set[tuple]) -> Handed:
    p = Job(cell, SOME if cell.upstream else "", context).params()
    if cell.stage == names.IMPORT:
        refusals.source(p)
        return Handed(imported(p), p.channels)
    store, rows, labelled = training_set.divided(p)
    channels, called = _reads(cell, p, store.channels), tuple(store.channel_names)
    if before and (fault := outside.misfit(before.channels, channels, before.called)):
        raise EncoderError(fault)
    architecture = _architecture(p, before)
    kept: tuple[int, ...] = ()
    if cell.stage == names.FINETUNE:
        _check_subset(p, store, rows, labelled)
        _check_epoch(p, before)
    else:
        share = training_set.share(rows["train"], p.fraction, p.seed)
        wanted = plugins.load("methods", cell.method).Method.wanted(p)
        if fault := outside.unsuited(cell.method, wanted, store, share):
            raise DataError(f"{p.dataset}: {fault}")
        kept = _kept(p, share)
    _check_network(cell, replace(p, architecture=architecture), store, channels, tried)
    return Handed(architecture, channels, called if channels == store.channels else (), kept)


def _reads(cell: Cell, p: Trained, channels: int) -> int:
    """How many channels the encoder of a stage reads of images that have so many."""
    return plugins.load("methods", cell.method).Method.wanted(p).reads(channels) if cell.method else channels


def imported(p: params.ImportEncoder) -> str:
    """timm name of what an import brings; '' where only the file tells."""
    scheme, _, rest = p.source.partition(":")
    known = {"timm": rest.partition(".")[0], "bundled": BUNDLED.get(rest, "")}
    return p.architecture or known.get(scheme, "")


def _architecture(p: Trained, before: Handed | None) -> str:
    """The network of a stage, as `upstream.settle` will find it.

    Raises:
        EncoderError: another one was asked for, neither the preset's nor the upstream's.
    """
    if before is None:
        return p.architecture
    usual = flags.usual(p, "architecture")
    if before.architecture and p.architecture not in (usual, before.architecture):
        raise EncoderError(
            f"its upstream's encoder is a {before.architecture}, architecture={p.architecture} was asked for; leave "
            "architecture out of finetune= and pretrain=, or leave out the pipelines with imported weights"
        )
    return before.architecture


def _check_subset(p: params.Finetune, store: Slices, rows: Rows, labelled: Rows) -> None:
    if not len(labelled["train"]):
        held = ", ".join(f"{len(labelled[side])} of {len(rows[side])} in {side}" for side in rows)
        raise DataError(
            f"it needs annotated slices of {p.dataset} ({p.data_root or 'built in'}), and there are {held}. "
            "docs/reference/data.md says how masks are found, -e prepare lists every file; annotate some, or leave out "
            f"the pipelines that learn from masks of {p.dataset}"
        )
    index = store.index.iloc[labelled["train"]]
    subsets.draw(index, p.budget, p.budget_unit, p.subset, p.seed)


def _check_epoch(p: params.Finetune, before: Handed | None) -> None:
    if before and p.encoder_epoch is not None and p.encoder_epoch not in before.epochs:
        raise EncoderError(
            f"encoder_epoch: its upstream keeps no encoder of epoch {p.encoder_epoch}, but of "
            f"{flags.to_text(before.epochs) or 'the last alone'}; encoder_epochs= of the sweep, or save_epochs in "
            "pretrain=, has them kept"
        )


def _kept(p: params.Pretrain, rows: np.ndarray) -> tuple[int, ...]:
    """Epochs that a pretraining keeps its encoder at.

    Raises:
        ParamError: one lies beyond its end.
    """
    if p.save_epochs or p.save_steps:
        from sslseg.training import optim

        optim.kept_steps(p, len(rows))
    return tuple(p.save_epochs)


def _check_network(cell: Cell, p: Trained, store: Slices, channels: int, tried: set[tuple]) -> None:
    """Build the network of a cell, unless its knobs are those of presets and its network was not imported.

    Raises:
        EncoderError, ParamError: it cannot be built, or cannot read images of the size.
    """
    table = flags.knobs(type(p))
    usual = all(getattr(p, k) in (table[k][1].presets or {}).values() for k in SIZES if k in table)
    key = (cell.stage, cell.method, store.path, *(getattr(p, k, None) for k in SIZES))
    if usual or not p.architecture or key in tried:
        return
    tried.add(key)
    from sslseg.models import encoder, sizes, unet

    if isinstance(p, params.Pretrain):
        net = encoder.build(p.architecture, channels, p.seed)
        sizes.check(net, p.architecture, channels, [(p.image_size, p.image_size)])
        plugins.load("methods", cell.method).Method(net, p, seed=p.seed)
        return
    net, _ = unet.scratch(p.architecture, store.channels, len(store.classes), p.decoder, seed=p.seed)
    shapes = [(p.image_size, p.image_size), *training_set.extremes(store)]
    sizes.check(net, p.architecture, store.channels, shapes)
