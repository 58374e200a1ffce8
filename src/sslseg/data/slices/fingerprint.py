"""What a dataset looks like, in numbers and on one sheet."""

import re
from typing import Any

import numpy as np
import pandas as pd


def _spread(values: pd.Series | np.ndarray) -> dict[str, float]:
    values = np.asarray(values, np.float64)
    return {"min": float(values.min()), "median": float(np.median(values)), "max": float(values.max())}


def compute(
    index: pd.DataFrame,
    volumes: pd.DataFrame,
    classes: list[str],
    voxels: np.ndarray,
    digests: dict[str, str],
) -> dict[str, Any]:
    """Counts, shapes, spacings (mm, native), intensities (native units), class voxels, file digests.

    p1_0, p99_0, p1_1 … are percentiles of channel 0, 1 …; mean, sd and extremes are over all channels.

    Args:
        voxels: [K] stored voxels per class.
        digests: relative path -> sha256.
    """
    patients = volumes.drop_duplicates("patient")
    shape, spacing = ("slices", "native_height", "native_width"), ("z", "y", "x")
    return {
        "patients": len(patients),
        "volumes": len(volumes),
        "labelled_volumes": int(volumes["labelled"].sum()),
        "slices": len(index),
        "labelled_slices": int(index["labelled"].sum()),
        "foreground_slices": int((index["foreground"] > 0).sum()),
        "groups": patients["group"].value_counts().sort_index().to_dict(),
        "shape": {key: _spread(volumes[key]) for key in shape},
        "spacing": {key: _spread(volumes[f"native_spacing_{key}"]) for key in spacing},
        "slices_per_patient": _spread(index.groupby("patient").size()),
        "intensity": {
            key: _spread(volumes[key])
            for key in volumes
            if key in ("minimum", "maximum", "mean", "sd") or re.fullmatch(r"p(1|99)_\d+", key)
        },
        "class_voxels": dict(zip(classes, voxels.tolist(), strict=True)),
        "files": digests,
    }
