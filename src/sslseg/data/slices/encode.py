"""One volume into what the slice store keeps: resampled int16 codes and uint8 labels.

physical value = code * scale + intercept, per volume and channel.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import xxhash

from sslseg.config.names import DataError
from sslseg.config.texts import some
from sslseg.data.slices.resampling import new_size, resample_image, resized
from sslseg.data.source import IGNORE, Volume

FORMAT = 1  # raise it when the same files must give other codes, labels or columns
CODE_MIN, CODE_MAX = -32768, 32767
XXH3, SHA256 = "xxh3", "sha256"  # kinds of digests of voxels, and the columns of a store that hold them
FEWEST_CODES = 8  # that the middle 98 % of the voxels are told apart by
EXACT = 2**24  # float32 holds every whole number up to it
FLOAT_MAX = float(np.finfo(np.float32).max)
CLIP = (1.0, 99.0)  # percentiles of a whole volume, the bounds of the normalisation


@dataclass(frozen=True)
class Encoded:
    """A volume as stored."""

    codes: np.ndarray  # int16 [Z, C, H, W]
    label: np.ndarray | None  # uint8 [Z, H, W]
    scale: np.ndarray  # float64 [C]
    intercept: np.ndarray  # float64 [C]
    p1: np.ndarray  # float64 [C], physical units, of the native voxels
    p99: np.ndarray  # the same
    spacing: tuple[float, float, float]  # (z, y, x) in mm after resampling, exact
    digest: str  # `voxel_digest` of the native voxels
    stats: dict[str, float]  # minimum, maximum, mean, sd of the native voxels


def encode(volume: Volume, spacing: float, classes: int) -> Encoded:
    """Resample in plane to `spacing` mm (0 = leave as it is) and quantise.

    Integer values stay exact if they span at most 65,535 and are not resampled; otherwise the
    error is at most half a code, 7.6e-6 of the range.

    Raises:
        DataError: not [C, Z, Y, X], values so far apart that the others would be lost, a mask of another shape, or a
            label that is no class.
    """
    image, label = volume.image, volume.label
    if image.ndim != 4 or image.size == 0 or image.dtype.kind not in "iuf":
        raise DataError(f"wanted a grey image [C, Z, Y, X], got {image.dtype} {image.shape}")
    image = whole_numbers(image)
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise DataError("wanted finite voxels, got NaN or infinite ones")
    if image.dtype.kind == "f" and image.itemsize > 4 and max(abs(image.min()), abs(image.max())) > FLOAT_MAX:
        raise DataError(
            f"wanted voxels that 32 bits can hold, got some beyond {FLOAT_MAX:.3g}: a fill value?"
        )
    if label is not None:
        if label.shape != image.shape[1:]:
            raise DataError(f"wanted a mask of the image's shape {image.shape[1:]}, got {label.shape}")
        above = label.max() >= classes
        if strange := [v for v in present(label) if v >= classes and v != IGNORE] if above else []:
            raise DataError(f"wanted labels 0 to {classes - 1} or {IGNORE}, got also [{some(strange, 8)}]")
    size = new_size(image.shape[2:], volume.spacing[1:], spacing)
    counts = [_counts(channel) for channel in image]
    p1, p99 = percentiles(image, counts)
    codes, scale, intercept = quantise(resample_image(image, size))
    for c in np.flatnonzero((scale != 1) & (p99 > p1) & (p99 - p1 < FEWEST_CODES * scale)):
        ends = f"between {p1[c]:g} and {p99[c]:g}, the extremes are {image[c].min():g} and {image[c].max():g}"
        far = "too far away for 65,536 steps to tell the others apart; is one of them a fill value?"
        raise DataError(f"98 % of its voxels lie {ends}: {far}")
    native_y, native_x = volume.spacing[1:]
    return Encoded(
        codes=np.ascontiguousarray(codes.transpose(1, 0, 2, 3)),
        label=None if label is None else resample_label(label, size),
        scale=scale,
        intercept=intercept,
        p1=p1,
        p99=p99,
        spacing=(volume.spacing[0], native_y * image.shape[2] / size[0], native_x * image.shape[3] / size[1]),
        digest=voxel_digest(image),
        stats=_stats(image, counts),
    )


def resample_label(label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[Z, Y, X] -> [Z, *size]: the class with the largest share of each new pixel.

    `IGNORE` is a class of its own and wins ties, so that it never turns into a known label.
    """
    if label.shape[1:] == size:
        return label
    out = np.empty((len(label), *size), np.uint8)
    for z, plane in enumerate(label):
        found = sorted(present(plane), key=lambda k: (k != IGNORE, k))
        shares = [resized((plane == k).astype(np.float32), size) for k in found]
        out[z] = np.array(found, np.uint8)[np.argmax(shares, axis=0)]
    return out


def quantise(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[C, ...] -> int16 codes of that shape, scale [C], intercept [C]."""
    scale, intercept = np.ones(len(image)), np.zeros(len(image))
    if image.dtype == np.int16:
        return image, scale, intercept  # the values are their own codes
    codes = np.empty(image.shape, np.int16)
    for c, channel in enumerate(map(whole_numbers, image)):
        low, high = float(channel.min()), float(channel.max())
        if channel.dtype.kind in "iu" and high - low <= CODE_MAX - CODE_MIN:
            if low >= CODE_MIN and high <= CODE_MAX:
                np.copyto(codes[c], channel, casting="unsafe")
                continue
            intercept[c] = low - CODE_MIN
        else:
            step = (high - low) / (CODE_MAX - CODE_MIN)
            # a constant is code 0
            scale[c], intercept[c] = (step, low - CODE_MIN * step) if step else (1.0, low)
        values = np.rint((channel.astype(np.float64) - intercept[c]) / scale[c])
        codes[c] = np.clip(values, CODE_MIN, CODE_MAX)
    return codes, scale, intercept


Counts = tuple[int, np.ndarray]  # the lowest value, and how often it and each after it occur
Counted = Sequence[Counts | None]  # of each channel, where they can be counted


def percentiles(image: np.ndarray, counts: Counted | None = None) -> tuple[np.ndarray, np.ndarray]:
    """1st and 99th percentile of each channel of [C, ...]; where they are equal, its extremes."""
    counts = counts or [_counts(channel) for channel in image]
    flat = image.reshape(len(image), -1)
    pairs = zip(flat, counts, strict=True)
    both = [_from_counts(*known) if known else np.percentile(values, CLIP) for values, known in pairs]
    low, high = np.array(both).T
    for c in np.flatnonzero(high <= low):
        low[c], high[c] = flat[c].min(), flat[c].max()
    return low, high


def _counts(values: np.ndarray) -> Counts | None:
    """Of integers with a range that int16 can hold; None of others."""
    if values.dtype.kind not in "iu":
        return None
    low, high = int(values.min()), int(values.max())
    if high - low > CODE_MAX - CODE_MIN:
        return None
    above = np.subtract(values, values.dtype.type(low), dtype=values.dtype) if low else values
    above = above.view(f"u{values.dtype.itemsize}")  # right even where the sign wraps round
    return low, histogram(above, high - low + 1)


def histogram(values: np.ndarray, size: int) -> np.ndarray:
    """`np.bincount` of unsigned values below `size` (at most 65,536), in a third of the time."""
    if values.size > EXACT:  # OpenCV counts in float32
        return np.bincount(values.ravel(), minlength=size)
    kind = np.uint8 if size <= 256 else np.uint16
    lines: Any = np.ascontiguousarray(values, kind).reshape(-1, values.shape[-1])
    return cv2.calcHist([lines], [0], None, [size], [0, size]).ravel().astype(np.int64)


def _from_counts(low: int, counts: np.ndarray) -> list[float]:
    """`np.percentile(values, CLIP)` of the values that were counted, to the bit: a fifth of the time."""
    upto = np.cumsum(counts)
    last, found = int(upto[-1]) - 1, []
    for share in np.divide(CLIP, 100):
        place = last * share
        before = int(place)
        a, b = np.searchsorted(upto, [before, min(before + 1, last)], side="right") + float(low)
        t = place - before
        found.append(a + (b - a) * t if t < 0.5 else b - (b - a) * (1 - t))  # as numpy's linear method
    return found


def _stats(image: np.ndarray, counts: Counted) -> dict[str, float]:
    """Extremes, mean and standard deviation of all channels together."""
    if len(counts) == 1 and counts[0]:
        low, often = float(counts[0][0]), counts[0][1]
        high = low + len(often) - 1
        values = np.arange(low, high + 1)
        mean = float(values @ often) / image.size
        sd = float(np.sqrt(np.square(values - mean) @ often / image.size))
    else:
        low, high = float(image.min()), float(image.max())
        mean, sd = float(image.mean(dtype=np.float64)), float(image.std(dtype=np.float64))
    return {"minimum": low, "maximum": high, "mean": mean, "sd": sd}


def voxel_digest(image: np.ndarray, kind: str = XXH3) -> str:
    """Of shape and values, the same for equal values in another file or number type.

    Args:
        kind: XXH3, or SHA256 of the values in 64 bits, as earlier versions had it.
    """
    image = whole_numbers(image)
    fits = kind == XXH3 and image.min() >= CODE_MIN and image.max() <= CODE_MAX
    number = "<f4" if image.dtype.kind == "f" else "<i2" if fits else "<i8"
    digest = (xxhash.xxh3_128 if kind == XXH3 else hashlib.sha256)(f"{image.shape}{number}".encode())
    for place in np.ndindex(image.shape[:-2]):  # plane by plane: copies stay in the processor's cache
        digest.update(np.ascontiguousarray(image[place], number).data)
    return digest.hexdigest()


def present(label: np.ndarray) -> list[int]:
    """The labels of a uint8 mask, sorted: `np.unique` in a fifth of the time."""
    return np.flatnonzero(histogram(label, 256)).tolist()


def whole_numbers(values: np.ndarray) -> np.ndarray:
    """`values` as integers, int16 where they fit, if every one is an integer; else as they are.

    Many scanners' tools write integers as floats, two thirds of ACDC's images among them. As integers they are
    counted instead of sorted.
    """
    if values.dtype.kind in "iu":
        return values
    low, high = float(values.min()), float(values.max())
    if not -(2**53) < low <= high < 2**53:  # NaN too
        return values
    found = values.astype(np.int16 if low >= CODE_MIN and high <= CODE_MAX else np.int64)
    return found if np.array_equal(found, values) else values
