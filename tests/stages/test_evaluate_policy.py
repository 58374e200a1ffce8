"""Stage evaluate on an nnU-Net folder with regions and the ignore label: what is missed, invented or absent."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from sslseg import execute
from sslseg.config import names
from sslseg.config.params import Evaluate
from tests.fixtures import foreign_trees, trees

LABELS = {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}
SIZE = (20, 24, 3)
EDEMA, CORE, UNKNOWN = 1, 2, 3
CORE_NAME = "whole-and-core"  # the label that both regions hold


def truth() -> np.ndarray:
    """A block of edema with a core in it; a corner is unknown."""
    mask = np.zeros(SIZE, np.uint8)
    mask[4:14, 4:16] = EDEMA
    mask[6:10, 6:10] = CORE
    mask[:3, :3] = UNKNOWN
    return mask


@pytest.fixture(scope="module")
def scored(tmp_path_factory, store) -> dict[str, pd.DataFrame]:
    """Tables of one evaluation of four cases, with the run's metrics."""
    root = foreign_trees.nnunet(tmp_path_factory.mktemp("raw") / "d", cases=4, labels=LABELS,
                                regions_class_order=[1, 2])  # fmt: skip
    whole, no_core = truth(), np.where(truth() == CORE, EDEMA, truth()).astype(np.uint8)
    predicted = whole.copy()
    predicted[:3, :3] = CORE  # where nobody knows
    cases = {  # truth, prediction
        "case0": (whole, predicted),
        "case1": (whole, no_core),  # the core is missed
        "case2": (no_core, whole),  # and invented
        "case3": (no_core, no_core),  # and in neither
    }
    masks = tmp_path_factory.mktemp("masks")
    for name, (label, prediction) in cases.items():
        trees.nifti(root / "labelsTr" / f"{name}.nii.gz", label)
        trees.nifti(masks / f"{name}.nii.gz", np.where(prediction == UNKNOWN, 0, prediction).astype(np.uint8))
    run_id = execute.execute("evaluate", Evaluate(
        dataset="nnunet", data_root=str(root), predictions=str(masks), part="all", threads=1, resamples=50
    ))  # fmt: skip
    api = MlflowClient(store)
    found = {n: pd.read_csv(api.download_artifacts(run_id, f"evaluate/{n}.csv")) for n in ("cases", "counts")}
    metrics = api.get_run(run_id).data.metrics
    return found | {"metrics": {key.removeprefix(names.DETAIL): value for key, value in metrics.items()}}


def test_unknown_voxels_are_not_scored(scored) -> None:
    first = scored["cases"][scored["cases"]["patient"] == "case0"]
    assert set(first["class"]) == {"whole", "whole-and-core", "region whole"}
    assert (first["dice"] == 1).all()
    assert (first["hd_mm"] == 0).all()


def test_every_case_is_in_one_column_and_none_is_left_out(scored) -> None:
    counts = scored["counts"].set_index("class")
    one_each = {"found": 1, "missed": 1, "invented": 1, "absent": 1}
    assert counts.loc[CORE_NAME, list(one_each)].to_dict() == one_each
    assert counts.loc["region whole", "found"] == 4


def test_a_miss_is_the_worst_case_and_is_counted_in_the_mean(scored) -> None:
    rows = scored["cases"][scored["cases"]["class"] == CORE_NAME].set_index("patient")
    edge = float(np.linalg.norm(np.array(SIZE) * (1.5, 1.5, 10.0)))
    for case in ("case1", "case2"):
        assert rows.loc[case, ["dice", "iou"]].tolist() == [0, 0]
        assert rows.loc[case, "hd95_mm"] == rows.loc[case, "assd_mm"] == pytest.approx(edge, rel=0.1)
    assert np.isnan(rows.loc["case3", "dice"])
    assert scored["metrics"][f"evaluate/dice/{CORE_NAME}"] == pytest.approx(1 / 3)
    assert scored["metrics"][f"evaluate/failure_rate/{CORE_NAME}"] == pytest.approx(2 / 3)
    assert scored["metrics"][f"evaluate/missed/{CORE_NAME}"] == 1


def test_a_region_is_right_where_its_parts_are_mixed_up(scored) -> None:
    """Edema for core and core for edema: the whole is the same."""
    rows = scored["cases"][scored["cases"]["class"] == "region whole"]
    assert (rows["dice"] == 1).all()
