"""The format of a folder: found on a tiny tree of each, refused where two fit or a file is bad."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sslseg.config import plugins
from sslseg.config.names import DataError
from sslseg.data.folders import detect
from tests.fixtures import foreign_trees, layout_trees, trees

TREES = {
    "acdc": trees.acdc,
    "nnunet": foreign_trees.nnunet,
    "decathlon": foreign_trees.decathlon,
    "mnms": foreign_trees.mnms,
    "images": foreign_trees.images,
    "nrrd": foreign_trees.nrrd,
    "mnms2": layout_trees.TREES["M&Ms-2"].write,
    "camus": layout_trees.TREES["CAMUS"].write,
    "cmrxmotion": layout_trees.TREES["CMRxMotion"].write,
}


@pytest.mark.parametrize("name", TREES)
def test_the_format_of_a_tree(name: str, tmp_path: Path):
    root = TREES[name](tmp_path / "tree")
    answers = detect.ask(root)
    assert [a.dataset for a in answers] == list(detect.formats())
    chosen = detect.choose(root, answers)
    module = plugins.load("datasets", name)
    sources = module.find(root)
    assert (chosen.dataset, chosen.volumes) == (name, len(sources))
    assert chosen.labelled == sum(s.label is not None for s in sources) > 0
    assert all(a.refusal or a.takes_any for a in answers if a.dataset != name)


def test_built_in_data_are_not_asked_for_a_folder():
    assert not {"demo", "phantom", "photos"} & set(detect.formats())
    assert {*TREES, "dicom"} <= set(detect.formats())


def test_what_is_not_annotated_cannot_be_tried(tmp_path: Path):
    with pytest.raises(DataError, match=r"wanted images with masks, got 4 without, as dataset=dicom") as told:
        detect.choose(tmp_path, detect.ask(foreign_trees.dicom(tmp_path)))
    assert "\n" not in str(told.value)  # the other formats are no help


def test_series_beside_annotated_pictures_are_no_second_answer(tmp_path: Path):
    foreign_trees.dicom(tmp_path / "scans")
    foreign_trees.images(tmp_path / "pictures")
    assert detect.choose(tmp_path, detect.ask(tmp_path)).dataset == "images"


def test_several_formats_are_listed(tmp_path: Path):
    foreign_trees.nrrd(tmp_path / "volumes")
    foreign_trees.images(tmp_path / "pictures")
    with pytest.raises(DataError, match=r"images, nrrd read this folder; say which, with dataset="):
        detect.choose(tmp_path, detect.ask(tmp_path))


def test_a_bad_file_does_not_make_it_another_format(tmp_path: Path):
    root = trees.acdc(tmp_path / "tree")
    (root / "patient004" / "patient004_frame01_gt.nii.gz").unlink()
    answers = detect.ask(root)
    with pytest.raises(DataError, match=r"acdc: .*patient004_frame01_gt.nii.gz.*on_bad_file=skip"):
        detect.choose(root, answers)
    assert detect.choose(root, answers, skip=True).dataset == "acdc"


def test_no_format_and_no_folder(tmp_path: Path):
    with pytest.raises(DataError, match="wanted a folder of images, there is none"):
        detect.ask(tmp_path / "none")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(
        DataError, match=r"no format reads this folder(.|\n)*mnms: no; wanted the table"
    ) as error:
        detect.choose(tmp_path, detect.ask(tmp_path))
    assert all(f"  {name}: no;" in str(error.value) for name in detect.formats())
    camus = (
        "wanted CAMUS's <patient>_<view>_<phase> with a mask <patient>_<view>_<phase>_gt, in any folder, got"
    )
    assert f"  camus: no; {camus}" in str(error.value)
    assert "{" not in str(error.value)


def test_a_folder_of_folders_is_asked_as_it_is(tmp_path: Path):
    """nnU-Net's raw folder holds several datasets: one of them has to be named."""
    foreign_trees.nnunet(tmp_path / "Dataset001_A", cases=2)
    shutil.copytree(tmp_path / "Dataset001_A", tmp_path / "Dataset002_B")
    with pytest.raises(DataError, match=r"nnunet: no; .*dataset.json"):
        detect.choose(tmp_path, detect.ask(tmp_path))
