"""Public data sets as they are unpacked: what is an image, whose mask is whose, what the classes are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sslseg.config import plugins
from sslseg.config.names import DataError
from sslseg.data.folders import roles, settings
from sslseg.data.folders.pairing import layouts
from sslseg.data.slices import prepare
from sslseg.data.splits import divide
from sslseg.datasets import images
from tests.fixtures.layout_files import IMAGE, Tree, boxes
from tests.fixtures.layout_trees import TREES, WORDS

BOTH = TREES | WORDS


@pytest.mark.parametrize("name", BOTH)
def test_prepare_understands_the_folder(name: str, tmp_path: Path):
    tree = BOTH[name]
    root = tree.write(tmp_path / "data")
    module = plugins.load("datasets", tree.dataset)
    store = prepare.prepare(tree.dataset, root, tmp_path / "cache", spacing=0.0, progress=False)
    volumes = store.volume_table
    assert store.classes == ("background", *tree.classes)
    assert (len(volumes), int((~volumes["labelled"]).sum())) == (tree.images, tree.bare)
    assert (volumes["patient"].nunique(), store.channels) == (tree.patients, tree.channels)
    assert store.index["foreground"].max() > 0
    assert not store.skipped
    known = roles.LAST[root]
    assert (known.layout in layouts.LAYOUTS) == (name in TREES)
    sources = module.find(root)
    used = {p.relative_to(root).as_posix() for s in sources for p in (s.image, s.label, *s.more) if p}
    read = {
        p.relative_to(root).as_posix() for p in root.rglob("*") if p.suffix not in (".txt", ".xml", ".json")
    }
    read = {file for file in read if (root / file).is_file()}
    assert read == used | set(known.aside)
    assert not used & set(known.aside)
    rows = divide(store, tree.dataset, "auto")
    assert store.index["labelled"].to_numpy()[rows["train"]].any()


def test_every_layout_has_a_tree():
    known = {name.partition(",")[0] for name in TREES} | {"ISIC", "KiTS", "DRIVE"}
    known |= {"CHAOS CT", "CHAOS MR"}  # of DICOM series, see test_series.py
    assert set(layouts.LAYOUTS) <= known


@pytest.mark.parametrize("name", layouts.LAYOUTS)
def test_a_layout_is_what_sslseg_json_could_say(name: str):
    told = settings.parsed(layouts.LAYOUTS[name], name)
    assert told.pairs
    assert len(told.colours) in (0, len(told.classes))


def labels(name: str, root: Path) -> list[np.ndarray]:
    module = plugins.load("datasets", BOTH[name].dataset)
    return [module.read(source).label for source in module.find(BOTH[name].write(root))]


def test_values_become_classes(tmp_path: Path):
    plane = (40, 36)
    inner = boxes(plane, (0, 1, 2))[None]
    for label in labels("REFUGE", tmp_path / "refuge"):  # background is white, the cup black
        np.testing.assert_array_equal(label, inner)
    for label in labels("CVC-ClinicDB", tmp_path / "cvc"):  # 3 and 250 are edges that an interpolation left
        np.testing.assert_array_equal(label, boxes(plane, (0, 0, 1, 1))[None])
    for label in labels("Kvasir-SEG", tmp_path / "kvasir"):  # JPEG rings around its edges
        np.testing.assert_array_equal(label, boxes(plane, (0, 1))[None])
    for label in labels("Drishti-GS", tmp_path / "drishti"):  # the cup lies on the disc
        np.testing.assert_array_equal(label, boxes(plane, (0, 0, 1, 1, 2))[None])
    for label in labels("GlaS", tmp_path / "glas"):
        np.testing.assert_array_equal(label, boxes(plane, (0, 1))[None])
    for label in labels("VOC", tmp_path / "voc")[:3]:
        np.testing.assert_array_equal(label, boxes(plane, (0, 255, 1, 2))[None])
    for label in labels("M&Ms-2", tmp_path / "mnms2"):  # 1 LV, 2 MYO, 3 RV, read in ACDC's order
        np.testing.assert_array_equal(label, boxes((40, 36, 3), (0, 1, 2, 3)).T)


@pytest.mark.parametrize(
    ("image", "mask", "white", "layout"),
    [
        ("images/t{n:02d}", "masks/t{n:02d}", 255, "REFUGE"),  # whose background is 255, and whose cup is 0
        ("images/V{n:04d}", "masks/V{n:04d}", 1, "REFUGE"),
        ("Original/{n}", "Ground Truth/{n}", 1, "CVC-ClinicDB"),  # a threshold at 127, frames of videos
        ("img/img{n:04d}", "label/label{n:04d}", 255, "BTCV"),
        ("p{n}/imaging", "p{n}/segmentation", 255, "KiTS"),  # 255 would be unknown
    ],
)
def test_names_like_those_of_a_data_set_do_not_make_it_one(
    image: str, mask: str, white: int, layout: str, tmp_path: Path
):
    Tree({f"{image}.png": IMAGE, f"{mask}.png": (0, white)}, cases=tuple(range(1, 7))).write(tmp_path)
    assert layouts.fitting([p.relative_to(tmp_path).as_posix() for p in sorted(tmp_path.rglob("*.png"))]) == [
        layout
    ]
    found = images.find(tmp_path)
    assert images.describe(tmp_path).classes == ("background", "foreground")
    assert len({source.patient for source in found}) == 6
    for source in found:
        np.testing.assert_array_equal(images.read(source).label, boxes((40, 36), (0, 1))[None])


@pytest.mark.parametrize("names", [("lv", "rv"), ("p{n}_ann", "p{n}_bob")])
def test_masks_named_for_classes_or_people_are_not_united(names: tuple[str, str], tmp_path: Path):
    masks = {f"p{{n}}/masks/{name}.png": (0, 255) for name in names}
    Tree({"p{n}/images/p{n}.png": IMAGE} | masks).write(tmp_path)
    with pytest.raises(DataError, match="pairs which is whose"):
        images.find(tmp_path)


def test_several_masks_of_an_image(tmp_path: Path):
    plane = (40, 36)
    for label in labels("DSB 2018", tmp_path / "dsb"):
        np.testing.assert_array_equal(label, boxes(plane, (0, 1))[None])
    lungs = labels("Montgomery", tmp_path / "lungs")[0]
    np.testing.assert_array_equal(lungs, boxes(plane, (0, 1))[None])


def test_a_misnamed_mask_of_brats_is_that_of_its_case(tmp_path: Path):
    found = images.find(TREES["BraTS"].write(tmp_path))
    (last,) = [s for s in found if s.patient == "BraTS20_Training_355"]
    assert last.label.name == "W39_1998.09.19_Segm.nii.gz"
    (last.label.parent / "BraTS20_Training_355_t2.nii.gz").unlink()
    with pytest.raises(
        DataError, match=r"355.*wanted the other channels beside it, \{patient\}_t2 is not there"
    ):
        images.find(tmp_path)


def test_frames_of_a_video_are_one_patient(tmp_path: Path):
    found = images.find(TREES["CVC-ClinicDB"].write(tmp_path))
    assert {s.image.stem: s.patient for s in found} == {
        "1": "video01", "25": "video01", "26": "video02", "612": "video29",
    }  # fmt: skip
    starts = np.array(layouts.VIDEOS)
    assert (np.diff([*starts, 613]) > 0).all()
    assert (len(starts), starts[0]) == (29, 1)


def test_who_is_in_an_image_is_known_or_not(tmp_path: Path):
    known = {}
    for name in ("KiTS", "CVC-ClinicDB", "BIDS", "ISIC 2018", "GroundTruth"):
        known[name] = images.pairing(BOTH[name].write(tmp_path / name)).names_patients
    assert known == {
        "KiTS": True,
        "CVC-ClinicDB": True,
        "BIDS": True,
        "ISIC 2018": False,
        "GroundTruth": False,
    }


def test_the_division_of_the_data_is_followed(tmp_path: Path):
    root = TREES["ISIC 2017"].write(tmp_path / "isic")
    about = images.describe(root)
    assert about.split == "official"
    sides = {s.image.parent.name: about.sides[s.patient] for s in images.find(root)}
    assert sides == {"ISIC-2017_Training_Data": "train", "ISIC-2017_Validation_Data": "val",
                     "ISIC-2017_Test_v2_Data": "test"}  # fmt: skip


def test_two_data_sets_in_one_folder_are_refused(tmp_path: Path):
    TREES["KiTS"].write(tmp_path / "a")
    TREES["LiTS"].write(tmp_path / "b")
    with pytest.raises(
        DataError, match="files of KiTS and of LiTS lie here: wanted a folder for each, or pairs"
    ):
        images.find(tmp_path)


def test_one_pair_that_looks_like_a_layout_does_not_make_one_of_a_folder(tmp_path: Path):
    from tests.fixtures.layout_files import IMAGE, write

    for n in range(10):
        write(tmp_path / f"scan{n}.nii.gz", IMAGE, n)
        write(tmp_path / f"scan{n}_mask.nii.gz", (0, 1), n)
    write(tmp_path / "volume-1.nii.gz", IMAGE, 0)
    write(tmp_path / "segmentation-1.nii.gz", (0, 1), 0)
    found = images.find(tmp_path)
    assert len(found) == 11
    assert all(s.label for s in found)
    assert images.describe(tmp_path).classes == ("background", "foreground")


@pytest.mark.parametrize("form", ["palette", "colours"])
def test_masks_of_vocs_form_in_its_colours(form: str, tmp_path: Path):
    """With VOC's palette, as the data set itself has them, and in plain colours, as CVAT writes."""
    root = TREES["VOC"].write(tmp_path)
    colours = np.zeros((256, 3), np.uint8)
    colours[[1, 15, 255]] = (128, 0, 0), (192, 128, 128), (224, 224, 192)
    for path in root.rglob("SegmentationClass/*.png"):
        mask = Image.fromarray(boxes((40, 36), (0, 255, 1, 15)))
        mask.putpalette(colours.ravel().tolist())
        (mask if form == "palette" else mask.convert("RGB")).save(path)
    (root / settings.FILE).unlink()
    with pytest.raises(DataError, match="name the classes and their values .*#800000.*#c08080.*#e0e0c0"):
        images.read(images.find(root)[0])
    told = {"classes": {"aeroplane": "#800000", "person": "#c08080"}, "ignore": "#e0e0c0"}
    numbers = {"classes": {"aeroplane": 1, "person": 15}}
    for known in [told, numbers][: 2 if form == "palette" else 1]:
        (root / settings.FILE).write_text(json.dumps(known))
        for source in images.find(root)[:3]:
            np.testing.assert_array_equal(images.read(source).label[0], boxes((40, 36), (0, 255, 1, 2)))
