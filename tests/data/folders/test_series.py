"""DICOM series with masks in other formats: whose they are, and which slice is whose."""

from __future__ import annotations

from pathlib import Path

import cv2
import nibabel as nib
import numpy as np
import pytest

from sslseg.config.names import DataError
from sslseg.data.folders import scans, settings
from sslseg.data.slices import account, prepare
from sslseg.datasets import dicom
from tests.fixtures import foreign_trees
from tests.fixtures.foreign_trees import chaos_mask, dicom_slice

MASK = np.zeros((4, 6, 5), np.uint8)  # [Z, Y, X] along the series, without any symmetry
for _z in range(4):
    MASK[_z, 1 : 3 + _z, 2:] = 1
PLANE = np.arange(30, dtype=np.uint16).reshape(6, 5) * 9


def series(folder: Path, names: str = "{}.dcm", number: int = 1, **tags: object) -> None:
    """Four slices, called 1 to 4 along the normal; InstanceNumber counts so, too, or backwards (`number` -1)."""
    for z in range(4):
        path = folder / names.format(z + 1)
        own = {"SeriesInstanceUID": f"1.{abs(hash(folder)) % 10**9}", "InstanceNumber": (z + 1) * number % 5}
        dicom_slice(path, PLANE + z, 5.0 * z, **own | {"PatientID": folder.name} | tags)


def pictures(folder: Path, names: str = "{}.png", value: int = 255) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for z in range(4):
        assert cv2.imwrite(str(folder / names.format(z + 1)), MASK[z] * value)


def label(root: Path) -> np.ndarray:
    (source,) = dicom.find(root)
    return dicom.read(source).label


def volume(path: Path, affine: np.ndarray | None = None) -> None:
    """The mask as NIfTI, on the grid of `series`."""
    row, column, normal = (np.array(v) for v in ([1, 0, 0], [0, 0.8, 0.6], [0, -0.6, 0.8]))
    place = np.eye(4)
    place[:3] = np.column_stack([row * 0.8, column * 0.9, normal * 5.0, [7, 8, 9]])
    place = np.diag([-1.0, -1.0, 1.0, 1.0]) @ place
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(MASK.T, place if affine is None else place @ affine), path)


def test_a_mask_that_is_white_outside_is_asked_about_as_in_other_formats(tmp_path):
    series(tmp_path / "a" / "T1")
    for z in range(4):
        (tmp_path / "a/mask").mkdir(exist_ok=True)
        assert cv2.imwrite(str(tmp_path / f"a/mask/{z + 1}.png"), 255 - 255 * (MASK[0] & MASK[z]))
    (source,) = dicom.find(tmp_path)
    (note,) = dicom.read(source).notes
    assert (note.file, "is white the background?" in note.text) == (tmp_path / "a/mask/1.png", True)


@pytest.mark.parametrize("order", [1, -1])
def test_a_mask_that_is_a_series_itself(tmp_path, order):
    """Its slices lie where their headers say, whatever they are called; a place of another grid is refused."""
    plain = {"RescaleSlope": 1, "RescaleIntercept": 0, "PatientID": "a", "SeriesInstanceUID": "1.7"}
    series(tmp_path / "a" / "T1", PatientID="a")
    for z in range(4):
        dicom_slice(
            tmp_path / f"a/drawn/{z * order % 5}.dcm", 3 * MASK[z].astype(np.uint16), 5.0 * z, **plain
        )
    settings_file = tmp_path / settings.FILE
    settings_file.write_text('{"pairs": "{patient}/T1 -> {patient}/drawn", "classes": {"scar": 3}}')
    (source,) = dicom.find(tmp_path)
    volume = dicom.read(source)
    np.testing.assert_array_equal(volume.label, MASK)
    np.testing.assert_array_equal(volume.image[0, 0], 2 * PLANE.astype(int) - 1024)
    assert (source.patient, dicom.describe(tmp_path).classes) == ("a", ("background", "scar"))
    assert [scan.files for scan in scans.find(tmp_path, tmp_path.with_name("out"))] == [
        tuple(tmp_path / f"a/T1/{z}.dcm" for z in (1, 2, 3, 4))
    ]
    (tmp_path / "a/drawn/0.dcm").unlink()
    with pytest.raises(
        DataError, match=r"wanted a mask of the shape .* \(4, 6, 5\) of the series in .*T1, got \(3"
    ):
        dicom.read(dicom.find(tmp_path)[0])


def test_chaos(tmp_path):
    root = foreign_trees.chaos(tmp_path / "MR")
    assert dicom.describe(root).classes == ("background", "liver", "right kidney", "left kidney", "spleen")
    sources = dicom.find(root)
    assert [s.patient for s in sources] == [p for p in "123" for _ in range(3)]
    number = np.zeros(256, np.uint8)
    number[list(foreign_trees.MR)] = range(5)
    for source in sources:
        kind = source.image.relative_to(root).parts[1]
        np.testing.assert_array_equal(dicom.read(source).label, number[chaos_mask(int(source.patient), kind)])
    store = prepare.prepare("dicom", root, tmp_path / "cache", spacing=0, progress=False)
    entries = account.account(root, store.fingerprint["files"], store.skipped, dicom.aside(root))
    assert account.counts(entries) == {"read": 3 * (9 + 6), "skipped": 0, "unknown": 0}
    assert all(scan.series for scan in scans.find(root, tmp_path / "out"))  # and no mask as an image


def test_both_of_chaos_at_once_are_refused(tmp_path):
    """CT marks the liver alone: kidneys would be background there."""
    foreign_trees.chaos(tmp_path / "MR")
    for n in range(2):
        series(tmp_path / "CT" / f"{n}" / "DICOM_anon", SeriesInstanceUID=f"1.99{n}")
        pictures(tmp_path / "CT" / f"{n}" / "Ground", "liver_GT_00{}.png")
    for n in range(2, 5):
        series(tmp_path / "CT" / f"{n}" / "DICOM_anon", SeriesInstanceUID=f"1.99{n}")
    with pytest.raises(DataError, match="files of CHAOS CT and of CHAOS MR lie here"):
        dicom.find(tmp_path)


def test_pictures_beside_series_are_still_segmented(tmp_path):
    series(tmp_path / "in" / "p")
    pictures(tmp_path / "in", "x{}.png")
    assert {scan.target.suffix for scan in scans.find(tmp_path / "in", tmp_path / "out")} == {".gz", ".png"}


def test_chaos_ct_and_its_test_cases(tmp_path):
    for n in (1, 2):
        series(tmp_path / "CT" / f"{n}" / "DICOM_anon", "i000{},0000b.dcm")
    pictures(tmp_path / "CT" / "1" / "Ground", "liver_GT_00{}.png")
    first, second = sorted(dicom.find(tmp_path), key=lambda s: s.image)
    np.testing.assert_array_equal(dicom.read(first).label, MASK)
    assert (first.patient, second.patient, second.label) == ("1", "2", None)
    assert dicom.describe(tmp_path).classes == ("background", "liver")


@pytest.mark.parametrize(
    ("images", "masks"),
    [("p/dicom", "p/masks"), ("dicom/p", "masks/p"), ("p", "p/masks"), ("p/CT", "p/CT_mask"), (".", "masks")],
)
def test_one_picture_a_slice(tmp_path, images, masks):
    series(tmp_path / images, "IM{}.dcm")
    pictures(tmp_path / masks, "mask_{}.png", 1)
    np.testing.assert_array_equal(label(tmp_path), MASK)


@pytest.mark.parametrize(
    ("images", "mask"),
    [
        ("p/dicom", "p/mask.nii.gz"),
        ("p", "p/mask.nii.gz"),
        ("p", "p/p_seg.nii"),
        ("p/CT", "p/CT-label.nii.gz"),
        ("dicom/p", "masks/p.nii.gz"),
        ("images/p", "labels/p.nii.gz"),
        (".", "mask.nii.gz"),
    ],
)
def test_one_volume_on_the_grid_of_its_series(tmp_path, images, mask):
    series(tmp_path / images)
    volume(tmp_path / mask)
    np.testing.assert_array_equal(label(tmp_path), MASK)
    (tmp_path / mask).unlink()
    flip = np.diag([1.0, -1.0, 1.0, 1.0])
    flip[1, 3] = 5
    volume(tmp_path / mask, flip)  # the header says that its rows run backwards
    np.testing.assert_array_equal(label(tmp_path), MASK[:, ::-1])
    volume(tmp_path / mask, np.diag([1.0, 1.0, 1.2, 1.0]))
    with pytest.raises(DataError, match=r"voxels of .* not 0.8 x 0.9 x 5 mm"):
        label(tmp_path)


def test_which_slice_is_whose(tmp_path):
    series(tmp_path / "p" / "dicom", "{}.dcm", number=-1)
    pictures(tmp_path / "p" / "masks")
    np.testing.assert_array_equal(label(tmp_path), MASK)  # by their names
    for z in range(4):
        (tmp_path / "p" / "masks" / f"{z + 1}.png").rename(tmp_path / "p" / "masks" / f"m{z + 8}.png")
    with pytest.raises(DataError, match="which mask is of which slice.* run against each other"):
        label(tmp_path)
    for z, name in enumerate("dbca"):
        (tmp_path / "p" / "dicom" / f"{z + 1}.dcm").rename(tmp_path / "p" / "dicom" / name)
    np.testing.assert_array_equal(label(tmp_path), MASK[::-1])  # by InstanceNumber: m8, m9, m10, m11
    (tmp_path / "p" / "masks" / "m9.png").unlink()
    with pytest.raises(DataError, match="wanted a mask for each of the 4 slices in .*dicom, got 3"):
        label(tmp_path)


def test_pictures_of_single_images(tmp_path):
    """X-rays: one file a series, one picture a mask."""
    for n in range(3):
        dicom_slice(
            tmp_path / "images" / f"x{n}.dcm", PLANE + n, SeriesInstanceUID=f"1.{n}", PatientID=f"{n}"
        )
    (tmp_path / "masks").mkdir()
    for n in range(2):
        cv2.imwrite(str(tmp_path / "masks" / f"x{n}.png"), MASK[n] * 255)
    sources = sorted(dicom.find(tmp_path), key=lambda s: s.image)
    assert [s.label and s.label.name for s in sources] == ["x0.png", "x1.png", None]
    np.testing.assert_array_equal(dicom.read(sources[1]).label, MASK[1:2])


def test_pairs_say_it_for_series_too(tmp_path):
    for patient in ("a", "b"):
        series(tmp_path / patient / "T1")
        pictures(tmp_path / patient / "drawn" / "liver")
        pictures(tmp_path / patient / "drawn" / "spleen", value=0)
    (tmp_path / settings.FILE).write_text('{"pairs": "{patient}/T1 -> {patient}/drawn/{class}"}')
    assert dicom.describe(tmp_path).classes == ("background", "liver", "spleen")
    sources = sorted(dicom.find(tmp_path), key=lambda s: s.image)
    assert [s.patient for s in sources] == ["a", "b"]
    np.testing.assert_array_equal(dicom.read(sources[0]).label, MASK)


def test_what_cannot_be_told_is_refused(tmp_path):
    series(tmp_path / "p")
    series(tmp_path / "p", "other{}.dcm", SeriesInstanceUID="1.9")
    volume(tmp_path / "p" / "mask.nii.gz")
    with pytest.raises(DataError, match="wanted one image of this mask, it may be that of"):
        dicom.find(tmp_path)
    assert [s.label for s in dicom.scan(tmp_path)[0]] == [None, None]
    own = tmp_path / "3Dircadb"
    series(own / "PATIENT_DICOM")
    for z in range(4):  # masks in DICOM that are no SEG
        dicom_slice(own / "MASKS_DICOM" / f"{z}", np.kron(MASK[z], np.ones((8, 8), np.uint16)), 5.0 * z,
                    PatientID="x", SeriesInstanceUID="1.7", RescaleSlope=1)  # fmt: skip
    bad = next(s for s in dicom.find(own) if "MASKS" in str(s.image))
    with pytest.raises(DataError, match="looks like a mask"):
        dicom.read(bad)
