"""Stages predict and evaluate with several `model=` references: one answer of all, in the geometry of the input."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from mlflow import MlflowClient

from sslseg import execute
from sslseg.config import names
from sslseg.config.names import EncoderError
from sslseg.config.params import Evaluate, Predict
from sslseg.data.phantom import tree
from sslseg.models import inference
from sslseg.tracking.registry import resolve
from tests.data.readers.test_nifti_masks import flipped, oblique, written
from tests.fixtures import trained_models
from tests.fixtures.trained_models import SHAPE, disc
from tests.fixtures.trees import nifti

SEEDS = (1, 2)


@pytest.fixture(scope="module")
def models(store, tmp_path_factory) -> tuple[str, ...]:
    """Two fine-tunings of one pipeline, by run ID and by registry version."""
    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("models")
    first, second = (trained_models.register(place / str(s), seed=s, spacing=2.0) for s in SEEDS)
    found = resolve.versions(names.KIND_SEGMENTER)
    (row,) = [r for r in found if r["run_id"] == second]
    return first, f"models:/{row['name']}/{row['version']}"


def opened(models: tuple[str, ...]) -> list[inference.Model]:
    return [inference.open_model(resolve.resolve(m, kind=names.KIND_SEGMENTER).path) for m in models]


def test_predict_averages_the_seeds_on_oblique_flipped_and_4d_input(models, tmp_path, tmp_cache, store):
    root, out = tmp_path / "in", tmp_path / "out"
    root.mkdir()
    for name, maker in (("oblique", oblique), ("flipped", flipped)):
        written(maker, root / f"{name}.nii.gz", SHAPE)
    written(oblique, root / "cine.nii.gz", (*SHAPE, 2))
    nifti(root / "plain.nii.gz", disc())
    settings = Predict(model=models, input=str(root), output=str(out), threads=1, mirror=True)
    run_id = execute.execute("predict", settings)
    seeds, differ = opened(models), 0
    for path in sorted(root.iterdir()):
        image, mask = nib.load(path), nib.load(out / path.name)
        np.testing.assert_array_equal(mask.affine, image.affine)
        assert mask.shape == image.shape
        for code in ("sform_code", "qform_code"):
            assert mask.header[code] == image.header[code]
        assert mask.header.get_zooms() == image.header.get_zooms()
        frames = np.asarray(image.dataobj).reshape(*SHAPE, -1)
        got = np.asarray(mask.dataobj).reshape(*SHAPE, -1)
        for t in range(frames.shape[-1]):
            volume, mm = frames[..., t].T[None], image.header.get_zooms()[2::-1]
            expected, alone = (inference.segment(m, volume, mm, mirror=True).T for m in (seeds, seeds[:1]))
            np.testing.assert_array_equal(got[..., t], expected)
            differ += (expected != alone).sum()
    assert differ  # both were asked
    run = MlflowClient(store).get_run(run_id)
    assert run.data.metrics["predict/volumes"] == 5
    assert run.data.tags[names.TAG_UPSTREAM_RUN] == models[0]
    assert len(run.inputs.model_inputs) == 2


def test_evaluate_scores_the_ensemble_and_says_so(models, tmp_path, tmp_cache, store):
    root = tree.write(tmp_path / "t", patients=2, seed=3, size=64, slices=3)
    common = {"dataset": "acdc", "data_root": str(root), "part": "all", "threads": 1, "resamples": 20}
    masks = tmp_path / "masks"
    execute.execute("predict", Predict(model=models, input=str(root), output=str(masks), pattern="*frame??.nii.gz",
                                      threads=1))  # fmt: skip
    both = execute.execute("evaluate", Evaluate(model=models, out=str(tmp_path / "out"), **common))
    same = execute.execute("evaluate", Evaluate(predictions=str(masks), **common))
    one = execute.execute("evaluate", Evaluate(model=models[:1], **common))
    dice = [
        {
            k: v
            for k, v in MlflowClient(store).get_run(r).data.metrics.items()
            if k.startswith("evaluate/dice")
        }
        for r in (both, same, one)
    ]
    assert dice[0] == dice[1] != dice[2]
    page = (tmp_path / "out" / "page.md").read_text()
    assert "ensemble of 2" in page
    seconds = resolve.resolve(models[1], kind=names.KIND_SEGMENTER).run_id
    assert models[0] in page
    assert seconds in page


def test_models_of_other_classes_make_no_ensemble(models, tmp_path: Path, tmp_cache, store):
    other = trained_models.register(tmp_path / "m", classes=("background", "liver"))
    nifti(tmp_path / "in" / "x.nii.gz", disc())
    with pytest.raises(EncoderError, match="same classes"):
        execute.execute("predict", Predict(model=(models[0], other), input=str(tmp_path / "in"),
                                          output=str(tmp_path / "out"), threads=1))  # fmt: skip
