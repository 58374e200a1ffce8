"""What lies below a data folder: links are followed, what nobody means as data is passed over with a reason."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from sslseg.config import caches, plugins
from sslseg.config.names import DataError
from sslseg.data import files
from sslseg.data.folders import scans, settings
from sslseg.data.slices import prepare
from sslseg.data.source import stop
from sslseg.datasets import nnunet
from tests.fixtures import foreign_trees, trees

JUNK = (".ipynb_checkpoints", ".Trash-1000", "@eaDir", "#recycle", "$RECYCLE.BIN", "__MACOSX", "a/.hidden",
        "mlruns/1/abc/artifacts", f"runs/{'0a' * 16}/artifacts", f"store/models/m-{'0a' * 16}/artifacts")  # fmt: skip


def put(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_hidden_system_and_own_folders_are_passed_over_wherever_they_lie(tmp_path):
    kept = [put(tmp_path / "a" / "scan.png"), put(tmp_path / "b.png")]
    for place in JUNK:
        put(tmp_path / place / "scan.png")
    put(tmp_path / "Thumbs.db")
    put(tmp_path / "a" / "._scan.png")  # macOS writes one beside every file on a foreign disk
    put(caches.claim(tmp_path / "out") / "figure.png")
    put(tmp_path / "cache" / "slices" / "images-1" / "codes.i2")
    put(tmp_path / "cache" / "slices" / "images-1" / "meta.json")
    put(tmp_path / "cache" / "slices" / "images-1" / "contact-sheet.png")
    tree = files.walk(tmp_path)
    assert list(tree.files) == kept
    assert set(tree.passed.values()) == {
        "hidden", "of the operating system", "written by MLflow", "written by sslseg"
    }  # fmt: skip
    every = {Path(folder) / name for folder, _, names in os.walk(tmp_path) for name in names}
    covered = {f for f in every for p in tree.passed if f == p or f.is_relative_to(p)}
    assert covered | set(kept) == every
    assert not covered & set(kept)


def test_a_folder_of_somebody_else_is_not_claimed(tmp_path):
    mask = put(tmp_path / "masks" / "a.png")
    caches.claim(tmp_path / "masks")
    assert list(files.walk(tmp_path).files) == [mask]
    assert list(files.walk(caches.claim(tmp_path / "mine")).files) == []  # hidden mark alone
    inside = put(tmp_path / "mine" / "a.png")
    assert list(files.walk(tmp_path / "mine").files) == [inside]  # asked for by name


def test_links_are_followed_once(tmp_path):
    real = put(tmp_path / "store" / "deep" / "a.png")
    (tmp_path / "data" / "own").mkdir(parents=True)
    own = put(tmp_path / "data" / "own" / "b.png")
    (tmp_path / "data" / "patient1").symlink_to(real.parent)
    (tmp_path / "data" / "patient2").symlink_to(real.parent)
    (tmp_path / "data" / "again").symlink_to(tmp_path / "data" / "own")
    (tmp_path / "data" / "own" / "up").symlink_to(tmp_path / "data")
    tree = files.walk(tmp_path / "data")
    assert list(tree.files) == [own, tmp_path / "data" / "patient1" / "a.png"]
    assert {p.name for p in tree.passed} == {"again", "up", "patient2"}
    assert tree.passed[tmp_path / "data" / "patient2"].endswith("patient1")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert len(files.walk(tmp_path / "link").files) == 2


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_content_that_version_control_has_not_fetched_is_named(tmp_path):
    (tmp_path / "a.png").symlink_to(".git/annex/objects/x/y/SHA256E-s1--z.png/SHA256E-s1--z.png")
    (tmp_path / "b.png").symlink_to("nowhere.png")
    faults = []
    assert files.below(tmp_path, lambda file, error: faults.append(str(error))) == []
    assert "a.png: wanted the file, got a link of git-annex: run datalad get" in faults[0]
    assert "b.png: wanted the file, got a link to nowhere.png" in faults[1]
    with pytest.raises(DataError, match="git-annex"):
        files.below(tmp_path, stop)
    for text in ("/annex/objects/SHA256E-s1--z.png\n", "version https://git-lfs.github.com/spec/v1\noid x\n"):
        with pytest.raises(DataError, match="got a pointer of"):
            files.start(written(tmp_path / "c.png", text.encode()))
    assert files.start(written(tmp_path / "c.png", b"\x89PNG"), 2) == b"\x89P"


TREES = {"acdc": trees.acdc, "mnms": foreign_trees.mnms, "nnunet": foreign_trees.nnunet,
         "decathlon": foreign_trees.decathlon, "images": foreign_trees.images, "nrrd": foreign_trees.nrrd,
         "dicom": foreign_trees.dicom, "photos": foreign_trees.images}  # fmt: skip


def _facts(name: str, root: Path) -> list[tuple]:
    found = plugins.load("datasets", name).find(root)
    return [(s.patient, s.group, s.frame, s.image.relative_to(root), s.label and s.label.name) for s in found]


@pytest.mark.parametrize("name", TREES)
def test_every_format_reads_linked_folders_and_no_junk(tmp_path, name):
    """A tree whose folders and files are links into a store, with copies of its files where nobody looks."""
    real = TREES[name](tmp_path / "real")
    wanted = _facts(name, real)
    linked = tmp_path / "linked"
    linked.mkdir()
    for entry in real.iterdir():
        (linked / entry.name).symlink_to(entry)
    for file in [p for p in real.rglob("*") if p.is_file()]:
        for place in (".ipynb_checkpoints", "@eaDir", "mlruns/1"):
            copy = linked / place / file.relative_to(real)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    assert _facts(name, linked) == wanted


def test_predict_segments_no_junk(tmp_path):
    picture = np.zeros((4, 5), np.uint8)
    for place in ("a.png", ".ipynb_checkpoints/a-checkpoint.png", "@eaDir/a.png", "mlruns/0/x/overlay.png"):
        (tmp_path / "in" / place).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "in" / place), picture)
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    cv2.imwrite(str(tmp_path / "elsewhere" / "b.png"), picture)
    found = scans.find(tmp_path / "in", tmp_path / "out")
    assert [s.files[0].relative_to(tmp_path / "in").as_posix() for s in found] == ["a.png", "linked/b.png"]


# ---------------------------------------------------------------- what a message says of a folder
@pytest.mark.parametrize("name", ["acdc", "images", "mnms", "nrrd", "dicom", "photos"])
def test_a_folder_of_other_files_is_described(tmp_path, name):
    for file in ("a.xyz", "b.xyz", "sub/c.txt", "README", ".hidden/d.png"):
        put(tmp_path / file)
    module = plugins.load("datasets", name)
    wanted = r"got none among 4 files \(2 .xyz, 1 without an ending, 1 .txt\); 1 hidden or system entries"
    with pytest.raises(DataError, match=wanted) as caught:
        module.find(tmp_path)
    assert str(tmp_path) in str(caught.value)
    (tmp_path / "new").mkdir()
    with pytest.raises(DataError, match="got none: the folder is empty"):
        module.find(tmp_path / "new")


def test_a_folder_that_is_not_there_is_looked_for(tmp_path):
    (tmp_path / "data" / "training").mkdir(parents=True)
    with pytest.raises(DataError, match=r"it is not there; .*/data is, with the folders training"):
        prepare.locate("acdc", str(tmp_path / "data" / "trainnig" / "x"), tmp_path)
    put(tmp_path / "data" / "a.zip")
    with pytest.raises(DataError, match=r"a.zip: wanted the folder of dataset acdc, it is a file"):
        prepare.locate("acdc", str(tmp_path / "data" / "a.zip"), tmp_path)


@pytest.mark.parametrize(
    ("values", "said"),
    [([0.0, 0.5], "got fractions"), ([0, 1, 2], "got also 0; 0 is of no class"), ([1, 7], "got also 7")],
)
def test_values_that_are_no_class_are_shown_as_they_are(tmp_path, values, said):
    (tmp_path / "sslseg.json").write_text('{"classes": {"background": 1, "lesion": 2}}')
    plane = np.resize(np.array(values, np.float32), (6, 4, 2))
    trees.nifti(tmp_path / "a.nii.gz", np.arange(48).reshape(6, 4, 2).astype(np.int16))
    trees.nifti(tmp_path / "a_mask.nii.gz", plane)
    module = plugins.load("datasets", "images")
    with pytest.raises(DataError, match=f"a_mask.nii.gz: .*{said}"):
        module.read(module.find(tmp_path)[0])


@pytest.mark.parametrize("name", ["sslseg.json.txt", "sslseg.yaml"])
def test_settings_under_another_name_are_not_passed_over(tmp_path, name):
    (tmp_path / name).write_text("{}")
    with pytest.raises(DataError, match=f"{name}: wanted sslseg.json as the name of this file"):
        settings.settings(tmp_path)


def test_where_a_description_lies_is_said(tmp_path):
    foreign_trees.nnunet(tmp_path / "Dataset001_A")
    for given in (tmp_path, tmp_path / "Dataset001_A" / "imagesTr"):  # one folder too high, one too low
        with pytest.raises(DataError, match="it is not there but in .*Dataset001_A: give one of these"):
            nnunet.find(given)
    (tmp_path / "Dataset001_A" / "imagesTr").rename(tmp_path / "Dataset001_A" / "ImagesTr")
    with pytest.raises(DataError, match="wanted this folder of files .*, there is ImagesTr, labelsTr"):
        nnunet.find(tmp_path / "Dataset001_A")


def test_a_python_environment_is_no_data(tmp_path):
    (tmp_path / "venv" / "lib").mkdir(parents=True)
    for file in ("venv/pyvenv.cfg", "venv/lib/logo.png", "a.png"):
        (tmp_path / file).write_text("x")
    found = files.walk(tmp_path)
    assert [p.name for p in found.files] == ["a.png"]
    assert found.passed == {tmp_path / "venv": "a Python environment"}
