"""Folders of nnU-Net as people have them on their disks: v1, other names, capitals, what was not fetched."""

from __future__ import annotations

import json
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from sslseg.config.names import DataError
from sslseg.data.folders import detect, scans
from sslseg.data.readers import formats
from sslseg.datasets import decathlon, nnunet
from tests.fixtures import foreign_trees, trees


def first_version(root: Path, cases: int = 4, channels: int = 1) -> Path:
    """A Task folder of nnU-Net v1: the Decathlon's dataset.json, images with channel numbers that it leaves out."""
    foreign_trees.nnunet(root, cases=cases, channels=channels)
    told = {"name": "x", "modality": {str(c): f"m{c}" for c in range(channels)}, "numTraining": cases, "numTest": 0,
            "labels": {"0": "Background", "1": "RV", "2": "MYO", "3": "LV"}, "test": [],
            "training": [{"image": f"./imagesTr/case{n}.nii.gz", "label": f"./labelsTr/case{n}.nii.gz"}
                         for n in range(cases)]}  # fmt: skip
    (root / "dataset.json").write_text(json.dumps(told))
    return root


def test_a_raw_folder_of_the_first_version(tmp_path):
    root, second = first_version(tmp_path / "Task001_X", channels=2), tmp_path / "Dataset001_X"
    foreign_trees.nnunet(second, cases=4, channels=2)
    assert nnunet.describe(root).classes == ("background", "RV", "MYO", "LV")
    assert nnunet.describe(root).channels == ("m0", "m1")
    for ours, theirs in zip(nnunet.find(root), nnunet.find(second), strict=True):
        np.testing.assert_array_equal(nnunet.read(ours).image, nnunet.read(theirs).image)
        np.testing.assert_array_equal(nnunet.read(ours).label, nnunet.read(theirs).label)
    with pytest.raises(DataError, match="nnU-Net v1's form, whose images end in _0000, use dataset=nnunet"):
        decathlon.find(root)
    assert detect.choose(root, detect.ask(root)).dataset == "nnunet"


@pytest.mark.parametrize("call", [nnunet.find, nnunet.describe])
def test_a_wrong_number_of_channels_says_what_is_there(tmp_path, call):
    root = foreign_trees.nnunet(tmp_path / "raw", cases=2)
    foreign_trees.dataset_json(root, channel_names={"0": "T1", "1": "T2"})
    message = r"case0_0000.nii.gz: wanted 2 channels _0000 to _0001, .* \(T1, T2\), got _0000"
    with pytest.raises(DataError, match=message):
        call(root)


def test_files_of_other_names_are_shown(tmp_path):
    root = foreign_trees.nnunet(tmp_path / "raw", cases=2)
    for path in sorted((root / "imagesTr").iterdir()):
        path.rename(path.with_name(path.name.replace("_0000", "")))
    for path in (root / "labelsTr").iterdir():
        path.unlink()
    with pytest.raises(
        DataError, match=r"imagesTr: wanted files <case>_0000.nii.gz, .* got 2 others: case0.nii.gz, "
    ):
        nnunet.find(root)


def test_fewer_cases_than_numTraining_says_are_said(tmp_path):  # noqa: N802 the key's own name
    root = foreign_trees.nnunet(tmp_path / "raw", cases=3, numTraining=5)
    assert nnunet.notes(root) == [
        f"{root / 'dataset.json'}: numTraining says 5 annotated cases, 3 are here: is a part of the data missing?"
    ]
    foreign_trees.dataset_json(root, numTraining=3)
    assert nnunet.notes(root) == []
    root = foreign_trees.decathlon(tmp_path / "msd", cases=3)
    told = json.loads((root / "dataset.json").read_text())
    assert decathlon.notes(root) == []
    (root / "dataset.json").write_text(json.dumps(told | {"numTraining": 4}))
    assert "numTraining says 4 annotated cases, 3 are here" in decathlon.notes(root)[0]


def test_endings_in_capitals_and_two_files_of_one_case(tmp_path):
    root = foreign_trees.nnunet(tmp_path / "raw", cases=3)
    wanted = [nnunet.read(s) for s in nnunet.find(root)]
    for path in (root / "imagesTr" / "case1_0000.nii.gz", root / "labelsTr" / "case2.nii.gz"):
        path.rename(path.with_name(path.name.replace(".nii.gz", ".NII.GZ")))
    for ours, theirs in zip(nnunet.find(root), wanted, strict=True):
        np.testing.assert_array_equal(nnunet.read(ours).image, theirs.image)
        np.testing.assert_array_equal(nnunet.read(ours).label, theirs.label)
    shutil.copy(root / "labelsTr" / "case0.nii.gz", root / "labelsTr" / "case0.Nii.gz")
    with pytest.raises(DataError, match="wanted one file of this name, there is also"):
        nnunet.find(root)


def test_two_forms_of_an_accent_meet(tmp_path):
    root = foreign_trees.nnunet(tmp_path / "raw", cases=4)
    for n, form in enumerate(("NFC", "NFD", "NFC", "NFD")):
        label = unicodedata.normalize("NFC" if form == "NFD" else "NFD", f"é{n}.nii.gz")
        image = unicodedata.normalize(form, f"é{n}_0000.nii.gz")
        (root / "labelsTr" / f"case{n}.nii.gz").rename(root / "labelsTr" / label)
        (root / "imagesTr" / f"case{n}_0000.nii.gz").rename(root / "imagesTr" / image)
    names = [unicodedata.normalize("NFD", f"é{n}") for n in range(4)]
    folds = [{"train": names[:2], "val": names[2:3]}, {"train": names[:2], "val": names[3:]}]
    (root / "splits_final.json").write_text(json.dumps(folds))
    assert [s.label is not None for s in nnunet.find(root)] == [True] * 4
    assert sorted(nnunet.describe(root).sides.values()) == ["test", "train", "train", "val"]


def test_content_that_was_not_fetched_is_said(tmp_path):
    root = foreign_trees.nnunet(tmp_path / "raw", cases=2)
    image = root / "imagesTr" / "case0_0000.nii.gz"
    stored = tmp_path / ".git" / "annex" / "objects" / "x" / "SHA256E-s9--00.nii.gz"
    stored.parent.mkdir(parents=True)
    image.rename(stored)
    image.symlink_to(stored)
    assert len(nnunet.find(root)) == 2  # fetched: it is read, under its own name
    assert nnunet.read(nnunet.find(root)[0]).label.any()
    stored.unlink()
    with pytest.raises(DataError, match=r"case0_0000.nii.gz: .* link of git-annex: run datalad get"):
        nnunet.find(root)
    image.unlink()
    image.write_text("/annex/objects/SHA256E-s9--00.nii.gz\n")
    with pytest.raises(DataError, match=r"case0_0000.nii.gz: .* a pointer of git-annex: run datalad get"):
        nnunet.read(nnunet.find(root)[0])


@pytest.mark.parametrize("packed", [True, False])
def test_the_ending_of_a_nifti_file_does_not_say_whether_it_is_packed(tmp_path, packed):
    image, _ = foreign_trees.scene(0)
    whole = trees.nifti(tmp_path / ("a.nii.gz" if packed else "a.nii"), image)
    other = tmp_path / "in" / ("b.nii" if packed else "b.nii.gz")
    other.parent.mkdir()
    other.write_bytes(whole.read_bytes())
    np.testing.assert_array_equal(formats.read(other)[0], formats.read(whole)[0])
    (scan,) = scans.find(tmp_path / "in", tmp_path / "out")
    scans.write(scan, [(image.T > 300).astype(np.uint8)], (10.0, 1.5, 1.5), "")
    np.testing.assert_array_equal(formats.read_labels(scan.target, image.T.shape), image.T > 300)
    again = formats.read_labels(scan.target, image.T.shape, like=formats.grid(other))
    np.testing.assert_array_equal(again, image.T > 300)
