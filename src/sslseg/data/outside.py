"""Floor 1b: does a volume lie outside what a network was trained on? Read from a fingerprint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sslseg.data.encode import percentiles

# [H] room around the training range: a tenth of its width, and 5 % of its larger end for sets whose
# volumes are all alike
SHARE_OF_RANGE, SHARE_OF_VALUE = 0.1, 0.05
COMPARED = {  # part of a fingerprint -> what of it is compared
    "spacing": ("z", "y", "x"),
    "shape": ("slices", "native_height", "native_width"),
    "intensity": ("mean", "p1_0", "p99_0"),
}


def measure(image: np.ndarray, spacing: tuple[float, float, float]) -> dict[str, dict[str, float]]:
    """What of a volume [C, Z, Y, X] can be compared with a fingerprint (mm, voxels, native units)."""
    p1, p99 = percentiles(image)
    return {
        "spacing": dict(zip("zyx", spacing, strict=True)),
        "shape": dict(zip(COMPARED["shape"], image.shape[1:], strict=True)),
        "intensity": {"mean": float(image.mean(dtype=float)), "p1_0": float(p1[0]), "p99_0": float(p99[0])},
    }  # fmt: skip


def compare(
    measured: Mapping[str, Mapping[str, float]], fingerprint: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """One entry for each number outside the training range: part, name, value, lowest, highest of training.

    Numbers that the fingerprint lacks are not compared.
    """
    found = []
    for part, keys in COMPARED.items():
        for key in keys:
            known = fingerprint.get(part, {}).get(key)
            if known is None:
                continue
            value, low, high = float(measured[part][key]), float(known["min"]), float(known["max"])
            room = SHARE_OF_RANGE * (high - low) + SHARE_OF_VALUE * max(abs(low), abs(high))
            if not low - room <= value <= high + room:
                found.append({"part": part, "name": key, "value": value, "lowest": low, "highest": high})
    return found
