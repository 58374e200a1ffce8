"""Folders as people have them: a reading is right, what is doubtful is said, an error says what was wanted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from sslseg.config import plugins
from sslseg.config.names import DataError
from sslseg.data.folders import detect
from sslseg.data.folders.pairing import words
from sslseg.data.source import Volume
from sslseg.datasets import images
from tests.fixtures import foreign_trees, trees

SIDES = ("train", "val", "test")


def picture(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)


def noise(n: int, shape: tuple[int, ...] = (20, 24)) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 255, shape).astype(np.uint8)


def boxes(*values: object, outside: object = 0) -> np.ndarray:
    """Nested boxes of these values: numbers, or colours (blue first)."""
    out = np.full((20, 24, *np.shape(values[0])), outside, np.uint8)
    for k, value in enumerate(values, 1):
        out[3 * k : -3 * k, 3 * k : -3 * k] = value
    return out


def pairs(root: Path, mask: np.ndarray, name: str = "masks/{}.png", **settings: object) -> None:
    for n in range(2):
        picture(root / f"images/{n}.png", noise(n))
        picture(root / name.format(n), mask)
    if settings:
        (root / "sslseg.json").write_text(json.dumps(settings))


def nnunet(root: Path, **keys: object) -> None:
    foreign_trees.nnunet(root, cases=2)
    told = json.loads((root / "dataset.json").read_text())
    (root / "dataset.json").write_text(json.dumps(told | keys))


def classes_apart(root: Path) -> None:
    pairs(root, boxes(255), "masks/liver/{}.png")
    pairs(root, boxes(255), "masks/spleen/{}.png")


def polygons(root: Path) -> None:
    for n in range(2):
        picture(root / f"{n}.png", noise(n))
        (root / f"{n}.txt").write_text("0 0.1 0.1 0.2 0.2 0.3 0.3\n")


def first(root: Path) -> Volume:
    """The first volume of a folder, by the format that it is found to be in."""
    module = plugins.load("datasets", detect.choose(root, detect.ask(root)).dataset)
    return module.read(module.find(root)[0])


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a legend of colours": (
        lambda root: pairs(root, boxes((0, 0, 255), (0, 255, 0))),
        r'got \[0, #00ff00, #ff0000\].*\{"classes": \{"name of #00ff00": "#00ff00", "name of #ff0000": "#ff0000"\}\}',
    ),
    "four shades of grey": (
        lambda root: pairs(root, boxes(85, 170, 255)),
        r'"name of 170": 170, "name of 255": 255\}\}; without a name, 255 is what nobody knows',
    ),
    "masks in folders of classes": (classes_apart, r'pairs in sslseg.json .* -> masks/\{class\}/\{id\}"'),
    "names that do not meet": (
        lambda root: pairs(root, boxes(255), "masks/mask_0{}.png"),
        "mask_suffix in sslseg.json says how masks end, pairs which is whose",
    ),
    "polygons in texts": (
        polygons,
        r"how a mask is known \(a word of its name, or pairs in sslseg.json\), and -e prepare with dataset=images",
    ),
    "nnU-Net without the dot of its ending": (
        lambda root: nnunet(root, file_ending="nii.gz"),
        r"dataset=images takes its files without that:(.|\n)*nnunet: no; dataset.json: file_ending: wanted one of",
    ),
    "nnU-Net without the numbers of channels": (
        lambda root: (nnunet(root), [p.rename(str(p).replace("_0000", "")) for p in (root / "imagesTr").iterdir()]),
        "nnunet: no; imagesTr/case0_0000.nii.gz: wanted the image of case0.nii.gz, it is not there",
    ),
    "the folder above nnU-Net's": (
        lambda root: nnunet(root / "raw" / "Dataset001_X"), "got dataset.json in or below raw/Dataset001_X; give that folder"),
    "the folder above ACDC's": (
        lambda root: trees.acdc(root / "database" / "training" / "training", patients=2),
        "got Info.cfg in or below database/training/training; give that folder",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_an_error_says_what_was_wanted(name: str, tmp_path: Path):
    write, words = REFUSED[name]
    write(tmp_path)
    with pytest.raises(DataError, match=words):
        first(tmp_path)


def test_classes_out_of_the_message_read_the_masks(tmp_path: Path):
    classes = {"green": "#00ff00", "red": "#ff0000"}
    pairs(tmp_path, boxes((0, 0, 255), (0, 255, 0)), classes=classes)
    assert images.describe(tmp_path).classes == ("background", "green", "red")
    np.testing.assert_array_equal(images.read(images.find(tmp_path)[0]).label[0], boxes(2, 1))


def test_a_dark_object_on_white_is_said_and_turned_as_the_message_has_it(tmp_path: Path):
    pairs(tmp_path, boxes(0, outside=255))
    (note,) = images.read(images.find(tmp_path)[0]).notes
    assert note.file == tmp_path / "masks/0.png"
    told = json.loads(note.text[note.text.index("{") : note.text.rindex("}") + 1])
    assert told == {"classes": {"background": 255, "foreground": 0}}
    pairs(tmp_path, boxes(0, outside=255), **told)
    volume = images.read(images.find(tmp_path)[0])
    assert volume.notes == ()
    np.testing.assert_array_equal(volume.label[0], boxes(1))


def test_folders_of_sides_that_are_not_followed_are_said(tmp_path: Path):
    for n, side in enumerate(SIDES):
        picture(tmp_path / side / "images" / f"{n}.png", noise(n))
        picture(tmp_path / side / "masks" / f"{n}.png", boxes(255))
    assert images.describe(tmp_path).sides == {}
    assert "not as the folders named test and train and val have it" in images.notes(tmp_path)[0]
    told = {"pairs": "{side}/images/{case}.png -> {side}/masks/{case}.png"}
    (tmp_path / "sslseg.json").write_text(json.dumps(told))
    assert set(images.describe(tmp_path).sides.values()) == set(SIDES)
    assert images.notes(tmp_path) == []


def test_a_patient_on_two_sides_is_an_error(tmp_path: Path):
    for n, (side, patient) in enumerate(zip((*SIDES, "test"), "abca", strict=True)):
        picture(tmp_path / side / "images" / f"{patient}_{n}.png", noise(n))
        picture(tmp_path / side / "masks" / f"{patient}_{n}.png", boxes(255))
    told = {"pairs": "{side}/images/{patient}_{n} -> {side}/masks/{patient}_{n}"}
    (tmp_path / "sslseg.json").write_text(json.dumps(told))
    with pytest.raises(DataError, match="patient a is in test and train: wanted each patient on one side"):
        images.describe(tmp_path)


def test_a_label_drawn_for_the_eye_is_no_second_mask(tmp_path: Path):
    for n in range(2):  # as labelme_json_to_dataset writes them
        picture(tmp_path / f"{n}_json" / "img.png", noise(n, (20, 24, 3)))
        picture(tmp_path / f"{n}_json" / "label.png", boxes(1))
        picture(tmp_path / f"{n}_json" / "label_viz.png", noise(n, (20, 24, 3)))
    assert [source.label.name for source in images.find(tmp_path)] == ["label.png", "label.png"]


def test_settings_that_lie_below_are_said(tmp_path: Path):
    pairs(tmp_path, boxes(255))
    (tmp_path / "images" / "sslseg.json").write_text("{}")
    assert [note.partition(": ")[2] for note in images.notes(tmp_path)] == [
        f"is not read, wanted sslseg.json in {tmp_path} itself"
    ]


@pytest.mark.parametrize(
    ("path", "mask"),
    {
        "segmentation_data/images/1.png": False,
        "segmentation_data/masks/1.png": True,
        "segmentation_data/1.png": True,
        "Lung Mask CT/train/JPEGImages/1.png": False,
        "Ground Truth/images/1.png": True,
        "masks/a_segmentation/images/1.png": True,
        "images/lesion_masks/1.png": True,
    }.items(),
)
def test_a_folder_of_images_in_one_that_is_named_after_the_task(path: str, mask: bool):
    assert words.is_mask(path) is mask
