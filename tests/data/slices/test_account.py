"""Every file below a folder is read, skipped for a reason, or unknown: none is lost without a word."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sslseg.config import plugins
from sslseg.data.slices import account, prepare
from sslseg.data.slices.account import READ, SKIPPED, UNKNOWN
from tests.fixtures import foreign_trees, trees

TREES = {"acdc": trees.acdc, "mnms": foreign_trees.mnms, "nnunet": foreign_trees.nnunet,
         "decathlon": foreign_trees.decathlon, "images": foreign_trees.images, "nrrd": foreign_trees.nrrd,
         "dicom": foreign_trees.dicom}  # fmt: skip


def accounted(name: str, root: Path, cache: Path, **how) -> list[account.Entry]:
    store = prepare.prepare(name, root, cache, spacing=0, progress=False, **how)
    module = plugins.load("datasets", name)
    aside = module.pairing(root).aside if hasattr(module, "pairing") else {}
    return account.account(root, store.fingerprint["files"], store.skipped, aside)


@pytest.mark.parametrize("name", TREES)
def test_every_file_of_every_format_is_accounted_for(tmp_path, name):
    root = TREES[name](tmp_path / "raw")
    (root / "readme.txt").write_text("x")
    (root / ".hidden").mkdir()
    for n in range(3):
        (root / ".hidden" / f"{n}.png").write_text("x")
    entries = accounted(name, root, tmp_path / "cache")
    files = [p for p in root.rglob("*") if p.is_file()]
    assert sum(e.count for e in entries) == len(files)
    assert [(e.file, e.count) for e in entries if e.state == SKIPPED] == [(".hidden", 3)]
    unknown = {e.file for e in entries if e.state == UNKNOWN}
    extra = {e for e in unknown if e.endswith("A6B6C6_sa_gt.nii.gz")} if name == "mnms" else set()
    assert unknown == {"readme.txt"} | extra


def test_a_file_beside_another_and_what_is_of_no_case(tmp_path):
    root = foreign_trees.nnunet(tmp_path / "raw")
    twin = root / "imagesTr" / "case1_0000.nii"
    shutil.copy(root / "imagesTr" / "case1_0000.nii.gz", twin)
    shutil.copy(twin, root / "imagesTr" / "extra.nii.gz")
    entries = {e.file: e for e in accounted("nnunet", root, tmp_path / "cache")}
    assert entries["imagesTr/case1_0000.nii"].reason == "beside case1_0000.nii.gz, which was read"
    assert entries["imagesTr/extra.nii.gz"].reason == "an image by its ending, but of no case"
    assert entries["dataset.json"].state == READ
    assert {e.file for e in entries.values() if e.image and e.state == UNKNOWN} == {
        "imagesTr/case1_0000.nii",
        "imagesTr/extra.nii.gz",
    }


def test_what_skip_leaves_out_has_its_reason(tmp_path):
    root = trees.acdc(tmp_path / "raw")
    image = root / "patient002" / "patient002_frame01.nii.gz"
    image.write_bytes(image.read_bytes()[:50])
    (root / "patient003" / "Info.cfg").unlink()
    entries = accounted("acdc", root, tmp_path / "cache", on_bad_file="skip")
    skipped = {e.file: e.reason for e in entries if e.state == SKIPPED}
    assert len(skipped) == 1 + 4
    assert "truncated" in skipped["patient002/patient002_frame01.nii.gz"]
    whole = {reason for file, reason in skipped.items() if file.startswith("patient003/")}
    assert len(whole) == 1
    assert "Info.cfg: wanted a text file" in whole.pop()
    assert account.counts(entries) == {READ: 45, SKIPPED: 5, UNKNOWN: 0}


def test_upper_case_endings_are_read(tmp_path):
    for name, make in (("acdc", trees.acdc), ("images", foreign_trees.images)):
        root = make(tmp_path / name)
        for path in [p for p in root.rglob("*") if p.is_file() and p.suffix in (".gz", ".png")]:
            stem, _, ending = path.name.partition(".")
            path.rename(path.with_name(f"{stem}.{ending.upper()}"))
        entries = accounted(name, root, tmp_path / "cache")
        assert {e.state for e in entries} == {READ}


def test_endings_that_nobody_reads_may_be_images(tmp_path):
    root = foreign_trees.images(tmp_path / "raw")
    (root / "p0_0_mask.MGZ").write_text("x")
    entries = {e.file: e for e in accounted("images", root, tmp_path / "cache")}
    lost = entries["p0_0_mask.MGZ"]
    assert (lost.state, lost.reason, lost.image) == (UNKNOWN, ".mgz is not read", True)
