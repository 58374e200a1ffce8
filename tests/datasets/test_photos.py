"""Photographs for pretraining: masks that lie among them are not pretrained on."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from sslseg.config.names import DataError
from sslseg.datasets import colour_photos, photos
from tests.fixtures.layout_files import COLOUR, boxes, write
from tests.fixtures.layout_trees import TREES


def test_masks_among_photographs_are_left_out(tmp_path):
    root = TREES["VOC"].write(tmp_path)
    assert {s.image.parent.name for s in photos.find(root)} == {"JPEGImages"}
    aside = photos.pairing(root).aside
    assert {file.split("/")[-2] for file in aside} == {"SegmentationClass", "SegmentationObject"}
    assert set(aside.values()) == {"a mask by its name"}


def test_what_looks_like_a_mask_is_refused(tmp_path):
    write(tmp_path / "a.png", COLOUR, 0)
    flags = np.zeros((200, 240, 3), np.uint8)
    for k, colour in enumerate(((0, 0, 128), (0, 128, 0), (128, 0, 0), (9, 200, 80), (77, 7, 7))):
        flags[30 * k + 5 : 30 * k + 30, 20:200] = colour
    cv2.imwrite(str(tmp_path / "b.png"), flags)
    cv2.imwrite(str(tmp_path / "c.png"), boxes((200, 240), (0, 1, 2, 255)))
    a, *masks = photos.find(tmp_path)
    assert photos.read(a).image.shape == (1, 1, 40, 36)
    for source in masks:
        with pytest.raises(DataError, match=r"png: looks like a mask"):
            photos.read(source)


def test_colours_arrive_red_first_and_grey_pictures_are_refused(tmp_path):
    picture = np.random.default_rng(0).integers(0, 200, (40, 36, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    cv2.imwrite(str(tmp_path / "b.png"), picture[..., :1].repeat(3, 2))
    a, b = colour_photos.find(tmp_path)
    assert np.array_equal(colour_photos.read(a).image[:, 0], picture[..., ::-1].transpose(2, 0, 1))
    assert photos.read(b).image.shape == (1, 1, 40, 36)
    with pytest.raises(
        DataError, match=r"b\.png: wanted a picture in colour, this one is grey; dataset=photos reads it"
    ):
        colour_photos.read(b)


def test_tiles_of_colours_are_those_of_each_channel():
    picture = np.random.default_rng(0).integers(0, 255, (400, 230, 3)).astype(np.uint8)
    each = np.concatenate([photos.tiles(picture[..., c]) for c in range(3)])
    assert np.array_equal(photos.tiles(picture), each)
