"""Masks of other tools: found by name, read in every format, turned as the data are sliced."""

import json
import unicodedata
from pathlib import Path

import cv2
import nibabel as nib
import numpy as np
import pytest

from sslseg.config import plugins
from sslseg.config.names import DataError
from sslseg.data.folders import mask_folder
from sslseg.data.folders.mask_folder import Masks
from sslseg.data.slices.sources import describe
from sslseg.data.source import Description, Source
from sslseg.datasets import dicom
from tests.fixtures import foreign_trees, trees


def scan(image: Path, index: int | None = None) -> Source:
    return Source("p", "", 1, "", image, None, index)


def masks_of(folder: Path, *images: str) -> Masks:
    """Masks in `out` of the images, all there are, in `in`."""
    return Masks(folder / "out", [scan(folder / "in" / image) for image in images], folder / "in")


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("imagesTr/case_0000.nii.gz", "case.nii.gz"),  # nnU-Net
        ("imagesTr/case_0000.nii.gz", "case_0000.nii.gz"),
        ("imagesTr/case_0000.nii.gz", "imagesTr/case.nii.gz"),
        ("a/b.jpg", "a/b.png"),  # a JPEG cannot hold a mask
        ("x.nhdr", "x.nrrd"),
        ("x.nii", "x.nii.gz"),
        ("a.b_0001.tif", "a.b_0001.tif"),
    ],
)
def test_masks_are_found_under_the_names_that_tools_give_them(tmp_path, image, mask):
    for path in (tmp_path / "in" / image, tmp_path / "out" / mask):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = masks_of(tmp_path, image).of(tmp_path / "in" / image)
    assert found == tmp_path / "out" / mask


def test_the_nearest_name_wins_and_none_is_an_error(tmp_path):
    for name in ("case.nii.gz", "case_0000.nii.gz", "sub/case.nii.gz"):
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).touch()
    places = {"sub/case_0000.nii.gz": "sub/case.nii.gz", "case_0000.nii.gz": "case_0000.nii.gz"}
    masks = masks_of(tmp_path, *places)
    for image, mask in places.items():
        assert masks.of(tmp_path / "in" / image) == tmp_path / "out" / mask
    assert masks.passed_over() == [tmp_path / "out" / "case.nii.gz"]
    with pytest.raises(DataError, match="case_0001.nii.gz: wanted a mask named as the image"):
        masks.of(tmp_path / "in" / "case_0001.nii.gz")


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_masks_are_turned_as_the_data_are_sliced(tmp_path, axis):
    root = foreign_trees.nnunet(tmp_path / "raw", cases=1)
    (root / "sslseg.json").write_text(json.dumps({"axis": axis}))
    module = plugins.load("datasets", "nnunet")
    source, about = module.find(root)[0], describe(module, root)
    label = module.read(source).label
    path = Masks(root / "labelsTr", [source], root).of(source.image)
    np.testing.assert_array_equal(mask_folder.read(path, source, about, label.shape), label)


def test_values_are_class_numbers_or_those_of_the_data(tmp_path):
    about = Description(("background", "lesion"), settings={"values": [0, 255]})
    plane = np.zeros((5, 7), np.uint8)
    plane[2:, 3:] = 1
    for name, factor in (("a.png", 1), ("b.png", 255), ("c.tif", 1)):
        cv2.imwrite(str(tmp_path / name), plane * factor)
        got = mask_folder.read(tmp_path / name, scan(tmp_path / name), about, (1, 5, 7))
        np.testing.assert_array_equal(got[0], plane)
    cv2.imwrite(str(tmp_path / "d.png"), plane * 7)
    with pytest.raises(DataError, match="d.png: wanted mask values 0, 1, 255, got also 7"):
        mask_folder.read(tmp_path / "d.png", scan(tmp_path / "d.png"), about, (1, 5, 7))


def test_zero_may_be_a_class_of_the_data(tmp_path):
    """REFUGE: the cup is 0, the disc 128, the background 255."""
    about = Description(("background", "disc", "cup"), settings={"values": [255, 128, 0], "also": [(64, 1)]})
    theirs = np.array([[255, 128, 0, 64]] * 4, np.uint8)
    for name, values, wanted in (("own.png", theirs, [0, 1, 2, 1]), ("ours.png", theirs % 3, [0, 2, 0, 1])):
        cv2.imwrite(str(tmp_path / name), values)
        got = mask_folder.read(tmp_path / name, scan(tmp_path / name), about, (1, 4, 4))
        assert got[0, 0].tolist() == wanted


def test_a_frame_of_a_cine_and_a_wrong_shape(tmp_path):
    about = Description(("background", "LV"))
    mask = np.zeros((5, 7, 3, 2), np.uint8)
    mask[1:4, 2:5, 1, 1] = 1
    path = trees.nifti(tmp_path / "x.nii.gz", mask)
    for t in (0, 1):
        got = mask_folder.read(path, scan(path, t), about, (3, 7, 5))
        np.testing.assert_array_equal(got, mask[..., t].T)
    with pytest.raises(DataError, match="wanted a mask of the image's shape"):
        mask_folder.read(path, scan(path, 0), about, (3, 5, 7))


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_one_file_is_never_the_mask_of_several_images(tmp_path):
    """Four patients keep their image under one name: a file of that name at the top is nobody's."""
    images = [f"p{n}/scan.nii.gz" for n in range(4)]
    touch(*(tmp_path / "in" / image for image in images), tmp_path / "out" / "scan.nii.gz")
    masks = masks_of(tmp_path, *images)
    with pytest.raises(
        DataError, match=r"scan.nii.gz: wanted a mask of one image, got one that could be of 4: "
    ) as e:
        masks.of(tmp_path / "in" / "p0" / "scan.nii.gz")
    assert "put each mask at its image's place, …/p0/scan.nii.gz" in str(e.value)
    touch(*(tmp_path / "out" / image for image in images[:3]))
    masks = masks_of(tmp_path, *images)
    assert [masks.of(tmp_path / "in" / i) for i in images[:3]] == [tmp_path / "out" / i for i in images[:3]]
    with pytest.raises(DataError, match="could be of 4"):  # nor is it the last one's
        masks.of(tmp_path / "in" / images[3])


def test_two_images_that_differ_in_their_ending_do_not_share_a_mask(tmp_path):
    touch(*(tmp_path / "in" / name for name in ("a.png", "a.tif")), tmp_path / "out" / "a.bmp")
    with pytest.raises(DataError, match="could be of 2"):
        masks_of(tmp_path, "a.png", "a.tif").of(tmp_path / "in" / "a.png")
    touch(tmp_path / "out" / "a.png")
    masks = masks_of(tmp_path, "a.png", "b.tif")
    assert masks.of(tmp_path / "in" / "a.png") == tmp_path / "out" / "a.png"
    touch(tmp_path / "out" / "b.png", tmp_path / "out" / "b.bmp", tmp_path / "out" / "c.png")
    masks = masks_of(tmp_path, "a.png", "b.tif")
    with pytest.raises(DataError, match=r"wanted one mask of b.tif, got b.bmp and b.png"):
        masks.of(tmp_path / "in" / "b.tif")
    assert masks.unused() == [tmp_path / "out" / "c.png"]


def test_links_are_known_by_their_own_names(tmp_path):
    """Images are links into a store, where they have other names; a mask of such a name lies there, too."""
    touch(tmp_path / "store" / "x.nii.gz", tmp_path / "store" / "y.nii.gz")
    (tmp_path / "in" / "p1").mkdir(parents=True)
    (tmp_path / "in" / "p1" / "scan.nii.gz").symlink_to(tmp_path / "store" / "x.nii.gz")
    (tmp_path / "in" / "p2").symlink_to(tmp_path / "store")
    touch(*(tmp_path / "out" / name for name in ("x.nii.gz", "p1/scan.nii.gz", "p2/y.nii.gz")))
    masks = masks_of(tmp_path, "p1/scan.nii.gz", "p2/y.nii.gz")
    assert masks.of(tmp_path / "in" / "p1" / "scan.nii.gz") == tmp_path / "out" / "p1" / "scan.nii.gz"
    assert masks.of(tmp_path / "in" / "p2" / "y.nii.gz") == tmp_path / "out" / "p2" / "y.nii.gz"
    assert masks.unused() == [tmp_path / "out" / "x.nii.gz"]


def test_masks_without_the_first_folders_and_in_another_form_of_an_accent(tmp_path):
    composed, apart = (unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD"))
    touch(tmp_path / "out" / "patient1" / "a.nii.gz", tmp_path / "out" / composed)
    masks = masks_of(tmp_path, "training/patient1/a.nii.gz", f"training/{apart}")
    assert masks.of(tmp_path / "in" / "training/patient1/a.nii.gz").parent.name == "patient1"
    assert masks.of(tmp_path / "in" / "training" / apart).name == composed
    masks = masks_of(tmp_path, "training/patient1/a.nii.gz", "testing/patient1/a.nii.gz")
    with pytest.raises(DataError, match="could be of 2"):
        masks.of(tmp_path / "in" / "testing/patient1/a.nii.gz")


def test_one_volume_is_no_mask_of_the_frames_of_a_cine(tmp_path):
    about = Description(("background", "LV"))
    image = trees.nifti(tmp_path / "x.nii.gz", np.zeros((5, 7, 3, 2), np.int16))
    path = trees.nifti(tmp_path / "mask.nii.gz", np.ones((5, 7, 3), np.uint8))
    with pytest.raises(DataError, match=r"mask.nii.gz: wanted a mask for each frame of .*x.nii.gz"):
        mask_folder.read(path, scan(image, 0), about, (3, 7, 5))


def test_masks_of_dicom_series_are_named_as_predict_names_them(tmp_path):
    root = foreign_trees.dicom(tmp_path / "in", patients=2)
    sources = plugins.load("datasets", "dicom").find(root)
    for where in (tmp_path / "out", tmp_path / "out" / "p1"):
        touch(where / "1.2.1.nii.gz")
    masks = Masks(tmp_path / "out", sources, root)
    assert masks.of(sources[1].image) == tmp_path / "out" / "p1" / "1.2.1.nii.gz"
    with pytest.raises(DataError, match="wanted a mask named as the image"):
        masks.of(sources[0].image)


def test_a_mask_on_another_grid_is_turned_or_refused(tmp_path):
    """A file that is mirrored, and says so, is brought onto the image; one that lies elsewhere is no mask of it."""
    values = np.arange(24, dtype=np.uint8).reshape(4, 3, 2) % 3
    ahead, back = np.diag([2.0, 3.0, 4.0, 1.0]), np.diag([-2.0, 3.0, 4.0, 1.0])
    back[0, 3] = 6.0  # its first voxel is the image's last along x
    nib.save(nib.Nifti1Image(np.zeros((4, 3, 2), np.int16), ahead), tmp_path / "image.nii")
    nib.save(nib.Nifti1Image(values[::-1], back), tmp_path / "turned.nii")
    about, image = Description(("background", "a", "b")), scan(tmp_path / "image.nii")
    found = mask_folder.read(tmp_path / "turned.nii", image, about, (2, 3, 4))
    np.testing.assert_array_equal(found, values.T)
    elsewhere = ahead.copy()
    elsewhere[:3, 3] = 50.0
    nib.save(nib.Nifti1Image(values, elsewhere), tmp_path / "away.nii")
    with pytest.raises(DataError, match=r"away.nii: lies elsewhere than .*image.nii: its first voxel"):
        mask_folder.read(tmp_path / "away.nii", image, about, (2, 3, 4))
    unplaced = Description(("background", "a", "b"), settings={"geometry": "ignore"})
    np.testing.assert_array_equal(
        mask_folder.read(tmp_path / "away.nii", image, unplaced, (2, 3, 4)), values.T
    )


def test_each_frame_of_a_dicom_cine_has_a_mask_of_its_own(tmp_path):
    plane = np.arange(20, dtype=np.uint16).reshape(4, 5)
    for t in range(2):
        for z in range(2):
            foreign_trees.dicom_slice(tmp_path / "in" / f"{t}{z}.dcm", plane + 9 * t + z, 4.0 * z,
                                      InstanceNumber=1 + z + 2 * t)  # fmt: skip
    sources = dicom.find(tmp_path / "in")
    wanted = [tmp_path / "out" / f"1.2.3_frame0{n}.nii.gz" for n in (1, 2)]
    (tmp_path / "out").mkdir()
    for path in wanted:
        path.touch()
    masks = Masks(tmp_path / "out", sources, tmp_path / "in")
    assert [masks.of(source.image) for source in sources] == wanted
    (alone,) = (s for s in sources if s.frame == 1)
    (tmp_path / "out" / "1.2.3.nii.gz").touch()
    assert Masks(tmp_path / "out", [alone], tmp_path / "in").of(alone.image).name == "1.2.3.nii.gz"
