"""The fourth axis of a file, and files with numbers: moments, channels, or images of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sslseg.config.names import DataError
from sslseg.data.slices import prepare
from sslseg.data.source import IGNORE
from sslseg.datasets import images
from tests.fixtures import trees
from tests.fixtures.layout_files import IMAGE, write
from tests.fixtures.pair_folders import told


def test_frames_where_the_user_says_so(tmp_path):
    rng = np.random.default_rng(0)
    for n in range(3):
        cine = rng.integers(0, 250, (20, 24, 3, 4)).astype(np.int16)
        mask = np.zeros(cine.shape, np.uint8)
        mask[4:10, 4:10, :, 2] = 1
        trees.nifti(tmp_path / f"p{n}.nii.gz", cine)
        trees.nifti(tmp_path / f"p{n}_gt.nii.gz", mask)
    assert (
        images.read(
            images.find(tmp_path)[0].__class__(**{**images.find(tmp_path)[0].__dict__, "label": None})
        ).image.shape[0]
        == 4
    )
    told(tmp_path, frames="time")
    found = images.find(tmp_path)
    assert [(s.patient, s.frame, s.index) for s in found[:5]] == [
        ("p0", 1, 0), ("p0", 2, 1), ("p0", 3, 2), ("p0", 4, 3), ("p1", 1, 0),
    ]  # fmt: skip
    np.testing.assert_array_equal(images.read(found[-2]).image[0], cine[..., 2].T)
    np.testing.assert_array_equal(images.read(found[-2]).label, mask[..., 2].T)
    assert (images.read(found[-1]).label == IGNORE).all()  # an empty mask is not annotated
    store = prepare.prepare("images", tmp_path, tmp_path / "c", spacing=0.0, progress=False)
    assert (store.channels, len(store), int(store.index["labelled"].sum())) == (1, 36, 9)
    trees.nifti(tmp_path / "p0_gt.nii.gz", mask[..., 2])
    with pytest.raises(DataError, match="p0_gt.nii.gz: wanted a 4D file, to take frame"):
        images.read(images.find(tmp_path)[0])


def test_a_fourth_axis_that_nobody_has_explained(tmp_path):
    """Few frames of a cine are read as channels: that is said. A mask of one volume a class, or a frame, is refused."""
    mask = np.zeros((20, 24, 3), np.uint8)
    mask[3:9, 3:9] = 1
    trees.nifti(
        tmp_path / "a.nii.gz", np.random.default_rng(0).integers(0, 99, (20, 24, 3, 6)).astype(np.int16)
    )
    trees.nifti(tmp_path / "a_mask.nii.gz", mask)
    said = "a.nii.gz: the 6 volumes along its fourth axis are read as channels of one image"
    assert [said in note and '{"frames": "time"}' in note for note in images.notes(tmp_path)] == [True]
    told(tmp_path, frames="channels")
    assert images.notes(tmp_path) == []
    trees.nifti(tmp_path / "a_mask.nii.gz", np.stack([mask == 0, mask == 1], axis=-1).astype(np.uint8))
    with pytest.raises(
        DataError, match=r"a_mask.nii.gz: wanted a mask of one volume of class numbers, got 2 volumes"
    ):
        images.read(images.find(tmp_path)[0])


def test_phases_of_frames_stand_in_the_table(tmp_path):
    for name in ("p0_rest", "p0_stress", "p1_rest"):
        trees.nifti(tmp_path / f"{name}.nii.gz", np.zeros((20, 24, 3, 4), np.int16))
    told(tmp_path, frames="time", csv="t.csv")
    table, head = tmp_path / "t.csv", "case,patient,ED,ES\n"
    table.write_text(head + "p0_rest,p0,1,3\np0_stress,p0,2.0,4\np1_rest,p1,,\n")
    found = images.find(tmp_path)
    assert [(s.patient, s.visit, s.phase, s.frame, s.index) for s in found if s.phase] == [
        ("p0", "p0_rest", "ED", 1, 0), ("p0", "p0_rest", "ES", 3, 2),
        ("p0", "p0_stress", "ED", 6, 1), ("p0", "p0_stress", "ES", 8, 3),
    ]  # fmt: skip
    for cells, why in {
        "0,3": "ED: wanted a frame of 1 to 4, got '0'",
        "2,2": "wanted different frames for ED and ES",
    }.items():
        table.write_text(head + f"p0_rest,p0,1,3\np0_stress,p0,,\np1_rest,p1,{cells}\n")
        with pytest.raises(DataError, match=f"t.csv: p1_rest: {why}"):
            images.find(tmp_path)


def numbered(root: Path, names: str) -> Path:
    for k, file in enumerate(names.split()):
        write(root / file, (0, 1) if "mask" in file else IMAGE, k)
    return root


def test_channels_in_files_of_their_own_are_one_image(tmp_path):
    """Masks without the number say that it counts channels."""
    root = numbered(
        tmp_path, "images/a_0000.png images/a_0001.png masks/a.png images/b_0001.png images/b_0000.png"
    )
    first, second = images.find(root)
    assert [p.name for p in (first.image, *first.more)] == ["a_0000.png", "a_0001.png"]
    assert (first.label.name, second.label) == ("a.png", None)
    assert images.read(first).image.shape[0] == images.read(second).image.shape[0] == 2
    (root / "images" / "b_0001.png").unlink()
    with pytest.raises(
        DataError, match="b_0000.png: wanted 2 channels _0000 …, as of other images here, got 1"
    ):
        images.find(root)
    assert [s.patient for s in images.scan(root)[0]] == [first.patient]


def test_numbers_that_count_slices_are_images_of_their_own(tmp_path):
    """Each with its mask, or too many to be channels."""
    held = [f"p_{k:04d}" for k in range(3)]
    root = numbered(tmp_path / "a", " ".join(f"{name}.png {name}_mask.png" for name in held))
    assert len(images.find(root)) == 3
    root = numbered(tmp_path / "b", " ".join(f"p_{k:04d}.png" for k in range(12)))
    assert len(images.find(root)) == 12


def test_numbers_of_which_nothing_says_what_they_count_are_refused(tmp_path):
    root = numbered(tmp_path, "a_0000.nii.gz a_0001.nii.gz b_0000.nii.gz b_0001.nii.gz")
    with pytest.raises(
        DataError, match="a_0000.nii.gz: and a_0001.nii.gz: channels of one image, or images of their own"
    ):
        images.find(root)
    for text, wanted in (('"{id}_0000 + {id}_0001"', 2), ('"{id}"', 4)):
        (tmp_path / "sslseg.json").write_text(f'{{"pairs": {text}}}')
        assert len(images.find(root)) == wanted


def test_the_fourth_axis_is_asked_after_where_it_is_long(tmp_path):
    trees.nifti(tmp_path / "a.nii.gz", np.arange(20 * 24 * 3 * 9, dtype=np.int32).reshape(20, 24, 3, 9))
    with pytest.raises(DataError, match="are the 9 volumes along its fourth axis moments or channels"):
        images.read(images.find(tmp_path)[0])
    for frames, shape in {"channels": (9, 3, 24, 20), "time": (1, 3, 24, 20)}.items():
        told(tmp_path, frames=frames)
        assert images.read(images.find(tmp_path)[0]).image.shape == shape
