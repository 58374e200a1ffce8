"""Volumes of the left ventricle from planes through it: Simpson's method of discs, as echocardiography has it.

A long-axis view is cut into DISCS slices across its long axis, from the middle of the mitral valve to the apex. One
view makes a round disc of each slice, two views an oval one (Lang et al., J Am Soc Echocardiogr 28:1-39, 2015, 2.1).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from sslseg.scoring.volumes import ML_PER_MM3

VENTRICLE, ATRIUM = "LV", "LA"  # names of the classes
DISCS = 20
REACH = 2.0  # mm within which a pixel of the ventricle touches the atrium; a pixel's diagonal if that is more
VOLUMES = ("truth_ml", "prediction_ml")


@dataclass(frozen=True)
class Plane:
    """The ventricle in one view: its length in mm, and the mean width [DISCS] of each slice, in mm."""

    length: float
    widths: np.ndarray


def plane(mask: np.ndarray, spacing: tuple[float, float], atrium: np.ndarray | None = None) -> Plane | None:
    """Discs of a ventricle bool [Y, X]; None where there is none.

    The valve is where the atrium touches the ventricle; without an atrium the long axis is the longest
    through the middle of the ventricle, along its principal axis.

    Args:
        spacing: (y, x) in mm.
    """
    points = np.argwhere(mask) * spacing
    if not len(points):
        return None
    if (base := _valve(points, spacing, atrium)) is None:
        centre = points.mean(axis=0)
        axis = np.linalg.svd(points - centre, full_matrices=False)[2][0]
        base = centre + axis * ((points - centre) @ axis).min()
    else:
        apex = points[np.linalg.norm(points - base, axis=1).argmax()]
        reach = np.linalg.norm(apex - base)
        axis = (apex - base) / reach if reach else np.array([1.0, 0.0])  # a single pixel has no direction
    along = (points - base) @ axis
    pixel = float(np.abs(axis) @ spacing)  # height of a pixel along the axis
    low, high = along.min() - pixel / 2, along.max() + pixel / 2
    areas = np.histogram(along, DISCS, (low, high))[0] * float(np.prod(spacing))
    length = float(high - low)
    return Plane(length, areas / (length / DISCS))


def _valve(points: np.ndarray, spacing: tuple[float, float], atrium: np.ndarray | None) -> np.ndarray | None:
    """Middle of the ventricle's pixels that touch the atrium, mm; None where none does."""
    if atrium is None or not atrium.any():
        return None
    from scipy.ndimage import distance_transform_edt

    reach = max(REACH, float(np.hypot(*spacing)))
    distance = distance_transform_edt(~atrium, sampling=spacing)
    rows, columns = np.rint(points / spacing).astype(int).T
    near = points[distance[rows, columns] <= reach]
    return near.mean(axis=0) if len(near) else None


def millilitres(planes: Sequence[Plane | None]) -> float:
    """Volume of one view or of two, ml; 0 where one shows no ventricle.

    The two are cut into the same number of discs, and the longer one is the height.
    """
    shown = [plane for plane in planes if plane is not None]
    if len(shown) < len(planes):
        return 0.0
    first, last = shown[0], shown[-1]
    height = max(plane.length for plane in shown) / DISCS
    return float(np.pi / 4 * (first.widths * last.widths).sum() * height) * ML_PER_MM3


@dataclass
class Ventricles:
    """The ventricles of a cohort, view by view, until both views of a patient are there."""

    classes: Sequence[str]
    seen: dict[tuple[str, str], dict[str, tuple[Plane | None, Plane | None]]] = field(default_factory=dict)

    def add(
        self, patient: str, phase: str, view: str, label: np.ndarray, prediction: np.ndarray,
        spacing: tuple[float, float, float],
    ) -> None:  # fmt: skip
        """One view: class numbers [1, Y, X] of truth and prediction."""
        found = self._plane(label[0], spacing[1:]), self._plane(prediction[0], spacing[1:])
        self.seen.setdefault((patient, phase), {})[view] = found

    def _plane(self, numbers: np.ndarray, spacing: tuple[float, float]) -> Plane | None:
        number = {name: k for k, name in enumerate(self.classes)}
        atrium = numbers == number[ATRIUM] if ATRIUM in number else None
        return plane(numbers == number[VENTRICLE], spacing, atrium)

    def fill(self, table: pd.DataFrame) -> pd.DataFrame:
        """Rows of `volumes.score` with the volumes of ventricles; pixels of other structures are no volume."""
        columns = [*VOLUMES, "error_ml", "absolute_error_ml"]
        table = table.assign(**dict.fromkeys(columns, np.nan))
        for (patient, phase), views in self.seen.items():
            own = (table["patient"] == patient) & (table["phase"] == phase) & (table["class"] == VENTRICLE)
            truth, found = (millilitres([pair[k] for pair in views.values()]) for k in (0, 1))
            table.loc[own, columns] = [truth, found, found - truth, abs(found - truth)]
        return table
