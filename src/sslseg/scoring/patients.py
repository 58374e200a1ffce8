"""Scores patient by patient: what an interval for other patients is made of.

A run keeps them as numbers in the store, one point a patient at that patient's number, so that they are read,
packed and paired like every metric.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from sslseg.scoring.segmentation import Evaluation


def numbers(patients: Iterable[str]) -> dict[str, int]:
    """A number for every patient of some data, whichever of them are scored: the same in every fold."""
    return {name: i for i, name in enumerate(sorted(set(map(str, patients))))}


def of_slices(tested: Evaluation, classes: Sequence[str]) -> pd.DataFrame:
    """A row a patient, with the keys of `Evaluation.summary`: means over the patient's slices, or volumes.

    A class that is nowhere to be scored in a patient is NaN there, and in no mean.
    """
    foreground = [f"{score}/{name}" for score in ("iou", "dice") for name in classes[1:]]
    by_slice = pd.DataFrame({key: tested.per_slice[key] for key in ("patient", "jaccard_loss", *foreground)})
    by_volume = pd.DataFrame({key: tested.per_volume[key] for key in ("patient", *foreground)})
    found = by_slice.groupby("patient").mean()
    found.insert(1, "iou", found[[f"iou/{name}" for name in classes[1:]]].mean(axis=1))
    return found.join(by_volume.groupby("patient").mean().add_prefix("patient_"))


def of_volumes(table: pd.DataFrame, scores: Sequence[str]) -> pd.DataFrame:
    """A row a patient, a column `<score>/<class>`: means over the patient's volumes.

    Args:
        table: rows of `volumes.score` with a column patient.
    """
    means = table.groupby(["patient", "class"], sort=False)[list(scores)].mean().unstack("class")
    means.columns = [f"{score}/{name}" for score, name in means.columns]
    return means


def points(
    found: pd.DataFrame, number: Mapping[str, int], prefix: str
) -> Iterable[tuple[int, dict[str, float]]]:
    """(a patient's number, its scores by metric) in the order of the numbers; what is NaN is left out."""
    for patient in sorted(found.index, key=lambda name: number[str(name)]):
        row = found.loc[patient]
        yield number[str(patient)], {f"{prefix}/{k}": float(v) for k, v in row.items() if not np.isnan(v)}
