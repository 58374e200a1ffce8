"""A slice store in memory, for tests of what reads one: same faces as `data/slices.py: Slices`."""

from __future__ import annotations

import numpy as np
import pandas as pd


class TinySlices:
    """`images`: one integer array [C, H, W] per slice; each slice is its own volume."""

    def __init__(self, images, labels=None, *, scale=1.0, intercept=0.0, volume=None) -> None:
        self.channels = images[0].shape[0]
        heights, widths = zip(*(i.shape[1:] for i in images), strict=True)
        areas = np.array(heights) * widths
        volume = np.arange(len(images)) if volume is None else np.asarray(volume)
        self.index = pd.DataFrame(
            {
                "volume": volume, "height": heights, "width": widths,
                "offset": np.concatenate([[0], np.cumsum(areas * self.channels)[:-1]]),
                "label_offset": np.concatenate([[0], np.cumsum(areas)[:-1]]) if labels else -1,
                "foreground": [int((v > 0).sum()) for v in labels] if labels else 0,
            }
        )  # fmt: skip
        self.codes_flat = np.concatenate([np.asarray(i, np.int16).ravel() for i in images])
        self.labels_flat = np.concatenate([v.ravel() for v in labels]) if labels else np.empty(0, np.uint8)
        held = [
            np.stack([i.reshape(self.channels, -1) for i, v in zip(images, volume, strict=True) if v == k], 1)
            for k in range(volume.max() + 1)
        ]
        p1, p99 = (
            np.array([np.percentile(v, q, axis=(1, 2)) for v in held]) * scale + intercept for q in (1, 99)
        )
        self.volumes = {"scale": np.full(p1.shape, scale), "intercept": np.full(p1.shape, intercept)}
        self.volumes |= {"p1": p1, "p99": p99}

    def codes(self, i: int) -> np.ndarray:
        row = self.index.iloc[i]
        size = self.channels * row.height * row.width
        return self.codes_flat[row.offset : row.offset + size].reshape(self.channels, row.height, row.width)

    def label(self, i: int) -> np.ndarray:
        row = self.index.iloc[i]
        return self.labels_flat[row.label_offset : row.label_offset + row.height * row.width].reshape(
            row.height, row.width
        )


def scene(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A slice [1, H, W] (0 to about 1,000, textured) and its label [H, W] (a disc of 1 in a ring of 2)."""
    import cv2

    y, x = np.mgrid[:height, :width]
    radius = np.hypot(y - height * rng.uniform(0.4, 0.6), x - width * rng.uniform(0.4, 0.6))
    label = ((radius < height * 0.2).astype(np.uint8) * 2) - (radius < height * 0.12)
    texture = cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), 3) * 600
    image = np.clip(250 + texture + 300 * (label == 1) + 120 * (label == 2), 0, None)
    return image.astype(np.int16)[None], label
