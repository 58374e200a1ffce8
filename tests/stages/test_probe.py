"""The probe as a stage and as a curve of a pretraining: what it reads, what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest

from sslseg.config import names
from sslseg.config.names import FINETUNE, PRETRAIN
from sslseg.data import training_set
from sslseg.stages.probe import features
from sslseg.tracking.history import frames
from tests.fixtures.tiny_runs import Tiny, get

NUMBERS = {
    "linear_iou",
    "linear_iou_place",
    "position_error",
    "position_error_mean",
    "alignment",
    "uniformity",
}
SMALL = {"image_size": 32}


def told(run_id: str) -> dict[str, float]:
    found = get(run_id).data.metrics
    return {k.removeprefix(names.FEATURES): v for k, v in found.items() if k.startswith(names.FEATURES)}


@pytest.fixture(scope="module")
def pretrained(tiny: Tiny, store: str) -> str:
    first = tiny.run(PRETRAIN, steps=2)
    return tiny.run(PRETRAIN, encoder=first, steps=4, probe_every=2)


def probe(tiny: Tiny, **given: object) -> str:
    from sslseg import execute
    from sslseg.config import flags, params

    texts = {
        "dataset": "acdc",
        "data_root": str(tiny.root),
        "cache": str(tiny.cache),
        "spacing": "0",
        "threads": "1",
    }
    texts |= {name: flags.to_text(value) for name, value in (SMALL | given).items()}
    p = flags.resolve(flags.from_mapping(params.Probe, texts))
    return execute.execute("probe", p)


def test_a_probe_is_of_the_encoder_that_the_run_names_and_says_how_near_it_is_to_its_parent(
    tiny: Tiny, pretrained: str
):
    run_id = probe(tiny, encoder=pretrained)
    found, run = told(run_id), get(run_id)
    assert set(found) == NUMBERS | {"cka_parent"}
    assert run.data.tags[names.TAG_UPSTREAM_RUN] == pretrained
    assert run.data.tags[names.TAG_PIPELINE] == "byol@target+byol@target"
    assert 0 < found["cka_parent"] <= 1
    assert 0 <= found["linear_iou"] <= 1
    assert found["uniformity"] <= 0 <= found["alignment"] <= 4
    last = frames.curves([pretrained], [names.FEATURES + "linear_iou"]).set_index("step")["value"]
    assert last[4] == pytest.approx(
        found["linear_iou"], abs=1e-6
    )  # the curve ends in the probe of its encoder


def test_a_pretraining_has_a_curve_and_is_otherwise_as_without(tiny: Tiny, pretrained: str):
    keys = [names.FEATURES + name for name in (*NUMBERS, "cka_parent")]
    curve = frames.curves([pretrained], keys)
    assert curve.groupby("key")["step"].apply(list).to_dict() == {key: [0, 2, 4] for key in sorted(keys)}
    start = curve[(curve["step"] == 0) & (curve["key"] == names.FEATURES + "cka_parent")]
    assert start["value"].item() == pytest.approx(1)  # it starts as its parent
    upstream = get(pretrained).data.tags[names.TAG_UPSTREAM_RUN]
    plain = tiny.run(PRETRAIN, encoder=upstream, steps=4, checkpoint_every=3)
    assert not told(plain)
    keys = ["train/loss", "vitals/target/representation_std"]
    one, other = (frames.curves([run], keys)["value"].to_numpy() for run in (pretrained, plain))
    assert np.array_equal(one, other)


def test_random_weights_can_be_probed_and_test_is_never_read(tiny: Tiny, store: str, monkeypatch):
    read: set[int] = set()

    def batched(do, rows, inner=features.batched):
        read.update(int(row) for row in rows)
        return inner(do, rows)

    monkeypatch.setattr(features, "batched", batched)
    found = told(probe(tiny, encoder="scratch", architecture="test_resnet"))
    assert set(found) == NUMBERS
    data = training_set.load(tiny.params(FINETUNE))
    assert read == set(data.rows["train"]) | set(data.rows["val"])
