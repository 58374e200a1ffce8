"""Pixel counts, and the scores that follow from them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sslseg.training.losses import IGNORE


def confusion(truth: Tensor, prediction: Tensor, classes: int) -> Tensor:
    """Pixel counts int64 [B, K, K], true class by predicted class, without pixels of label 255.

    Args:
        truth: integer [B, H, W], 0..K-1 or 255; prediction: integer [B, H, W], 0..K-1.
    """
    cells = classes * classes
    first = torch.arange(len(truth), device=truth.device).view(-1, 1, 1) * cells
    cell = first + truth.long() * classes + prediction.long()
    spare = len(truth) * cells  # ignored pixels are counted there: no boolean indexing, no host sync
    cell = torch.where(truth == IGNORE, spare, cell)
    return torch.bincount(cell.flatten(), minlength=spare + 1)[:spare].view(-1, classes, classes)


def iou(counts: np.ndarray, absent: str = "exclude") -> np.ndarray:
    """Intersection over union of every class: [..., K, K] -> float64 [..., K].

    Args:
        absent: a class in neither truth nor prediction is NaN ("exclude") or 1 ("one", the
            original's absent_score, flaw F14).
    """
    hit = np.diagonal(counts, axis1=-2, axis2=-1)
    return _ratio(hit, counts.sum(-1) + counts.sum(-2) - hit, absent)


def dice(counts: np.ndarray, absent: str = "exclude") -> np.ndarray:
    """Dice coefficient of every class, as `iou`."""
    hit = np.diagonal(counts, axis1=-2, axis2=-1)
    return _ratio(2 * hit, counts.sum(-1) + counts.sum(-2), absent)


def _ratio(part: np.ndarray, whole: np.ndarray, absent: str) -> np.ndarray:
    if absent not in ("exclude", "one"):
        raise ValueError(f"absent: must be exclude or one; not {absent!r}")
    otherwise = np.full(part.shape, np.nan if absent == "exclude" else 1.0)
    return np.divide(part, whole, out=otherwise, where=whole > 0)


def mean(values: np.ndarray) -> float:
    """Mean of what is not NaN; NaN when nothing is."""
    values = np.asarray(values, float)
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if len(kept) else float("nan")


def per_volume(
    table: dict[str, np.ndarray], counts: np.ndarray, classes: Sequence[str]
) -> dict[str, np.ndarray]:
    """3D scores of every volume of `table`, from the summed counts of its slices: what a reader of the study means.

    A slice without the structure weighs nothing here, while a mean over slices excludes it or counts it as perfect.
    Policy: a structure that is neither in the truth nor in the prediction of a volume is NaN and left
    out of means; in one of the two only, it scores 0. Only the slices in `table` are summed, so a
    thinned validation set gives scores of the slices that are left.

    Args:
        table: volume, patient, frame and phase of N slices.
        counts: int64 [N, K, K].

    Returns:
        columns volume, patient, frame, phase, slices, iou/<class>, dice/<class> (foreground), in
        order of the volume's number.
    """
    volume, first, which = np.unique(table["volume"], return_index=True, return_inverse=True)
    total = np.zeros((len(volume), *counts.shape[1:]), np.int64)
    np.add.at(total, which, counts)
    columns = {"volume": volume} | {c: table[c][first] for c in ("patient", "frame", "phase")}
    columns["slices"] = np.bincount(which)
    for name, score in (("iou", iou(total)), ("dice", dice(total))):
        columns |= {f"{name}/{label}": score[:, k] for k, label in enumerate(classes) if k}
    return columns
