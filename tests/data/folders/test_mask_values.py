"""Numbers in masks: which of them somebody has said, and which images are masks themselves."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from sslseg.config.names import DataError
from sslseg.data.folders import mask_values
from sslseg.data.folders.settings import parsed
from sslseg.datasets import images


def test_what_looks_like_a_mask_by_its_numbers():
    """Areas of few values do, whatever they are; lines do if they are 0 to 63; noise and tiny images do not."""
    areas = np.repeat(np.repeat(np.arange(9).reshape(3, 3), 12, 0), 12, 1)[None, None]
    assert mask_values.like_mask(areas) == list(range(9))
    assert mask_values.like_mask(areas * 100) == [100 * k for k in range(9)]
    lines = np.zeros((1, 1, 60, 60), int)
    lines[..., 3::12] = 1 + np.arange(60)[:, None] % 9  # one pixel wide, and never alike along a row
    assert mask_values.like_mask(lines) == list(range(10))
    assert mask_values.like_mask(lines * 100) == []
    tiny = np.repeat(np.arange(5), 15).reshape(1, 1, 1, 75)
    assert mask_values.like_mask(tiny) == []  # 15 pixels a value
    assert mask_values.like_mask(np.repeat(np.arange(5), 16).reshape(1, 1, 1, 80)) == list(range(5))


def test_an_atlas_is_a_mask_in_a_volume_and_no_picture(tmp_path):
    atlas = np.repeat(np.repeat(np.arange(100).reshape(10, 10), 6, 0), 6, 1)[None, None]
    mask_values.check_image(tmp_path / "a.png", atlas, tmp_path)
    with pytest.raises(DataError, match=r"a.nii: looks like a mask \(it holds only 0, 1, 2"):
        mask_values.check_image(tmp_path / "a.nii", atlas, tmp_path)


def test_values_that_somebody_has_said():
    named = {"classes": ["background", "lesion"]}
    assert mask_values.told(parsed(named, "a")) == {0, 1}
    assert mask_values.told(parsed(named | {"ignore": 7}, "a")) == {0, 1, 7}
    assert mask_values.told(parsed({"classes": {"lesion": [2, 5]}}, "a")) == {0, 2, 5}
    assert mask_values.told(parsed({}, "a")) == {0, 1, 255, 65535}


@pytest.mark.parametrize("told", [[1, "2", 3], [1, 2, 3, 4], [1], [1, 0], [1, 2000], "1", [True, 1]])
def test_what_is_no_spacing(told):
    with pytest.raises(DataError, match=r"a: spacing: wanted \[y, x\] or \[z, y, x\] in mm, got"):
        parsed({"spacing": told}, "a")
    assert parsed({"spacing": [2, 3]}, "a").spacing == (1.0, 2.0, 3.0)
    assert parsed({"spacing": [1.5, 2, 3]}, "a").spacing == (1.5, 2.0, 3.0)


def test_an_empty_mask_of_one_image_says_that_all_of_it_is_background(tmp_path):
    image, lesion = (
        np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8),
        np.zeros((16, 16), np.uint8),
    )
    lesion[4:9, 5:12] = 255
    for name, mask in (("healthy", np.zeros_like(lesion)), ("ill", lesion)):
        for folder, plane in (("images", image), ("masks", mask)):
            (tmp_path / folder).mkdir(exist_ok=True)
            assert cv2.imwrite(str(tmp_path / folder / f"{name}.png"), plane)
    labels = {source.image.stem: images.read(source).label for source in images.find(tmp_path)}
    np.testing.assert_array_equal(labels["healthy"], np.zeros((1, 16, 16)))
    np.testing.assert_array_equal(labels["ill"], lesion[None] // 255)
