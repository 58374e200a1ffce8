"""What prepare says of a folder, at once and in plain words."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sslseg import execute
from sslseg.config import flags, names
from sslseg.config.params import Finetune, Prepare, Probe
from sslseg.data import training_set
from sslseg.tracking.store import client
from tests.fixtures import foreign_trees, trees
from tests.fixtures.layout_files import COLOUR, write
from tests.fixtures.layout_trees import TREES

pytestmark = pytest.mark.usefixtures("store", "tmp_cache")


def prepared(root: Path, capsys, **texts: str) -> tuple[str, list[str]]:
    """Run ID, and the lines that were printed."""
    capsys.readouterr()
    texts = {"dataset": "images", "data_root": str(root), "threads": "1"} | texts
    run_id = execute.execute("prepare", flags.resolve(flags.from_mapping(Prepare, texts)))
    return run_id, capsys.readouterr().out.splitlines()


def test_a_layout_and_what_is_not_of_it(tmp_path, capsys):
    run_id, lines = prepared(TREES["ISIC 2018"].write(tmp_path / "isic"), capsys)
    first, measures, layout, aside, patients, sheet, following = lines[-7:]
    assert first == "prepared 3 slices of 3 patients, 3 annotated: lesion"
    assert re.match(
        r"\d+ x \d+ pixels of 1 x 1 mm \(assumed, for pictures do not say it; spacing in sslseg.json does\); "
        r"annotated slices: 1 for train \(1 patient\), 1 for val \(1 patient\), 1 for test \(1 patient\)$",
        measures,
    )
    assert following.endswith("-P pipelines=scratch,supervised -P budgets=1 -P seeds=0,1,2")
    assert layout == "the folder has the layout of ISIC"
    assert re.fullmatch(
        r"of the files in \S+, 6 read, 3 skipped \(not of the layout ISIC: 3\), 0 unknown: see files.tsv of the run",
        aside,
    )
    assert (
        patients == "every image is a patient of its own; patient_regex or csv in sslseg.json say otherwise"
    )
    assert Path(sheet.removeprefix("look at it: ")).is_file()
    assert client().get_run(run_id).data.tags[names.TAG_LAYOUT] == "ISIC"
    table = Path(client().download_artifacts(run_id, "files.tsv")).read_text().splitlines()
    assert len(table) == 1 + 6 + 3
    assert (
        "ISIC2018_Task2_Training_GroundTruth_v3/ISIC_0000001_attribute_globules.png\tskipped\t1\tnot of the layout ISIC"
    ) in table


def test_nothing_annotated_is_said_first(tmp_path, capsys):
    for n in range(4):
        write(tmp_path / "own" / f"{n}.png", COLOUR, n)
        (tmp_path / "own" / f"{n}.json").write_text('{"shapes": []}')
    _, lines = prepared(tmp_path / "own", capsys)
    assert "outlines in .json are not read: export them as pictures, a value a class" in lines
    assert "prepared 4 slices of 4 patients, none annotated: no class" in lines
    assert "no mask was found; docs/reference/data.md says how masks are found, and how to name them" in lines
    learn, annotate = lines[-2:]
    assert learn.startswith(
        "next, to learn from images alone: mlflow run . -e pretrain_byol --env-manager local"
    )
    assert f"-P encoder=scratch -P dataset=images -P data_root={tmp_path / 'own'}" in learn
    assert "-e worklist --env-manager local -P encoder=UPSTREAM -P dataset=images" in annotate
    texts = {"dataset": "images", "data_root": str(tmp_path / "own"), "encoder": "scratch", "threads": "1"}
    with pytest.raises(
        names.DataError, match="wanted two val slices to look at, got 0; patients without any mask"
    ):
        execute.execute("probe", flags.resolve(flags.from_mapping(Probe, texts)))


@pytest.mark.parametrize("dataset", ["nnunet", "dicom", "nrrd"])
def test_a_folder_of_another_format_is_told_with_that_format(dataset: str, tmp_path, capsys):
    root = foreign_trees.images(tmp_path / "own")
    with pytest.raises(names.DataError, match=r"; dataset=images can read this folder$"):
        prepared(root, capsys, dataset=dataset)
    next(root.rglob("*.png")).write_bytes(b"damaged")
    with pytest.raises(names.DataError) as caught:
        prepared(root, capsys)
    assert "can read" not in str(caught.value)


def test_masks_beside_images_need_no_word(tmp_path, capsys):
    _, lines = prepared(foreign_trees.images(tmp_path / "own"), capsys)
    assert "prepared 7 slices of 7 patients, 6 annotated: foreground" in lines
    assert not any("not read" in line or "layout" in line for line in lines)


@pytest.mark.parametrize("json", ["{}", '{"domain": "natural"}'])
def test_a_domain_is_declared_and_recorded(tmp_path, capsys, json: str):
    for n in range(4):
        write(tmp_path / "own" / f"{n}.png", COLOUR, n)
    (tmp_path / "own" / "sslseg.json").write_text(json)

    def domain(**texts: str) -> str:
        run_id, _ = prepared(tmp_path / "own", capsys, **texts)
        return client().get_run(run_id).data.tags[names.MODEL_DOMAIN]

    assert domain() == ("natural" if "natural" in json else "medical")
    assert domain(domain="endoscopy") == "endoscopy"


def test_blank_images_and_volumes_that_are_cut_across_are_said(tmp_path, capsys):
    """Voxels of 1.5 x 8 x 1.5 mm (z, y, x) make slices of 8 x 1.5 mm; with `axis` 1 they are the scanner's."""
    own = tmp_path / "own"
    for case in range(4):
        image = np.random.default_rng(case).normal(100, 20, (9, 4, 9)).astype(np.int16)
        trees.nifti(own / f"p{case}.nii.gz", image if case else np.full_like(image, 7), (1.5, 8, 1.5))
        trees.nifti(own / f"p{case}_mask.nii.gz", (image > 100).astype(np.uint8), (1.5, 8, 1.5))
    _, lines = prepared(own, capsys)
    across = "warning: 4 volumes cut across the slices, it seems: p0.nii.gz has voxels of 1.5 x 8 x 1.5 mm (z, y, x); "
    assert any(line.startswith(f"{across}axis in sslseg.json") for line in lines)
    assert "warning: 1 image of one single value, is something lost? p0.nii.gz" in lines
    shutil.copytree(own, turned := tmp_path / "turned")
    (turned / "sslseg.json").write_text('{"axis": 1}')
    _, lines = prepared(turned, capsys)
    assert any(line.startswith("9 x 9 pixels of 1.5 x 1.5 mm") for line in lines)
    assert not any("cut across" in line for line in lines)


def test_every_file_is_accounted_for_and_what_was_skipped_is_said(tmp_path, capsys):
    root = foreign_trees.images(tmp_path / "own")
    (root / "p0_0.png").write_bytes(b"no picture")
    (root / "notes.txt").write_text("x")
    (root / "@eaDir").mkdir()
    (root / "@eaDir" / "p0_0.png").write_bytes(b"x")
    run_id, lines = prepared(root, capsys, on_bad_file="skip")
    assert any(line.startswith("warning: 1 files were left out, on_bad_file=skip:") for line in lines)
    assert any("p0_0.png: cannot be read as a picture" in line for line in lines)
    assert any(", 12 read, 2 skipped (" in line and "1 unknown: see files.tsv" in line for line in lines)
    table = Path(client().download_artifacts(run_id, "files.tsv")).read_text().splitlines()
    assert "notes.txt\tunknown\t1\t" in table
    assert "@eaDir\tskipped\t1\tof the operating system" in table
    metrics = client().get_run(run_id).data.metrics
    assert [metrics[f"data/files_{state}"] for state in ("read", "skipped", "unknown")] == [12, 2, 1]


def test_what_is_assumed_and_what_is_in_no_mask_is_said(tmp_path, capsys):
    """In the terminal, in the run's description and in the table of files."""
    root = foreign_trees.images(tmp_path / "own")
    image = Image.fromarray((np.asarray(Image.open(root / "p0_0.png")) % 256).astype(np.uint8))
    image.putalpha(254)
    image.save(root / "p0_0.png")
    (root / "sslseg.json").write_text('{"classes": {"liver": [1, 255], "lesion": 7}}')
    run_id, lines = prepared(root, capsys)
    said = "p0_0.png: 100% of its pixels are transparent, in part or altogether"
    assert "warning: of 1 files something had to be assumed:" in lines
    assert any(said in line for line in lines)
    assert any(line.startswith("warning: no mask has a voxel of lesion: ") for line in lines)
    page = client().get_run(run_id).data.tags["mlflow.note.content"]
    assert said in page
    assert "no mask has a voxel of lesion" in page
    assert said in Path(client().download_artifacts(run_id, "files.tsv")).read_text()


def test_an_image_that_is_not_read_is_named(tmp_path, capsys):
    root = foreign_trees.nnunet(tmp_path / "Dataset001_X")
    shutil.copy(root / "imagesTr" / "case1_0000.nii.gz", root / "imagesTr" / "case1_0000.nii")
    _, lines = prepared(root, capsys, dataset="nnunet")
    assert (
        "warning: 1 files may be images and are not read: imagesTr/case1_0000.nii (beside case1_0000.nii.gz, which "
        "was read)"
    ) in lines


def test_one_scan_under_two_names_is_said(tmp_path, capsys):
    root = foreign_trees.nnunet(tmp_path / "Dataset001_X")
    for folder, name in (("imagesTr", "case{}_0000.nii.gz"), ("labelsTr", "case{}.nii.gz")):
        shutil.copy(root / folder / name.format(1), root / folder / name.format(5))
    run_id, lines = prepared(root, capsys, dataset="nnunet")
    assert any(line.startswith("warning: 1 scans are there under several patients' names") for line in lines)
    table = Path(client().download_artifacts(run_id, names.SAME_SCANS)).read_text().splitlines()
    assert table[1].startswith("case1 | case5\t")
    tune = {
        "dataset": "nnunet",
        "data_root": str(root),
        "encoder": "scratch",
        "preset": "cpu",
        "threads": "1",
    }
    with pytest.raises(names.LeakError, match="case1 and case5"):
        execute.execute("finetune", flags.resolve(flags.from_mapping(Finetune, tune)))


def test_nothing_to_fine_tune_on_says_where_was_looked_and_what_was_found(tmp_path):
    for n in range(4):
        write(tmp_path / "own" / f"{n}.png", COLOUR, n)
    texts = {
        "dataset": "images",
        "data_root": str(tmp_path / "own"),
        "encoder": "scratch",
        "preset": "cpu",
        "threads": "1",
    }
    with pytest.raises(names.DataError) as caught:
        execute.execute("finetune", flags.resolve(flags.from_mapping(Finetune, texts)))
    message = str(caught.value)
    assert str(tmp_path / "own") in message
    assert (
        "read 4 volumes of 4 patients there, and annotated slices are 0 in train, 0 in val, 0 in test"
        in message
    )


def volumes(root: Path, masks: list[np.ndarray]) -> Path:
    for case, mask in enumerate(masks):
        image = np.random.default_rng(case).normal(100, 20, mask.shape).astype(np.int16)
        trees.nifti(root / f"p{case}.nii.gz", image, (1.5, 1.5, 8))
        trees.nifti(root / f"p{case}_mask.nii.gz", mask, (1.5, 1.5, 8))
    (root / "sslseg.json").write_text('{"classes": {"liver": 1, "lesion": 2}}')
    return root


def test_a_class_that_one_side_lacks_and_slices_that_perhaps_nobody_looked_at_are_said(tmp_path, capsys):
    """A lesion in one patient alone; in two others, slices 1 and 2 of 5 empty between annotated ones."""
    mask = np.zeros((20, 24, 5), np.uint8)
    mask[4:12, 4:14] = 1
    with_lesion, with_gap = mask.copy(), mask.copy()
    with_lesion[6:9, 6:9, 2] = 2
    with_gap[..., 1:3] = 0
    topmost = mask.copy()
    topmost[..., 3:] = 0  # the organ ends there
    root = volumes(tmp_path / "own", [with_lesion, with_gap, mask, topmost, with_gap])
    _, lines = prepared(root, capsys, spacing="1.5")
    warned = [line.removeprefix("warning: ") for line in lines if line.startswith("warning: ")]
    told = flags.from_mapping(Prepare, {"dataset": "images", "data_root": str(root), "spacing": "1.5"})
    data = training_set.load(flags.resolve(told))
    patients = data.store.index["patient"]
    (side,) = [side for side, rows in data.rows.items() if "p0" in set(patients.iloc[rows])]
    uses = {"train": "cannot be learned", "val": "does not help to choose a network", "test": "is not scored"}
    assert [w for w in warned if "lesion" in w] == [
        f"no mask of {other} has a voxel of lesion, which {use}; split= divides otherwise"
        for other, use in uses.items() if other != side
    ]  # fmt: skip
    assert [w for w in warned if "without a structure" in w] == [
        "4 slices without a structure between slices with one, in 2 volumes as p1.nii.gz: taken as background; "
        "255 all over says that nobody looked at a slice"
    ]


def test_masks_without_any_structure_lead_to_no_comparison(tmp_path, capsys):
    _, lines = prepared(volumes(tmp_path / "own", [np.zeros((20, 24, 2), np.uint8)] * 4), capsys)
    assert any(line.startswith("warning: no mask has a voxel of liver, lesion: ") for line in lines)
    assert not any("-e sweep" in line for line in lines)


def test_folders_that_may_be_patients_are_told_with_the_line_that_makes_them_so(tmp_path, capsys):
    root = tmp_path / "own"
    for patient in range(3):
        for n in range(2):
            write(root / f"P{patient}" / f"{n}.png", COLOUR, 2 * patient + n)
            write(root / f"P{patient}" / f"{n}_mask.png", (0, 255), n)
    _, lines = prepared(root, capsys)
    (line,) = [line for line in lines if line.startswith("every image is a patient of its own")]
    hint = re.search(r"where a folder is a patient, (\{.*\}) in sslseg.json says so$", line)
    shutil.copytree(root, again := tmp_path / "again")
    (again / "sslseg.json").write_text(hint[1])
    _, lines = prepared(again, capsys)
    assert "prepared 6 slices of 3 patients, 6 annotated: foreground" in lines


def test_slices_that_are_many_times_a_view_are_said_with_what_makes_them_smaller(tmp_path, capsys):
    root = tmp_path / "own"
    root.mkdir()
    image = np.random.default_rng(0).integers(0, 255, (1100, 40)).astype(np.uint8)
    for n in range(3):
        Image.fromarray(np.roll(image, n, 0)).save(root / f"{n}.png")
    _, lines = prepared(root, capsys)
    (line,) = [line for line in lines if "warning: slices of up to 1100 pixels" in line]
    hint = re.search(r"; (\{.*\}) in sslseg.json and -P spacing=(\S+) make them about 256 pixels$", line)
    shutil.copytree(root, again := tmp_path / "again")
    (again / "sslseg.json").write_text(hint[1])
    _, lines = prepared(again, capsys, spacing=hint[2])
    assert not any("slices of up to" in line for line in lines)
    told = flags.from_mapping(Prepare, {"dataset": "images", "data_root": str(again), "spacing": hint[2]})
    assert abs(training_set.load(flags.resolve(told)).store.index["height"].max() - 256) <= 1
