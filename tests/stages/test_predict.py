"""Stage predict: no input is ever overwritten, what is strange is flagged, tables and picture are logged."""

import re
from pathlib import Path

import cv2
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient

from sslseg import execute, launch
from sslseg.config import names
from sslseg.config.names import DataError, EncoderError, ParamError
from sslseg.config.params import Predict
from sslseg.data import outside
from sslseg.data.readers import formats
from tests.fixtures import foreign_trees, trained_models
from tests.fixtures.trained_models import disc
from tests.fixtures.trees import nifti


def test_what_lies_outside_the_training_data_is_named():
    volume, spacing = disc().T[None], (8.0, 1.5, 1.5)
    around = outside.measure(volume, spacing)
    known = {part: {k: {"min": v, "max": v} for k, v in found.items()} for part, found in around.items()}
    assert outside.compare(around, known) == []
    assert outside.compare(around, {}) == []
    strange = outside.measure(3 * volume[:, :, :10], (8.0, 1.5, 0.5))
    names_ = {(f["part"], f["name"]) for f in outside.compare(strange, known)}
    assert {("spacing", "x"), ("shape", "native_height"), ("intensity", "p99_0")} <= names_
    assert ("spacing", "z") not in names_


@pytest.mark.parametrize(
    ("part", "name", "words"),
    [
        ("shape", "native_width", "7 pixels wide (training: 1 to 2.5)"),
        ("shape", "slices", "7 slices (training: 1 to 2.5)"),
        ("spacing", "x", "7 mm along x (training: 1 to 2.5)"),
        ("intensity", "mean", "mean intensity 7 (training: 1 to 2.5)"),
        ("intensity", "p99_0", "99th percentile of intensity 7 (training: 1 to 2.5)"),
        ("intensity", "p1_2", "1st percentile of intensity of channel 2: 7 (training: 1 to 2.5)"),
    ],
)
def test_what_is_unlike_the_training_data_is_said_with_its_range(part: str, name: str, words: str):
    assert outside.said({"part": part, "name": name, "value": 7.0, "lowest": 1.0, "highest": 2.5}) == words


def files(run_id: str, store: str, file: str) -> pd.DataFrame:
    client = MlflowClient(store)
    return pd.read_csv(client.download_artifacts(run_id, file))


def test_stage_predicts_a_folder_of_3d_and_4d_and_logs_tables_and_picture(tmp_path, tmp_cache, store, capsys):
    torch.set_num_threads(1)
    known = {"spacing": {k: {"min": 1.0, "max": 2.0} for k in "zyx"}}
    model = trained_models.register(tmp_path / "model", fingerprint=known)
    nifti(tmp_path / "in" / "patient001.nii.gz", disc())
    cine = np.stack([disc(), disc(centre=(15, 15))], -1)
    nifti(tmp_path / "in" / "sub" / "cine.nii", cine)
    (tmp_path / "in" / "broken.nii.gz").write_bytes(b"\x1f\x8bnot really")
    settings = {"model": (model,), "input": str(tmp_path / "in"), "output": str(tmp_path / "out")}
    with pytest.raises(DataError, match="broken"):
        execute.execute("predict", Predict(**settings, threads=1))
    run_id = execute.execute("predict", Predict(**settings, threads=1, on_bad_file="skip", largest=True))
    table = files(run_id, store, "predictions.csv")
    assert table["file"].map(lambda f: Path(f).name).tolist() == ["patient001.nii.gz", "cine.nii", "cine.nii"]
    got = nib.load(tmp_path / "out" / "sub" / "cine.nii")
    assert got.shape == cine.shape
    voxels = np.asarray(got.dataobj)[..., 1]
    assert table["ml/LV"].iloc[2] == pytest.approx((voxels == 3).sum() * 1.5 * 1.5 * 10 / 1000)
    flagged = files(run_id, store, "outside_training.csv")
    assert set(zip(flagged["part"], flagged["name"], strict=True)) == {("spacing", "z")}
    assert len(flagged) == 3
    assert (
        f"""warning: 2 images unlike the training data, see outside_training.csv of the run:
  {tmp_path / "in" / "patient001.nii.gz"}: 10 mm along z (training: 1 to 2)
"""
        in capsys.readouterr().out
    )
    api = MlflowClient(store)
    run = api.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["predict/skipped"] == 1
    assert run.data.tags[names.TAG_UPSTREAM_RUN] == model
    assert {a.path for a in api.list_artifacts(run_id)} >= {"overlay.png", "skipped.tsv"}
    assert run_id in str(got.header["descrip"])


def test_images_of_every_format_get_masks_in_their_own(tmp_path, tmp_cache, store):
    """One folder of NRRD, MetaImage, DICOM, PNG and TIFF; the model is named by its alias."""
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK, an extra, is not installed")
    torch.set_num_threads(1)
    known = {"intensity": {"p99_0": {"min": 900.0, "max": 1100.0}}}
    facts = {"fingerprint": known, "reading": {"spacing": [1.0, 1.5, 1.5]}, "colours": ["#000000"] * 4}
    trained_models.register(tmp_path / "model", **facts)
    root, volume = tmp_path / "in", disc().T  # [4, 30, 41]
    root.mkdir()
    image = sitk.GetImageFromArray(volume)
    image.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    image.SetSpacing((1.5, 1.5, 8.0))
    for name in ("a.nrrd", "b.mhd"):
        sitk.WriteImage(image, str(root / name))
    for z in range(4):
        foreign_trees.dicom_slice(root / "series" / f"{z}.dcm", volume[z] // 2, 5.0 * z)
    cv2.imwrite(str(root / "c.png"), volume[0].astype(np.uint16))
    cv2.imwritemulti(str(root / "d.tif"), list(volume.astype(np.uint16)))
    cv2.imwrite(str(root / "e.jpg"), (volume[0] // 4).astype(np.uint8))
    settings = {"model": ("models:/unet-test@supervised-demo",), "input": str(root), "threads": 1}
    run_id = execute.execute("predict", Predict(**settings, output=str(tmp_path / "out")))
    table = files(run_id, store, "predictions.csv").set_index("file")
    got = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert got == {"a.nrrd", "b.mha", "series/1.2.3.nii.gz", "c.png", "d.tif", "e.png"}
    for name, mask in table["mask"].items():
        seen, _ = formats.read(Path(mask))
        wanted = (4 if name.endswith(("nrrd", "mhd", "dcm", "tif")) else 1, 30, 41)
        assert seen.shape == (1, *wanted), name
        assert table["voxels/LV"][name] == (seen == 3).sum()
        written = sitk.ReadImage(mask) if mask.endswith(("nrrd", "mha")) else image
        assert written.GetDirection() == image.GetDirection()
    assert table.loc[str(root / "c.png"), "spacing_y"] == 1.5
    flagged = files(run_id, store, "outside_training.csv")
    assert {Path(f).name for f in flagged["file"]} == {"0.dcm", "e.jpg"}
    api = MlflowClient(store)
    assert {a.path for a in api.list_artifacts(run_id)} >= {"classes.json", "overlay.png"}
    again = execute.execute(
        "predict", Predict(**settings, output=str(tmp_path / "out"))
    )  # our masks give way
    assert api.get_run(again).data.metrics["predict/files"] == 6


def test_a_picture_without_millimetres_is_refused_by_a_model_that_works_in_them(tmp_path, tmp_cache, store):
    model = trained_models.register(tmp_path / "model")
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "c.png"), np.zeros((40, 40), np.uint8))
    settings = {"input": str(tmp_path / "in"), "output": str(tmp_path / "out"), "threads": 1}
    with pytest.raises(DataError, match="c.png: a picture says no pixel size and the model works at 2.0 mm"):
        execute.execute("predict", Predict(model=(model,), **settings))


def test_stage_refuses_a_model_of_other_channels_and_no_model(tmp_path, tmp_cache, store):
    model = trained_models.register(tmp_path / "model", channels=3)
    nifti(tmp_path / "in" / "x.nii.gz", disc())
    settings = {"input": str(tmp_path / "in"), "output": str(tmp_path / "out"), "threads": 1}
    with pytest.raises(EncoderError, match="reads 3 channel.*the input has 1"):
        execute.execute("predict", Predict(model=(model,), **settings))
    with pytest.raises(EncoderError, match="none was given"):
        execute.execute("predict", Predict(model=(), **settings))


def test_a_colour_picture_among_grey_ones_is_named_and_skipped(tmp_path, tmp_cache, store):
    model = trained_models.register(tmp_path / "model", spacing=0)
    root = tmp_path / "in"
    root.mkdir()
    for name, shape in (("a.png", (20, 20)), ("b.png", (20, 20, 3)), ("c.png", (20, 20))):
        cv2.imwrite(str(root / name), np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8))
    settings = {"model": (model,), "input": str(root), "output": str(tmp_path / "out"), "threads": 1}
    with pytest.raises(
        EncoderError, match=r"b.png: the model reads 1 channel\(s\), the input has 3 \(a colour"
    ):
        execute.execute("predict", Predict(**settings))
    run_id = execute.execute("predict", Predict(**settings, on_bad_file="skip"))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]
    assert MlflowClient(store).get_run(run_id).data.metrics["predict/skipped"] == 1


def test_where_nothing_can_be_segmented_no_mask_and_no_next_command_is_told(
    tmp_path, tmp_cache, store, capsys
):
    model, root, out = (
        trained_models.register(tmp_path / "model", spacing=0),
        tmp_path / "in",
        tmp_path / "out",
    )
    nifti(root / "broken.nii.gz", disc())
    (root / "broken.nii.gz").write_bytes(b"\x1f\x8bnot really")
    (root / "notes.txt").write_text("of somebody's")
    argv = [
        f"--{name}={value}"
        for name, value in {"model": model, "input": root, "output": out, "threads": 1}.items()
    ]
    assert launch._guarded("predict", [*argv, "--on_bad_file=skip"], None, None) == names.EXIT_FAILED
    said = capsys.readouterr()
    assert re.search("not one image could be segmented; the first: .*broken.nii.gz", said.err)
    assert "masks" not in said.out
    assert "next" not in said.out
    assert not out.exists()
    (failed,) = MlflowClient(store).search_runs(["0"], "attributes.status = 'FAILED'", max_results=1)
    left = {a.path for a in MlflowClient(store).list_artifacts(failed.info.run_id)}
    assert "skipped.tsv" in left
    assert not left & {"predictions.csv", "outside_training.csv", "classes.json", names.OVERLAY}
    assert "predict/files" not in failed.data.metrics

    (root / "broken.nii.gz").unlink()
    nifti(root / "case_mask.nii.gz", disc())
    with pytest.raises(ParamError, match="all images of .* are masks by their names"):
        execute.execute("predict", Predict(model=(model,), input=str(root), output=str(out), threads=1))
    (root / "case_mask.nii.gz").unlink()
    with pytest.raises(ParamError, match="holds no image that matches"):
        execute.execute("predict", Predict(model=(model,), input=str(root), output=str(out), threads=1))
    assert not out.exists()
