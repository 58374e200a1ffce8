"""ACDC: the tree as it is described, and the facts of the real training set where it is at hand."""

from __future__ import annotations

import numpy as np
import pytest

from sslseg.config.names import DataError
from sslseg.data import splits
from sslseg.data.slices import account, copies, prepare
from sslseg.datasets.hearts import acdc
from tests.fixtures import trees

needs_real = pytest.mark.skipif(not trees.REAL_ACDC.is_dir(), reason=f"no real ACDC set at {trees.REAL_ACDC}")


@pytest.fixture
def tree(tmp_path):
    return trees.acdc(tmp_path / "acdc", patients=3)


def test_every_frame_once_and_ed_es_from_their_own_files(tree):
    first = [s for s in acdc.find(tree) if s.patient == "patient001"]
    assert sorted(s.frame for s in first) == [1, 2, 3, 4]
    assert {s.frame: (s.phase, s.index, s.label is not None) for s in first} == {
        1: ("ED", None, True),
        3: ("ES", None, True),
        2: ("", 1, False),
        4: ("", 3, False),
    }
    assert all("_4d" not in s.image.name for s in first if s.phase)
    assert len(acdc.find(tree)) == 4 + 2 + 2  # only patient001 has a cine


@pytest.mark.parametrize("parts", ["training", "database/training"])
def test_official_folders_are_found_from_above(tree, parts):
    root = tree.parent / "above"
    (root / parts).parent.mkdir(parents=True)
    tree.rename(root / parts)
    assert len(acdc.find(root)) == 8


def test_uncompressed_files_are_read_too(tree):
    for path in tree.rglob("*patient002_*.nii.gz"):
        image = acdc.nifti.read_volume(path)[0].T
        path.unlink()
        trees.nifti(path.with_suffix(""), image)
    assert len(acdc.find(tree)) == 8


FAULTS = {
    "ED: 1\nGroup: DCM\nNbFrame: 4\n": "wanted a line 'ES:",
    "ED: one\nES: 3\nNbFrame: 4\n": "wanted a line 'ED:.*got 'one'",
    "ED: 1\nES: 1\nNbFrame: 4\n": "different frames for ED and ES",
    "ED: 1\nES: 4\nNbFrame: 4\n": "patient001_frame04.nii.gz: wanted this file",
    "ED: 1\nES: 3\n": "wanted a line 'NbFrame:",
    "\x00\xff": "wanted a",
}


@pytest.mark.parametrize("text", FAULTS)
def test_a_wrong_info_cfg_is_named(tree, text):
    (tree / "patient001" / "Info.cfg").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=FAULTS[text]) as caught:
        acdc.find(tree)
    assert "patient001" in str(caught.value)
    sources, faults = acdc.scan(tree)
    assert (len(sources), len(faults)) == (4, 1)


def test_wrong_trees(tree, tmp_path):
    (tree / "patient002" / "patient002_frame03_gt.nii.gz").unlink()
    with pytest.raises(DataError, match="patient002_frame03_gt.nii.gz: wanted this file"):
        acdc.find(tree)
    (tree / "patient002" / "Info.cfg").unlink()
    with pytest.raises(DataError, match="Info.cfg: wanted a text file"):
        acdc.find(tree)
    with pytest.raises(DataError, match="wanted folders patientNNN"):
        acdc.find(tmp_path)
    assert [acdc.official(p) for p in ("patient100", "patient101", "anna")] == ["train", "test", None]


@pytest.mark.slow
@needs_real
def test_facts_of_the_real_training_set(tmp_path):
    store = prepare.prepare("acdc", trees.REAL_ACDC, tmp_path, spacing=2.5, progress=False)
    index, table = store.index, store.volume_table
    assert index["patient"].nunique() == 100
    assert table.drop_duplicates("patient")["group"].value_counts().to_dict() == dict.fromkeys(
        trees.GROUPS, 20
    )
    labelled = index[index["labelled"]]
    assert len(labelled) == 1902
    assert (labelled["foreground"] > 0).sum() == 1841  # of the unresampled masks, and none is lost here
    # 1,498 is [C]'s count too; 206 and 198 were counted from the headers of the masks.
    side = index["patient"].map(splits.assign(index, acdc.SPLIT, 0))
    assert [(side[labelled.index] == name).sum() for name in splits.NAMES] == [1498, 206, 198]
    cine = table[table["patient"] == "patient090"]
    assert cine.groupby("labelled")["frame"].apply(sorted).to_dict() == {
        True: [4, 11],
        False: [1, 2, 3, 5, 6, 7, 8, 9, 10, 12],
    }
    assert len(table) == 210
    same = copies.find(store, splits.divide(store, "acdc", "auto"))
    assert [(c.patients, c.sides) for c in same] == [(acdc.TWICE[0], ("train",))] * 2  # ED and ES
    entries = account.account(trees.REAL_ACDC.resolve(), store.fingerprint["files"], store.skipped, {})
    assert {e.file.rpartition("/")[2] for e in entries if e.state == account.UNKNOWN} == {
        "MANDATORY_CITATION.md"
    }
    in_plane = table[["native_spacing_y", "native_spacing_x"]].to_numpy()
    assert in_plane.min() > 0.70  # the affine says 1 mm everywhere
    assert in_plane.max() < 1.96
    assert set(np.round(table["native_spacing_z"], 1)) <= {5.0, 6.5, 7.0, 10.0}


@needs_real
def test_a_frame_of_the_cine_is_the_frame_file():
    sources = {s.frame: s for s in acdc.find(trees.REAL_ACDC) if s.patient == "patient090"}
    cine = sources[5].image
    for frame in (4, 11):
        in_cine, _ = acdc.nifti.read_volume(cine, frame - 1)
        np.testing.assert_array_equal(acdc.read(sources[frame]).image[0], in_cine)


def test_published_agreements_are_numbers_that_can_be():
    for one in acdc.PUBLISHED:
        assert 0 < one.r <= 1
        assert one.sd > abs(one.bias)
        assert one.quantity in ("LV EF", "RV EF", "LV EDV", "MYO ED mass")
