"""Stage worklist: never val or test, capped, covered, deterministic; its simulation is paired and untested."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from sslseg import flags, launch, names
from sslseg.data import subsets
from sslseg.names import EncoderError, ParamError
from sslseg.params import Worklist
from sslseg.stages import inputs, worklist_gain
from tests import tiny_runs


@pytest.fixture(scope="module")
def encoder(tiny, store) -> str:
    return tiny.run("pretrain")


def settings(tiny, encoder: str, changed: dict | None = None) -> Worklist:
    texts = {"dataset": "acdc", "data_root": str(tiny.root), "spacing": "0", "threads": "1", "image_size": "32",
             "cache": str(tiny.cache), "encoder": encoder, "annotated": "4", "slices": "6"}  # fmt: skip
    texts |= {name: flags.to_text(value) for name, value in (changed or {}).items()}
    return flags.resolve(flags.from_mapping(Worklist, texts))


def listed(run_id: str) -> pd.DataFrame:
    import mlflow

    return pd.read_csv(io.StringIO(mlflow.artifacts.load_text(f"runs:/{run_id}/worklist.csv")))


def test_the_list_holds_train_slices_that_are_not_annotated(tiny, encoder) -> None:
    """Test is patient 1 and val patient 2 of the tiny cohort; four patients of six slices train."""
    p = settings(tiny, encoder)
    run_id = launch.execute("worklist", p)
    found = listed(run_id)
    data = inputs.load(p)
    train = set(data.store.index["patient"].iloc[data.rows["train"]])
    assert set(found["patient"]) <= train
    assert not set(found["patient"]) & {"patient001", "patient002"}
    key = ["patient", "frame", "phase", "z"]
    index = inputs.frame_of(data.store, data.labelled["train"])
    manifest = subsets.draw(index, 4, "slice", "nested", 0)
    had = set(index.loc[list(manifest.rows), key].itertuples(index=False, name=None))
    assert not had & set(found[key].itertuples(index=False, name=None))
    assert not found.duplicated(key).any()
    assert found["patient"].value_counts().max() <= 2
    assert all((tiny.root / file).is_file() for file in found["file"])
    assert found["reason"].str.contains("so far").all()
    assert tiny_runs.get(run_id).data.tags[names.TAG_UPSTREAM_RUN] == encoder
    metrics = tiny_runs.get(run_id).data.metrics
    assert metrics["worklist/radius"] <= metrics["worklist/radius_before"]
    files = {a.path for a in tiny_runs.client().list_artifacts(run_id)}
    assert {"worklist.csv", "worklist.png"} <= files
    assert listed(launch.execute("worklist", p)).equals(found)


def test_groups_have_their_turn_and_the_cap_is_kept(tiny, encoder) -> None:
    found = listed(
        launch.execute("worklist", settings(tiny, encoder, {"annotated": 0, "slices": 4, "per_patient": 1}))
    )
    assert found["patient"].is_unique
    assert found["group"].is_unique  # the four train patients are of four groups
    assert np.isnan(found["distance"].iloc[0])
    assert "nothing is annotated" in found["reason"].iloc[0]


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"slices": 9}, ParamError, "at most 8, got 9: there are 20 slices of 4 train patients"),
        ({"annotated": None}, ParamError, "every train slice is annotated"),
        ({"encoder": "scratch"}, EncoderError, "got scratch"),
        ({"encoder": ""}, EncoderError, "none was given"),
        ({"simulate": 1, "finetune": "spacing=2"}, ParamError, "spacing are the list's own"),
    ],
)
def test_what_cannot_be_listed_is_said(tiny, encoder, changed, error, words) -> None:
    with pytest.raises(error, match=words):
        launch.execute("worklist", settings(tiny, encoder, changed))


def test_the_simulation_is_paired_and_reads_no_test_slice(tiny, encoder) -> None:
    import mlflow

    training = "architecture=test_resnet,decoder=8,8,8,8,8,steps=2,eval_every=2,val_slices=4,image_size=32,batch_size=2"
    run_id = launch.execute(
        "worklist", settings(tiny, encoder, {"simulate": 2, "slices": 3, "finetune": training})
    )
    found = pd.read_csv(io.StringIO(mlflow.artifacts.load_text(f"runs:/{run_id}/simulation.csv")))
    assert found["arm"].tolist() == ["worklist", "random"] * 2
    assert (found["slices"] == 7).all()
    by = found.pivot(index="seed", columns="arm", values="best/val_iou")
    metrics = tiny_runs.get(run_id).data.metrics
    assert metrics["simulation/best_val_iou/gain"] == pytest.approx((by["worklist"] - by["random"]).mean())
    children = tiny_runs.client().search_runs(["0"], f"tags.`mlflow.parentRunId` = '{run_id}'")
    assert len(children) == 4
    for child in children:
        assert child.data.tags[names.TAG_STAGE] == names.TRIAL
        assert not [key for key in child.data.metrics if key.startswith("test")]


def test_the_interval_of_paired_differences_is_students() -> None:
    mean, low, high = worklist_gain.paired(np.array([1.0, 2.0, 3.0]))
    assert (mean, low, high) == pytest.approx((2.0, 2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))
    assert np.isnan(worklist_gain.paired(np.array([1.0]))[1])
