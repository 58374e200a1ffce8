"""Pairs by a pattern of the user's own, several masks of an image, thresholds, frames; what is never read unasked."""

from __future__ import annotations

import json
import time
import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pytest

from sslseg.config.names import DataError
from sslseg.data.folders import patients, roles
from sslseg.data.folders.pairing import patterns
from sslseg.data.folders.settings import Settings
from sslseg.data.slices import prepare
from sslseg.data.source import IGNORE
from sslseg.datasets import images
from tests.fixtures import trees
from tests.fixtures.layout_trees import COLOUR, IMAGE, boxes, write

PLANE = (40, 36)


def told(root: Path, **keys) -> None:
    (root / "sslseg.json").write_text(json.dumps(keys))


def fill(root: Path, files: dict[str, object], cases: int = 3) -> Path:
    for n in range(cases):
        for path, held in files.items():
            write(root / path.format(n=n), held, n)
    return root


def label(root: Path, n: int = 0) -> np.ndarray:
    return images.read(images.find(root)[n]).label


def test_the_pattern_of_the_documentation(tmp_path):
    fill(tmp_path, {"{n}/image.nii.gz": IMAGE, "{n}/mask.nii.gz": (0, 1), "{n}/other_seg.nii.gz": (0, 1)})
    told(tmp_path, pairs="{case}/image.nii.gz -> {case}/mask.nii.gz")
    found = images.find(tmp_path)
    assert [(s.patient, s.image.name, s.label.name) for s in found] == [
        (str(n), "image.nii.gz", "mask.nii.gz") for n in range(3)
    ]
    np.testing.assert_array_equal(label(tmp_path), boxes((40, 36, 3), (0, 1)).T)
    aside = roles.LAST[tmp_path].aside
    assert aside == {f"{n}/other_seg.nii.gz": "fits no pattern of pairs" for n in range(3)}
    assert images.describe(tmp_path).settings["pairs"] == ("{case}/image.nii.gz -> {case}/mask.nii.gz",)


@pytest.mark.parametrize("pairs", ["i/{case} -> m/{case}_*", "i/{case} -> m/{case}_left + m/{case}_right"])
def test_several_masks_are_united(tmp_path, pairs):
    left, right = np.zeros(PLANE, np.uint8), np.zeros(PLANE, np.uint8)
    left[5:20, 5:20], right[15:30, 15:30] = 255, 1
    fill(tmp_path, {"i/{n}.png": IMAGE})
    (tmp_path / "m").mkdir()
    for n in range(3):
        cv2.imwrite(str(tmp_path / "m" / f"{n}_left.png"), left)
        cv2.imwrite(str(tmp_path / "m" / f"{n}_right.png"), right)
    told(tmp_path, pairs=pairs)
    np.testing.assert_array_equal(label(tmp_path)[0], (left > 0) | (right > 0))
    assert images.describe(tmp_path).classes == ("background", "foreground")


def test_several_masks_are_classes(tmp_path):
    fill(tmp_path, {"i/{n}.png": IMAGE, "liver/{n}.png": (0, 255), "lesion/{n}.png": (0, 0, 0, 1)})
    nested = boxes(PLANE, (0, 1, 1, 2))[None]
    told(tmp_path, pairs="i/{case} -> liver/{case} as liver + lesion/{case} as lesion")
    assert images.describe(tmp_path).classes == ("background", "liver", "lesion")
    np.testing.assert_array_equal(label(tmp_path), nested)  # the later one lies on top
    told(tmp_path, pairs="i/{case} -> {class}/{case}")
    with pytest.raises(DataError, match=r'liver and another class share voxels.*\{"classes": \["background"'):
        label(tmp_path)
    told(tmp_path, pairs="i/{case} -> {class}/{case}", classes=["background", "liver", "lesion"])
    np.testing.assert_array_equal(label(tmp_path), nested)
    told(tmp_path, pairs="i/{case} -> {class}/{case}", classes=["background", "lesion"])
    np.testing.assert_array_equal(label(tmp_path), nested == 2)
    told(tmp_path, pairs="i/{case} -> liver/{case} as liver", classes=["background", "lesion"])
    with pytest.raises(DataError, match="pairs: 'liver' is none of the classes"):
        images.find(tmp_path)


def test_a_class_of_several_values(tmp_path):
    fill(tmp_path, {"{n}.png": IMAGE, "{n}_mask.png": (0, 1, 2, 4)})
    told(tmp_path, classes={"core": [1, 4], "edema": 2})
    np.testing.assert_array_equal(label(tmp_path), boxes(PLANE, (0, 1, 2, 1))[None])


@pytest.mark.parametrize("threshold", [0, "any value above 0", "above 0"])
def test_any_value_above_zero(tmp_path, threshold):
    fill(tmp_path, {"{n}.png": IMAGE, "{n}_mask.png": (0, 7, 200)})
    told(tmp_path, threshold=threshold)
    np.testing.assert_array_equal(label(tmp_path), boxes(PLANE, (0, 1, 1))[None])
    assert images.describe(tmp_path).classes == ("background", "foreground")


def test_a_threshold_of_soft_masks(tmp_path):
    fill(tmp_path, {"{n}.png": COLOUR, "{n}_mask.jpg": (0, 255)})
    with pytest.raises(DataError, match=r'wanted a mask in a lossless format.*"threshold"'):
        label(tmp_path)
    told(tmp_path, threshold=127, classes=["background", "polyp"])
    np.testing.assert_array_equal(label(tmp_path), boxes(PLANE, (0, 1))[None])
    shares = np.linspace(0, 1, 40 * 36 * 3, dtype=np.float32).reshape(40, 36, 3)
    trees.nifti(
        tmp_path / "v" / "a.nii.gz", np.random.default_rng(0).integers(0, 250, (40, 36, 3)).astype(np.int16)
    )
    trees.nifti(tmp_path / "v" / "a_probseg.nii.gz", shares)
    told(tmp_path / "v", threshold=0.5)
    np.testing.assert_array_equal(label(tmp_path / "v"), (shares > 0.5).T)


def test_channels_and_what_a_name_says(tmp_path):
    files = {f"s{{n}}/{kind}_v{visit}_{phase}.nii.gz": held for visit in (1, 2) for phase in ("ed", "es")
             for kind, held in (("t1", IMAGE), ("t2", IMAGE), ("gt", (0, 1)))}  # fmt: skip
    fill(tmp_path, files)
    pattern = "{patient}/t1_v{visit}_{phase} + {patient}/t2_v{visit}_{phase} -> {patient}/gt_v{visit}_{phase}"
    told(tmp_path, pairs=pattern)
    found = images.find(tmp_path)
    assert [(s.patient, s.visit, s.phase, s.frame) for s in found[:4]] == [
        ("s0", "1", "ED", 1), ("s0", "1", "ES", 2), ("s0", "2", "ED", 3), ("s0", "2", "ES", 4),
    ]  # fmt: skip
    assert images.read(found[0]).image.shape == (2, 3, 36, 40)
    store = prepare.prepare("images", tmp_path, tmp_path / "cache", spacing=0.0, progress=False)
    assert (store.channels, sorted(set(store.index["phase"]))) == (2, ["ED", "ES"])


def test_the_first_pattern_that_gives_a_mask_counts(tmp_path):
    fill(tmp_path, {"a/{n}.png": IMAGE, "b/{n}_m.png": (0, 1)}, cases=2)
    write(tmp_path / "c" / "1_m.png", (0, 0, 1), 1)
    told(tmp_path, pairs=["a/{case} -> c/{case}_m", "a/{case} -> b/{case}_m"])
    assert [s.label.parent.name for s in images.find(tmp_path)] == ["b", "c"]


def test_patients_of_patterns_may_be_told_otherwise(tmp_path):
    fill(tmp_path, {"{n}/x.png": IMAGE, "{n}/y.png": (0, 1)})
    told(tmp_path, pairs="{patient}/x -> {patient}/y", patient_regex=r"^([01])?")
    assert [s.patient for s in images.find(tmp_path)] == ["0", "1", "2"]
    (tmp_path / "who.csv").write_text("case,patient\n0,anna\n1,anna\n2,bert\n")
    told(tmp_path, pairs="{patient}/x -> {patient}/y", csv="who.csv")
    assert [(s.patient, s.frame) for s in images.find(tmp_path)] == [("anna", 1), ("anna", 2), ("bert", 1)]


def test_rows_that_name_no_image_are_said(tmp_path):
    fill(tmp_path, {"i/{n}.png": IMAGE, "m/{n}.png": (0, 1)})
    own = Settings(csv="who.csv")
    table = tmp_path / "who.csv"
    table.write_text("case,patient\n0.png,anna\n1,anna\n 2 ,bert\n")
    assert patients.alone(tmp_path, ["0", "1", "2"], own) == []
    assert patients.alone(tmp_path, ["0", "1", "2"], Settings()) == []
    table.write_text(table.read_text() + "O,bert\n" + "".join(f"{n},cora\n" for n in range(10, 16)))
    (said,) = patients.alone(tmp_path, ["0", "1", "2"], own)
    assert said == f"{table}: no image is there for the rows of O, 10, 11, 12, 13 and 2 more"


def test_what_cannot_be_told_apart_is_refused(tmp_path):
    fill(tmp_path, {"i/{n}.png": IMAGE, "m/{n}.png": (0, 1), "m/{n}.tif": (0, 1)})
    told(tmp_path, pairs="i/{case} -> m/{case}")
    with pytest.raises(
        DataError, match=r"m/0.png: wanted one mask and one image that belong together, it fits i/0.png"
    ):
        images.find(tmp_path)
    with pytest.raises(DataError, match="got none; m/0.png: wanted one mask and one image"):
        images.scan(tmp_path)
    (tmp_path / "m" / "2.tif").unlink()
    found, faults = images.scan(tmp_path)
    assert ([s.patient for s in found], len(faults)) == (["2"], 4)
    told(tmp_path, pairs="i/{case}.png -> m/{case}.png")
    assert len(images.find(tmp_path)) == 3
    (tmp_path / "i" / "1.png").unlink()
    with pytest.raises(DataError, match=r"m/1.png: wanted the image of this mask, none fits its pattern"):
        images.find(tmp_path)
    told(tmp_path, pairs="photos/{case}.png -> m/{case}.png")
    with pytest.raises(
        DataError, match=r"wanted images like 'photos/\{case\}.png -> m/\{case\}.png', got none"
    ):
        images.scan(tmp_path)


BAD = {
    '{"pairs": "a/{case}.png -> m/x.png"}': "shares no {name} with its image",
    '{"pairs": "a/{Case.png -> m/{case}.png"}': "wanted {name} of small letters in braces",
    '{"pairs": "-> m/{case}.png"}': "wanted 'IMAGE -> MASK' or 'IMAGE'",
    '{"pairs": "a/{case} ->"}': "wanted 'IMAGE -> MASK' or 'IMAGE'",
    '{"pairs": "a/{class}.png"}': "{class} is of masks",
    '{"pairs": "a/{case} + b/{x} -> m/{case}"}': "wanted the same {names} in every channel",
    '{"pairs": "a/{case} -> m/{case} as liver + n/{case}"}': "wanted 'as NAME' behind every mask or behind none",
    '{"pairs": 3}': "sslseg.json",
    '{"pairs": [3]}': "sslseg.json",
    '{"pairs": "{case}.png", "mask_suffix": "_m"}': "mask_suffix: pairs says already",
    '{"threshold": "high"}': "threshold: wanted a number or",
    '{"threshold": true}': "threshold: wanted a number or",
    '{"threshold": 1, "classes": ["background", "a", "b"]}': "threshold: it makes two classes",
    '{"frames": "yes"}': "frames: wanted time or channels",
    '{"classes": {"a": [1, 2], "b": 2}}': "a value of its own",
    '{"classes": {"a": []}}': "a value of its own",
}  # fmt: skip


@pytest.mark.parametrize("text", BAD)
def test_a_wrong_key_is_named(tmp_path, text):
    write(tmp_path / "a.png", IMAGE, 0)
    (tmp_path / "sslseg.json").write_text(text)
    with pytest.raises(DataError) as caught:
        images.describe(tmp_path)
    assert "sslseg.json" in str(caught.value)
    assert BAD[text] in str(caught.value)


def test_no_pattern_takes_for_ever():
    """Time grows with the length of a name, not with the number of ways to divide it."""
    began = time.process_time()
    assert patterns.match("{a}{b}{c}{d}{e}{f}{g}{h}*x*y*z/{a}{b}.png", "q" * 4000 + "/r.png") is None
    assert patterns.match("**/" * 20 + "{a}/x.png", "q/" * 2000 + "r.png") is None
    assert time.process_time() - began < 5


def test_the_first_mention_of_a_name_rules():
    assert patterns.match("{p}-{visit}/{p}-{visit}-t1", "A-B-1/A-B-1-t1.nii") == {"p": "A-B", "visit": "1"}
    assert patterns.match("{a}_{b}/{a}", "x_y/x.png") == {"a": "x", "b": "y"}
    assert patterns.match("{a}_{b}/{a}", "x_y/z.png") is None
    assert patterns.match("{side}/{n}", "interval/1.png") is None


# ---------------------------------------------------------------- never unasked
@pytest.mark.parametrize("held", [(0, 1), (0, 255), (0, 1, 2, 3, 4), (255, 128, 0)])
def test_what_looks_like_a_mask_is_not_pretrained_on(tmp_path, held):
    fill(tmp_path, {"{n}.png": IMAGE})
    write(tmp_path / "zz_final.png", held, 0)
    with pytest.raises(
        DataError, match=r"zz_final.png: looks like a mask \(it holds only .*say which in pairs of sslseg"
    ):
        prepare.prepare("images", tmp_path, tmp_path / "c", spacing=0.0, progress=False)
    store = prepare.prepare(
        "images", tmp_path, tmp_path / "c", spacing=0.0, progress=False, on_bad_file="skip"
    )
    assert len(store.volume_table) == 3
    assert [s["file"] for s in store.skipped] == ["zz_final.png"]
    told(tmp_path, pairs="{case}.png")
    assert len(prepare.prepare("images", tmp_path, tmp_path / "c", spacing=0.0, progress=False)) == 4


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


# ---------------------------------------------------------------- time
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
