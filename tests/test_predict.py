"""Stage predict: no input is ever overwritten, what is strange is flagged, tables and picture are logged."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
import trained_models
from mlflow import MlflowClient
from trained_models import disc
from trees import nifti

from sslseg import launch, names
from sslseg.data import outside
from sslseg.names import DataError, EncoderError, ParamError
from sslseg.params import Predict
from sslseg.stages import predict


def test_outputs_never_meet_inputs(tmp_path):
    a = nifti(tmp_path / "in" / "a.nii.gz", disc())
    nifti(tmp_path / "in" / "in" / "a.nii.gz", disc())
    (tmp_path / "in" / "notes.txt").write_text("no image")
    got = predict.targets(tmp_path / "in", tmp_path / "out")
    assert [t.relative_to(tmp_path / "out").as_posix() for t in got.values()] == ["a.nii.gz", "in/a.nii.gz"]
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for source, output, words in [
        (tmp_path / "in", tmp_path / "in", "must not be the input's folder"),
        (tmp_path / "in", tmp_path / "in" / "masks", "nor lie in it"),
        (tmp_path / "in", tmp_path / "link", "must not be the input's folder"),
        (a, tmp_path / "in", "must not be the input's folder"),
        (tmp_path / "in", tmp_path, "is itself an input"),
        (tmp_path / "in", a, "nor lie in it"),
        (tmp_path / "nowhere", tmp_path / "out", "does not exist"),
    ]:
        with pytest.raises(ParamError, match=words):
            predict.targets(source, output)
    with pytest.raises(ParamError, match="holds no NIfTI file .* '\\*_0000\\*'"):
        predict.targets(tmp_path / "in", tmp_path / "out", "*_0000*")


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


def files(run_id: str, store: str, file: str) -> pd.DataFrame:
    client = MlflowClient(store)
    return pd.read_csv(client.download_artifacts(run_id, file))


def test_stage_predicts_a_folder_of_3d_and_4d_and_logs_tables_and_picture(tmp_path, tmp_cache, store):
    torch.set_num_threads(1)
    known = {"spacing": {k: {"min": 1.0, "max": 2.0} for k in "zyx"}}
    model = trained_models.register(tmp_path / "model", fingerprint=known)
    nifti(tmp_path / "in" / "patient001.nii.gz", disc())
    cine = np.stack([disc(), disc(centre=(15, 15))], -1)
    nifti(tmp_path / "in" / "sub" / "cine.nii", cine)
    (tmp_path / "in" / "broken.nii.gz").write_bytes(b"\x1f\x8bnot really")
    settings = {"model": (model,), "input": str(tmp_path / "in"), "output": str(tmp_path / "out")}
    with pytest.raises(DataError, match="broken"):
        launch.execute("predict", Predict(**settings, threads=1))
    run_id = launch.execute("predict", Predict(**settings, threads=1, on_bad_file="skip", largest=True))
    table = files(run_id, store, "predictions.csv")
    assert table["file"].map(lambda f: Path(f).name).tolist() == ["patient001.nii.gz", "cine.nii", "cine.nii"]
    got = nib.load(tmp_path / "out" / "sub" / "cine.nii")
    assert got.shape == cine.shape
    voxels = np.asarray(got.dataobj)[..., 1]
    assert table["ml/LV"].iloc[2] == pytest.approx((voxels == 3).sum() * 1.5 * 1.5 * 10 / 1000)
    flagged = files(run_id, store, "outside_training.csv")
    assert set(zip(flagged["part"], flagged["name"], strict=True)) == {("spacing", "z")}
    assert len(flagged) == 3
    api = MlflowClient(store)
    run = api.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["predict/skipped"] == 1
    assert run.data.tags[names.TAG_UPSTREAM_RUN] == model
    assert {a.path for a in api.list_artifacts(run_id)} >= {"overlay.png", "skipped.tsv"}
    assert run_id in str(got.header["descrip"])


def test_stage_refuses_a_model_of_other_channels_and_no_model(tmp_path, tmp_cache, store):
    model = trained_models.register(tmp_path / "model", channels=3)
    nifti(tmp_path / "in" / "x.nii.gz", disc())
    settings = {"input": str(tmp_path / "in"), "output": str(tmp_path / "out"), "threads": 1}
    with pytest.raises(EncoderError, match="reads 3 channel.*the input has 1"):
        launch.execute("predict", Predict(model=(model,), **settings))
    with pytest.raises(EncoderError, match="none was given"):
        launch.execute("predict", Predict(model=(), **settings))
