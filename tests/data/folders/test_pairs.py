"""Pairs by a pattern of the user's own, several masks of an image, thresholds, channels; and what is no pattern."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from mlflow.utils.validation import _validate_metric_name

from sslseg.config.names import DataError
from sslseg.data.folders import patients, roles
from sslseg.data.folders.pairing import patterns
from sslseg.data.folders.settings import Settings
from sslseg.data.slices import prepare
from sslseg.datasets import images
from sslseg.tracking.client import metric_name
from tests.fixtures import trees
from tests.fixtures.layout_files import COLOUR, IMAGE, boxes, write
from tests.fixtures.pair_folders import PLANE, fill, label, told


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


def test_classes_keep_the_letters_of_their_names_in_any_writing(tmp_path):
    """Composed, as MLflow takes them into the name of a metric; what no metric can have becomes a dash."""
    fill(tmp_path, {"{n}.png": IMAGE, "{n}_mask.png": (0, 1, 2, 3)})
    told(tmp_path, classes={"Gefa\u0308ß": 1, "肿瘤": 2, "a/b": 3})
    classes = images.describe(tmp_path).classes
    assert classes == ("background", "Gefäß", "肿瘤", "a-b")
    for name in classes:
        _validate_metric_name(metric := f"test/iou/{name}")
        assert metric_name(metric) == metric


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
    with pytest.raises(DataError, match="got none that can be taken; m/0.png: wanted one mask and one image"):
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
