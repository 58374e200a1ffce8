"""M&Ms: ED and ES of the 4D files, in ACDC's label order, vendors as groups."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from sslseg.config.names import DataError
from sslseg.data.slices import prepare
from sslseg.data.splits import divide
from sslseg.datasets.hearts import acdc, mnms
from tests.fixtures import foreign_trees, trees


@pytest.fixture
def root(tmp_path):
    return foreign_trees.mnms(tmp_path / "MnM")


def test_frames_count_from_0_and_only_ed_and_es_are_annotated(root):
    sources = [s for s in mnms.find(root) if s.patient == "A1B1C1"]
    assert [(s.frame, s.index, s.phase, s.label is not None) for s in sources] == [
        (0, 0, "ED", True),
        (1, 1, "", False),
        (2, 2, "ES", True),
        (3, 3, "", False),
    ]
    assert {s.group for s in sources} == {"B"}
    image = np.asarray(nib.load(sources[2].image).dataobj)
    np.testing.assert_array_equal(mnms.read(sources[2]).image[0], image[..., 2].T)
    assert {s.label for s in mnms.find(root) if s.patient == "A6B6C6"} == {None}  # its empty mask is not read


def test_labels_are_acdcs(root):
    source = mnms.find(root)[0]
    theirs = np.asarray(nib.load(source.label).dataobj)[..., 0].T
    names = {1: "LV", 2: "MYO", 3: "RV"}
    for k, name in names.items():
        np.testing.assert_array_equal(mnms.read(source).label == acdc.CLASSES.index(name), theirs == k)
    assert mnms.describe(root).classes == acdc.CLASSES


def test_the_folders_divide_the_patients(root, tmp_path):
    store = prepare.prepare("mnms", root, tmp_path / "cache", spacing=0, progress=False)
    rows = divide(store, "mnms", "auto")
    sides = {k: sorted(store.index["patient"].iloc[r].unique()) for k, r in rows.items()}
    assert sides["val"] == ["A4B4C4"]
    assert sides["test"] == ["A5B5C5"]
    assert sides["train"] == ["A0B0C0", "A1B1C1", "A2B2C2", "A3B3C3", "A6B6C6"]
    assert store.index["labelled"].sum() == 6 * 2 * 3


FAULTS = {
    "A0B0C0,Siemens,A,1,0,2": ("A0B0C0,Siemens,A,1,0,9", "A0B0C0: ES: wanted a frame of 0 to 3, got '9'"),
    "A1B1C1,Siemens,B,1,0,2": ("A1B1C1,Siemens,B,1,,2", "A1B1C1: ED: wanted a frame of 0 to 3, got ''"),
    "A2B2C2,Siemens,A,1,0,2": ("A2B2C2,Siemens,A,1,2,2", "A2B2C2: wanted different frames for ED and ES"),
    "A3B3C3,": ("other,", "wanted a row for A3B3C3"),
    "Vendor,Centre": ("Maker,Centre", "wanted columns .*Vendor"),
    "A5B5C5,": ("A4B4C4,", "wanted one row a case, got A4B4C4 twice"),
}


@pytest.mark.parametrize("old", FAULTS)
def test_a_wrong_table_is_named(root, old):
    (path,) = root.glob("*.csv")
    new, message = FAULTS[old]
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match=message) as caught:
        mnms.find(root)
    assert path.name in str(caught.value)


def test_wrong_trees(root, tmp_path):
    with pytest.raises(DataError, match="information_diagnosis_opendataset.csv"):
        mnms.find(tmp_path / "nothing")
    image = next(root.rglob("A0B0C0_sa.nii.gz"))
    image.with_name("A0B0C0_sa_gt.nii.gz").unlink()
    with pytest.raises(DataError, match="A0B0C0_sa_gt.nii.gz: wanted the mask"):
        mnms.find(root)
    image.write_bytes(image.read_bytes()[:40])
    sources, faults = mnms.scan(root)
    assert (len(sources), [f["file"] for f in faults]) == (24, [str(image)])
    trees.nifti(root / "x" / "A9B9C9_sa.nii.gz", np.zeros((4, 4, 2, 2), np.int16))
    with pytest.raises(DataError, match=r"A0B0C0_sa.nii.gz|wanted a row for A9B9C9"):
        mnms.find(root)


def test_what_nobody_annotated_needs_no_mask_and_further_tables_do_no_harm(root):
    found = mnms.find(root)
    (empty,) = root.rglob("A6B6C6_sa_gt.nii.gz")
    empty.unlink()
    (root / "notes.csv").write_text("a,b\n1,2\n")
    assert mnms.find(root) == found
    (mask,) = root.rglob("A0B0C0_sa_gt.nii.gz")
    mask.unlink()
    with pytest.raises(DataError, match=r"A0B0C0_sa_gt.nii.gz: wanted the mask of A0B0C0_sa.nii.gz"):
        mnms.find(root)
