"""The Decathlon's dataset.json: modalities as channels, test images as unlabelled sources."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sslseg.config.names import DataError
from sslseg.data.slices import prepare
from sslseg.data.splits import divide
from sslseg.datasets import decathlon
from tests.fixtures import foreign_trees, trees


@pytest.fixture
def root(tmp_path):
    return foreign_trees.decathlon(tmp_path / "Task01_Tiny")


def test_modalities_labels_and_names(root):
    sources = decathlon.find(root)
    assert [s.label is not None for s in sources] == [True] * 6 + [False] * 2
    image, mask = foreign_trees.scene(2, classes=3)
    volume = decathlon.read(sources[2])
    np.testing.assert_array_equal(volume.image, [image.T, 2 * image.T])
    np.testing.assert_array_equal(volume.label, mask.T)
    assert volume.spacing == (10.0, 1.5, 1.5)
    about = decathlon.describe(root)
    assert about.classes == ("background", "edema", "enhancing-tumour")  # a metric's name has no '/' to spare
    assert (about.channels, about.licence) == (("FLAIR", "T1w"), "CC-BY-SA 4.0")


def test_test_images_are_for_pretraining(root, tmp_path):
    store = prepare.prepare("decathlon", root, tmp_path / "cache", spacing=0, progress=False)
    assert (store.channels, store.classes, store.licence) == (
        2,
        decathlon.describe(root).classes,
        "CC-BY-SA 4.0",
    )
    rows = divide(store, "decathlon", "auto")
    bare = store.index.index[~store.index["labelled"]]
    assert len(bare) == 6
    assert set(bare) <= set(rows["train"])
    assert store.index["labelled"].iloc[np.concatenate([rows["val"], rows["test"]])].all()


def test_slicing_along_another_axis(root):
    before = decathlon.read(decathlon.find(root)[0])
    (root / "sslseg.json").write_text('{"axis": 2, "patient_regex": "brain_(...)"}')
    (source, *_) = decathlon.find(root)
    after = decathlon.read(source)
    assert source.patient == "000"
    np.testing.assert_array_equal(after.image, before.image.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(after.label, before.label.transpose(2, 0, 1))
    assert after.spacing == (1.5, 10.0, 1.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": {"0": "background", "2": "a"}}, "labels: wanted keys 0, 1, 2"),
        ({"training": []}, "wanted the key training"),
        ({"training": [7]}, "wanted entries"),
        (
            {"training": [{"image": "./imagesTr/no.nii.gz", "label": "x"}]},
            "dataset: no: wanted .*no.nii.gz, .*x, not there",
        ),
        ({"training": [{"image": "../x", "label": "x"}]}, "wanted entries .* of files in the folder"),
        (
            {
                "training": [
                    {"image": f"imagesTr/brain_00{n}.nii.gz", "label": "labelsTr/brain_000.nii.gz"}
                    for n in (0, 1)
                ]
            },
            "labelsTr/brain_000.nii.gz is of brain_000 and of brain_001",
        ),
        ({"modality": {"0": "a"}}, "brain_000.nii.gz: wanted 1 modalities, as dataset.json, got 2"),
    ],
)
def test_faults(root, change, message):
    path = root / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=message):
        decathlon.describe(root), decathlon.read(decathlon.find(root)[0])


def test_one_bad_case_can_be_skipped(root, tmp_path):
    (root / "imagesTr" / "brain_001.nii.gz").unlink()
    trees.nifti(root / "labelsTr" / "brain_002.nii.gz", np.full((20, 24, 3), 7, np.uint8))
    found = prepare.prepare("decathlon", root, tmp_path, spacing=0, on_bad_file="skip", progress=False)
    reasons = " ".join(s["reason"] for s in found.skipped)
    assert len(found.skipped) == 2
    assert "dataset: brain_001: wanted" in reasons
    assert "brain_002.nii.gz: wanted mask values 0, 1, 2, got also 7" in reasons
