"""What a segmentation is worth, slice by slice, on whole slices.

Slices are padded to multiples of 32 with the normalised zero, their labels with 255, so that the
padding is in no count. On a CUDA device, where a library plans each layer anew for every size it meets, the slices of a
dataset are padded to two sizes at most. Everything comes from one confusion matrix per slice (`pixels.py`).
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from sslseg.config.names import DataError
from sslseg.data.slices.intensity import Intensity
from sslseg.data.slices.slice_store import Rows, Slices
from sslseg.data.views.render import MULTIPLE, whole
from sslseg.models.modes import evaluating
from sslseg.scoring.pixels import confusion, dice, iou, mean, per_volume
from sslseg.training import losses
from sslseg.training.losses import IGNORE

COLUMNS = ("volume", "patient", "frame", "phase", "z")  # of the store's index, kept in the tables
Sizes = tuple[tuple[int, int], ...]
BATCH = 16  # slices per forward pass; a result may depend on it in the last digits only


# ---------------------------------------------------------------- whole slices
class WholeBatch(NamedTuple):
    """`images` float32 [B, C, H32, W32]; `labels` uint8 [B, H32, W32], padding 255; `place` [B]."""

    images: Tensor
    labels: Tensor
    place: np.ndarray  # position of each slice in the rows asked for


@dataclass(frozen=True)
class Whole:
    """Slices to evaluate: `batches` of equal padded size, and `table` (one entry a row, in row order)."""

    batches: Iterable[WholeBatch]
    table: dict[str, np.ndarray]


def sizes_of(slices: Slices) -> Sizes:
    """One or two padded sizes (height, width) for all annotated slices of a store, smallest first: the fewest pixels.

    Every slice fits into the last.
    """
    index = slices.index[slices.index["labelled"]]
    sides = np.stack([-(-index[c].to_numpy() // MULTIPLE) * MULTIPLE for c in ("height", "width")], 1)
    largest, found = sides.max(0), np.unique(sides, axis=0)
    heights, widths = (np.unique(found[:, axis])[::-1] for axis in (0, 1))

    def pixels(corner: tuple[int, int]) -> int:
        fitting = (sides <= corner).all(1).sum()
        return fitting * corner[0] * corner[1] + (len(sides) - fitting) * largest.prod()

    small = min(((h, w) for h in heights for w in widths), key=pixels)  # of equals the largest
    return tuple(dict.fromkeys((int(h), int(w)) for h, w in (small, largest)))


def _batches(
    slices: Slices,
    rows: np.ndarray,
    intensity: Intensity,
    batch_size: int,
    device: torch.device | str,
    sizes: Sizes,
) -> Iterator[WholeBatch]:
    own = np.stack([slices.index[c].to_numpy()[rows] for c in ("height", "width")], 1)
    sides = -(-own // MULTIPLE) * MULTIPLE
    for size in reversed(sizes):
        sides[(own <= size).all(1)] = size
    height, width = sides.T
    place = np.lexsort((width, height))
    edges = np.flatnonzero(np.diff(height[place]) | np.diff(width[place])) + 1
    for group in np.split(place, edges):
        for start in range(0, len(group), batch_size):
            chosen = group[start : start + batch_size]
            size = tuple(sides[chosen[0]].tolist())
            pairs = [_padded(slices, int(row), intensity, size) for row in rows[chosen]]
            stacks = (torch.from_numpy(np.stack(part)) for part in zip(*pairs, strict=True))
            images, labels = (stack.to(device) for stack in stacks)
            yield WholeBatch(images, labels, chosen)


def _padded(
    slices: Slices, row: int, intensity: Intensity, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    image, (height, width) = whole(slices, row, intensity, size)
    truth = slices.label(row)
    wrong = (truth >= len(slices.classes)) & (truth != IGNORE)
    if wrong.any():
        raise DataError(
            f"slice {row}: wanted labels 0..{len(slices.classes) - 1} or {IGNORE}, got {truth[wrong].max()}"
        )
    label = np.full(image.shape[1:], IGNORE, np.uint8)
    label[:height, :width] = truth
    return image, label


def lazily(
    slices: Slices,
    rows: Rows,
    intensity: Intensity,
    *,
    batch_size: int = BATCH,
    device: torch.device | str = "cpu",
) -> Whole:
    """`rows` padded and normalised as they are asked for, once: a test set.

    Raises:
        DataError: no rows; and, as they are asked for, a row without a label, or a label that is no class.
    """
    chosen = np.asarray(rows, np.int64)
    if not len(chosen):
        raise DataError("wanted annotated slices to evaluate on, got none: look at the split")
    table = {"row": chosen} | {c: slices.index[c].to_numpy()[chosen] for c in COLUMNS}
    sizes = sizes_of(slices) if torch.device(device).type == "cuda" else ()
    return Whole(_batches(slices, chosen, intensity, batch_size, device, sizes), table)


def prepare(slices: Slices, rows: Rows, intensity: Intensity, **how: Any) -> Whole:
    """The same, kept on the device for many evaluations: a validation set."""
    held = lazily(slices, rows, intensity, **how)
    return Whole(tuple(held.batches), held.table)


# ---------------------------------------------------------------- evaluation
@dataclass(frozen=True)
class Evaluation:
    """What a network is worth."""

    # row, volume, patient, frame, phase, z, jaccard_loss and, for every class with the background, iou/<class> and
    # dice/<class>; in the order of the rows
    per_slice: dict[str, np.ndarray]
    per_volume: dict[str, np.ndarray]  # see `pixels.per_volume`
    # iou, iou/<class>, dice/<class>, jaccard_loss, patient_iou/<class>, patient_dice/<class>; foreground classes only.
    # A class that is nowhere to be scored has no entry; `iou`, the mean of iou/<class>, is NaN when none has
    summary: dict[str, float]
    counts: np.ndarray  # int64 [N, K, K], one confusion matrix per slice
    # row -> uint8 [H32, W32], what was predicted where masks were asked for, padding and all
    masks: dict[int, np.ndarray] = field(default_factory=dict)


def evaluate(
    unet: nn.Module, held: Whole, classes: Sequence[str], *, absent: str = "exclude", device: torch.device | str = "cpu",
    keep: Collection[int] = (),
) -> Evaluation:  # fmt: skip
    """Score `unet` on whole annotated slices, in float32, eval mode; its modes are put back.

    Args:
        classes: names, background first.
        absent: see `iou`; volumes always exclude.
        keep: rows whose predicted masks are handed out too.

    Raises:
        DataError: see `lazily`.
    """
    place, counts, loss, masks = [], [], [], {}
    with evaluating(unet):
        for batch in held.batches:
            logits, truth = unet(batch.images.to(device)), batch.labels.to(device)
            predicted = logits.argmax(1)
            counts.append(confusion(truth, predicted, len(classes)))
            loss.append(losses.jaccard_per_slice(logits, truth))
            place.append(batch.place)
            for row, mask in zip(held.table["row"][batch.place].tolist(), predicted, strict=True):
                if row in keep:
                    masks[row] = mask.to(torch.uint8).cpu().numpy()
    back = np.argsort(np.concatenate(place))
    total = torch.cat(counts).cpu().numpy()[back]
    lost = torch.cat(loss).double().cpu().numpy()[back]
    return replace(_evaluation(held.table, total, lost, classes, absent), masks=masks)


def _evaluation(
    table: dict[str, np.ndarray], counts: np.ndarray, loss: np.ndarray, classes: Sequence[str], absent: str
) -> Evaluation:
    scores = {"iou": iou(counts, absent), "dice": dice(counts, absent)}
    columns = {f"{s}/{name}": v[:, k] for s, v in scores.items() for k, name in enumerate(classes)}
    per_slice = table | {"jaccard_loss": loss} | columns
    volumes = per_volume(table, counts, classes)
    foreground = [f"{s}/{name}" for s in scores for name in classes[1:]]
    summary = {key: mean(per_slice[key]) for key in foreground}
    summary |= {f"patient_{key}": mean(volumes[key]) for key in foreground}
    summary = {key: value for key, value in summary.items() if not np.isnan(value)}
    summary["iou"] = mean(np.array([summary.get(f"iou/{name}", np.nan) for name in classes[1:]]))
    return Evaluation(per_slice, volumes, summary | {"jaccard_loss": float(loss.mean())}, counts)


def predict_whole(
    unet: nn.Module, slices: Slices, row: int, intensity: Intensity, *, device: torch.device | str = "cpu"
) -> np.ndarray:
    """The class of every pixel of one slice, uint8 [H, W]."""
    image, (height, width) = whole(slices, row, intensity)
    with evaluating(unet):
        logits = unet(torch.from_numpy(image)[None].to(device))
    return logits.argmax(1)[0, :height, :width].to(torch.uint8).cpu().numpy()
