"""Which slices and which views a step sees; all of it computed from (seed, step).

Slices pass in one permutation per epoch, across batch borders, so every slice is seen equally often;
a set smaller than a batch is passed several times within it. Nothing is stored between steps.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np

from sslseg.config.names import DataError
from sslseg.config.wanted import PAIR, Crops, Wanted
from sslseg.data.slices.intensity import UNIT, Intensity
from sslseg.data.slices.slice_store import Rows, Slices
from sslseg.data.streams import stream
from sslseg.data.views import render
from sslseg.data.views.draw import ViewParams, ViewRanges, draw

if TYPE_CHECKING:
    from torch import Tensor

    from sslseg.data.views.render_device import DeviceSlices

T = TypeVar("T")
Pixels: TypeAlias = "np.ndarray | Tensor"
Store: TypeAlias = "Slices | DeviceSlices"
A = TypeVar("A", bound="Pixels")  # arrays from a slice store, tensors from its copy on a device
ONE = Wanted((Crops(1),))
AHEAD = 2  # batches that wait for the network


class Places(NamedTuple, Generic[A]):
    """Whose slices they are: int64 [N] codes of `patient`, `group` and `volume`; `height`: float32 [N], 0 to 1.

    `height` is where a slice lies in its volume: 0 the first, 1 the last, 0.5 where there is no other.
    """

    patient: A
    group: A
    volume: A
    height: A


class PretrainBatch(NamedTuple, Generic[A]):
    """What `Method.loss` gets, as tensors.

    `views`: one float32 [B, C, S, S] per view; `rows`: int64 [B], the batch's manifest; `boxes`: one float32
    [B, 5] per view, where the method wants them: top, left, height and width as shares of the slice, and 1 where
    it is mirrored; `places`: `Places` [B], likewise; `progress`: share of the training's steps that are over.
    """

    views: tuple[A, ...]
    rows: np.ndarray
    boxes: tuple[A, ...] = ()
    places: Places[A] | None = None
    progress: float = 0.0


class FinetuneBatch(NamedTuple, Generic[A]):
    """`images`: float32 [B, C, S, S]; `labels`: uint8 [B, S, S]; `rows`: int64 [B].

    `unlabelled`: views of the same places of other slices, float32 [B, C, S, S] each, where they are asked for;
    `progress`: share of the training's steps that are over.
    """

    images: A
    labels: A
    rows: np.ndarray
    unlabelled: tuple[A, ...] = ()
    progress: float = 0.0


def order(rows: Rows, *, seed: int, step: int, batch_size: int, name: str = "order") -> np.ndarray:
    """Rows [B] of step `step` (0 is the first): a piece of the endless sequence of permuted epochs.

    Args:
        name: of the stream of random numbers.

    Raises:
        DataError: `rows` is empty.
    """
    all_rows = np.asarray(rows, np.int64)
    if not len(all_rows):
        raise DataError("wanted slices to train on, got none: look at the split and the subset manifest")
    place = np.arange(step * batch_size, (step + 1) * batch_size)
    epoch, within = np.divmod(place, len(all_rows))
    out = np.empty(batch_size, np.int64)
    for e in range(epoch[0], epoch[-1] + 1):
        here = epoch == e
        out[here] = all_rows[stream(seed, name, e).permutation(len(all_rows))[within[here]]]
    return out


def _sides(slices: Store, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Height and width of the slices `rows` [B], [B] each."""
    return slices.index["height"].to_numpy()[rows], slices.index["width"].to_numpy()[rows]


def draw_views(
    slices: Store, rows: np.ndarray, ranges: ViewRanges, *, seed: int, step: int, wanted: Wanted = PAIR
) -> list[ViewParams]:
    """The choices for every view of the batch `rows` at `step`."""
    rng = stream(seed, "views", step)
    height, width = _sides(slices, rows)
    drawn: list[ViewParams] = []
    for kind in wanted.kinds():
        one = draw(ranges.of_kind(kind), height, width, rng)
        drawn.append(one if kind.like is None else one.placed(drawn[kind.like]))
    return drawn


def memory(batch_size: int, channels: int, sizes: Sequence[int]) -> list[list[np.ndarray]]:
    """Arrays for `pretrain_batch(out=…)`, one list a batch: for steps in turn, in a loop over `prefetch`.

    They are as many as live at once: with the network, waiting, and in the making.

    Args:
        sizes: side of each view.
    """
    return [[np.empty((batch_size, channels, s, s), np.float32) for s in sizes] for _ in range(AHEAD + 2)]


def places(slices: Store) -> Places[np.ndarray]:
    """Of every slice of a store."""
    index = slices.index
    patient, group, code = (index[name].factorize(sort=True)[0] for name in ("patient", "group", "volume"))
    z, volume = index["z"].to_numpy(np.float32), index["volume"]
    low, high = (index.groupby(volume)["z"].transform(end).to_numpy(np.float32) for end in ("min", "max"))
    height = np.divide(z - low, high - low, out=np.full_like(z, 0.5), where=high > low)
    return Places(patient, group, code, height)


def pretrain_batch(
    slices: Store, rows: Rows, ranges: ViewRanges, intensity: Intensity, *,
    seed: int, step: int, batch_size: int, wanted: Wanted = PAIR, known: Places[np.ndarray] | None = None,
    steps: int = 0, out: Sequence[np.ndarray] | None = None,
) -> PretrainBatch[Pixels]:  # fmt: skip
    """The views of each slice of step `step` that a method wants, drawn one after the other.

    Args:
        slices: a slice store, or its copy on a device.
        known: `places` of the store, where the method wants them.
        steps: of the whole training, for `progress`; 0 = it is 0.
        out: one array per view to write to; saves what fresh memory costs. A device has memory of its own.
    """
    chosen = order(rows, seed=seed, step=step, batch_size=batch_size)
    drawn = draw_views(slices, chosen, ranges, seed=seed, step=step, wanted=wanted)
    boxes = tuple(_boxes(slices, chosen, p) for p in drawn) if wanted.boxes else ()
    there = Places(*(of[chosen] for of in known)) if known and wanted.places else None
    intensity = UNIT if wanted.grey else intensity
    make = _back_end(slices)
    targets: Sequence[dict[str, np.ndarray]] = [{"out": t} for t in out or () if make is render]
    given = zip(drawn, targets or [{}] * len(drawn), strict=True)
    views = tuple(make.render(slices, chosen, p, intensity, **target) for p, target in given)
    return PretrainBatch(views, chosen, boxes, there, step / steps if steps else 0.0)


def _back_end(slices: Store) -> ModuleType:
    """The module that makes views where the slices are."""
    if hasattr(slices, "codes_flat"):
        return render
    from sslseg.data.views import render_device  # beside torch

    return render_device


def _boxes(slices: Store, rows: np.ndarray, p: ViewParams) -> np.ndarray:
    height, width = _sides(slices, rows)
    box = (p.top / height, p.left / width, p.height / height, p.width / width, p.flip)
    return np.stack(box, 1).astype(np.float32)


def finetune_batch(
    slices: Store, rows: Rows, ranges: ViewRanges, intensity: Intensity, *,
    seed: int, step: int, batch_size: int,
) -> FinetuneBatch[Pixels]:  # fmt: skip
    """One view of each slice of step `step`, with its labels in the same geometry; `slices` as above."""
    chosen = order(rows, seed=seed, step=step, batch_size=batch_size)
    (p,) = draw_views(slices, chosen, ranges, seed=seed, step=step, wanted=ONE)
    make = _back_end(slices)
    images = make.render(slices, chosen, p, intensity)
    return FinetuneBatch(images, make.render_labels(slices, chosen, p), chosen)


def unlabelled_views(
    slices: Store, rows: Rows, shades: Sequence[ViewRanges], intensity: Intensity, *,
    seed: int, step: int, batch_size: int,
) -> tuple[Pixels, ...]:  # fmt: skip
    """A view of each slice of step `step` for each of `shades`, all of the first one's place; streams of their own."""
    chosen = order(rows, seed=seed, step=step, batch_size=batch_size, name="unlabelled order")
    rng = stream(seed, "unlabelled views", step)
    height, width = _sides(slices, chosen)
    first, *others = (draw(ranges, height, width, rng) for ranges in shades)
    drawn = (first, *(one.placed(first) for one in others))
    return tuple(_back_end(slices).render(slices, chosen, p, intensity) for p in drawn)


def whole_batch(slices: Slices, rows: Rows, intensity: Intensity, size: int) -> np.ndarray:
    """Whole slices squeezed to `size` x `size`, nothing drawn: float32 [B, C, S, S], for vital signs."""
    chosen = np.asarray(rows, np.int64)
    return render.render(slices, chosen, _whole(slices, chosen, size), intensity)


def whole_labels(slices: Slices, rows: Rows, size: int) -> np.ndarray:
    """The masks of `whole_batch`: uint8 [B, S, S]."""
    chosen = np.asarray(rows, np.int64)
    return render.render_labels(slices, chosen, _whole(slices, chosen, size))


def _whole(slices: Slices, rows: np.ndarray, size: int) -> ViewParams:
    zero, one = np.zeros(len(rows), np.int64), np.ones(len(rows))
    return ViewParams(zero, zero, *_sides(slices, rows), zero > 0, one, one, size)


_END = object()


def prefetch(items: Iterator[T], depth: int = AHEAD) -> Iterator[T]:
    """`items`, up to `depth` of them made ahead by one thread, which then makes another; same order, same exceptions.

    One thread is enough: cv2 and numpy release the interpreter. Worker processes cost more than they
    bring. The thread ends with the items, with an exception, or when the consumer stops.
    """
    pool = ThreadPoolExecutor(1, "sslseg-prefetch")
    try:
        ready: deque[Future[Any]] = deque(pool.submit(next, items, _END) for _ in range(depth + 1))
        while (item := ready.popleft().result()) is not _END:
            ready.append(pool.submit(next, items, _END))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)
