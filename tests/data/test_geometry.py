"""Where voxels lie: what a header says is done where it is exact, refused where it is not, in every reader."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from sslseg.config import plugins
from sslseg.config.names import DataError
from sslseg.data.folders import scans
from sslseg.data.geometry import Grid, onto, usable
from sslseg.data.readers import formats, nifti, stacks
from sslseg.datasets.hearts import acdc
from tests.fixtures import foreign_trees, trees
from tests.fixtures.scenes import SHAPE, SPACING, TURNS, affine, save, scene, turned

NAMES = ("nifti", "nrrd", "metaimage")


ENDINGS = {"nifti": ".nii.gz", "nrrd": ".nrrd", "metaimage": ".mha"}


def grid(path: Path) -> Grid:
    return formats.grid(path)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("turn", TURNS, ids=lambda t: "".join(f"{'+-'[int(s < 0)]}{int(a)}" for a, s in t))
def test_every_order_of_the_axes_is_brought_onto_the_image(tmp_path, name, turn):
    _, mask = scene()
    image = save(tmp_path / f"image{ENDINGS[name]}", mask, affine())
    stored = save(tmp_path / f"mask{ENDINGS[name]}", *turned(mask, affine(), turn))
    np.testing.assert_array_equal(formats.read_labels(stored, SHAPE[::-1], like=grid(image)), mask.T)


@pytest.mark.parametrize("one", NAMES)
@pytest.mark.parametrize("other", NAMES)
def test_formats_agree_on_what_right_and_left_are(tmp_path, one, other):
    _, mask = scene()
    image = save(tmp_path / f"image{ENDINGS[one]}", mask, affine())
    stored = save(tmp_path / f"mask{ENDINGS[other]}", *turned(mask, affine(), TURNS[21]))
    np.testing.assert_array_equal(formats.read_labels(stored, SHAPE[::-1], like=grid(image)), mask.T)


def moved(**how) -> np.ndarray:
    """`affine`, changed in one respect."""
    found = affine(how.get("angle", 0.3))
    found[:3, :3] *= how.get("scale", 1.0) * np.array(how.get("mirrored", (1, 1, 1)))
    found[:3, 3] += how.get("shift", 0.0)
    return found


ELSEWHERE = {
    "its axes are turned by an angle": {"angle": 0.33},
    "its first voxel lies at": {"shift": 1.5},
    "mm, and it runs the other way along the image's x and y; bring": {
        "mirrored": (-1, -1, 1)
    },  # at one corner
    "half a voxel": {"shift": 0.4},
    "voxels of": {"scale": 1.01},
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("what", ELSEWHERE)
def test_what_is_not_exact_is_refused_and_said(tmp_path, name, what):
    _, mask = scene()
    image = save(tmp_path / f"image{ENDINGS[name]}", mask, affine())
    stored = save(tmp_path / f"mask{ENDINGS[name]}", mask, moved(**ELSEWHERE[what]))
    words = what if what != "half a voxel" else "its first voxel lies at"
    with pytest.raises(DataError, match=f"mask{ENDINGS[name]}: lies elsewhere than .*{words}"):
        formats.read_labels(stored, SHAPE[::-1], like=grid(image))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "how", [{"scale": 1.5000005 / 1.5}, {"scale": 1.0004}, {"shift": 0.003}, {"angle": 0.3002}]
)
def test_what_rounding_leaves_is_equal(tmp_path, name, how):
    _, mask = scene()
    image = save(tmp_path / f"image{ENDINGS[name]}", mask, affine())
    stored = save(tmp_path / f"mask{ENDINGS[name]}", mask, moved(**how))
    np.testing.assert_array_equal(formats.read_labels(stored, SHAPE[::-1], like=grid(image)), mask.T)


# ---------------------------------------------------------------- what NIfTI headers say twice
def written(path: Path, array: np.ndarray, sform=None, qform=None, zooms=None) -> Path:
    image = nib.Nifti1Image(array, None)
    image.header.set_zooms(zooms or SPACING)
    if sform is not None:
        image.header.set_sform(sform, code=1)
    if qform is not None:
        image.header.set_qform(qform, code=1)
        image.header["pixdim"][1:4] = zooms or SPACING
    nib.save(nib.Nifti1Image(array, None, image.header), path)
    return path


ONE_MM = np.diag([-1.0, -1.0, 1.0, 1.0])  # ACDC's sform: 1 mm, whatever pixdim says


TRUE = np.diag([-1.5, -1.25, 8.0, 1.0])  # what ITK makes of it


@pytest.mark.parametrize("place", [{"sform": TRUE}, {"sform": TRUE, "qform": TRUE}, {"qform": TRUE}, {}])
def test_a_mask_of_another_tool_for_an_image_whose_sform_says_1_mm(tmp_path, place):
    _, mask = scene()
    image = written(tmp_path / "image.nii.gz", mask, sform=ONE_MM)
    stored = written(tmp_path / "mask.nii.gz", mask, **place)
    np.testing.assert_array_equal(formats.read_labels(stored, SHAPE[::-1], like=grid(image)), mask.T)
    array, flipped = turned(mask, ONE_MM, TURNS[1])
    stored = written(tmp_path / "flipped.nii.gz", array, sform=flipped)  # as nibabel mirrors it
    np.testing.assert_array_equal(formats.read_labels(stored, SHAPE[::-1], like=grid(image)), mask.T)


def test_a_header_that_contradicts_itself_is_refused(tmp_path):
    _, mask = scene()
    image = written(tmp_path / "image.nii.gz", mask, sform=TRUE, qform=TRUE)
    array, flipped = turned(mask, TRUE, TURNS[1])
    stored = written(tmp_path / "mask.nii.gz", array, sform=flipped, qform=TRUE)
    with pytest.raises(DataError, match="sform and qform of its header contradict each other"):
        formats.read_labels(stored, SHAPE[::-1], like=grid(image))
    other = TRUE + np.array([[0, 0, 0, 3.0], [0] * 4, [0] * 4, [0] * 4])
    for place in ({"sform": other, "qform": TRUE}, {"sform": TRUE, "zooms": (2.0, 1.25, 8.0)}):
        stored = written(tmp_path / "mask.nii.gz", mask, **place)
        with pytest.raises(DataError, match="mask.nii.gz: (lies elsewhere|has voxels of 2 x 1.25 x 8)"):
            formats.read_labels(stored, SHAPE[::-1], like=grid(image))


def test_a_leftover_qform_does_no_harm(tmp_path):
    """A sheared sform has an orthonormal neighbour as qform: beside a tilted gantry's image it is another grid."""
    _, mask = scene()
    sheared = TRUE.copy()
    sheared[1, 2] = 2.0
    image = written(tmp_path / "image.nii.gz", mask, sform=sheared)
    stored = written(tmp_path / "mask.nii.gz", mask, sform=sheared, qform=TRUE)
    np.testing.assert_array_equal(formats.read_labels(stored, SHAPE[::-1], like=grid(image)), mask.T)


def test_a_file_that_says_nothing_lies_on_its_image(tmp_path):
    _, mask = scene()
    image = save(tmp_path / "image.nii.gz", mask, affine())
    nib.save(nib.Nifti1Image(mask, None), tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(
        formats.read_labels(tmp_path / "mask.nii.gz", SHAPE[::-1], like=grid(image)), mask.T
    )
    stored = save(tmp_path / "unit.nii.gz", mask, np.eye(4))  # nibabel's eye(4) is a statement
    with pytest.raises(DataError, match="unit.nii.gz: lies elsewhere"):
        formats.read_labels(stored, SHAPE[::-1], like=grid(image))
    np.testing.assert_array_equal(onto(mask.T, None, grid(image)), mask.T)


def test_masks_of_a_series_are_compared_with_its_place_in_the_scanner(tmp_path):
    root = foreign_trees.dicom(tmp_path / "in", patients=1)
    module = plugins.load("datasets", "dicom")
    (source,) = module.find(root)
    like = stacks.grid(source.images)
    array = np.arange(24 * 20 * 3).reshape(20, 24, 3).astype(np.int16) % 7
    stored = save(tmp_path / "a.nii.gz", *turned(array, like.forms["header"][0], TURNS[13]))
    np.testing.assert_array_equal(formats.read_labels(stored, (3, 24, 20), like=like), array.T)


def test_channels_of_an_image_to_be_segmented(tmp_path):
    image, other = scene(0)[0], scene(1)[0]
    first = save(tmp_path / "in" / "c_0000.nii.gz", image, affine())
    second = save(tmp_path / "in" / "c_0001.nii.gz", *turned(other, affine(), TURNS[7]))
    (scan,) = scans.find(tmp_path / "in", tmp_path / "out", channels=2)
    ((_, got, _),) = scans.volumes(scan, 2)
    np.testing.assert_array_equal(got, np.stack([image.T, other.T]))
    save(second, other, moved(scale=1.5000005 / 1.5))
    ((_, got, _),) = scans.volumes(scan, 2)
    np.testing.assert_array_equal(got, np.stack([image.T, other.T]))
    save(second, other, moved(shift=4.0))
    with pytest.raises(DataError, match=r"c_0001.nii.gz: lies elsewhere than .*c_0000.nii.gz"):
        list(scans.volumes(scan, 2))
    assert first.is_file()


# ---------------------------------------------------------------- units
def test_a_unit_that_cannot_be_meant_is_refused(tmp_path):
    image = nib.Nifti1Image(np.zeros((8, 8, 2), np.int16), np.diag([0.3, 0.3, 0.3, 1.0]))
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "a.nii.gz")
    with pytest.raises(DataError, match=r"a.nii.gz: its header counts in meters .* 300 x 300 mm"):
        nifti.read_volume(tmp_path / "a.nii.gz")
    image.header.set_zooms((0.0015, 0.0015, 0.008))
    nib.save(image, tmp_path / "a.nii.gz")
    assert nifti.read_volume(tmp_path / "a.nii.gz")[1] == pytest.approx((8.0, 1.5, 1.5))


def test_the_unit_of_an_nrrd_file(tmp_path):
    path = save(tmp_path / "a.nrrd", scene()[0], TRUE)
    data = path.read_bytes()
    for unit, factor in (("mm", 1.0), ("cm", 10.0), ("um", 1e-3)):
        path.write_bytes(
            data.replace(b"\nkinds:", f'\nspace units: "{unit}" "{unit}" "{unit}"\nkinds:'.encode())
        )
        assert formats.read(path)[1] == pytest.approx(tuple(factor * v for v in SPACING[::-1]))
    path.write_bytes(data.replace(b"\nkinds:", b'\nspace units: "s" "s" "s"\nkinds:'))
    with pytest.raises(DataError, match=r"a.nrrd: space units: wanted one of mm, .* got s"):
        formats.read(path)


# ---------------------------------------------------------------- no false alarm on real data
@pytest.mark.skipif(not trees.REAL_ACDC.is_dir(), reason=f"no real ACDC set at {trees.REAL_ACDC}")
def test_no_false_alarm_on_the_real_acdc_set():
    """All 200 masks of the training set lie on their images as they are; none is turned, none refused."""
    checked = 0
    for source in acdc.find(trees.REAL_ACDC):
        if source.label is None:
            continue
        shape = formats.grid(source.image).shape
        numbered = np.arange(np.prod(shape)).reshape(shape[::-1])
        got = onto(numbered, formats.grid(source.label), formats.grid(source.image))
        assert np.array_equal(got, numbered), source.label
        checked += 1
    assert checked == 200


def test_source_of_a_picture_has_no_grid(tmp_path):
    assert stacks.grid([tmp_path / "a.png"]) is None


def test_a_matrix_of_any_voxel_size_says_where_voxels_lie():
    thin = np.eye(4)
    thin[:3, :2] = [[1, 1], [0, 1e-4], [0, 0]]  # two axes that are nearly one
    for size in (1e-3, 1.0, 1e3):
        scale = np.diag([size, size, size, 1.0])
        assert usable(scale)
        assert not usable(scale @ thin)
    assert not usable(np.diag([1.0, 0.0, 1.0, 1.0]))
    assert not usable(np.diag([1.0, np.nan, 1.0, 1.0]))
