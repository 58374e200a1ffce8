"""Two channels, unknown voxels and slices, another axis, colours of the data: prepare to evaluate."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from sslseg import execute as sslseg_execute
from sslseg.config import flags, names
from sslseg.config.names import EVALUATE, FINETUNE, PREDICT, PREPARE, EncoderError
from sslseg.config.params import Evaluate, Predict
from sslseg.data.readers import formats
from sslseg.models import inference
from sslseg.plans import cells
from sslseg.tracking.registry import resolve
from tests.fixtures import foreign_trees, trees
from tests.fixtures.tiny_runs import NETWORK, client, get

LABELS = {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}
COLOURS = ["#000000", "#11aa33", "#cc2288"]
SHAPE = (40, 9, 44)  # x, y, z: sliced along y


def tree(root: Path, cases: int = 8) -> Path:
    """nnU-Net with a region, an ignore label, two channels of which only the second shows the core."""
    for n in range(cases):
        rng = np.random.default_rng(n)
        x, y, z = np.indices(SHAPE)
        whole = (x - 20) ** 2 + (z - 22) ** 2 < (9 + n % 3) ** 2
        core = (x - 20) ** 2 + (z - 22) ** 2 < 16
        mask = (whole + 1 * core).astype(np.uint8)
        mask[:, ::2] = 3  # every other slice is not annotated
        mask[:3] = 3  # nor is an edge of the others
        noise = rng.integers(0, 40, (2, *SHAPE))
        for c, shown in enumerate((whole, core)):
            trees.nifti(root / "imagesTr" / f"c{n}_{c:04d}.nii.gz", (noise[c] + 400 * shown).astype(np.int16),
                        (1.5, 6.0, 1.5))  # fmt: skip
        trees.nifti(root / "labelsTr" / f"c{n}.nii.gz", mask, (1.5, 6.0, 1.5))
    foreign_trees.dataset_json(root, channel_names={"0": "T1", "1": "T2"}, labels=LABELS,
                               regions_class_order=[1, 2])  # fmt: skip
    (root / "sslseg.json").write_text(json.dumps({"axis": 1, "colours": COLOURS}))
    return root


def execute(stage: str, root: Path, **texts: str) -> str:
    texts = {"dataset": "nnunet", "data_root": str(root), "spacing": "0", "threads": "1"} | texts
    return sslseg_execute.execute(
        stage, flags.resolve(flags.from_mapping(cells.parameters_of(stage, ""), texts))
    )


def table(run_id: str, file: str) -> pd.DataFrame:
    return pd.read_csv(client().download_artifacts(run_id, file))


@pytest.mark.slow
def test_two_channels_from_prepare_to_evaluate(tmp_path, tmp_cache, store):
    root = tree(tmp_path / "Dataset007_Two")
    prepared = get(execute(PREPARE, root))
    assert prepared.data.metrics["data/slices"] == 8 * 9
    assert prepared.data.metrics["data/labelled_slices"] == 8 * 4

    tuned = execute(FINETUNE, root, **NETWORK | {"batch_size": "4"}, decoder="16,16,8,8,8", steps="40",
                    eval_every="40", val_slices="4", lr="0.01", crop_scale="0.5,1")  # fmt: skip
    run = get(tuned)
    assert run.data.params["cfg.slices"] == str(6 * 4)  # of train, the annotated ones alone
    assert run.data.metrics["test/iou"] > 0.3  # the core cannot be told without the second channel

    scans, out = root / "imagesTr", tmp_path / "out"
    predicted = sslseg_execute.execute(
        PREDICT, Predict(model=(tuned,), input=str(scans), output=str(out), pattern="c[01]_*", threads=1)
    )
    assert sorted(p.name for p in out.iterdir()) == ["c0.nii.gz", "c1.nii.gz"]  # nnU-Net's names
    got = nib.load(out / "c0.nii.gz")
    assert got.shape == SHAPE
    np.testing.assert_array_equal(got.affine, nib.load(scans / "c0_0000.nii.gz").affine)
    truth = np.asarray(nib.load(root / "labelsTr" / "c0.nii.gz").dataobj)
    known = truth != 3
    assert (np.asarray(got.dataobj) == truth)[known].mean() > 0.9
    assert table(predicted, "outside_training.csv").empty
    assert get(predicted).data.metrics["predict/files"] == 2

    common = {"dataset": "nnunet", "data_root": str(root), "threads": 1, "resamples": 200}
    scored = sslseg_execute.execute(EVALUATE, Evaluate(model=(tuned,), part="test", **common))
    assert get(scored).data.tags[names.TAG_APART] == "no"
    classes = ["whole", "whole-and-core"]
    assert table(scored, "evaluate/cases.csv")["class"].unique().tolist() == [*classes, "region whole"]
    dice = {c: get(scored).data.metrics[names.stored(f"evaluate/slice_dice/{c}")] for c in classes}
    assert min(dice.values()) > 0.3

    sslseg_execute.execute(PREDICT, Predict(model=(tuned,), input=str(scans), output=str(out), threads=1))
    by_masks = sslseg_execute.execute(EVALUATE, Evaluate(predictions=str(out), part="test", **common))
    keys = [names.stored(f"evaluate/{score}/{c}") for score in ("dice", "hd95_mm") for c in classes]
    assert [get(by_masks).data.metrics[k] for k in keys] == [get(scored).data.metrics[k] for k in keys]

    again = get(execute(FINETUNE, root, encoder=tuned, budget="2", steps="2", image_size="32", batch_size="2",
                        decoder="16,16,8,8,8", eval_every="2", val_slices="2", allow_transductive="true"))  # fmt: skip
    assert again.data.tags[names.TAG_APART] == "no"
    other = foreign_trees.nnunet(tmp_path / "one", cases=10)
    with pytest.raises(EncoderError, match="its encoder reads 2 channels, the data has 1"):
        execute(FINETUNE, other, encoder=tuned, budget="2", steps="2", image_size="32", batch_size="2")


def test_pictures_without_millimetres_are_never_resampled(tmp_path, tmp_cache, store):
    """16-bit PNGs with a mask value and a colour of their own; spacing=2.5 mm is for other data."""
    root = foreign_trees.images(tmp_path / "in", cases=10)
    told = {"classes": {"lesion": 255}, "patient_regex": "_([0-9]+)$", "colours": ["#000000", "#cc2288"]}
    (root / "sslseg.json").write_text(json.dumps(told))
    texts = {"dataset": "images", "decoder": "8,8,8,8,8", "steps": "1", "eval_every": "1", "spacing": "2.5"}
    texts["probe"] = "warn"  # the scenes are noise
    tuned = execute(FINETUNE, root, **NETWORK | texts)
    model = inference.open_model(resolve.resolve(tuned, kind=names.KIND_SEGMENTER).path)
    assert model.spacing == 0
    assert model.facts["colours"] == told["colours"]
    out = tmp_path / "out"
    predicted = sslseg_execute.execute(
        PREDICT, Predict(model=(tuned,), input=str(root), output=str(out), pattern="p?_?.png", threads=1)
    )
    rows = table(predicted, "predictions.csv")
    assert len(rows) == 10
    assert not [c for c in rows if c.startswith("ml/")]
    assert formats.read_labels(out / "p0_0.png", (1, 20, 24)).max() <= 1
    masks = {"predictions": str(out), "dataset": "images", "data_root": str(root), "resamples": 100}
    assert get(sslseg_execute.execute(EVALUATE, Evaluate(**masks, threads=1))).info.status == "FINISHED"
