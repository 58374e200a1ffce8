"""Whole volumes at their original resolution: scores of every case, and of a cohort.

Policy for a structure that is not everywhere:
  absent    in neither truth nor prediction: no score, left out of means, counted;
  missed    in the truth alone, and
  invented  in the prediction alone: the worst case, Dice and IoU 0, distances the image's diagonal.
            Never left out: else a network that finds less would get better distances.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from sslseg.data.source import IGNORE
from sslseg.scoring import surface

STATUS = ("found", "missed", "invented", "absent")
FAILURES = "failure_rate"
Interval = Callable[[np.ndarray, str], tuple[float, float]]  # (a number a patient, which score) -> its ends
SCORES = ("dice", "iou", "hd_mm", "hd95_mm", "assd_mm", "absolute_error_ml")
ML_PER_MM3 = 1e-3


def score(
    truth: np.ndarray,
    prediction: np.ndarray,
    spacing: tuple[float, float, float],
    classes: Sequence[str],
    contours: str = "auto",
    regions: Mapping[str, Sequence[int]] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    """One entry for each foreground class of one volume, then one for each region.

    Args:
        truth: uint8 [Z, Y, X]; voxels of 255 count nowhere. prediction: the same shape.
        spacing: (z, y, x) in mm.
        contours: what distances are measured between, see `surface.planar`.
        regions: unions of classes that have a name of their own (nnU-Net's): name -> class numbers. They are called
            "region <name>"; those of one class alone are left out, the class has an entry.

    Returns:
        class, status, SCORES (NaN when absent), truth_ml, prediction_ml, error_ml (prediction - truth), and
        contours: "plane" or "volume".
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"wanted a prediction of the truth's shape {truth.shape}, got {prediction.shape}")
    known = truth != IGNORE
    asked: list[tuple[str, Sequence[int]]] = [(name, [k]) for k, name in enumerate(classes) if k]
    asked += [(f"region {name}", numbers) for name, numbers in regions.items() if len(numbers) > 1]
    pairs = ((name, _union(truth, held) & known, _union(prediction, held) & known) for name, held in asked)
    return [{"class": name, **_one(a, b, spacing, contours)} for name, a, b in pairs]


def _union(label: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
    return functools.reduce(np.logical_or, (label == k for k in numbers))


def _one(
    truth: np.ndarray, prediction: np.ndarray, spacing: tuple[float, float, float], contours: str
) -> dict[str, Any]:
    in_plane = surface.planar(len(truth), contours)
    voxel = float(np.prod(spacing)) * ML_PER_MM3
    a, b = int(truth.sum()), int(prediction.sum())
    volumes = {"truth_ml": a * voxel, "prediction_ml": b * voxel, "error_ml": (b - a) * voxel,
               "contours": "plane" if in_plane else "volume"}  # fmt: skip
    if not a and not b:
        return {"status": "absent", **dict.fromkeys(SCORES, np.nan), **volumes}
    if a and b:
        hit = int((truth & prediction).sum())
        between = surface.distances(truth, prediction, spacing, in_plane=in_plane)
        values: tuple[float, ...] = (2 * hit / (a + b), hit / (a + b - hit), *between)
        status = "found"
    else:
        values = (0.0, 0.0, *[surface.diagonal(truth.shape, spacing)] * 3)
        status = "missed" if a else "invented"
    return {"status": status, **dict(zip(SCORES, (*values, abs(b - a) * voxel), strict=True)), **volumes}


def slice_scores(truth: np.ndarray, prediction: np.ndarray, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Dice and IoU of every slice and foreground class, NaN when absent from both; columns z, class."""
    known, rows = truth != IGNORE, []
    for k, name in enumerate(classes[1:], 1):
        a, b = (truth == k) & known, (prediction == k) & known
        hit, total = (v.sum(axis=(1, 2), dtype=float) for v in (a & b, a))
        total += b.sum(axis=(1, 2))
        with np.errstate(invalid="ignore"):
            dice, iou = 2 * hit / total, hit / (total - hit)
        rows += [{"z": z, "class": name, "dice": d, "iou": i}
                 for z, (d, i) in enumerate(zip(dice, iou, strict=True))]  # fmt: skip
    return rows


# ---------------------------------------------------------------- cohort
def summarise(table: pd.DataFrame, interval: Interval) -> pd.DataFrame:
    """Mean over patients of each class and score, with its 95 % interval over patients.

    A patient's volumes (ED and ES) are averaged first: the patient is the unit.

    Args:
        table: rows of `score` with a column `patient`.
        interval: its ends, of a number a patient (NaN left out) and what the number is.

    Returns:
        class, score (SCORES and failure_rate), mean, low, high, patients.
    """
    table = table.assign(failure_rate=failed(table))
    rows = []
    for name, part in table.groupby("class", sort=False):
        means = part.groupby("patient")[[*SCORES, FAILURES]].mean()  # NaN left out
        for column in means.columns:
            values = means[column].dropna()
            low, high = interval(values.to_numpy(), column)
            rows.append({"class": name, "score": column, "mean": values.mean(), "low": low,
                         "high": high, "patients": len(values)})  # fmt: skip
    return pd.DataFrame(rows)


def failed(table: pd.DataFrame) -> pd.Series:
    """1 for a missed or invented structure, 0 for a found one, NaN where there was nothing to find."""
    return table["status"].map({"found": 0.0, "missed": 1.0, "invented": 1.0, "absent": np.nan})


def counts(table: pd.DataFrame) -> pd.DataFrame:
    """Volumes of each class by status; every volume is in exactly one column."""
    found = table.groupby(["class", "status"], sort=False).size().unstack(fill_value=0)
    return found.reindex(columns=STATUS, fill_value=0).reset_index().rename_axis(columns=None)
