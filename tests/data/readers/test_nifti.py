"""The NIfTI reader: exact values, pixdim spacing, and one sentence for every damaged file."""

from __future__ import annotations

import gzip
import io

import nibabel as nib
import numpy as np
import pytest

from sslseg.config.names import DataError
from sslseg.data.folders import mask_values
from sslseg.data.readers import formats, nifti
from tests.fixtures import trees

ARRAY = np.random.default_rng(0).integers(-300, 4000, (5, 6, 4)).astype(np.int16)


@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_values_equal_nibabels(tmp_path, kind, suffix):
    path = trees.nifti(tmp_path / f"a{suffix}", np.abs(ARRAY).astype(kind))
    array, _ = nifti.read_volume(path)
    assert array.shape == (4, 6, 5)
    assert array.dtype.kind == np.dtype(kind).kind
    np.testing.assert_array_equal(array, np.asanyarray(nib.load(path).dataobj).T)


def test_spacing_comes_from_pixdim_though_the_affine_says_1_mm(tmp_path):
    path = trees.nifti(tmp_path / "a.nii.gz", ARRAY, (1.25, 1.5, 8.0))
    assert nib.affines.voxel_sizes(nib.load(path).affine) == pytest.approx([1, 1, 1])
    assert nifti.read_volume(path)[1] == pytest.approx((8.0, 1.5, 1.25))


def test_spacing_in_metres_becomes_mm(tmp_path):
    image = nib.Nifti1Image(ARRAY, None)
    image.header.set_zooms((0.0015, 0.0015, 0.01))
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "a.nii")
    assert nifti.read_volume(tmp_path / "a.nii")[1] == pytest.approx((10.0, 1.5, 1.5))


def test_slope_intercept_and_byte_order(tmp_path):
    image = nib.Nifti1Image(ARRAY.astype(">i2"), np.eye(4), nib.Nifti1Header(endianness=">"))
    image.header.set_slope_inter(0.5, 10)
    nib.save(image, tmp_path / "a.nii.gz")
    wanted = nib.load(tmp_path / "a.nii.gz").get_fdata()
    np.testing.assert_allclose(nifti.read_volume(tmp_path / "a.nii.gz")[0], wanted.T)


def test_4d_frame_by_frame_and_a_rewritten_file_is_read_again(tmp_path):
    frames = np.stack([ARRAY, ARRAY + 1], axis=-1)
    path = trees.nifti(tmp_path / "a.nii.gz", frames)
    np.testing.assert_array_equal(nifti.read_volume(path, 1)[0], (ARRAY + 1).T)
    trees.nifti(path, frames[..., :1] + 7)
    np.testing.assert_array_equal(nifti.read_volume(path)[0], (ARRAY + 7).T)
    with pytest.raises(DataError, match=r"wanted frame 1 \(from 0\), got 1 frames"):
        nifti.read_volume(path, 1)


def _patched(path, key, value):
    data = path.read_bytes()
    header = nib.Nifti1Header.from_fileobj(io.BytesIO(data), check=False)
    header[key] = value
    path.write_bytes(header.binaryblock + data[348:])


FAULTS = {
    "truncated gzip": "damaged or truncated",
    "flipped byte": "damaged",
    "no NIfTI": "wanted a NIfTI file",
    "empty": "wanted a NIfTI file",
    "missing": "cannot be read",
    "short": "truncated",
    "5D": "wanted a 3D or 4D file",
    "RGB": "wanted grey voxels",
    "NaN": "NaN",
    "4D without a frame": "4D file of 2 frames",
    "spacing 0": "voxel size",
    "spacing NaN": "voxel size",
    "absurd shape": "wanted 1 to 8192 voxels",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_file_is_named(tmp_path, fault):
    path = trees.nifti(tmp_path / ("a.nii.gz" if "gzip" in fault or "byte" in fault else "a.nii"), ARRAY)
    data = path.read_bytes()
    if fault == "truncated gzip":
        path.write_bytes(data[:-20])
    elif fault == "flipped byte":  # only the checksum knows
        stored = bytearray(gzip.compress(gzip.decompress(data), compresslevel=0))
        stored[-60] ^= 255
        path.write_bytes(bytes(stored))
    elif fault in ("no NIfTI", "empty"):
        path.write_bytes(b"hello" * 200 if fault == "no NIfTI" else b"")
    elif fault == "missing":
        path.unlink()
    elif fault == "short":
        path.write_bytes(data[:-1])
    elif fault == "5D":
        trees.nifti(path, np.zeros((3, 3, 3, 2, 2), np.int16))
    elif fault == "RGB":
        nib.save(nib.Nifti1Image(np.zeros((3, 3, 3), [(c, "u1") for c in "RGB"]), np.eye(4)), path)
    elif fault == "NaN":
        trees.nifti(path, np.full((3, 3, 3), np.nan, np.float32))
    elif fault == "4D without a frame":
        trees.nifti(path, np.zeros((3, 3, 3, 2), np.int16))
    elif fault.startswith("spacing"):
        bad = 0 if fault.endswith("0") else np.nan
        _patched(path, "pixdim", [1, bad, 1, 1, 1, 1, 1, 1])
    else:
        _patched(path, "dim", [3, 30000, 6, 4, 1, 1, 1, 1])
    with pytest.raises(DataError, match=FAULTS[fault]) as caught:
        nifti.read_volume(path)
    assert str(path) in str(caught.value)


def test_masks_are_held_to_shape_and_labels(tmp_path):
    mask = (ARRAY % 4).astype(np.float32)
    path = trees.nifti(tmp_path / "m.nii.gz", mask)
    values = formats.read_labels(path, (4, 6, 5))
    read = mask_values.numbered(path, values, {k: k for k in range(4)})
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, mask.T)
    with pytest.raises(DataError, match="wanted a mask of the image's shape"):
        formats.read_labels(path, (4, 5, 6))
    with pytest.raises(DataError, match="wanted mask values 0, 1, 2, got also 3$"):
        mask_values.numbered(path, values, {k: k for k in range(3)})
    with pytest.raises(DataError, match="wanted whole numbers in a mask, got fractions"):
        formats.read_labels(trees.nifti(path, np.where(mask == 1, 1.5, mask)), (4, 6, 5))


def test_labels_of_a_slope_are_whole_but_for_rounding(tmp_path):
    path = trees.nifti(
        tmp_path / "m.nii.gz", np.where(ARRAY % 2, np.float32(0.9999999), 0).astype(np.float32)
    )
    np.testing.assert_array_equal(formats.read_labels(path, (4, 6, 5)), (ARRAY % 2).T)


def test_axes_of_length_one_at_the_end_are_none(tmp_path):
    path = tmp_path / "a.nii.gz"
    nib.save(nib.Nifti1Image(ARRAY.astype(np.int16)[..., None, None], np.eye(4)), path)
    np.testing.assert_array_equal(nifti.read_channels(path)[0], ARRAY.T[None])
