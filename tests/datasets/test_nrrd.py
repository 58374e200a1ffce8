"""NRRD and MetaImage through SimpleITK: voxels, spacing, masks, damaged files."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from sslseg.config.names import DataError
from sslseg.data.readers import itk
from sslseg.data.slices import prepare
from sslseg.datasets import nrrd
from tests.fixtures import foreign_trees


def test_without_the_extra_it_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.mha").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(DataError, match=r"pip install -e '.\[itk\]'"):
        nrrd.read(nrrd.find(tmp_path)[0])


def test_volumes_masks_and_spacing(tmp_path):
    root = foreign_trees.nrrd(tmp_path / "own")
    sources = nrrd.find(root)
    image, mask = foreign_trees.scene(1, classes=2)
    volume = nrrd.read(sources[1])
    np.testing.assert_array_equal(volume.image[0], image.T)
    np.testing.assert_array_equal(volume.label, mask.T)
    np.testing.assert_allclose(volume.spacing, (5.0, 0.9, 0.8))
    store = prepare.prepare("nrrd", root, tmp_path / "cache", spacing=1.0, progress=False)
    assert store.index["height"].unique().tolist() == [round(24 * 0.9)]


def test_kinds_of_images(tmp_path):
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK, an extra, is not installed")
    array = np.random.default_rng(0).random((3, 4, 5, 2)).astype(np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=True), str(tmp_path / "a.mhd"))
    (source,) = nrrd.find(tmp_path)
    np.testing.assert_array_equal(nrrd.read(source).image, np.moveaxis(array, -1, 0))
    assert [p.name for p in source.more] == ["a.raw"]  # its content decides what is read
    sitk.WriteImage(sitk.GetImageFromArray(array[0, :, :, 0]), str(tmp_path / "a.mhd"))
    assert nrrd.read(nrrd.find(tmp_path)[0]).image.shape == (1, 1, 4, 5)
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=False), str(tmp_path / "a.mhd"))
    with pytest.raises(DataError, match=r"a.mhd: wanted a 2D or 3D image, got 4D"):
        nrrd.read(nrrd.find(tmp_path)[0])
    sitk.WriteImage(sitk.GetImageFromArray(array[..., 0] * np.nan), str(tmp_path / "a.mhd"))
    with pytest.raises(DataError, match=r"a.mhd: wanted finite voxels"):
        nrrd.read(nrrd.find(tmp_path)[0])


def test_damaged_files(tmp_path):
    root = foreign_trees.nrrd(tmp_path, cases=1)
    path = root / "c0.nrrd"
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(DataError, match=r"c0.nrrd: cannot be read as NRRD or MetaImage"):
        nrrd.read(nrrd.find(root)[0])
    foreign_trees.nrrd(root, cases=2)
    path.unlink()
    with pytest.raises(DataError, match=r"c0_seg.nrrd"):
        nrrd.read(nrrd.find(root)[0])


@pytest.mark.parametrize(("suffix", "key"), [(".mhd", "ElementDataFile ="), (".nhdr", "data file:")])
def test_a_header_leads_to_no_other_file(tmp_path, suffix: str, key: str):
    """What is read has to be what the slice store's digest covers, and nothing outside the folder."""
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK, an extra, is not installed")
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((2, 3, 4), np.uint8)), str(path))
    assert f"{key} a.raw" in path.read_text()
    assert itk.read(path)[0].sum() == 24
    for place in ("b.raw", "../a.raw", "/etc/passwd", "LIST", "a%03d.raw 0 1 1"):
        path.write_text(path.read_text().replace("a.raw", place))
        with pytest.raises(DataError, match=r"wanted its voxels inside or beside it .*the header names"):
            itk.read(path)
        path.write_text(path.read_text().replace(place, "a.raw"))


def test_a_header_of_absurd_size(tmp_path):
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK, an extra, is not installed")
    path = tmp_path / "a.mha"
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((2, 3, 4), np.uint8)), str(path))
    whole = path.read_bytes()
    for size in ("9000 9000 9000", "9000 3 2", "8000 8000 8000"):  # one side too many, and all together
        path.write_bytes(whole.replace(b"DimSize = 4 3 2", f"DimSize = {size}".encode()))
        with pytest.raises(DataError, match=f"got a header of {size.replace(' ', ' x ')} voxels"):
            itk.read(path)
    sitk.WriteImage(sitk.GetImageFromArray(np.full((2, 3, 4), 1e300)), str(path))
    with pytest.raises(DataError, match="wanted finite voxels"):  # in float32, which the networks read
        itk.read(path)
    path.write_bytes(path.read_bytes().replace(b"NDims = 3", b"NDims = 0"))
    with pytest.raises(DataError):
        itk.read(path)


def test_a_mask_lies_where_its_image_does(tmp_path):
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK, an extra, is not installed")
    image = sitk.GetImageFromArray(np.zeros((2, 3, 4), np.int16))
    image.SetOrigin((5, -6, 7))
    image.SetSpacing((0.5, 0.6, 2))
    image.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    sitk.WriteImage(image, str(tmp_path / "a.mha"))
    itk.write(tmp_path / "mask.mha", np.ones((2, 3, 4), np.uint8), tmp_path / "a.mha")
    ras = [[0, -0.6, 0, -5], [0.5, 0, 0, 6], [0, 0, 2, 7], [0, 0, 0, 1]]
    for name in ("a.mha", "mask.mha"):
        found = itk.grid(tmp_path / name)
        assert (found.shape, found.spacing) == ((4, 3, 2), (0.5, 0.6, 2))
        np.testing.assert_allclose(found.forms["header"][0], ras, atol=1e-12)
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((3, 4), np.uint8)), str(tmp_path / "flat.mha"))
    assert itk.grid(tmp_path / "flat.mha").shape == (4, 3, 1)
    silent = (tmp_path / "a.mha").read_bytes().replace(b"Offset = 5 -6 7\n", b"")
    (tmp_path / "silent.mha").write_bytes(silent)
    assert len(silent) < (tmp_path / "a.mha").stat().st_size
    assert itk.grid(tmp_path / "silent.mha").forms == {}
