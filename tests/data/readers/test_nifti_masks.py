"""Masks carry the geometry of their image: oblique, flipped, 4D, and with ACDC's affine that lies."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from sslseg.config.names import DataError
from sslseg.data.readers import nifti_masks
from tests.fixtures.trained_models import SHAPE, disc
from tests.fixtures.trees import nifti


def oblique(shape) -> nib.Nifti1Image:
    image = nib.Nifti1Image(disc(shape[:3]) if len(shape) == 3 else np.stack([disc(shape[:3])] * 2, -1), None)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * (1.5, 1.5, 8.0), (-12.5, 80.0, 3.0)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=3)
    return image


def flipped(shape) -> nib.Nifti1Image:
    image = oblique(shape)
    affine = np.diag([-1.5, 1.5, -8.0, 1.0])
    image.set_sform(affine, code=1)
    image.set_qform(None, code=0)
    return image


def written(maker, path: Path, shape) -> Path:
    image = maker(shape)
    image.header.set_xyzt_units("mm", "msec")
    zooms = (1.5, 1.5, 8.0, 33.3)[: len(shape)]
    image.header.set_zooms(zooms)
    nib.save(image, path)
    return path


@pytest.mark.parametrize("shape", [SHAPE, (*SHAPE, 2)])
@pytest.mark.parametrize("maker", [oblique, flipped, None])
def test_masks_keep_the_geometry_of_the_input(tmp_path, maker, shape):
    """`None` is ACDC's trap: the sform says diag(-1, -1, 1), only pixdim tells the spacing."""
    place = tmp_path / "x.nii.gz"
    data = disc() if len(shape) == 3 else np.stack([disc()] * 2, -1)
    nifti(place, data) if maker is None else written(maker, place, shape)
    mask = (data > 500).T.astype(np.uint8)
    nifti_masks.write(tmp_path / "out" / "x.nii.gz", mask, place, "run 1")
    image, got = nib.load(place), nib.load(tmp_path / "out" / "x.nii.gz")
    for key in ("dim", "pixdim", "qform_code", "sform_code", "srow_x", "srow_y", "srow_z", "xyzt_units",
                "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"):  # fmt: skip
        np.testing.assert_array_equal(got.header[key], image.header[key], err_msg=key)
    np.testing.assert_array_equal(got.affine, image.affine)
    assert nib.aff2axcodes(got.affine) == nib.aff2axcodes(image.affine)
    assert got.header.get_zooms() == image.header.get_zooms()
    assert got.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(got.dataobj), data > 500)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["x.nii.gz"]


def test_a_mask_of_ours_is_written_again_and_nothing_else(tmp_path):
    image = nifti(tmp_path / "in" / "x.nii", disc())
    truth = nifti(tmp_path / "labels" / "x.nii", disc())
    mask = np.zeros(SHAPE[::-1], np.uint8)
    for _ in range(2):
        nifti_masks.write(tmp_path / "out" / "x.nii", mask, image)
    before = truth.read_bytes()
    with pytest.raises(DataError, match="not written by sslseg"):
        nifti_masks.write(truth, mask, image)
    assert truth.read_bytes() == before
    with pytest.raises(DataError, match="wanted a mask of its shape"):
        nifti_masks.write(tmp_path / "out" / "x.nii", mask[:, :, :-1], image)
