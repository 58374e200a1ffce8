"""What a dataset looks like, in numbers and on one sheet."""

from typing import Any

import numpy as np
import pandas as pd

INTENSITY = r"^(minimum|maximum|mean|sd|p(1|99)_\d+)$"  # columns of the table of volumes


def _spread(table: pd.DataFrame) -> dict[Any, dict]:
    """Column -> its least, its median and its largest number."""
    return table.astype(np.float64).agg(["min", "median", "max"]).to_dict()


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
    native = volumes.rename(columns=lambda name: name.removeprefix("native_spacing_"))
    return {
        "patients": len(patients),
        "volumes": len(volumes),
        "labelled_volumes": int(volumes["labelled"].sum()),
        "slices": len(index),
        "labelled_slices": int(index["labelled"].sum()),
        "foreground_slices": int((index["foreground"] > 0).sum()),
        "groups": patients["group"].value_counts().sort_index().to_dict(),
        "shape": _spread(volumes[["slices", "native_height", "native_width"]]),
        "spacing": _spread(native[["z", "y", "x"]]),
        "slices_per_patient": _spread(index.groupby("patient").size().to_frame("slices"))["slices"],
        "intensity": _spread(volumes.filter(regex=INTENSITY)),
        "class_voxels": dict(zip(classes, voxels.tolist(), strict=True)),
        "files": digests,
    }
