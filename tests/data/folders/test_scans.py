"""What is segmented, where masks go, and the geometry they carry: NRRD, MetaImage, DICOM, PNG, TIFF."""

from __future__ import annotations

from pathlib import Path

import cv2
import nibabel as nib
import numpy as np
import pytest

from sslseg.config.names import DataError, ParamError
from sslseg.data.folders import scans
from sslseg.data.readers import dicom_volume, formats
from tests.fixtures import foreign_trees, trees
from tests.fixtures.layout_trees import TREES
from tests.fixtures.trained_models import disc
from tests.fixtures.trees import nifti

PLANE = np.arange(20, dtype=np.uint16).reshape(4, 5)


def sitk():
    return pytest.importorskip("SimpleITK", reason="SimpleITK, an extra, is not installed")


def found(tmp_path: Path, names: list[str], channels: int = 1) -> dict[str, list[str]]:
    """Mask -> its image's files, of empty files of these names."""
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    got = scans.find(tmp_path / "in", tmp_path / "out", channels=channels)
    return {s.target.relative_to(tmp_path / "out").as_posix(): [f.name for f in s.files] for s in got}


def test_outputs_never_meet_inputs(tmp_path):
    a = nifti(tmp_path / "in" / "a.nii.gz", disc())
    nifti(tmp_path / "in" / "in" / "a.nii.gz", disc())
    (tmp_path / "in" / "notes.txt").write_text("no image")
    assert found(tmp_path, []) == {"a.nii.gz": ["a.nii.gz"], "in/a.nii.gz": ["a.nii.gz"]}
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for source, output, words in [
        (tmp_path / "in", tmp_path / "in", "must not be the input's folder"),
        (tmp_path / "in", tmp_path / "in" / "masks", "nor lie in it"),
        (tmp_path / "in", tmp_path / "link", "must not be the input's folder"),
        (a, tmp_path / "in", "must not be the input's folder"),
        (tmp_path / "in", tmp_path, "is itself an input"),
        (tmp_path / "in", a, "nor lie in it"),
        (tmp_path / "nowhere", tmp_path / "out", "does not exist"),
    ]:
        with pytest.raises(ParamError, match=words):
            scans.find(source, output)
    with pytest.raises(ParamError, match="holds no image that matches '\\*_0000\\*'"):
        scans.find(tmp_path / "in", tmp_path / "out", "*_0000*")
    with pytest.raises(ParamError, match="would both write the mask"):
        found(tmp_path, ["b.png", "b.jpg"])


def test_channels_are_grouped_as_nnunet_names_them(tmp_path):
    two = ["a_0000.nii.gz", "a_0001.nii.gz", "sub/b_0000.nii.gz", "sub/b_0001.nii.gz", "c.nii.gz"]
    assert found(tmp_path / "two", two, 2) == {
        "a.nii.gz": two[:2], "sub/b.nii.gz": ["b_0000.nii.gz", "b_0001.nii.gz"], "c.nii.gz": ["c.nii.gz"],
    }  # fmt: skip
    one = ["a_0000.nii.gz", "film_0000.png", "film_0001.png", "x_2019.tif"]
    assert found(tmp_path / "one", one) == {"a.nii.gz": one[:1]} | {n: [n] for n in one[1:]}
    assert found(tmp_path / "colour", ["a_0000.png"], 3) == {"a.png": ["a_0000.png"]}
    (single,) = scans.find(tmp_path / "two" / "in" / "a_0001.nii.gz", tmp_path / "out", channels=2)
    assert [f.name for f in single.files] == two[:2]
    with pytest.raises(DataError, match="d_0000.nii.gz: wanted 2 channels _0000 …, got _0000$"):
        found(tmp_path / "lacking", ["d_0000.nii.gz"], 2)


def test_channels_in_two_files_or_one_are_stacked(tmp_path):
    image = disc()
    for c in (0, 1):
        nifti(tmp_path / "in" / f"a_{c:04d}.nii.gz", image + c)
    nifti(tmp_path / "in" / "b.nii.gz", np.stack([image, image + 1], -1))
    for scan in scans.find(tmp_path / "in", tmp_path / "out", channels=2):
        ((index, got, spacing),) = scans.volumes(scan, 2)
        np.testing.assert_array_equal(got, [image.T, image.T + 1])
        assert (index, spacing) == (None, (10.0, 1.5, 1.5))
        scans.write(scan, [got[0] > 500], spacing, "")
        written = nib.load(scan.target)
        assert written.shape == image.shape
        np.testing.assert_array_equal(written.affine, nib.load(scan.files[0]).affine)
    nifti(tmp_path / "in" / "a_0001.nii.gz", image[:-1])
    scan = scans.find(tmp_path / "in", tmp_path / "out", "a*", channels=2)[0]
    with pytest.raises(DataError, match="wanted channels of one shape"):
        list(scans.volumes(scan, 2))


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.mhd", "a.nhdr"])
@pytest.mark.parametrize("kind", ["oblique", "flipped", "2d"])
def test_nrrd_and_metaimage_keep_origin_directions_and_spacing(tmp_path, name, kind):
    image = sitk().GetImageFromArray(PLANE if kind == "2d" else np.stack([PLANE, PLANE + 1]))
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turn = {
        "oblique": turn * np.sign(np.linalg.det(turn)),
        "flipped": np.diag([-1.0, 1, -1]),
        "2d": np.eye(2),
    }
    image.SetDirection(turn[kind].ravel().tolist())
    image.SetSpacing((0.7, 0.9, 5.0)[: image.GetDimension()])
    image.SetOrigin((-12.5, 80.0, 3.0)[: image.GetDimension()])
    (tmp_path / "in").mkdir()
    sitk().WriteImage(image, str(tmp_path / "in" / name))
    (scan,) = scans.find(tmp_path / "in" / name, tmp_path / "out")
    ((_, got, spacing),) = scans.volumes(scan, 1)
    for _ in range(2):  # ours may be written again
        scans.write(scan, [(got[0] % 2).astype(np.uint8)], spacing, "run 1")
    assert [p.name for p in (tmp_path / "out").iterdir()] == [
        name.replace("mhd", "mha").replace("nhdr", "nrrd")
    ]
    mask = sitk().ReadImage(str(scan.target))
    for what in ("GetOrigin", "GetSpacing", "GetDirection", "GetSize"):
        np.testing.assert_allclose(getattr(mask, what)(), getattr(image, what)(), rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(sitk().GetArrayFromImage(mask), sitk().GetArrayFromImage(image) % 2)
    sitk().WriteImage(image, str(scan.target))
    with pytest.raises(DataError, match="was not written by sslseg"):
        scans.write(scan, [(got[0] % 2).astype(np.uint8)], spacing, "")


SERIES = {
    "axial": {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
    "oblique": {},
    "flipped": {"ImageOrientationPatient": [-1, 0, 0, 0, -0.8, -0.6]},
}


@pytest.mark.parametrize("kind", SERIES)
def test_a_dicom_series_gets_nifti_with_the_affine_that_simpleitk_finds(tmp_path, kind):
    normal = np.array([0.0, 0.0, 1.0]) if kind == "axial" else np.array([0.0, -0.6, 0.8])
    for z in range(3):
        place = [float(v) for v in np.round(4.0 * z * normal + [-30, 8, 9], 6)]
        tags = SERIES[kind] | {"ImagePositionPatient": place, "InstanceNumber": z + 1}
        foreign_trees.dicom_slice(tmp_path / "in" / "s" / f"{9 - z}", PLANE + z, **tags)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    (scan,) = scans.find(tmp_path / "in", tmp_path / "out")
    assert scan.target == tmp_path / "out" / "s" / "1.2.3.nii.gz"
    ((_, image, spacing),) = scans.volumes(scan, 1)
    mask = (image[0] - image.min()).astype(np.uint8) // 2
    scans.write(scan, [mask], spacing, "run 1")
    reader = sitk().ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "in" / "s")))
    sitk().WriteImage(reader.Execute(), str(tmp_path / "theirs.nii.gz"))
    ours, theirs = nib.load(scan.target), nib.load(tmp_path / "theirs.nii.gz")
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-4)
    np.testing.assert_allclose(ours.get_qform(), ours.affine, atol=1e-4)
    np.testing.assert_allclose(ours.header.get_zooms(), (0.8, 0.9, 4.0), rtol=1e-5)
    np.testing.assert_array_equal(np.asarray(ours.dataobj) * 2, np.asarray(theirs.dataobj) + 1024)


def test_a_tilted_gantry_is_kept_in_the_sform(tmp_path):
    for z in range(3):
        tags = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "ImagePositionPatient": [0, 1.0 * z, 4.0 * z]}
        foreign_trees.dicom_slice(tmp_path / "in" / f"{z}.dcm", PLANE + z, **tags)
    (scan,) = scans.find(tmp_path / "in", tmp_path / "out")
    ((_, image, spacing),) = scans.volumes(scan, 1)
    scans.write(scan, [image[0] > 0], spacing, "")
    got = nib.load(scan.target)
    np.testing.assert_allclose(got.affine[:3, 2], [0, -1, 4], atol=1e-5)
    assert (int(got.header["sform_code"]), int(got.header["qform_code"])) == (1, 1)
    upright = got.header.get_qform()[:3, :3]  # the same slices, one above the other at right angles
    np.testing.assert_allclose(upright, np.column_stack([got.affine[:3, :2], [0, 0, 4]]), atol=1e-5)
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK, an extra, is not installed")
    opened = sitk.ReadImage(str(scan.target))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(opened), image[0] > 0)
    assert opened.GetSpacing() == pytest.approx(spacing[::-1])
    back = formats.read_labels(scan.target, image.shape[1:], like=dicom_volume.grid(scan.files))
    np.testing.assert_array_equal(back, image[0] > 0)


def test_frames_of_a_cine_and_a_picture_without_a_place(tmp_path):
    for t in range(2):
        for z in range(2):
            tags = {"InstanceNumber": 1 + z + 2 * t}
            foreign_trees.dicom_slice(tmp_path / "in" / f"{t}{z}.dcm", PLANE + t, 4.0 * z, **tags)
    names = [s.target.name for s in scans.find(tmp_path / "in", tmp_path / "out")]
    assert names == ["1.2.3_frame01.nii.gz", "1.2.3_frame02.nii.gz"]
    path = foreign_trees.dicom_slice(tmp_path / "x.dcm", PLANE)
    pydicom = pytest.importorskip("pydicom")
    data = pydicom.dcmread(path)
    del data.ImagePositionPatient
    data.save_as(path)
    assert dicom_volume.affine((path,)) is None
    (scan,) = scans.find(path, tmp_path / "out")
    ((_, image, spacing),) = scans.volumes(scan, 1)
    scans.write(scan, [image[0] > 0], spacing, "")
    assert nib.load(scan.target).header.get_zooms() == pytest.approx((0.8, 0.9, 4.0))


@pytest.mark.parametrize(
    ("name", "mask"), [("a.png", "a.png"), ("a.tif", "a.tif"), ("a.bmp", "a.png"), ("a.jpg", "a.png")]
)
def test_pictures_give_pictures_that_lose_nothing(tmp_path, name, mask):
    depth = np.uint16 if name.endswith(("png", "tif")) else np.uint8
    pages = (np.arange(2 * 30 * 41).reshape(2, 30, 41) % (60000 if depth == np.uint16 else 256)).astype(depth)
    (tmp_path / "in").mkdir()
    if name.endswith("tif"):
        cv2.imwritemulti(str(tmp_path / "in" / name), list(pages))
    else:
        cv2.imwrite(str(tmp_path / "in" / name), pages[0])
    (scan,) = scans.find(tmp_path / "in", tmp_path / "out")
    assert scan.target.name == mask
    ((_, image, spacing),) = scans.volumes(scan, 1)
    assert spacing is None
    if not name.endswith("jpg"):
        np.testing.assert_array_equal(image[0], pages[: len(image[0])])
    wanted = (image[0] % 3).astype(np.uint8)
    for _ in range(2):
        scans.write(scan, [wanted], (1.0, 1.0, 1.0), "run 1")
    np.testing.assert_array_equal(formats.read_labels(scan.target, wanted.shape), wanted)
    cv2.imwrite(str(scan.target), wanted[0])
    with pytest.raises(DataError, match="was not written by sslseg"):
        scans.write(scan, [wanted], (1.0, 1.0, 1.0), "")


def test_millimetres_and_grey_of_pictures_come_from_the_folder(tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    cv2.imwrite(str(root / "a.png"), np.dstack([PLANE * 0, PLANE, PLANE * 2]).astype(np.uint8))
    cv2.imwrite(str(root / "b_0000.tif"), PLANE)
    (root / "sslseg.json").write_text('{"spacing": [0.5, 0.6]}')
    (root / "b.json").write_text('{"spacing": [5, 0.7, 0.8]}')
    a, b = scans.find(root, tmp_path / "out")
    ((_, image, spacing),) = scans.volumes(a, 1, grey=True)
    assert (image.shape, spacing) == ((1, 1, 4, 5), (1.0, 0.5, 0.6))
    np.testing.assert_allclose(image[0, 0], PLANE * (2 * 0.299 + 0.587), rtol=1e-6)
    assert next(iter(scans.volumes(b, 1)))[2] == (5.0, 0.7, 0.8)


def test_masks_of_a_training_folder_are_left_out(tmp_path):
    """Of ACDC, of pictures with masks beside them, of a public data set; what is given itself is segmented."""
    root, out, left = tmp_path / "in", tmp_path / "out", []

    def names(place: Path) -> list[str]:
        left.clear()
        found = scans.find(place, out, aside=left.extend)
        assert not {f for scan in found for f in scan.files} & set(left)
        return [scan.target.relative_to(out).as_posix() for scan in found]

    trees.acdc(root / "acdc", patients=2)
    assert len(names(root / "acdc" / "patient001")) == 3
    assert [p.name for p in left] == ["patient001_frame01_gt.nii.gz", "patient001_frame03_gt.nii.gz"]
    foreign_trees.images(root / "own")
    assert (len(names(root / "own")), len(left)) == (7, 6)
    foreign_trees.nnunet(root / "nnunet", cases=2)
    assert names(root / "nnunet") == ["imagesTr/case0.nii.gz", "imagesTr/case1.nii.gz"]
    TREES["REFUGE"].write(root / "refuge")
    assert len(names(root / "refuge")) == 9  # neither masks nor drawings of them
    (mask,) = scans.find(root / "own" / "p0_0_mask.png", out)
    assert mask.target.name == "p0_0_mask.png"
    with pytest.raises(ParamError, match=r"all images of .* are masks by their names, like p0_0_mask.png"):
        scans.find(root / "own", out, "*_mask.png")
    (root / "own" / "sslseg.json").write_text('{"pairs": "{case}.png"}')
    assert (len(names(root / "own")), left) == (13, [])


def test_channels_that_a_layout_joins(tmp_path):
    root = TREES["BraTS"].write(tmp_path / "in")
    found = scans.find(root, tmp_path / "out", channels=4)
    assert [s.target.name for s in found] == [
        f"BraTS20_Training_{n}_flair.nii.gz" for n in ("001", "002", "003", "355")
    ]
    assert [f.name.rsplit("_", 1)[-1] for f in found[0].files] == [
        f"{k}.nii.gz" for k in ("flair", "t1", "t1ce", "t2")
    ]
