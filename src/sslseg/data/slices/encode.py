"""One volume into what the slice store keeps: resampled int16 codes and uint8 labels.

physical value = code * scale + intercept, per volume and channel.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np

from sslseg.config.names import DataError
from sslseg.data.source import IGNORE, Volume

FORMAT = 1  # raise it when the same files must give other codes, labels or columns
CODE_MIN, CODE_MAX = -32768, 32767
CLIP = (1.0, 99.0)  # percentiles of a whole volume, the bounds of the intensity law


@dataclass(frozen=True)
class Encoded:
    """A volume as stored.

    Attributes:
        codes: int16 [Z, C, H, W].
        label: uint8 [Z, H, W] or None.
        scale, intercept: float64 [C].
        p1, p99: float64 [C], physical units, of the native voxels.
        spacing: (z, y, x) in mm after resampling, exact.
        sha256: of the native voxels, the same for equal values in another file or number type.
        stats: minimum, maximum, mean, sd of the native voxels.
    """

    codes: np.ndarray
    label: np.ndarray | None
    scale: np.ndarray
    intercept: np.ndarray
    p1: np.ndarray
    p99: np.ndarray
    spacing: tuple[float, float, float]
    sha256: str
    stats: dict[str, float]


def encode(volume: Volume, spacing: float, classes: int) -> Encoded:
    """Resample in plane to `spacing` mm (0 = leave as it is) and quantise.

    Integer values stay exact if they span at most 65,535 and are not resampled; otherwise the
    error is at most half a code, 7.6e-6 of the range.

    Raises:
        DataError: not [C, Z, Y, X], a mask of another shape, or a label that is no class.
    """
    image, label = volume.image, volume.label
    if image.ndim != 4 or image.size == 0 or image.dtype.kind not in "iuf":
        raise DataError(f"wanted a grey image [C, Z, Y, X], got {image.dtype} {image.shape}")
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise DataError("wanted finite voxels, got NaN or infinite ones")
    if label is not None:
        if label.shape != image.shape[1:]:
            raise DataError(f"wanted a mask of the image's shape {image.shape[1:]}, got {label.shape}")
        if strange := [v for v in np.unique(label).tolist() if v >= classes and v != IGNORE]:
            raise DataError(f"wanted labels 0 to {classes - 1} or {IGNORE}, got also {strange[:8]}")
    size = _new_size(image.shape[2:], volume.spacing[1:], spacing)
    p1, p99 = percentiles(image)
    codes, scale, intercept = quantise(resample_image(image, size))
    native_y, native_x = volume.spacing[1:]
    return Encoded(
        codes=np.ascontiguousarray(codes.transpose(1, 0, 2, 3)),
        label=None if label is None else resample_label(label, size),
        scale=scale,
        intercept=intercept,
        p1=p1,
        p99=p99,
        spacing=(volume.spacing[0], native_y * image.shape[2] / size[0], native_x * image.shape[3] / size[1]),
        sha256=voxel_digest(image),
        stats={
            "minimum": float(image.min()),
            "maximum": float(image.max()),
            "mean": float(image.mean(dtype=np.float64)),
            "sd": float(image.std(dtype=np.float64)),
        },
    )


def _new_size(shape: tuple[int, int], native: tuple[float, float], spacing: float) -> tuple[int, int]:
    if spacing == 0:
        return shape[0], shape[1]
    return tuple(max(1, round(n * mm / spacing)) for n, mm in zip(shape, native, strict=True))


def _law(shape: tuple[int, int], size: tuple[int, int]) -> int:
    return cv2.INTER_AREA if size[0] <= shape[0] and size[1] <= shape[1] else cv2.INTER_LINEAR


def resample_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[C, Z, Y, X] -> [C, Z, *size]: mean over the area when shrinking, else bilinear (float64).

    Returned as it is when the size does not change.
    """
    shape = image.shape[2:]
    if shape == size:
        return image
    out = np.empty((*image.shape[:2], *size))
    for c, z in np.ndindex(image.shape[:2]):
        # float64 so that a small range far from 0 survives
        out[c, z] = cv2.resize(image[c, z].astype(np.float64), size[::-1], interpolation=_law(shape, size))
    return out


def resample_label(label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[Z, Y, X] -> [Z, *size]: the class with the largest share of each new pixel.

    `IGNORE` is a class of its own and wins ties, so that it never turns into a known label.
    """
    shape = label.shape[1:]
    if shape == size:
        return label
    out = np.empty((len(label), *size), np.uint8)
    for z, plane in enumerate(label):
        present = np.unique(plane)
        present = np.concatenate([present[present == IGNORE], present[present != IGNORE]])
        shares = [cv2.resize((plane == k).astype(np.float32), size[::-1], interpolation=_law(shape, size))
                  for k in present]  # fmt: skip
        out[z] = present[np.argmax(shares, axis=0)]
    return out


def quantise(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[C, ...] -> int16 codes of that shape, scale [C], intercept [C]."""
    codes = np.empty(image.shape, np.int16)
    scale, intercept = np.ones(len(image)), np.zeros(len(image))
    for c, channel in enumerate(image):
        low, high = float(channel.min()), float(channel.max())
        if _integers(channel) and high - low <= CODE_MAX - CODE_MIN:
            if low >= CODE_MIN and high <= CODE_MAX:
                np.copyto(codes[c], channel, casting="unsafe")  # the values are their own codes
                continue
            intercept[c] = low - CODE_MIN
        else:
            step = (high - low) / (CODE_MAX - CODE_MIN)
            scale[c], intercept[c] = (
                (step, low - CODE_MIN * step) if step else (1.0, low)
            )  # a constant is code 0
        values = np.rint((channel.astype(np.float64) - intercept[c]) / scale[c])
        codes[c] = np.clip(values, CODE_MIN, CODE_MAX)
    return codes, scale, intercept


def percentiles(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """1st and 99th percentile of each channel of [C, ...]; where they are equal, its extremes."""
    flat = image.reshape(len(image), -1)
    low, high = np.array([_counted(v) if _countable(v) else np.percentile(v, CLIP) for v in flat]).T
    flat_law = high <= low
    return np.where(flat_law, flat.min(axis=1), low), np.where(flat_law, flat.max(axis=1), high)


def _countable(values: np.ndarray) -> bool:
    return values.dtype.kind in "iu" and int(values.max()) - int(values.min()) <= CODE_MAX - CODE_MIN


def _counted(values: np.ndarray) -> list[float]:
    """`np.percentile(values, CLIP)` of countable [N], to the bit, from a histogram: a fifth of the time."""
    low = int(values.min())
    above = (values - values.min()).view(f"u{values.dtype.itemsize}")  # right even where the sign wraps round
    upto = np.cumsum(np.bincount(above.astype(np.int64)))
    found = []
    for share in np.divide(CLIP, 100):
        place = (len(values) - 1) * share
        before = int(place)
        a, b = np.searchsorted(upto, [before, min(before + 1, len(values) - 1)], side="right") + float(low)
        t = place - before
        found.append(a + (b - a) * t if t < 0.5 else b - (b - a) * (1 - t))  # as numpy's linear method
    return found


def voxel_digest(image: np.ndarray) -> str:
    """sha256 of shape and values, whatever number type they are stored in."""
    kind = "<i8" if _integers(image) else "<f4"
    digest = hashlib.sha256(repr(image.shape).encode() + kind.encode())
    for place in np.ndindex(image.shape[:-2]):  # plane by plane: the copies stay in the cache
        digest.update(np.ascontiguousarray(image[place], kind))
    return digest.hexdigest()


def _integers(values: np.ndarray) -> bool:
    if values.dtype.kind in "iu":
        return True
    return bool(np.abs(values).max() < 2**53 and (values == np.rint(values)).all())
