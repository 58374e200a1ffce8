"""Volumes in, masks out: the store's input law, the input's grid and geometry, no input ever overwritten."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
import trained_models
from mlflow import MlflowClient
from trained_models import ByBrightness
from trees import nifti

from sslseg import launch, names
from sslseg.data import niftimask, outside
from sslseg.data.intensity import Intensity
from sslseg.models import inference
from sslseg.models.inference import Model
from sslseg.names import DataError, EncoderError, ParamError
from sslseg.params import Predict
from sslseg.stages import predict

SHAPE = (41, 30, 4)  # x, y, z: no multiple of 32, not square


def disc(shape=SHAPE, centre=(22, 13), radius=9) -> np.ndarray:
    """Bright cylinder on dark ground, int16 [X, Y, Z]."""
    x, y = np.mgrid[: shape[0], : shape[1]]
    inside = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= radius**2
    return np.repeat((100 + 900 * inside)[..., None], shape[2], axis=2).astype(np.int16)


def by_brightness(spacing: float) -> Model:
    return Model(ByBrightness(), ("background", "LV"), 1, Intensity("dataset", (0.5,), (0.25,)), spacing, {})


@pytest.mark.parametrize("spacing", [0.0, 0.7, 1.5, 3.0])
@pytest.mark.parametrize("mirror", [False, True])
def test_the_mask_is_on_the_grid_of_the_input_whatever_the_networks_spacing(spacing, mirror):
    image = disc().T[None]
    mask = inference.segment([by_brightness(spacing)], image, (8.0, 1.5, 1.2), mirror=mirror, batch_size=3)
    assert mask.shape == image.shape[1:]
    assert mask.dtype == np.uint8
    wrong = mask != (image[0] > 500)
    assert wrong.mean() < (0.0 if spacing in (0.0, 0.7) else 0.02) + 1e-9
    found, true = (np.argwhere(m).mean(axis=0) for m in (mask, image[0] > 500))
    assert np.abs(found - true).max() < 0.1  # not shifted by half a voxel


def test_input_is_what_the_slice_store_would_give(tmp_path):
    """The network sees the same numbers as in training: codes, law and padding of `render.whole`."""
    from trees import acdc

    from sslseg.data import slices
    from sslseg.data.render import whole

    root = acdc(tmp_path / "tree", patients=1, cine=())
    store = slices.prepare("acdc", root, tmp_path / "cache", spacing=2.0, progress=False)
    law = Intensity("dataset", (0.4,), (0.2,))
    model = Model(ByBrightness(), trained_models.CLASSES, 1, law, 2.0, {})
    array, spacing = predict.read_volume(root / "patient001" / "patient001_frame01.nii.gz")
    seen = inference._network_input(model, array[None], spacing)
    for z in range(3):
        expected, (height, width) = whole(store, z, law)
        np.testing.assert_array_equal(seen[z], expected[:, :height, :width])


def test_ensemble_averages_logits_and_wants_one_set_of_classes_and_channels():
    image, spacing = disc().T[None], (8.0, 1.5, 1.5)
    one, other = by_brightness(0.0), by_brightness(3.0)
    ones = inference.segment([one, one], image, spacing)
    np.testing.assert_array_equal(ones, inference.segment([one], image, spacing))
    assert inference.segment([one, other], image, spacing).any()
    with pytest.raises(EncoderError, match=r"reads 1 channel\(s\), the input has 2"):
        inference.segment([one], np.repeat(image, 2, axis=0), spacing)
    strange = Model(one.net, ("background", "liver"), 1, one.law, 0.0, {})
    with pytest.raises(EncoderError, match="same classes"):
        inference.segment([one, strange], image, spacing)


def test_largest_component_of_each_class_in_3d():
    mask = np.zeros((3, 20, 20), np.uint8)
    mask[:, 2:8, 2:8], mask[1, 15:17, 15:17], mask[0, 12, 12] = 1, 1, 2
    kept = inference.largest_components(mask, 3)
    assert (kept == 1).sum() == 3 * 36
    assert kept[0, 12, 12] == 2


def oblique(shape) -> nib.Nifti1Image:
    image = nib.Nifti1Image(disc(shape[:3]) if len(shape) == 3 else np.stack([disc(shape[:3])] * 2, -1), None)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * (1.5, 1.5, 8.0), (-12.5, 80.0, 3.0)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=3)
    return image


def flipped(shape) -> nib.Nifti1Image:
    image = oblique(shape)
    affine = np.diag([-1.5, 1.5, -8.0, 1.0])
    image.set_sform(affine, code=1)
    image.set_qform(None, code=0)
    return image


def written(maker, path: Path, shape) -> Path:
    image = maker(shape)
    image.header.set_xyzt_units("mm", "msec")
    zooms = (1.5, 1.5, 8.0, 33.3)[: len(shape)]
    image.header.set_zooms(zooms)
    nib.save(image, path)
    return path


@pytest.mark.parametrize("shape", [SHAPE, (*SHAPE, 2)])
@pytest.mark.parametrize("maker", [oblique, flipped, None])
def test_masks_keep_the_geometry_of_the_input(tmp_path, maker, shape):
    """`None` is ACDC's trap: the sform says diag(-1, -1, 1), only pixdim tells the spacing."""
    place = tmp_path / "x.nii.gz"
    data = disc() if len(shape) == 3 else np.stack([disc()] * 2, -1)
    nifti(place, data) if maker is None else written(maker, place, shape)
    mask = (data > 500).T.astype(np.uint8)
    niftimask.write(tmp_path / "out" / "x.nii.gz", mask, place, "run 1")
    image, got = nib.load(place), nib.load(tmp_path / "out" / "x.nii.gz")
    for key in ("dim", "pixdim", "qform_code", "sform_code", "srow_x", "srow_y", "srow_z", "xyzt_units",
                "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"):  # fmt: skip
        np.testing.assert_array_equal(got.header[key], image.header[key], err_msg=key)
    np.testing.assert_array_equal(got.affine, image.affine)
    assert nib.aff2axcodes(got.affine) == nib.aff2axcodes(image.affine)
    assert got.header.get_zooms() == image.header.get_zooms()
    assert got.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(got.dataobj), data > 500)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["x.nii.gz"]


def test_a_mask_of_ours_is_written_again_and_nothing_else(tmp_path):
    image = nifti(tmp_path / "in" / "x.nii", disc())
    truth = nifti(tmp_path / "labels" / "x.nii", disc())
    mask = np.zeros(SHAPE[::-1], np.uint8)
    for _ in range(2):
        niftimask.write(tmp_path / "out" / "x.nii", mask, image)
    before = truth.read_bytes()
    with pytest.raises(DataError, match="not written by sslseg"):
        niftimask.write(truth, mask, image)
    assert truth.read_bytes() == before
    with pytest.raises(DataError, match="wanted a mask of its shape"):
        niftimask.write(tmp_path / "out" / "x.nii", mask[:, :, :-1], image)


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
