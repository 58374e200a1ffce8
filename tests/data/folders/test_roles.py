"""What is an image and what a mask where nobody has said it: by its values, and by words in its name."""

from __future__ import annotations

import json
import unicodedata

import cv2
import numpy as np
import pytest

from sslseg.config.names import DataError
from sslseg.data.slices import prepare
from sslseg.data.source import IGNORE
from sslseg.datasets import images
from tests.fixtures import trees
from tests.fixtures.layout_files import COLOUR, IMAGE, boxes, write
from tests.fixtures.pair_folders import PLANE, fill, label, told


@pytest.mark.parametrize("held", [(0, 1), (0, 255), (0, 1, 2, 3, 4), (255, 128, 0)])
def test_what_looks_like_a_mask_is_not_pretrained_on(tmp_path, held):
    fill(tmp_path, {"{n}.png": IMAGE})
    write(tmp_path / "zz_final.png", held, 0)
    with pytest.raises(
        DataError,
        match=r'zz_final.png: looks like a mask \(it holds only .*say which in pairs of .*"{id} -> {id}_MASK"',
    ):
        prepare.prepare("images", tmp_path, tmp_path / "c", spacing=0.0, progress=False)
    store = prepare.prepare(
        "images", tmp_path, tmp_path / "c", spacing=0.0, progress=False, on_bad_file="skip"
    )
    assert len(store.volume_table) == 3
    assert [s["file"] for s in store.skipped] == ["zz_final.png"]
    told(tmp_path, pairs="{case}.png")
    assert len(prepare.prepare("images", tmp_path, tmp_path / "c", spacing=0.0, progress=False)) == 4


def test_a_mask_that_the_pairs_leave_out_is_no_image_of_theirs(tmp_path):
    """Two annotators: the pattern of the one lets the masks of the other fit that of images."""
    fill(tmp_path, {"{n}.png": IMAGE, "{n}_mask_A.png": (0, 255), "{n}_mask_B.png": (0, 255)})
    told(tmp_path, pairs="{id} -> {id}_mask_A")
    with pytest.raises(
        DataError, match=r"0_mask_B.png: looks like a mask .* leave it out by on_bad_file=skip"
    ):
        prepare.prepare("images", tmp_path, tmp_path / "c", spacing=0.0, progress=False)
    store = prepare.prepare(
        "images", tmp_path, tmp_path / "c", spacing=0.0, progress=False, on_bad_file="skip"
    )
    assert store.volume_table[["image", "label"]].to_numpy().tolist() == [
        [f"{n}.png", f"{n}_mask_A.png"] for n in range(3)
    ]
    told(tmp_path, pairs=["{id} -> {id}_mask_A", "{id}"])  # where they are images, after all
    assert len(prepare.prepare("images", tmp_path, tmp_path / "c", spacing=0.0, progress=False)) == 6


@pytest.mark.parametrize("folders", [("frames", "masks"), ("a/frames", "a/masks"), ("images", "lung_masks")])
def test_masks_in_a_tree_of_their_own_are_those_of_the_images_at_their_place(tmp_path, folders):
    """Frames of videos have the same numbers in each; the word "frames" says nothing of them."""
    images_of, masks_of = folders
    for video in ("video 1", "video 2"):
        fill(tmp_path, {f"{images_of}/{video}/{{n}}.png": IMAGE, f"{masks_of}/{video}/{{n}}.png": (0, 255)})
    found = [(s.image.relative_to(tmp_path).as_posix(), s.label.relative_to(tmp_path).as_posix())
             for s in images.find(tmp_path)]  # fmt: skip
    assert found == [
        (f"{images_of}/video {v}/{n}.png", f"{masks_of}/video {v}/{n}.png") for v in (1, 2) for n in range(3)
    ]
    fill(tmp_path, {f"{images_of}2/video 1/{{n}}.png": IMAGE})
    with pytest.raises(
        DataError, match="it may be that of .* or .*2/video 1/0.png; pairs in sslseg.json says which"
    ):
        images.find(tmp_path)


def test_a_mask_that_differs_from_its_image_by_the_ending_alone_is_told_with_the_pairs_that_say_so(tmp_path):
    fill(tmp_path, {"{n}.bmp": IMAGE, "{n}.png": (0, 255)})
    with pytest.raises(
        DataError, match="wanted one file for 0, there is also 0.bmp; if one is the mask"
    ) as caught:
        images.find(tmp_path)
    told(tmp_path, pairs=str(caught.value).split("other, ")[1].split('"')[1])
    assert [(s.image.name, s.label.name) for s in images.find(tmp_path)] == [
        (f"{n}.bmp", f"{n}.png") for n in range(3)
    ]


def test_the_masks_of_two_annotators_in_folders_are_told_with_the_pairs_that_choose(tmp_path):
    fill(
        tmp_path,
        {"images/{n}.png": IMAGE, "masks_rater1/{n}.png": (0, 255), "masks_rater2/{n}.png": (0, 255)},
    )
    with pytest.raises(DataError, match=r'a second mask of one image.*"images/\{id\} -> rater1/\{id\}"'):
        images.find(tmp_path)
    told(tmp_path, pairs="images/{id} -> masks_rater2/{id}")
    assert [s.label.parent.name for s in images.find(tmp_path)] == ["masks_rater2"] * 3


def test_the_pairs_that_are_proposed_for_folders_without_a_word_pair_them(tmp_path):
    """Image and mask in folders a and b: the line of the sentence, with a in the place of IMAGES."""
    fill(tmp_path, {"a/{n}.png": IMAGE})
    for n in range(3):
        write(tmp_path / "b" / f"{n}.png", (0, 255), n)
    with pytest.raises(DataError, match="looks like a mask") as caught:
        prepare.prepare("images", tmp_path, tmp_path / "c", spacing=0.0, progress=False)
    line = str(caught.value).split(", as ")[1].split(" with your own words")[0]
    assert line == '{"pairs": "IMAGES/{id} -> b/{id}"}'
    told(tmp_path, pairs=json.loads(line)["pairs"].replace("IMAGES", "a"))
    store = prepare.prepare("images", tmp_path, tmp_path / "c", spacing=0.0, progress=False)
    assert store.volume_table["labelled"].tolist() == [True] * 3


def test_colour_masks_without_an_image_too(tmp_path):
    flags = np.zeros((*PLANE, 3), np.uint8)
    flags[5:20, 5:20], flags[25:, 25:] = (0, 0, 255), (0, 255, 0)
    cv2.imwrite(str(tmp_path / "a.png"), flags)
    with pytest.raises(DataError, match="a.png: looks like a mask"):
        images.read(images.find(tmp_path)[0])


def test_dark_and_quantised_images_are_none(tmp_path):
    dark = np.random.default_rng(0).poisson(20, PLANE).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "dark.png"), dark)
    cv2.imwrite(str(tmp_path / "flat.png"), np.full(PLANE, 9, np.uint8))
    cv2.imwrite(str(tmp_path / "tiny.png"), np.arange(20, dtype=np.uint8).reshape(4, 5))
    for source in images.find(tmp_path):
        assert images.read(source).label is None


def test_a_folder_of_masks_alone_is_refused(tmp_path):
    fill(tmp_path, {"masks/{n}.png": (0, 1)})
    with pytest.raises(DataError, match="masks/0.png: wanted the image of this mask, 0 is not there"):
        images.find(tmp_path)


def test_255_is_not_unknown_where_it_is_the_class(tmp_path):
    fill(tmp_path, {"{n}.png": IMAGE, "{n}_mask.png": (0, 255)})
    told(tmp_path, classes=["background", "lesion"])
    with pytest.raises(DataError, match=r'got 0 and 255: write \{"classes": \{"lesion": 255\}\}'):
        label(tmp_path)
    told(tmp_path, classes=["background", "lesion"], ignore=255)
    assert set(np.unique(label(tmp_path))) == {0, IGNORE}
    told(tmp_path, classes={"lesion": 255})
    assert set(np.unique(label(tmp_path))) == {0, 1}


@pytest.mark.parametrize(
    "pairs", ["", "images/{case}.png -> masks/{case}.png", "images/é{n}.png -> masks/é{n}.png"]
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_two_forms_of_an_accent_are_one_name(tmp_path, pairs, form):
    """macOS writes accents in two characters, Linux in one; a mask may come from the other."""
    other = "NFD" if form == "NFC" else "NFC"
    places = {f"images/é{n}.png": IMAGE for n in range(3)}
    masks = {f"masks/é{n}.png": (0, 1) for n in range(3)}
    fill(tmp_path, {unicodedata.normalize(form, file): what for file, what in places.items()}, 1)
    fill(tmp_path, {unicodedata.normalize(other, file): what for file, what in masks.items()}, 1)
    if pairs:
        told(tmp_path, pairs=unicodedata.normalize("NFD", pairs))
    found = images.find(tmp_path)
    assert [s.label is not None for s in found] == [True] * 3
    assert all(images.read(s).label.any() for s in found)
    assert images.pairing(tmp_path).aside == {}


def test_atlases_of_many_structures_are_masks(tmp_path):
    """FreeSurfer's: more labels than a mask of a pathology has, and far larger numbers."""
    rng = np.random.default_rng(0)
    trees.nifti(tmp_path / "p" / "orig.nii.gz", rng.integers(0, 255, (40, 40, 8)).astype(np.uint8))
    labels = np.kron(rng.integers(0, 60, (5, 5, 1)) * 37, np.ones((8, 8, 8))).astype(np.int16)
    trees.nifti(tmp_path / "p" / "structures.nii.gz", labels)
    with pytest.raises(DataError, match="structures.nii.gz: looks like a mask"):
        [images.read(s) for s in images.find(tmp_path)]
    organs = np.kron(rng.integers(0, 6, (5, 5)) * 50, np.ones((16, 16))).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "b.png"), organs)  # a picture of six classes
    with pytest.raises(DataError, match="b.png: looks like a mask"):
        images.read(images.find(tmp_path)[0])
    (tmp_path / "b.png").unlink()
    (tmp_path / "p" / "structures.nii.gz").rename(tmp_path / "p" / "aseg.nii.gz")
    assert images.find(tmp_path)[0].label.name == "aseg.nii.gz"


def test_overlays_and_thumbnails_of_images_are_no_images(tmp_path):
    held = ["images/{n}.png", "masks/{n}.png", "overlays/{n}.png", "thumbs/{n}.png", "images/{n}_preview.png"]
    fill(tmp_path, {file: (0, 255) if "masks" in file else COLOUR for file in held})
    write(tmp_path / "overlay.png", COLOUR, 9)  # of nothing else here
    assert [s.image.name for s in images.find(tmp_path)] == ["0.png", "1.png", "2.png", "overlay.png"]
    aside = images.pairing(tmp_path).aside
    assert len(aside) == 9
    assert aside["thumbs/1.png"] == "shows another image once more, by its name"


def test_masks_of_16_bit_need_no_word(tmp_path):
    write(tmp_path / "a.png", IMAGE, 0)
    cv2.imwrite(str(tmp_path / "a_mask.png"), boxes(PLANE, (0, 1)).astype(np.uint16) * 65535)
    assert images.read(images.find(tmp_path)[0]).label.max() == 1
