"""Stages from one end to the other: the smallest inputs, bad files, what is told before torch."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from sslseg.config import names, plugins
from sslseg.config.names import FINETUNE, PREPARE, PRETRAIN, DataError, EncoderError
from sslseg.data import subsets, training_set
from sslseg.tracking import session
from tests.fixtures.tiny_runs import ROOT, Tiny, client, get, python


# ---------------------------------------------------------------- the smallest inputs
def _rewrite(file: Path, change) -> str:
    """Change a mask [X, Y, Z] in place, its header kept; returns its name."""
    image = nib.load(file)
    array = change(np.asanyarray(image.dataobj)).astype(np.uint8)
    nib.save(nib.Nifti1Image(array, None, image.header), file)
    return file.name


def test_one_slice_a_batch_of_two_and_a_class_that_is_not_there(tiny: Tiny, store: str, tmp_path: Path):
    root = shutil.copytree(tiny.root, tmp_path / "acdc")
    for file in root.glob("*/*_gt.nii.gz"):
        _rewrite(
            file, lambda array: np.where((array == 1) & (np.arange(3) == 0), 0, array)
        )  # no RV in slice 0
    p = tiny.params(FINETUNE, data_root=root, cache=tmp_path / "cache")
    data = training_set.load(p)
    train = data.store.index.iloc[data.labelled["train"]]
    present = data.store.index["classes"].to_numpy()

    def lacks_one(seed: int) -> bool:
        (row,) = subsets.draw(train, 1, "slice", "random", seed).rows
        return 0 < bin(present[row] & 0b1110).count("1") < 3

    seed = next(seed for seed in range(200) if lacks_one(seed))
    run_id = tiny.run(
        FINETUNE, data_root=root, cache=tmp_path / "cache", budget=1, subset="random", seed=seed
    )
    run = get(run_id)
    assert run.data.params["cfg.slices"] == "1"
    assert np.isfinite(run.data.metrics["train/loss"])
    assert {names.stored(f"test/iou/{c}") for c in ("RV", "MYO", "LV")} <= set(run.data.metrics)
    assert len(client().download_artifacts(run_id, "subset.csv")) > 0


@pytest.mark.parametrize(("stage", "size"), [(PRETRAIN, 64), (FINETUNE, 64), (FINETUNE, 160)])
def test_a_network_of_one_size_is_refused_in_words(stage: str, size: int, tiny: Tiny, store: str):
    """Of 160 pixels: for views of another size, and for slices of 64 pixels even with views of 160."""
    with pytest.raises(
        EncoderError, match="test_coatnet cannot read an image of 64 x 64 pixels: it reads .* 160 x 160 alone"
    ):
        tiny.run(stage, architecture="test_coatnet", image_size=size)


# ---------------------------------------------------------------- bad files
def _truncate(folder: Path) -> str:
    file = folder / "patient004_frame01.nii.gz"
    file.write_bytes(file.read_bytes()[:200])
    return file.name


def _other_shape(folder: Path) -> str:
    return _rewrite(folder / "patient004_frame01_gt.nii.gz", lambda array: array[:-1])


def _label_seven(folder: Path) -> str:
    return _rewrite(folder / "patient004_frame01_gt.nii.gz", lambda array: np.where(array == 3, 7, array))


def _no_es(folder: Path) -> str:
    file = folder / "Info.cfg"
    file.write_text("".join(line for line in file.read_text().splitlines(True) if not line.startswith("ES")))
    return str(file.relative_to(folder.parent))


def test_a_damaged_store_trains_nothing(tiny: Tiny, store: str, tmp_path: Path):
    cache = tmp_path / "cache"
    known = get(tiny.run(PREPARE, cache=cache))
    assert len(known.data.tags[names.TAG_DATA_READ]) == 64
    assert known.data.metrics[names.stored("cost/check_seconds")] >= 0
    (labels,) = cache.glob("slices/*/labels.u1")
    labels.write_bytes(bytes(labels.stat().st_size))
    os.utime(labels, (1, 1))  # the damage is as old as it likes
    with pytest.raises(DataError, match=r"changed after they were written \(labels.u1\)") as error:
        tiny.run(FINETUNE, cache=cache)
    (failed,) = session.search({names.TAG_STAGE: FINETUNE, names.TAG_REASON: str(error.value)})
    assert failed.info.status == "FAILED"
    tiny.run(PREPARE, cache=cache, seed=2, verify=True)


@pytest.mark.parametrize("damage", [_truncate, _other_shape, _label_seven, _no_es])
def test_a_bad_file_is_one_error_or_one_line_of_a_table(damage, tiny: Tiny, store: str, tmp_path: Path):
    root = shutil.copytree(tiny.root, tmp_path / "acdc")
    file = damage(root / "patient004")
    with pytest.raises(DataError) as error:
        tiny.run(PREPARE, data_root=root, cache=tmp_path / "cache")
    assert file in str(error.value)
    assert str(error.value).count("\n") == 0
    failed = session.search({names.TAG_STAGE: PREPARE})[0]
    assert (failed.info.status, failed.data.tags[names.TAG_REASON]) == ("FAILED", str(error.value))

    run_id = tiny.run(PREPARE, data_root=root, cache=tmp_path / "cache", on_bad_file="skip")
    lines = Path(client().download_artifacts(run_id, "skipped.tsv")).read_text().splitlines()
    assert lines[0] == "file\treason"
    assert len(lines) == 2
    assert "patient004" in lines[1]
    assert get(run_id).data.metrics["data/skipped"] == 1


# ---------------------------------------------------------------- prepare
def test_prepare_leaves_what_a_researcher_looks_at_first(tiny: Tiny, store: str):
    run_id = tiny.run(PREPARE)
    files = {file.path for file in client().list_artifacts(run_id)}
    assert {"fingerprint.json", "volumes.csv", "contact-sheet.png"} <= files
    metrics = get(run_id).data.metrics
    assert metrics["data/patients"] == 6
    assert metrics["data/slices"] == metrics["data/labelled_slices"] == 6 * 2 * 3
    assert (metrics["data/train_slices"], metrics["data/val_slices"], metrics["data/test_slices"]) == (
        24,
        6,
        6,
    )
    tuned = tiny.run(FINETUNE, steps=1, eval_every=1)
    assert get(tuned).data.tags[names.TAG_PREPARE_RUN] == run_id
    (linked,) = get(tuned).inputs.dataset_inputs
    assert linked.dataset.name == "acdc"


# ---------------------------------------------------------------- entry scripts
SCRIPTS = sorted(path.name for path in ROOT.glob("entrypoints/*.py"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_entry_script_refuses_what_it_does_not_know(script: str, tmp_path: Path):
    """Also where torch and mlflow cannot be imported; `mlflow run` starts it by just this path."""
    for name in ("torch", "mlflow"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not here')")
    method = ["byol"] if script == "pretrain.py" else []
    done = python(f"entrypoints/{script}", *method, "--buget=3", PYTHONPATH=f"{tmp_path}:src:.")
    assert done.returncode == names.EXIT_USAGE, done.stderr
    said = "'--buget=3' was given, and no entry point" if script == "main.py" else "unknown parameter 'buget'"
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_method_that_there_is_not():
    done = python("entrypoints/pretrain.py", "byool")
    assert done.returncode == names.EXIT_USAGE
    known = ", ".join(plugins.names("methods"))
    assert f"method: must be one of {known}; not 'byool'" in done.stderr
