"""Scores patient by patient: the same quantities as the summary, and a number that no fold changes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from sslseg.scoring import clinical, patients, segmentation, volumes

CLASSES = ("background", "a", "b")
TABLE = {
    "row": np.arange(6),
    "volume": np.array([0, 0, 1, 2, 2, 3]),
    "patient": np.array(["p2", "p2", "p2", "p10", "p10", "p10"]),
    "frame": np.array([1, 1, 9, 1, 1, 9]),
    "phase": np.array(["ED", "ED", "ES", "ED", "ED", "ES"]),
    "z": np.array([0, 1, 0, 0, 1, 0]),
}


@pytest.fixture
def tested() -> segmentation.Evaluation:
    """Two patients of two volumes; class b is nowhere in the second."""
    rng = np.random.default_rng(0)
    truth = torch.from_numpy(rng.integers(0, 3, (6, 8, 8)))
    predicted = torch.from_numpy(rng.integers(0, 3, (6, 8, 8)))
    truth[3:][truth[3:] == 2], predicted[3:][predicted[3:] == 2] = 0, 1
    counts = segmentation.confusion(truth, predicted, 3).numpy()
    return segmentation._evaluation(TABLE, counts, rng.random(6), CLASSES, "exclude")


def test_a_patient_has_the_mean_of_its_slices_and_of_its_volumes(tested: segmentation.Evaluation):
    found = patients.of_slices(tested, CLASSES)
    assert set(found.columns) == set(tested.summary)
    for patient, own in (("p2", slice(0, 3)), ("p10", slice(3, 6))):
        row = found.loc[patient]
        assert row["jaccard_loss"] == pytest.approx(tested.per_slice["jaccard_loss"][own].mean())
        assert row["iou/a"] == pytest.approx(tested.per_slice["iou/a"][own].mean())
        volume = tested.per_volume["patient"] == patient
        assert row["patient_dice/a"] == pytest.approx(tested.per_volume["dice/a"][volume].mean())
    assert np.isnan(found.loc["p10", "iou/b"])
    assert found.loc["p10", "iou"] == found.loc["p10", "iou/a"]
    # equally many slices: the mean over patients is the summary's over slices
    assert found["iou/a"].mean() == pytest.approx(tested.summary["iou/a"])


def test_points_are_in_the_order_of_numbers_that_all_patients_share(tested: segmentation.Evaluation):
    number = patients.numbers(["p9", "p2", "p10", "p2"])
    assert number == {"p10": 0, "p2": 1, "p9": 2}
    steps = list(patients.points(patients.of_slices(tested, CLASSES), number, "test_patients"))
    assert [step for step, _ in steps] == [0, 1]
    assert steps == list(patients.points(patients.of_slices(tested, CLASSES)[::-1], number, "test_patients"))
    assert "test_patients/iou/b" not in steps[0][1]  # NaN is no number
    assert steps[1][1]["test_patients/iou/b"] == pytest.approx(tested.per_slice["iou/b"][:3].mean())


def test_volumes_and_clinical_errors_of_a_patient():
    rows = [
        {"patient": p, "phase": phase, "frame": f, **row}
        for p, lv in (("p1", 40), ("p2", 60))
        for f, (phase, truth, predicted) in enumerate((("ED", 90, 80), ("ES", lv, 50)))
        for row in volumes.score(
            *(_volume(n) for n in (truth, predicted)), (10.0, 1.0, 1.0), ("background", "LV")
        )
    ]
    table = pd.DataFrame(rows)
    table["failure_rate"] = volumes.failed(table)
    found = patients.of_volumes(table, ["dice", "failure_rate"])
    own = table[table["patient"] == "p2"]
    assert found.loc["p2", "dice/LV"] == pytest.approx(own["dice"].mean())
    assert found.loc["p2", "failure_rate/LV"] == 0
    measured = clinical.measure(table)
    errors = clinical.errors(measured)
    fraction = measured[(measured["patient"] == "p1") & (measured["quantity"] == "LV EF")]
    assert errors.loc["p1", "mae/LV_EF"] == pytest.approx(abs(fraction["error"].item()))
    joined = found.join(errors)
    summary = clinical.agreement(measured, lambda values, score: (0.0, 0.0)).set_index("quantity")
    assert joined["mae/LV_EDV"].mean() == pytest.approx(summary.loc["LV EDV", "mae"])


def _volume(voxels: int) -> np.ndarray:
    flat = np.zeros(4 * 6 * 6, np.uint8)
    flat[:voxels] = 1
    return flat.reshape(4, 6, 6)
