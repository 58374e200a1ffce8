"""Fine-tuning with unlabelled slices: which they are, what is said of them, and what is handed on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sslseg.config import names
from sslseg.config.names import FINETUNE, DataError, ParamError
from sslseg.data import exposure, training_set
from sslseg.models import encoder
from sslseg.stages import finetune
from sslseg.tracking.registry import resolve, sentences
from tests.fixtures.tiny_runs import Tiny, get


@pytest.fixture(scope="module")
def taught(tiny: Tiny, store: str) -> str:
    return tiny.run(FINETUNE, semi="mean_teacher", seed=3)


def test_unlabelled_slices_are_all_of_train_beside_the_annotated_ones(tiny: Tiny):
    p = tiny.params(FINETUNE, semi="mean_teacher")
    data = training_set.load(p)
    annotated = finetune._subset(p, data).rows
    others = training_set.beside(data, annotated)
    assert set(others) == set(data.rows["train"]) - set(annotated)
    assert not set(others) & (set(data.rows["val"]) | set(data.rows["test"]) | set(annotated))
    patients = data.store.index["patient"].to_numpy()
    held = np.concatenate([data.rows["val"], data.rows["test"]])
    assert not set(patients[others]) & set(patients[held])
    with pytest.raises(
        DataError, match="semi: wanted train slices beside the annotated ones .* Give a smaller budget"
    ):
        training_set.beside(data, data.rows["train"])


def test_the_run_says_what_it_learned_from_and_is_a_pipeline_of_its_own(tiny: Tiny, taught: str):
    data = training_set.load(tiny.params(FINETUNE))
    run = get(taught)
    assert run.data.tags[names.TAG_PIPELINE] == "scratch+mean_teacher"
    assert run.data.params["cfg.unlabelled_slices"] == str(len(data.rows["train"]) - 3)
    assert {"train/consistency", "train/supervised", "train/consistency_weight"} <= set(run.data.metrics)
    ways = {
        finetune.identify(tiny.params(FINETUNE, semi=way, seed=3))
        for way in ("none", "mean_teacher", "unimatch")
    }
    assert len(ways) == 3


def test_the_model_has_seen_the_unlabelled_patients_too(tiny: Tiny, taught: str):
    data = training_set.load(tiny.params(FINETUNE))
    (seen,) = exposure.read(resolve.resolve(taught, kind=names.KIND_SEGMENTER).path)
    rows = np.concatenate([data.rows["train"], data.labelled["val"]])
    want = exposure.of(data.store, rows, run_id=taught, stage=names.FINETUNE)
    assert (set(seen.patients), set(seen.images)) == (set(want.patients), set(want.images))
    assert not exposure.overlap([seen], exposure.volumes(data.store, data.rows["test"])).patients


def test_unimatch_is_a_pipeline_of_its_own_at_equal_steps(tiny: Tiny, taught: str, store: str):
    other = get(tiny.run(FINETUNE, semi="unimatch", seed=3))
    assert other.data.tags[names.TAG_PIPELINE] == "scratch+unimatch"
    assert {"train/consistency", "train/supervised", "train/sure"} <= set(other.data.metrics)
    for same in ("cfg.steps", "cfg.unlabelled_slices", "cfg.batch_size"):
        assert other.data.params[same] == get(taught).data.params[same]


def test_a_frozen_encoder_is_handed_on_as_it_came(tiny: Tiny, store: str):
    frozen = tiny.run(FINETUNE, freeze="encoder", steps=2, seed=5)
    assert get(frozen).data.tags[names.TAG_PIPELINE] == "scratch+frozen"
    came = encoder.build("test_resnet", 1, seed=5).state_dict()
    left = encoder.load(resolve.resolve(frozen, kind=names.KIND_ENCODER).path).state_dict()
    assert all(torch.equal(came[key], left[key]) for key in came)


def test_where_an_encoder_is_wanted_a_variant_is_refused(store: str):
    with pytest.raises(ParamError, match="strong says how a fine-tuning is done.* augment=strong"):
        sentences.newest("scratch+strong", "acdc")
