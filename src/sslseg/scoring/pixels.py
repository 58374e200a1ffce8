"""Pixel counts, and the scores that follow from them."""

from __future__ import annotations

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
