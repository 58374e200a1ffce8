"""Scores of whole volumes: the policy for missed structures, counts, means over patients with their intervals."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, jaccard_score

from sslseg.scoring import surface
from sslseg.scoring import volumes as cases

CLASSES = ("background", "RV", "MYO", "LV")
SPACING = (10.0, 1.5, 1.5)
WORSE_WHEN_LARGER = ("hd_mm", "hd95_mm", "assd_mm", "absolute_error_ml", "failure_rate")


def ends(values: np.ndarray, score: str) -> tuple[float, float]:
    """Stands for an interval: the least and the greatest."""
    return values.min(), values.max()


def heart(seed: int = 0) -> np.ndarray:
    """A ring of 2 around 3, 1 beside; [4, 40, 48]."""
    y, x = np.mgrid[:40, :48]
    rng = np.random.default_rng(seed)
    middle = np.hypot(y - rng.integers(17, 23), x - rng.integers(25, 30))
    mask = np.where(middle < 6, 3, np.where(middle < 9, 2, 0))
    mask[(np.hypot(y - 20, x - 12) < 6) & (mask == 0)] = 1
    return np.repeat(mask[None], 4, axis=0).astype(np.uint8)


def moved(mask: np.ndarray, by: int = 1) -> np.ndarray:
    return np.roll(mask, by, axis=2)


def table(pairs: dict[str, list[tuple[np.ndarray, np.ndarray]]]) -> pd.DataFrame:
    return pd.DataFrame(
        {"patient": patient, **row}
        for patient, volumes in pairs.items()
        for truth, prediction in volumes
        for row in cases.score(truth, prediction, SPACING, CLASSES)
    )


def test_overlap_is_scikit_learns_and_volumes_are_in_ml():
    truth, prediction = heart(), moved(heart(), 2)
    truth[0, :25] = 255
    rows = cases.score(truth, prediction, SPACING, CLASSES)
    kept = truth != 255
    for k, row in enumerate(rows, 1):
        a, b = (truth == k)[kept], (prediction == k)[kept]
        assert row["dice"] == pytest.approx(f1_score(a, b))
        assert row["iou"] == pytest.approx(jaccard_score(a, b))
        assert row["truth_ml"] == pytest.approx(a.sum() * 22.5e-3)
        assert row["error_ml"] == pytest.approx((int(b.sum()) - int(a.sum())) * 22.5e-3)
        assert row["hd_mm"] == pytest.approx(2 * 1.5)
        assert row["status"] == "found"


def test_missed_and_invented_are_the_worst_case_and_absent_is_left_out():
    full, without = heart(), np.where(heart() == 3, 0, heart())
    worst = surface.diagonal(full.shape, SPACING)
    for truth, prediction, status in ((full, without, "missed"), (without, full, "invented")):
        row = cases.score(truth, prediction, SPACING, CLASSES)[2]
        assert row["status"] == status
        assert (row["dice"], row["iou"]) == (0, 0)
        assert (row["hd_mm"], row["hd95_mm"], row["assd_mm"]) == (worst,) * 3
        assert row["absolute_error_ml"] == pytest.approx((full == 3).sum() * 22.5e-3)
    row = cases.score(without, without, SPACING, CLASSES)[2]
    assert row["status"] == "absent"
    assert all(np.isnan(row[key]) for key in cases.SCORES)


def test_counts_and_means_leave_no_volume_out():
    full, without = heart(), np.where(heart() == 3, 0, heart())
    found = table({"a": [(full, full), (full, without)], "b": [(without, without)], "c": [(full, full)]})
    counted = cases.counts(found).set_index("class")
    assert counted.loc["LV", list(cases.STATUS)].tolist() == [2, 1, 0, 1]
    assert (counted[list(cases.STATUS)].sum(axis=1) == 4).all()
    summary = cases.summarise(found, ends).set_index(["class", "score"])
    assert summary.loc[("LV", "dice"), "mean"] == pytest.approx((0.5 + 1) / 2)  # patient by patient
    assert summary.loc[("LV", "dice"), "patients"] == 2
    assert summary.loc[("LV", "failure_rate"), "mean"] == pytest.approx(0.25)


@pytest.mark.parametrize("what", ["one class", "all"])
def test_emptying_one_prediction_worsens_every_aggregate(what):
    pairs = {f"p{n}": [(heart(n), moved(heart(n)))] * 2 for n in range(4)}
    before = cases.summarise(table(pairs), ends)
    truth, prediction = pairs["p1"][0]
    emptied = np.where((prediction == 3) | (what == "all"), 0, prediction)
    pairs["p1"] = [(truth, emptied), pairs["p1"][1]]
    after = cases.summarise(table(pairs), ends)
    for old, new in zip(before.to_dict("records"), after.to_dict("records"), strict=True):
        change = new["mean"] - old["mean"]
        assert new["patients"] == old["patients"]
        if what == "one class" and old["class"] != "LV":
            assert change == 0
        else:
            assert (change > 0) == (old["score"] in WORSE_WHEN_LARGER), old
            assert change != 0


def test_interval_is_asked_of_a_number_a_patient_without_the_absent_ones():
    full, without = heart(), np.where(heart() == 3, 0, heart())
    found = table({"a": [(full, full), (full, without)], "b": [(without, without)], "c": [(full, full)]})
    summary = cases.summarise(found, ends).set_index(["class", "score"]).loc["LV"]
    assert summary.loc["dice", ["low", "high"]].tolist() == [0.5, 1]
    assert summary.loc["failure_rate", ["low", "high"]].tolist() == [0, 0.5]


@pytest.mark.parametrize("slices", [1, 2, 3])
def test_distances_of_thin_volumes_are_between_contours(slices):
    """A disc of radius 60 moved by 8 pixels, known in the plane: HD95 8.00, ASSD 4.87."""
    y, x = np.mgrid[:160, :160]
    discs = [np.repeat((np.hypot(y - 80, x - centre) <= 60)[None], slices, axis=0) for centre in (72, 80)]
    truth, prediction = (d.astype(np.uint8) for d in discs)
    classes, unit = ("background", "disc"), (1.0, 1.0, 1.0)
    for contours in ("auto", "volume", "plane"):
        (row,) = cases.score(truth, prediction, unit, classes, contours)
        in_plane = contours == "plane" or (contours == "auto" and slices < 3)
        assert row["contours"] == ("plane" if in_plane else "volume")
        if in_plane:
            assert (row["hd95_mm"], row["assd_mm"]) == pytest.approx((8.00, 4.87), abs=0.005)
        elif slices < 3:  # every voxel is surface: as an explicit choice, and as MedPy has it
            assert (row["hd95_mm"], row["assd_mm"]) == pytest.approx((2.83, 0.30), abs=0.005)
        *_, region = cases.score(truth, prediction, unit, classes, contours, {"whole": [1, 2]})
        assert region["class"] == "region whole"
        assert region["assd_mm"] == row["assd_mm"]


def test_slices_are_scored_beside():
    """A slice is scored as a volume of it alone: seen, missed, with unknown pixels, and absent."""
    truth, prediction = heart(), moved(heart(), 2)
    truth[0], prediction[0], prediction[1], truth[2, :25] = 0, 0, 0, 255
    rows = pd.DataFrame(cases.slice_scores(truth, prediction, CLASSES)).set_index(["class", "z"])
    for z in range(len(truth)):
        for row in cases.score(truth[z : z + 1], prediction[z : z + 1], SPACING, CLASSES):
            assert rows.loc[(row["class"], z)].tolist() == pytest.approx(
                [row["dice"], row["iou"]], nan_ok=True
            )
    with pytest.raises(ValueError, match="wanted a prediction of the truth's shape"):
        cases.score(truth, prediction[:, 1:], SPACING, CLASSES)


def test_a_region_is_scored_as_the_union_of_its_classes():
    rng = np.random.default_rng(5)
    truth, prediction = rng.integers(0, 3, (2, 3, 8, 8)).astype(np.uint8)
    truth[0, 0] = 255
    regions = {"background": [0], "whole": [1, 2], "core": [2]}
    unit, classes = (5.0, 1.0, 1.0), ("background", "edge", "core")
    *own, row = cases.score(truth, prediction, unit, classes, regions=regions)
    union = np.where(truth == 255, 255, np.minimum(truth, 1)).astype(np.uint8)
    (wanted,) = cases.score(union, np.minimum(prediction, 1), (5.0, 1.0, 1.0), ("background", "region whole"))
    assert row == wanted
    assert own == cases.score(truth, prediction, unit, classes)
