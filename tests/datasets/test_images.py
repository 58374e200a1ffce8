"""Folders of pictures: masks found by name or by folder, values and patients as sslseg.json says."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from sslseg.config.names import DataError
from sslseg.data.readers import picture_masks
from sslseg.data.slices import prepare
from sslseg.data.source import IGNORE
from sslseg.data.splits import divide
from sslseg.datasets import images
from tests.fixtures import foreign_trees, trees


def told(root, **keys):
    (root / "sslseg.json").write_text(json.dumps(keys))


def png(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)


@pytest.mark.parametrize("value", [1, 255])
def test_nothing_has_to_be_written_down(tmp_path, value):
    root = foreign_trees.images(tmp_path / "own", value=value)
    sources = images.find(root)
    assert [s.patient for s in sources] == [f"p{n // 2}_{n}" for n in range(7)]
    assert [s.label is not None for s in sources] == [True] * 6 + [False]
    image, mask = foreign_trees.scene(3, classes=2)
    volume = images.read(sources[3])
    np.testing.assert_array_equal(volume.image[0, 0], image[..., 0].astype(np.uint16) * 100)  # all 16 bits
    np.testing.assert_array_equal(volume.label[0], mask[..., 0])
    store = prepare.prepare("images", root, tmp_path / "cache", spacing=2.0, progress=False)
    assert store.classes == ("background", "foreground")
    assert (store.spacing, store.index["height"].unique().tolist()) == (0.0, [20])  # no millimetres
    assert "p3_6" in set(store.index["patient"].iloc[divide(store, "images", "auto")["train"]])


def test_the_end_of_masks_names_can_be_told(tmp_path):
    for name in (
        "a",
        "a-rois",
        "mask b",
        "mask b-rois",
        "c_seg",
    ):  # other words of a file's name say nothing then
        png(tmp_path / f"{name}.png", np.zeros((20, 24), np.uint8))
    told(tmp_path, mask_suffix="-rois")
    found = {source.image.stem: source.label and source.label.stem for source in images.find(tmp_path)}
    assert found == {"a": "a-rois", "mask b": "mask b-rois", "c_seg": None}


def test_patients_by_regex_or_table(tmp_path):
    root = foreign_trees.images(tmp_path)
    told(root, patient_regex=r"^(p\d+)_", spacing=[0.5, 0.7])
    sources = images.find(root)
    assert [(s.patient, s.frame) for s in sources][:3] == [("p0", 1), ("p0", 2), ("p1", 1)]
    assert images.read(sources[0]).spacing == (1.0, 0.5, 0.7)
    assert images.describe(root).physical
    rows = [f"p{n // 2}_{n},{'anna' if n < 3 else f'b{n}'},{'AB'[n > 2]}" for n in range(7)]
    (root / "who.csv").write_text("\n".join(["case,patient,group", *rows]))
    told(root, csv="who.csv")
    assert [(s.patient, s.group) for s in images.find(root)][2:4] == [("anna", "A"), ("b3", "B")]
    told(root, patient_regex=r"^q")
    with pytest.raises(DataError, match=r"sslseg.json: patient_regex '\^q' does not match the case 'p0_0'"):
        images.find(root)
    for empty in (r"^(\d*)", r"\d*", r"^p(.*?)"):
        told(root, patient_regex=empty)
        with pytest.raises(
            DataError, match=r"sslseg.json: patient_regex .* an empty name in the case 'p0_0'"
        ):
            images.find(root)
    (root / "who.csv").write_text("\n".join(["case,patient", *(r.rsplit(",", 1)[0] for r in rows[1:])]))
    told(root, csv="who.csv")
    with pytest.raises(DataError, match="who.csv: wanted a row with a patient for case p0_0"):
        images.find(root)


def test_folders_of_images_and_masks_in_groups(tmp_path):
    picture = np.zeros((8, 9), np.uint8)
    for group in ("benign", "malignant"):
        png(tmp_path / group / "images" / "1.png", picture)
        png(tmp_path / group / "masks" / "1.png", picture + 1)
    sources = images.find(tmp_path)
    assert [(s.patient, s.group) for s in sources] == [("benign/1", "benign"), ("malignant/1", "malignant")]
    assert all(s.label.parent.name == "masks" for s in sources)
    png(tmp_path / "benign" / "masks" / "2.png", picture)
    with pytest.raises(DataError, match=r"masks/2.png: wanted the image of this mask"):
        images.find(tmp_path)
    assert len(images.scan(tmp_path)[1]) == 1


def test_values_colours_and_unknown_voxels(tmp_path):
    grey = np.array([[0, 10, 20, 99]] * 3, np.uint8)
    png(tmp_path / "a.png", grey)
    png(tmp_path / "a_seg.png", grey)
    told(tmp_path, classes={"cup": 20, "disc": 10}, ignore=99)
    assert images.describe(tmp_path).classes == ("background", "cup", "disc")
    assert images.read(images.find(tmp_path)[0]).label[0, 0].tolist() == [0, 2, 1, IGNORE]
    colours = np.array([[[0, 0, 0], [0, 0, 255], [255, 0, 0], [0, 255, 0]]] * 3, np.uint8)  # BGR
    png(tmp_path / "a_seg.png", colours)
    told(tmp_path, classes={"background": "#000000", "cup": "#ff0000", "disc": "#0000FF"}, ignore="#00ff00")
    assert images.read(images.find(tmp_path)[0]).label[0, 0].tolist() == [0, 1, 2, IGNORE]
    told(tmp_path, classes=["background", "cup"])
    with pytest.raises(DataError, match="a_seg.png: wanted mask values 0, 1, 255, got also #0000ff, #00ff00"):
        images.read(images.find(tmp_path)[0])


def test_colour_pictures_keep_their_channels_or_become_grey(tmp_path):
    colour = np.random.default_rng(0).integers(0, 65535, (5, 6, 3)).astype(np.uint16)
    png(tmp_path / "a.png", colour)
    np.testing.assert_array_equal(
        images.read(images.find(tmp_path)[0]).image[:, 0], colour.transpose(2, 0, 1)[::-1]
    )
    told(tmp_path, colour="grey")
    found = images.read(images.find(tmp_path)[0]).image
    np.testing.assert_allclose(found[0, 0], colour @ [0.114, 0.587, 0.299], rtol=1e-6)
    assert images.describe(tmp_path).classes == ("background",)  # unlabelled alone is enough to pretrain


def test_volumes_with_masks_beside_them(tmp_path):
    image, mask = foreign_trees.scene(0, classes=2)
    trees.nifti(tmp_path / "a.nii.gz", image)
    trees.nifti(tmp_path / "a_mask.nii.gz", mask)
    assert images.describe(tmp_path).physical
    volume = images.read(images.find(tmp_path)[0])
    np.testing.assert_array_equal(volume.label, mask.T)
    assert volume.spacing == (10.0, 1.5, 1.5)


BAD = {
    "{": "wanted a JSON file",
    "[]": "wanted a JSON object",
    '{"clases": []}': "got also clases",
    '{"axis": 3}': "axis: wanted 0, 1 or 2",
    '{"classes": {"a": 1, "b": 1}}': "a value of its own",
    '{"classes": {"a": 1.5}}': "wanted a whole number or a colour",
    '{"classes": ["background", "a"], "ignore": 1}': "ignore: wanted a value that is no class",
    '{"classes": ["background", "a"], "colours": ["red", "#000000"]}': "colours: wanted hex like",
    '{"patient_regex": "("}': "sslseg.json: ",
    '{"classes": [["a"]]}': "classes: wanted",
    '{"spacing": [0, 1]}': "spacing: wanted",
    '{"spacing": 0.5}': r"spacing: wanted \[y, x\] or \[z, y, x\] in mm, got 0.5",
    '{"spacing": [1, null]}': r"spacing: wanted \[y, x\]",
    '{"threshold": NaN}': "threshold: wanted a number",
    '{"pairs": 1}': "pairs: wanted a list of texts, got 1",
    '{"pairs": [1]}': r"pairs: wanted a list of texts, got \[1\]",
    '{"colours": 1}': "colours: wanted a list of texts, got 1",
    '{"patient_regex": ["a"]}': r"patient_regex: wanted a text, got \['a'\]",
    '{"axis": true}': "axis: wanted 0, 1 or 2, got True",
    '{"classes": ["background", "a"], "colours": ["#000000"]}': "colours: wanted one for each",
}


@pytest.mark.parametrize("text", BAD)
def test_a_wrong_sslseg_json_is_named(tmp_path, text):
    png(tmp_path / "a.png", np.zeros((4, 4), np.uint8))
    (tmp_path / "sslseg.json").write_text(text)
    with pytest.raises(DataError, match=BAD[text]) as caught:
        images.describe(tmp_path)
    assert "sslseg.json" in str(caught.value)


def test_bad_pictures(tmp_path):
    root = foreign_trees.images(tmp_path, cases=2)
    with pytest.raises(DataError, match="wanted images"):
        images.find(tmp_path / "nothing")
    (root / "p0_0.png").write_bytes((root / "p0_0.png").read_bytes()[:200])
    with pytest.raises(DataError, match=r"p0_0.png: cannot be read as a picture"):
        images.read(images.find(root)[0])
    png(root / "p0_1_mask.png", np.full((24, 20), 7, np.uint8))
    with pytest.raises(DataError, match=r"p0_1_mask.png: wanted a mask of the image's shape"):
        images.read(images.find(root)[1])
    png(root / "p0_1_mask.png", np.full((20, 24), 7, np.uint8))
    with pytest.raises(
        DataError, match=r"p0_1_mask.png: wanted a mask of 0 and 1 or of 0 and 255, got \[7\]"
    ):
        images.read(images.find(root)[1])
    png(root / "p0_1_mask_1.png", np.zeros((20, 24), np.uint8))
    with pytest.raises(DataError, match=r"p0_1_mask_1.png: a second mask of one image"):
        images.find(root)
    png(root / "p0_1_seg.png", np.zeros((20, 24), np.uint8))
    with pytest.raises(DataError, match="masks may end in _mask or _seg; write mask_suffix into sslseg.json"):
        images.find(root)
    png(root / "a.jpg", np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match=r"a.jpg: wanted a mask in a lossless format"):
        picture_masks.read(root / "a.jpg")
