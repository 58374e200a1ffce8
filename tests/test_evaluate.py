"""Whole volumes scored: the policy for missed structures, the bootstrap, and the stage on perfect masks."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
import trained_models
from mlflow import MlflowClient
from sklearn.metrics import f1_score, jaccard_score

from sslseg import launch, names
from sslseg.data import phantom_tree
from sslseg.names import DataError, EncoderError, ParamError
from sslseg.params import Evaluate
from sslseg.stages import evaluate
from sslseg.training import cases, surface

CLASSES = ("background", "RV", "MYO", "LV")
SPACING = (10.0, 1.5, 1.5)
ASKED = (  # quantity, its key in the phantom's manifest, relative tolerance (half a voxel at every edge)
    ("LV EDV", "lv_edv_ml", 0.02),
    ("LV ESV", "lv_esv_ml", 0.03),
    ("RV EDV", "rv_edv_ml", 0.02),
    ("MYO ED mass", "lv_mass_g", 0.03),
)
WORSE_WHEN_LARGER = ("hd_mm", "hd95_mm", "assd_mm", "absolute_error_ml", "failure_rate")


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
    truth[0, :5] = 255
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
    summary = cases.summarise(found, 200, np.random.default_rng(0)).set_index(["class", "score"])
    assert summary.loc[("LV", "dice"), "mean"] == pytest.approx((0.5 + 1) / 2)  # patient by patient
    assert summary.loc[("LV", "dice"), "patients"] == 2
    assert summary.loc[("LV", "failure_rate"), "mean"] == pytest.approx(0.25)


@pytest.mark.parametrize("what", ["one class", "all"])
def test_emptying_one_prediction_worsens_every_aggregate(what):
    pairs = {f"p{n}": [(heart(n), moved(heart(n)))] * 2 for n in range(4)}
    before = cases.summarise(table(pairs), 200, np.random.default_rng(0))
    truth, prediction = pairs["p1"][0]
    emptied = np.where((prediction == 3) | (what == "all"), 0, prediction)
    pairs["p1"] = [(truth, emptied), pairs["p1"][1]]
    after = cases.summarise(table(pairs), 200, np.random.default_rng(0))
    for old, new in zip(before.to_dict("records"), after.to_dict("records"), strict=True):
        change = new["mean"] - old["mean"]
        assert new["patients"] == old["patients"]
        if what == "one class" and old["class"] != "LV":
            assert change == 0
        else:
            assert (change > 0) == (old["score"] in WORSE_WHEN_LARGER), old
            assert change != 0


def test_interval_is_the_bootstraps_over_patients():
    values = np.random.default_rng(0).gamma(2.0, size=(40, 2))
    values[:30, 1] = np.nan
    low, high = cases.intervals(values, 20000, np.random.default_rng(1))
    rng = np.random.default_rng(2)
    draws = values[rng.integers(0, 40, (20000, 40)), 0].mean(axis=1)
    assert (low[0], high[0]) == pytest.approx(tuple(np.percentile(draws, (2.5, 97.5))), abs=0.03)
    assert low[1] < np.nanmean(values[:, 1]) < high[1]
    assert np.isnan(cases.intervals(values[:1], 100, rng)[0]).all()


def test_slices_are_scored_beside():
    truth = heart()
    truth[0] = 0
    prediction = truth.copy()
    prediction[1] = 0
    rows = pd.DataFrame(cases.slice_scores(truth, prediction, CLASSES)).set_index(["class", "z"])["dice"]
    assert rows["LV"].isna().tolist() == [True, False, False, False]
    assert rows["LV"].tolist()[1:] == [0, 1, 1]


def test_class_numbers_are_translated_by_name():
    number = evaluate.translation(("background", "LV", "MYO", "RV"), CLASSES)
    assert number.tolist() == [0, 3, 2, 1]
    with pytest.raises(EncoderError, match="RV, liver cannot be scored"):
        evaluate.translation(("background", "LV", "MYO", "liver"), CLASSES)


# ---------------------------------------------------------------- the stage
@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    return phantom_tree.write(tmp_path_factory.mktemp("tree") / "t", patients=5, seed=3, size=96, slices=8)


def perfect(root: Path, out: Path) -> Path:
    """The ground truth under the images' names, as a tool would have written its masks."""
    for truth in root.rglob("*_gt.nii.gz"):
        place = out / truth.relative_to(root).with_name(truth.name.replace("_gt", ""))
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(truth, place)
    return out


def settings(root: Path, **more) -> Evaluate:
    return Evaluate(dataset="acdc", data_root=str(root), part="all", threads=1, resamples=200, **more)


def tables(run_id: str, store: str, *files: str) -> list[pd.DataFrame]:
    api = MlflowClient(store)
    return [pd.read_csv(api.download_artifacts(run_id, f"evaluate/{name}.csv")) for name in files]


def test_perfect_masks_give_the_phantoms_asked_for_numbers(phantom, tmp_path, tmp_cache, store):
    masks = perfect(phantom, tmp_path / "masks")
    run_id = launch.execute("evaluate", settings(phantom, predictions=str(masks)))
    found = MlflowClient(store).get_run(run_id).data.metrics
    for name in CLASSES[1:]:
        assert found[f"evaluate/dice/{name}"] == 1
        assert found[f"evaluate/hd_mm/{name}"] == found[f"evaluate/failure_rate/{name}"] == 0
    measured, agreement, acdc = tables(run_id, store, "clinical", "agreement", "acdc")
    assert (agreement[["bias", "mae", "mae_low", "mae_high"]] == 0).all(axis=None)
    assert len(acdc) == 10
    by = measured.set_index(["patient", "quantity"])["prediction"]
    for patient, asked in phantom_tree.manifest(phantom).items():
        for quantity, key, room in ASKED:
            assert by[patient, quantity] == pytest.approx(asked[key], rel=room), (patient, quantity)
        assert by[patient, "LV EF"] == pytest.approx(asked["lv_ef_percent"], abs=1.0)
        assert by[patient, "RV EF"] == pytest.approx(asked["rv_ef_percent"], abs=1.5)

    image = next(masks.rglob("*frame01.nii.gz"))  # one mask emptied: all that is clinical gets worse
    empty = nib.load(image)
    nib.save(nib.Nifti1Image(np.zeros(empty.shape, np.uint8), None, empty.header), image)
    worse = launch.execute("evaluate", settings(phantom, predictions=str(masks)))
    got = MlflowClient(store).get_run(worse).data.metrics
    for key in ("LV_EDV", "LV_SV", "LV_EF", "RV_EDV", "RV_EF", "MYO_ED_mass"):
        assert got[f"evaluate/mae/{key}"] > found[f"evaluate/mae/{key}"]
        assert got[f"evaluate/worst_cases/{key}"] == 1
    assert got["evaluate/missed/LV"] == 1
    image.unlink()
    with pytest.raises(DataError, match="there is none"):
        launch.execute("evaluate", settings(phantom, predictions=str(masks)))


def test_a_registered_model_is_evaluated_with_its_lineage(phantom, tmp_path, tmp_cache, store):
    torch.set_num_threads(1)
    model = trained_models.register(tmp_path / "model", spacing=4.0)
    run_id = launch.execute("evaluate", settings(phantom, model=(model,)))
    run = MlflowClient(store).get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags[names.TAG_UPSTREAM_RUN] == model
    found, counted = tables(run_id, store, "cases", "counts")
    assert len(found) == 5 * 2 * 3
    assert (counted[list(cases.STATUS)].sum(axis=1) == 10).all()
    files = {a.path for a in MlflowClient(store).list_artifacts(run_id, "evaluate")}
    assert {"evaluate/agreement.png", "evaluate/slices.csv", "evaluate/summary.csv"} <= files


def test_what_is_scored_has_to_be_said(phantom, tmp_path, tmp_cache, store):
    for wrong in ({}, {"model": ("0" * 32,), "predictions": str(tmp_path)}):
        with pytest.raises(ParamError, match="wanted one of the two"):
            launch.execute("evaluate", settings(phantom, **wrong))
