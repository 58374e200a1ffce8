"""nnU-Net v2's raw form in full, and the same slices as by the reader of the same files' own set."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from sslseg.config.names import DataError
from sslseg.data.phantom import tree
from sslseg.data.slices import prepare
from sslseg.data.source import IGNORE
from sslseg.data.splits import divide
from sslseg.datasets import nnunet
from tests.fixtures import foreign_trees, trees


def prepared(root, cache, **keys):
    return prepare.prepare("nnunet", root, cache, spacing=keys.pop("spacing", 0.0), progress=False, **keys)


def test_a_copy_of_a_phantom_gives_the_slices_of_the_acdc_reader(tmp_path):
    own = tree.write(tmp_path / "acdc", patients=3, seed=5, size=64, slices=3)
    copy = foreign_trees.nnunet_copy(own, tmp_path / "Dataset027_ACDC")
    a = prepare.prepare("acdc", own, tmp_path / "cache", spacing=4.0, progress=False)
    b = prepared(copy, tmp_path / "cache", spacing=4.0)
    assert b.classes == a.classes
    np.testing.assert_array_equal(a.codes_flat, b.codes_flat)
    np.testing.assert_array_equal(a.labels_flat, b.labels_flat)
    same = [
        "volume",
        "patient",
        "frame",
        "z",
        "labelled",
        "height",
        "width",
        "offset",
        "foreground",
        "spacing_x",
    ]
    assert a.index[same].equals(b.index[same])
    assert a.volume_table["xxh3"].equals(b.volume_table["xxh3"])


def test_channels_are_stacked_in_order_and_the_ignore_label_is_255(tmp_path):
    root = foreign_trees.nnunet(
        tmp_path / "raw", cases=1, channels=2, labels=foreign_trees.HEART | {"ignore": 4}
    )
    image, mask = foreign_trees.scene(0)
    mask[..., 1] = 4
    mask[0, 0, 0] = 4
    trees.nifti(root / "labelsTr" / "case0.nii.gz", mask)
    (source,) = nnunet.find(root)
    volume = nnunet.read(source)
    np.testing.assert_array_equal(volume.image, [image.T, image.T + 1])
    np.testing.assert_array_equal(volume.label, np.where(mask == 4, IGNORE, mask).T)
    store = prepared(root, tmp_path / "cache")
    assert store.channels == 2
    assert store.index["labelled"].tolist() == [True, False, True]  # slice 1 is unknown everywhere
    np.testing.assert_array_equal(store.label(2), mask[..., 2].T)
    with pytest.raises(DataError, match="has no label"):
        store.label(1)


def test_regions_are_read_as_the_labels_they_are_made_of(tmp_path):
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "active": 3}
    root = foreign_trees.nnunet(tmp_path / "raw", cases=1, labels=labels, regions_class_order=[1, 2, 3])
    about = nnunet.describe(root)
    assert about.classes == ("background", "whole", "whole-and-core", "whole-and-core-and-active")
    assert about.settings["regions"]["core"] == [2, 3]
    assert np.unique(nnunet.read(nnunet.find(root)[0]).label).tolist() == [0, 1, 2, 3]


def test_pictures_and_tiff_stacks(tmp_path):
    colour = np.random.default_rng(0).integers(0, 255, (20, 24, 3)).astype(np.uint8)
    root = tmp_path / "png"
    for folder, name, array in (
        ("imagesTr", "a_0000.png", colour),
        ("labelsTr", "a.png", colour[..., 0] > 99),
    ):
        (root / folder).mkdir(parents=True)
        cv2.imwrite(str(root / folder / name), array.astype(np.uint8))
    foreign_trees.dataset_json(root, file_ending=".png", labels={"background": 0, "road": 1},
                               channel_names={"0": "R", "1": "G", "2": "B"})  # fmt: skip
    volume = nnunet.read(nnunet.find(root)[0])
    np.testing.assert_array_equal(volume.image[:, 0], np.moveaxis(colour[..., ::-1], -1, 0))
    assert not nnunet.describe(root).physical
    stack = np.random.default_rng(1).integers(0, 60000, (4, 20, 24)).astype(np.uint16)
    root = tmp_path / "tif"
    for folder, name, array in (("imagesTr", "a_0000.tif", stack), ("labelsTr", "a.tif", stack > 30000)):
        (root / folder).mkdir(parents=True)
        cv2.imwritemulti(
            str(root / folder / name), list(array.astype(array.dtype if folder[0] == "i" else np.uint8))
        )
    (root / "imagesTr" / "a.json").write_text('{"spacing": [5, 0.5, 0.6]}')
    foreign_trees.dataset_json(root, file_ending=".tif", labels={"background": 0, "cell": 1})
    (source,) = nnunet.find(root)
    volume = nnunet.read(source)
    np.testing.assert_array_equal(volume.image[0], stack)
    assert volume.spacing == (5.0, 0.5, 0.6)
    assert source.more == (root / "imagesTr" / "a.json",)  # a changed voxel size is a changed input


def test_splits_in_and_out(tmp_path):
    root = foreign_trees.nnunet_copy(trees.acdc(tmp_path / "acdc", patients=10, cine=()), tmp_path / "raw")
    assert nnunet.describe(root).split == ""
    patients = [f"patient{n:03d}" for n in range(1, 11)]
    wanted = {p: ("test", "val")[n] if n < 2 else "train" for n, p in enumerate(patients)}
    nnunet.write_splits(root / "splits_final.json", wanted, nnunet.find(root))
    folds = json.loads((root / "splits_final.json").read_text())
    assert folds[0]["val"] == ["patient002_frame01", "patient002_frame03"]
    assert not any("patient001" in case for case in folds[0]["train"] + folds[0]["val"])
    assert nnunet.describe(root).sides == wanted
    store = prepared(root, tmp_path / "cache")
    for kind in ("auto", "file"):
        rows = divide(store, "nnunet", kind)
        assert {side: set(store.index["patient"].iloc[r]) for side, r in rows.items()} == {
            side: {p for p in patients if wanted[p] == side} for side in rows
        }
    folds[0]["train"].append("patient002_frame01")
    (root / "splits_final.json").write_text(json.dumps(folds))
    with pytest.raises(DataError, match=r"splits_final.json: patient patient002 is in"):
        nnunet.describe(root)
    (root / "splits_final.json").write_text(json.dumps(folds[:1]))
    with pytest.raises(DataError, match="splits_final.json: wanted two folds .*, got a list of 1$"):
        nnunet.describe(root)
    (root / "splits_final.json").write_text(json.dumps(folds).replace('"val"', '"train"', 1))
    with pytest.raises(DataError, match="the key 'train' is there twice"):
        nnunet.describe(root)


def test_unlabelled_cases_train_and_labelled_test_images_test(tmp_path):
    root = foreign_trees.nnunet(tmp_path / "raw", cases=6)
    trees.nifti(root / "imagesTs" / "t0_0000.nii.gz", foreign_trees.scene(20)[0])
    store = prepared(root, tmp_path / "cache")
    rows = divide(store, "nnunet", "auto")
    assert set(store.index["patient"][~store.index["labelled"]]) == {"t0"}
    assert "t0" in set(store.index["patient"].iloc[rows["train"]])
    trees.nifti(root / "labelsTs" / "t0.nii.gz", foreign_trees.scene(20)[1])
    assert (nnunet.describe(root).sides, nnunet.describe(root).split) == ({"t0": "test"}, "official")
    store = prepared(root, tmp_path / "cache")
    assert set(store.index["patient"].iloc[divide(store, "nnunet", "auto")["test"]]) == {"t0"}


def listed(root, monkeypatch) -> dict:
    """Two channels of one case beside the folder, in another's, and named as nobody would guess."""
    elsewhere = foreign_trees.nnunet(root.parent / "Dataset001_Other", cases=1)
    image, mask = foreign_trees.scene(7)
    monkeypatch.setenv("SSLSEG_TEST_PLACE", str(root.parent / "far"))
    for name, array in (("t1.nii.gz", image), ("t2.nii.gz", image + 1), ("drawn.nii.gz", mask)):
        trees.nifti(root.parent / "far" / name, array)
    other = "../Dataset001_Other/imagesTr/case0_0000.nii.gz"
    return {
        "anna_frame01": {"images": ["$SSLSEG_TEST_PLACE/t1.nii.gz", "$SSLSEG_TEST_PLACE/t2.nii.gz"],
                         "label": "$SSLSEG_TEST_PLACE/drawn.nii.gz"},
        "bert": {"images": [other, other], "label": str(elsewhere / "labelsTr" / "case0.nii.gz")},
    }  # fmt: skip


def test_training_files_that_are_listed_may_lie_anywhere(tmp_path, monkeypatch):
    root = tmp_path / "Dataset002_Own"
    channels = {"0": "T1", "1": "T2"}
    foreign_trees.dataset_json(root, dataset=listed(root, monkeypatch), channel_names=channels)
    trees.nifti(root / "imagesTr" / "passed_over_0000.nii.gz", foreign_trees.scene(0)[0])
    first, second = nnunet.find(root)
    assert [(s.patient, s.frame) for s in (first, second)] == [("anna", 1), ("bert", 1)]
    image, mask = foreign_trees.scene(7)
    np.testing.assert_array_equal(nnunet.read(first).image, [image.T, image.T + 1])
    np.testing.assert_array_equal(nnunet.read(first).label, mask.T)
    np.testing.assert_array_equal(nnunet.read(second).image[1], foreign_trees.scene(0)[0].T)
    assert prepared(root, tmp_path / "cache").channels == 2
    for n in range(2):
        trees.nifti(root / "imagesTs" / f"t0_{n:04d}.nii.gz", foreign_trees.scene(20)[0])
    assert [s.patient for s in nnunet.find(root) if s.label is None] == ["t0"]
    sides = {"anna": "train", "bert": "val", "t0": "train"}
    nnunet.write_splits(root / "splits_final.json", sides, nnunet.find(root))
    folds = json.loads((root / "splits_final.json").read_text())
    assert folds[0] == {"train": ["anna_frame01"], "val": ["bert"]}
    trees.nifti(root / "labelsTs" / "t0.nii.gz", foreign_trees.scene(20)[1])
    assert nnunet.describe(root).sides == {"anna": "train", "bert": "val", "t0": "test"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"a": {"images": [], "label": "x"}}, "dataset: wanted .*got 'a'"),
        ({"a": {"images": ["x.nii.gz", 3], "label": "x"}}, "dataset: wanted .*got 3 as a file"),
        ({"a": {"images": ["x.nii.gz"]}}, "dataset: wanted .*got None as a file"),
        ([], "dataset: wanted .*got \\[\\]"),
        (
            {"a": {"images": ["no.nii.gz"], "label": "no2.nii.gz"}},
            "dataset: a: wanted .*no.nii.gz, .*no2.nii.gz",
        ),
    ],
)
def test_lists_of_files_that_are_none(tmp_path, wrong, message):
    foreign_trees.dataset_json(tmp_path, dataset=wrong)
    with pytest.raises(DataError, match=message):
        nnunet.find(tmp_path)


def test_a_listed_case_without_a_channel_is_left_out_by_a_scan(tmp_path, monkeypatch):
    root = tmp_path / "Dataset002_Own"
    told = listed(root, monkeypatch)
    told["bert"]["images"].pop()
    foreign_trees.dataset_json(root, dataset=told, channel_names={"0": "T1", "1": "T2"})
    sources, faults = nnunet.scan(root)
    assert [s.patient for s in sources] == ["anna"]
    assert "bert: wanted 2 images, got 1" in faults[0]["reason"]


FAULTS = {
    "missing": ({}, "labelsTr/case0.nii.gz", "case0.nii.gz: wanted the label of case0_0000"),
    "image": ({}, "imagesTr/case1_0000.nii.gz", "case1_0000.nii.gz: wanted the image of case1"),
    "channel": ({"channel_names": {"0": "a", "1": "b"}}, "imagesTr/case0_0001.nii.gz", "wanted 2 channels"),
    "gap": ({"labels": {"background": 0, "a": 2}}, "", "dataset.json: labels: wanted background 0"),
    "zero": ({"labels": {"a": 0, "b": 1}}, "", "dataset.json: labels: wanted background 0"),
    "ignore": ({"labels": foreign_trees.HEART | {"ignore": 2}}, "", "ignore to be the highest, 4"),
    "text": ({"labels": {"background": "x"}}, "", "dataset.json: labels: wanted name: number"),
    "ending": ({"file_ending": ".xyz"}, "", "dataset.json: file_ending"),
    "key": ({"labels": {}}, "", "dataset.json: wanted the key labels"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_name_the_file_and_what_was_expected(tmp_path, name):
    keys, removed, message = FAULTS[name]
    root = foreign_trees.nnunet(tmp_path / "raw", cases=2, channels=2 if name == "channel" else 1, **keys)
    if removed:
        (root / removed).unlink()
    with pytest.raises(DataError, match=message):
        nnunet.describe(root), nnunet.find(root)
    if removed:
        sources, faults = nnunet.scan(root)
        assert (len(sources), len(faults)) == (1, 1)


def test_other_forms_and_labels(tmp_path):
    root = foreign_trees.nnunet(tmp_path / "own", cases=1)
    (root / "sslseg.json").write_text(
        json.dumps({"colours": ["#000000"] * 4, "classes": ["background", "heart"]})
    )
    with pytest.raises(DataError, match="sslseg.json: classes: this format names its own"):
        nnunet.describe(root)
    (root / "sslseg.json").write_text(json.dumps({"colours": ["#000000"] * 4, "domain": "cardiac-mri"}))
    assert (nnunet.describe(root).domain, len(nnunet.describe(root).colours)) == ("cardiac-mri", 4)
    with pytest.raises(DataError, match="dataset.json: wanted a JSON file"):
        nnunet.find(tmp_path)
    with pytest.raises(DataError, match="use dataset=decathlon"):
        nnunet.find(foreign_trees.decathlon(tmp_path / "msd", cases=1))
    root = foreign_trees.nnunet(tmp_path / "raw", cases=1, labels={"background": 0, "heart": 1})
    with pytest.raises(DataError, match=r"labelsTr/case0.nii.gz: wanted mask values 0, 1, got also 2, 3"):
        nnunet.read(nnunet.find(root)[0])


def test_with_labelled_test_images_the_first_of_nnunets_five_folds_divides_the_others(tmp_path):
    root = foreign_trees.nnunet(tmp_path / "Dataset1_a", cases=5)
    image, mask = foreign_trees.scene(20)
    trees.nifti(root / "imagesTs" / "t0_0000.nii.gz", image)
    trees.nifti(root / "labelsTs" / "t0.nii.gz", mask)
    cases = [f"case{n}" for n in range(5)]
    folds = [{"train": [c for c in cases if c != held], "val": [held]} for held in cases]
    (root / "splits_final.json").write_text(json.dumps(folds))
    wanted = dict.fromkeys(cases, "train") | {"case0": "val", "t0": "test"}
    assert nnunet.describe(root).sides == wanted
    (root / "labelsTs" / "t0.nii.gz").unlink()  # then the second fold's part tests
    assert nnunet.describe(root).sides == dict.fromkeys(cases, "train") | {"case0": "val", "case1": "test"}
