"""The voxels of a DICOM series, and where they lie."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sslseg.config.names import DataError
from sslseg.data.geometry import Grid, near
from sslseg.data.readers import dicom_file
from sslseg.data.source import Spacing

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

GAP = 0.1  # share by which the steps between slices may differ; more is a missing slice
PLACED = ["ImagePositionPatient", "ImageOrientationPatient", "Rows", "Columns", "PixelSpacing", "ImagerPixelSpacing",
          "SliceThickness"]  # fmt: skip


def read(files: tuple[Path, ...], otherwise: Spacing | None = None) -> tuple[np.ndarray, Spacing]:
    """[Z, Y, X] in the units of the rescale slope (Hounsfield for CT), and spacing (z, y, x) in mm.

    Whole numbers stay int32, others are float32. MONOCHROME1, where small is bright, is negated.

    Args:
        otherwise: see `dicom_file.spacing`.

    Raises:
        DataError: a damaged or compressed file, slices of different kinds, or a missing slice.
    """
    slices = [_slice(path, otherwise) for path in files]
    planes, spacings, places = zip(*slices, strict=True)
    if not all(near(s, spacings[0]) for s in spacings) or len({p.shape for p in planes}) > 1:
        got = sorted(set(spacings))
        raise DataError(f"{files[0]}: wanted slices of one size and PixelSpacing, got {got}")
    volume = np.stack(planes)
    whole = bool((volume == np.rint(volume)).all() and np.abs(volume).max() < 2**31)
    y, x, thickness = spacings[0]
    return volume.astype(np.int32 if whole else np.float32), (_step(files, places, thickness), y, x)


def _slice(path: Path, otherwise: Spacing | None) -> tuple[np.ndarray, tuple[float, float, float], float]:
    """Plane float64 [Y, X]; spacing y, x and slice thickness in mm; place along the normal."""
    data, plane = dicom_file.image(path)
    placing = dicom_file.placing(path, data)
    along = float(placing[0] @ dicom_file.normal(placing[1])) if placing else 0.0
    return plane, dicom_file.spacing(path, data, otherwise), along


def _step(files: tuple[Path, ...], places: tuple[float, ...], thickness: float) -> float:
    """mm between slices."""
    if len(places) == 1:
        return thickness
    steps = np.diff(places)
    middle = float(np.median(steps))
    if (np.abs(steps - middle) > GAP * middle).any():
        worst = int(np.abs(steps - middle).argmax())
        got = f"got {steps[worst]:.3g} mm; is a slice missing?"
        raise DataError(f"{files[worst + 1]}: wanted slices {middle:.3g} mm apart, {got}")
    return (places[-1] - places[0]) / (len(places) - 1)  # as `affine` has it


def affine(files: tuple[Path, ...], otherwise: Spacing | None = None) -> np.ndarray | None:
    """4 x 4, voxel (x, y, z) of `read`'s volume to mm, right-anterior-superior as NIfTI has it.

    The third axis runs from the first slice's place to the last's, so that a tilted gantry is kept.
    None where the files do not say where the slices lie.
    """
    ends = _ends(files)
    start, end = (dicom_file.placing(f, h) for f, h in zip((files[0], files[-1]), ends, strict=True))
    if start is None or end is None:
        return None
    (first, (row, column)), (last, _) = start, end
    y, x, thickness = dicom_file.spacing(files[0], ends[0], otherwise)
    step = (last - first) / (len(files) - 1) if len(files) > 1 else np.cross(row, column) * thickness
    found = np.eye(4)
    found[:3] = np.column_stack([row * x, column * y, step, first])
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ found  # DICOM counts to the left and to the back


def grid(files: tuple[Path, ...], otherwise: Spacing | None = None) -> Grid:
    """Where the voxels of a series lie; `otherwise` as of `read`."""
    header, place = _ends(files)[0], affine(files, otherwise)
    shape = (int(header.Columns), int(header.Rows), len(files))
    if place is None:
        z, y, x = 1.0, *dicom_file.spacing(files[0], header, otherwise)[:2]
        return Grid(files[0], shape, (x, y, z))
    x, y = np.linalg.norm(place[:3, :2], axis=0).tolist()
    normal = np.cross(place[:3, 0] / x, place[:3, 1] / y)
    z = float(abs(place[:3, 2] @ normal))  # of a tilted gantry, between planes, as `read` has it
    return Grid(files[0], shape, (x, y, z), {"header": (place,)})


def _ends(files: tuple[Path, ...]) -> list[Dataset]:
    """Headers of the first and the last file."""
    ends = files[0], files[-1]
    return [dicom_file.opened(file, stop_before_pixels=True, specific_tags=PLACED) for file in ends]
