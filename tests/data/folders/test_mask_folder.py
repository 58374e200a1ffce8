"""Masks of other tools: found by name, read in every format, turned as the data are sliced."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from sslseg.config import plugins
from sslseg.config.names import DataError
from sslseg.data.folders import mask_folder
from sslseg.data.slices.sources import describe
from sslseg.data.source import Description, Source
from tests.fixtures import foreign_trees, trees


def scan(image: Path, index: int | None = None) -> Source:
    return Source("p", "", 1, "", image, None, index)


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("imagesTr/case_0000.nii.gz", "case.nii.gz"),  # nnU-Net
        ("imagesTr/case_0000.nii.gz", "case_0000.nii.gz"),
        ("imagesTr/case_0000.nii.gz", "imagesTr/case.nii.gz"),
        ("a/b.jpg", "a/b.png"),  # a JPEG cannot hold a mask
        ("x.nhdr", "x.nrrd"),
        ("x.nii", "x.nii.gz"),
        ("a.b_0001.tif", "a.b_0001.tif"),
    ],
)
def test_masks_are_found_under_the_names_that_tools_give_them(tmp_path, image, mask):
    for path in (tmp_path / "in" / image, tmp_path / "out" / mask):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = mask_folder.mask_of(tmp_path / "out", tmp_path / "in" / image, tmp_path / "in")
    assert found == tmp_path / "out" / mask


def test_the_nearest_name_wins_and_none_is_an_error(tmp_path):
    for name in ("case.nii.gz", "case_0000.nii.gz", "sub/case.nii.gz"):
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).touch()
    places = {"sub/case_0000.nii.gz": "sub/case.nii.gz", "case_0000.nii.gz": "case_0000.nii.gz"}
    for image, mask in places.items():
        found = mask_folder.mask_of(tmp_path / "out", tmp_path / "in" / image, tmp_path / "in")
        assert found == tmp_path / "out" / mask
    with pytest.raises(DataError, match="case_0001.nii.gz: wanted a mask named as the image"):
        mask_folder.mask_of(tmp_path / "out", tmp_path / "in" / "case_0001.nii.gz", tmp_path / "in")


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_masks_are_turned_as_the_data_are_sliced(tmp_path, axis):
    root = foreign_trees.nnunet(tmp_path / "raw", cases=1)
    (root / "sslseg.json").write_text(json.dumps({"axis": axis}))
    module = plugins.load("datasets", "nnunet")
    source, about = module.find(root)[0], describe(module, root)
    label = module.read(source).label
    path = mask_folder.mask_of(root / "labelsTr", source.image, root)
    np.testing.assert_array_equal(mask_folder.read(path, source, about, label.shape), label)


def test_values_are_class_numbers_or_those_of_the_data(tmp_path):
    about = Description(("background", "lesion"), settings={"values": [0, 255]})
    plane = np.zeros((5, 7), np.uint8)
    plane[2:, 3:] = 1
    for name, factor in (("a.png", 1), ("b.png", 255), ("c.tif", 1)):
        cv2.imwrite(str(tmp_path / name), plane * factor)
        got = mask_folder.read(tmp_path / name, scan(tmp_path / name), about, (1, 5, 7))
        np.testing.assert_array_equal(got[0], plane)
    cv2.imwrite(str(tmp_path / "d.png"), plane * 7)
    with pytest.raises(DataError, match="d.png: wanted mask values 0, 1, 255, got also 7"):
        mask_folder.read(tmp_path / "d.png", scan(tmp_path / "d.png"), about, (1, 5, 7))


def test_a_frame_of_a_cine_and_a_wrong_shape(tmp_path):
    about = Description(("background", "LV"))
    mask = np.zeros((5, 7, 3, 2), np.uint8)
    mask[1:4, 2:5, 1, 1] = 1
    path = trees.nifti(tmp_path / "x.nii.gz", mask)
    for t in (0, 1):
        got = mask_folder.read(path, scan(path, t), about, (3, 7, 5))
        np.testing.assert_array_equal(got, mask[..., t].T)
    with pytest.raises(DataError, match="wanted a mask of the image's shape"):
        mask_folder.read(path, scan(path, 0), about, (3, 5, 7))
