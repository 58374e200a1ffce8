"""Masks kept as pictures: palettes, and what is not transparent."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from sslseg.config.names import DataError
from sslseg.data.readers import picture_masks
from sslseg.datasets import nnunet
from tests.fixtures import foreign_trees
from tests.fixtures.small_pictures import IMAGE, TRUTH, labelled, rgba, told


def palette(path: Path, entries: np.ndarray, colours: list[tuple[int, int, int]], **how) -> Path:
    """A picture of `entries` whose palette is `colours`."""
    picture = Image.fromarray(entries, "L").copy()
    picture.putpalette([v for colour in colours for v in colour])
    picture.save(path, **how)
    return path


WHITE, BLACK, RED, GREEN = (255, 255, 255), (0, 0, 0), (128, 0, 0), (0, 128, 0)


@pytest.mark.parametrize("ending", [".png", ".tif", ".bmp", ".gif"])
@pytest.mark.parametrize("order", ["white first", "black first", "as Pillow quantizes"])
def test_the_colours_of_a_palette_decide(tmp_path, ending, order):
    cv2.imwrite(str(tmp_path / "a.png"), IMAGE)
    mask = tmp_path / f"a_mask{ending}"
    if order == "as Pillow quantizes":
        Image.fromarray(TRUTH * 255).quantize(2).save(mask)
    elif order == "white first":
        palette(mask, 1 - TRUTH, [WHITE, BLACK])
    else:
        palette(mask, TRUTH, [BLACK, WHITE])
    if ending == ".bmp" and order == "black first":
        with pytest.raises(DataError, match="a_mask.bmp: .*two colours and 8 bits a pixel"):
            labelled(tmp_path)
        return
    np.testing.assert_array_equal(labelled(tmp_path), TRUTH)


def test_numbers_decide_where_the_colours_are_a_viewer_s(tmp_path):
    """VOC's way: the number of the entry is the class, its colour is for people."""
    cv2.imwrite(str(tmp_path / "a.png"), IMAGE)
    entries = TRUTH.copy()
    entries[0, 3] = 2
    palette(tmp_path / "a_mask.png", entries, [BLACK, RED, GREEN])
    told(tmp_path, classes=["background", "cup", "disc"])
    np.testing.assert_array_equal(labelled(tmp_path), entries)
    told(tmp_path, classes={"disc": "#008000", "cup": "#800000"})  # colours by name: they decide
    np.testing.assert_array_equal(labelled(tmp_path), np.array([0, 2, 1])[entries])
    palette(tmp_path / "a_mask.png", TRUTH, [BLACK, WHITE])
    told(tmp_path, classes=["background", "cup"])
    np.testing.assert_array_equal(labelled(tmp_path), TRUTH)


@pytest.mark.parametrize(
    ("colours", "why"),
    [
        ([RED, BLACK], "entry 1 is black"),
        ([WHITE, BLACK], "entry 1 is black"),
        ([RED, RED], "have one colour"),
    ],
)
def test_a_palette_that_contradicts_its_numbers_is_refused(tmp_path, colours, why):
    cv2.imwrite(str(tmp_path / "a.png"), IMAGE)
    palette(tmp_path / "a_mask.png", TRUTH, colours)
    told(tmp_path, classes=["background", "cup"])
    with pytest.raises(DataError, match=f"a_mask.png: colours and numbers of its palette contradict .*{why}"):
        labelled(tmp_path)


def test_a_palette_in_nnu_net_s_form(tmp_path):
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / folder).mkdir()
    cv2.imwrite(str(tmp_path / "imagesTr" / "a_0000.png"), IMAGE)
    foreign_trees.dataset_json(tmp_path, file_ending=".png", labels={"background": 0, "cup": 1})
    for entries, colours in ((TRUTH, [BLACK, RED]), (1 - TRUTH, [(1, 1, 1), BLACK])):
        palette(tmp_path / "labelsTr" / "a.png", entries, colours)
        np.testing.assert_array_equal(nnunet.read(nnunet.find(tmp_path)[0]).label[0], TRUTH)


RED_ON = {
    "white in the transparency": rgba(np.full((5, 7, 3), 255), TRUTH * 255),
    "black in the transparency": rgba(np.zeros((5, 7, 3)), TRUTH * 255),
    "white on transparent black": rgba(np.repeat(TRUTH[..., None] * 255, 3, 2), TRUTH * 255),
    "opaque": rgba(np.repeat(TRUTH[..., None] * 255, 3, 2), np.full((5, 7), 255)),
    "grey and transparent": Image.merge("LA", [Image.new("L", (7, 5), 200), Image.fromarray(TRUTH * 255)]),
}


@pytest.mark.parametrize("name", RED_ON)
@pytest.mark.parametrize("threshold", [None, 100])
def test_a_mask_in_the_transparency(tmp_path, name, threshold):
    cv2.imwrite(str(tmp_path / "a.png"), IMAGE)
    RED_ON[name].save(tmp_path / "a_mask.png")
    if threshold:
        told(tmp_path, threshold=threshold)
    np.testing.assert_array_equal(labelled(tmp_path), TRUTH)


def test_colours_on_what_is_transparent(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), IMAGE)
    colours = np.full((5, 7, 3), 255)
    colours[TRUTH > 0] = (255, 0, 0)
    rgba(colours, TRUTH * 255).save(tmp_path / "a_mask.png")
    told(tmp_path, classes={"lesion": "#ff0000"})
    np.testing.assert_array_equal(labelled(tmp_path), TRUTH)
    for alpha in (np.where(TRUTH, 200, 0), np.full((5, 7), 0)):
        rgba(colours, alpha).save(tmp_path / "a_mask.png")
        with pytest.raises(DataError, match="a_mask.png: .*save it without transparency"):
            labelled(tmp_path)


def test_what_a_mask_holds_stays_small_in_memory(tmp_path):
    """Eight bytes a pixel were taken of a mask of one."""
    cv2.imwrite(str(tmp_path / "a.png"), TRUTH)
    assert picture_masks.read(tmp_path / "a.png").itemsize == 1
    rgba(np.dstack([TRUTH * 255, TRUTH, TRUTH]), np.full((5, 7), 255)).save(tmp_path / "b.png")
    assert picture_masks.read(tmp_path / "b.png").itemsize == 4
