"""The same counts per volume, one patient in one phase: what a reader of the study means.

A slice without the structure weighs nothing here, while a mean over slices excludes it or counts
it as perfect.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sslseg.scoring.pixels import dice, iou


def per_volume(
    table: dict[str, np.ndarray], counts: np.ndarray, classes: Sequence[str]
) -> dict[str, np.ndarray]:
    """3D scores of every volume of `table`, from the summed counts of its slices.

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
