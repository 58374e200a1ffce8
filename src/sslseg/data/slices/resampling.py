"""Planes of another size: how large they are at a spacing, and the grey values of their pixels."""

import cv2
import numpy as np

from sslseg.config.names import DataError

MOST_TIMES, FEWEST_LEFT = 16, 4  # pixels made of one, pixels left of sixty-four: the unit is another


def new_size(shape: tuple[int, int], native: tuple[float, float], spacing: float) -> tuple[int, int]:
    """Rows and columns at `spacing` mm (0: as they are) of a plane whose pixels are `native` mm.

    Raises:
        DataError: the size of a pixel is not known, or there would be so many or so few that the unit can only be another.
    """
    if spacing == 0:
        return shape[0], shape[1]
    if not np.isfinite(native).all():
        raise DataError(f"wanted the size of a pixel in mm, got {native[0]:g} x {native[1]:g}")
    height, width = (max(1, round(n * mm / spacing)) for n, mm in zip(shape, native, strict=True))
    size = height, width
    times = np.array(size) / shape
    if (times > MOST_TIMES).any() or ((times < 1 / MOST_TIMES) & (np.array(size) < FEWEST_LEFT)).any():
        now, then, pixel = (f"{y:g} x {x:g}" for y, x in (size, shape, native))
        raise DataError(f"{then} pixels of {pixel} mm are {now} at spacing={spacing:g}: is the unit mm?")
    return size


def resized(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A plane [Y, X] as one of `size`: the mean over the area where nothing grows, else bilinear."""
    smaller = size[0] <= plane.shape[0] and size[1] <= plane.shape[1]
    return cv2.resize(plane, size[::-1], interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def resample_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[C, Z, Y, X] -> [C, Z, *size]: mean over the area when shrinking, else bilinear (float64).

    Returned as it is when the size does not change.
    """
    if image.shape[2:] == size:
        return image
    out = np.empty((*image.shape[:2], *size))
    for c, z in np.ndindex(image.shape[:2]):
        out[c, z] = resized(image[c, z].astype(np.float64), size)  # so that a small range far from 0 survives
    return out
