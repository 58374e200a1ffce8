"""Distances between surfaces, in mm, from scipy's exact Euclidean distance transform.

The surface of a mask is its voxels with a face neighbour outside the mask or at the image's edge, as in
MedPy, which the ACDC challenge used. In a volume of one or two slices every voxel is such a one, so the
distances there are between the contours in each plane: the voxels with an edge neighbour outside the mask
in their own slice.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

KINDS = ("auto", "volume", "plane")
FEWEST_SLICES = 3  # with fewer, every voxel has a face neighbour outside the volume


class Distances(NamedTuple):
    """hd: largest distance; hd95: larger of the two directed 95th percentiles; assd: mean of all, mm.

    The percentile is MONAI's and nnU-Net's; MedPy takes it over both directions together, which lets
    the larger surface hide the faults of the smaller.
    """

    hd: float
    hd95: float
    assd: float


def diagonal(shape: tuple[int, ...], spacing: tuple[float, ...]) -> float:
    """Length of the image's diagonal between its outermost corners, mm: no distance in it is larger."""
    return float(np.linalg.norm(np.multiply(shape, spacing)))


def planar(slices: int, kind: str = "auto") -> bool:
    """Whether a volume of so many slices is measured between contours in plane.

    Args:
        kind: "plane", "volume", or "auto": plane where no voxel could lie inside a surface.
    """
    return kind == "plane" or (kind == "auto" and slices < FEWEST_SLICES)


def distances(
    truth: np.ndarray, prediction: np.ndarray, spacing: tuple[float, ...], *, in_plane: bool = False
) -> Distances:
    """Surface distances of two masks of one shape, bool [Z, Y, X] (or any number of axes), neither empty.

    Args:
        spacing: mm along each axis.
        in_plane: between contours of the slices along the first axis instead of surfaces; the nearest point
            of the other contour may lie in another slice.

    Raises:
        ValueError: a mask is empty: what that is worth is a policy, see `cases`.
    """
    if not truth.any() or not prediction.any():
        raise ValueError("surface distances: wanted two masks with voxels, one is empty")
    # both surfaces lie in it, so the distances are exact
    (box,) = ndimage.find_objects((truth | prediction).astype(np.uint8))
    first, second = (_surface(mask[box], in_plane) for mask in (truth, prediction))
    there, back = _directed(first, second, spacing), _directed(second, first, spacing)
    both = np.concatenate([there, back])
    hd95 = max(np.percentile(there, 95), np.percentile(back, 95))
    return Distances(float(both.max()), float(hd95), float(both.mean()))


def _surface(mask: np.ndarray, in_plane: bool = False) -> np.ndarray:
    cross = ndimage.generate_binary_structure(mask.ndim - in_plane, 1)
    return mask & ~ndimage.binary_erosion(mask, cross[None] if in_plane else cross)


def _directed(origin: np.ndarray, goal: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """mm from every voxel of `origin` to the nearest of `goal`."""
    return ndimage.distance_transform_edt(~goal, sampling=spacing)[origin]
