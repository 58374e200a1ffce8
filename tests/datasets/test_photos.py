"""Photographs for pretraining: masks that lie among them are not pretrained on."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from sslseg.config.names import DataError
from sslseg.datasets import photos
from tests.fixtures.layout_trees import COLOUR, TREES, boxes, write


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
