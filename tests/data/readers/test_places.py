"""Every reader follows the one rule of where voxels lie."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import inv_ornt_aff

from sslseg.config import plugins
from sslseg.config.names import DataError
from sslseg.data.folders import mask_folder
from sslseg.data.slices.sources import describe
from sslseg.data.source import Source
from tests.fixtures import foreign_trees, trees
from tests.fixtures.scenes import TURNS


def _mirror(path: Path) -> None:
    """Store a file mirrored along x and y, and say so in its header."""
    image = nib.load(path)
    array = np.asarray(image.dataobj)
    flipped = image.header.get_sform() @ inv_ornt_aff(TURNS[6], array.shape[:3])
    header = image.header.copy()
    header.set_sform(flipped, code=2)
    nib.save(nib.Nifti1Image(array[::-1, ::-1], None, header), path)


def _shift(path: Path) -> None:
    image = nib.load(path)
    header, place = image.header.copy(), image.header.get_sform()
    place[0, 3] += 3
    header.set_sform(place, code=2)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), None, header), path)


def _pictured(root: Path) -> Path:
    for n in range(4):
        image, mask = foreign_trees.scene(n, classes=2)
        trees.nifti(root / f"c{n}.nii.gz", image)
        trees.nifti(root / f"c{n}_mask.nii.gz", mask)
    return root


READERS = {
    "acdc": (trees.acdc, "patient001/patient001_frame01_gt.nii.gz"),
    "mnms": (foreign_trees.mnms, "OpenDataset/Training/Labeled/A0B0C0/A0B0C0_sa_gt.nii.gz"),
    "decathlon": (foreign_trees.decathlon, "labelsTr/brain_000.nii.gz"),
    "nnunet": (lambda root: foreign_trees.nnunet(root, channels=2), "labelsTr/case0.nii.gz"),
    "nnunet channel": (lambda root: foreign_trees.nnunet(root, channels=2), "imagesTr/case0_0001.nii.gz"),
    "images": (_pictured, "c0_mask.nii.gz"),
}


def _of(sources: list[Source], file: Path) -> Source:
    return next(s for s in sources if file in (s.image, s.label, *s.more))


@pytest.mark.parametrize("name", READERS)
def test_every_dataset_follows_the_one_rule(tmp_path, name):
    make, place = READERS[name]
    module, root = plugins.load("datasets", name.split()[0]), make(tmp_path / "raw")

    file = root / place

    def read():
        return module.read(_of(module.find(root), file))

    wanted = read()
    _mirror(file)
    got = read()
    np.testing.assert_array_equal(got.image, wanted.image)
    np.testing.assert_array_equal(got.label, wanted.label)
    _shift(file)
    with pytest.raises(DataError, match=f"{file.name}: lies elsewhere than "):
        read()
    if hasattr(module, "describe") and name != "mnms":  # those that read sslseg.json
        (root / "sslseg.json").write_text(json.dumps({"geometry": "ignore"}))
        assert read().image.shape == wanted.image.shape


@pytest.mark.parametrize("name", ["acdc", "mnms", "nnunet", "decathlon"])
def test_masks_to_be_scored_follow_it_too(tmp_path, name):
    make, place = READERS[name]
    module, root = plugins.load("datasets", name), make(tmp_path / "raw")
    source, about = _of(module.find(root), root / place), describe(module, root)
    file = tmp_path / "pred" / "mask.nii.gz"
    file.parent.mkdir()
    file.write_bytes((root / place).read_bytes())
    label = module.read(source).label
    if name == "mnms":  # its files count otherwise
        image = nib.load(file)
        nib.save(nib.Nifti1Image(mnms_numbers(np.asarray(image.dataobj)), None, image.header), file)
    np.testing.assert_array_equal(mask_folder.read(file, source, about, label.shape), label)
    _mirror(file)
    np.testing.assert_array_equal(mask_folder.read(file, source, about, label.shape), label)
    _shift(file)
    with pytest.raises(DataError, match="lies elsewhere than"):
        mask_folder.read(file, source, about, label.shape)


def mnms_numbers(array: np.ndarray) -> np.ndarray:
    return np.array([0, 3, 2, 1], np.uint8)[array]
