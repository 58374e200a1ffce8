"""Stage worklist: never val or test, capped, covered, deterministic; its simulation is paired and untested."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from sslseg import execute
from sslseg.annotation import coreset
from sslseg.config import flags, names
from sslseg.config.names import EncoderError, LeakError, ParamError
from sslseg.config.params import Worklist
from sslseg.data import subsets, training_set
from sslseg.data.slices import prepare
from sslseg.stages import worklist
from sslseg.stages.worklist import gain
from tests.fixtures import tiny_runs
from tests.fixtures.foreign_trees import dicom_slice, images


def test_a_slice_of_a_series_is_named_by_its_own_file(tmp_path) -> None:
    plane = np.arange(80, dtype=np.uint16).reshape(8, 10)
    for z in range(3):  # names run against the places
        dicom_slice(tmp_path / "data" / "p1" / f"IM{9 - z}.dcm", plane + z, 5.0 * z, InstanceNumber=z + 1)
    store = prepare.prepare("dicom", tmp_path / "data", tmp_path / "cache", spacing=0, progress=False)
    none = np.zeros(3, bool)
    pool = coreset.Pool(np.zeros((3, 1)), none, np.full(3, "anna"), np.full(3, ""), np.arange(3))
    picks = [coreset.Pick(z, 1.0, 1.0, 0, 0) for z in (2, 0)]
    found = worklist.table("k-center", store, np.arange(3), pool, picks)
    assert found[["z", "file"]].values.tolist() == [[2, "p1/IM7.dcm"], [0, "p1/IM9.dcm"]]
    assert found["third"].tolist() == ["last third", "first third"]
    (tmp_path / "data" / "sslseg.json").write_text('{"axis": 1}')  # what is listed then lies in all files
    store = prepare.prepare("dicom", tmp_path / "data", tmp_path / "cache", spacing=0, progress=False)
    assert set(worklist.table("k-center", store, np.arange(3), pool, picks)["file"]) == {"p1/IM9.dcm"}


def test_a_picture_alone_has_no_thirds(tmp_path) -> None:
    store = prepare.prepare("images", images(tmp_path / "d"), tmp_path / "c", spacing=0, progress=False)
    count = len(store.index)
    none = np.zeros(count, bool)
    pool = coreset.Pool(
        np.zeros((count, 1)), none, np.full(count, "anna"), np.full(count, ""), none.astype(int)
    )
    found = worklist.table("k-median", store, np.arange(count), pool, [coreset.Pick(0, 1.0, 0.5, 2, 2)])
    assert found["third"].tolist() == [""]
    assert found["reason"][0].endswith("; all: 2 slices so far")


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
    run_id = execute.execute("worklist", p)
    found = listed(run_id)
    data = training_set.load(p)
    train = set(data.store.index["patient"].iloc[data.rows["train"]])
    assert set(found["patient"]) <= train
    assert not set(found["patient"]) & {"patient001", "patient002"}
    key = ["patient", "frame", "phase", "z"]
    index = data.store.index.iloc[data.labelled["train"]]
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
    assert metrics["worklist/reach"] < metrics["worklist/reach_before"]
    assert tiny_runs.get(run_id).data.tags[names.TAG_APART] == "no"  # the encoder learned from these data
    files = {a.path for a in tiny_runs.client().list_artifacts(run_id)}
    assert {"worklist.csv", "worklist.png"} <= files
    assert listed(execute.execute("worklist", p)).equals(found)


def test_groups_have_their_turn_and_the_cap_is_kept(tiny, encoder) -> None:
    found = listed(
        execute.execute("worklist", settings(tiny, encoder, {"annotated": 0, "slices": 4, "per_patient": 1}))
    )
    assert found["patient"].is_unique
    assert found["group"].is_unique  # the four train patients are of four groups
    assert np.isnan(found["distance"].iloc[0])
    assert found["reason"].str.contains("from an annotated or listed one on average").all()


def test_k_centre_is_another_list(tiny, encoder) -> None:
    first, other = (
        listed(execute.execute("worklist", settings(tiny, encoder, {"annotated": 0, "choice": choice})))
        for choice in ("k-median", "k-centre")
    )
    assert "nothing is annotated" in other["reason"].iloc[0]
    key = ["patient", "frame", "phase", "z"]
    assert not first[key].equals(other[key])


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"slices": 9}, ParamError, "at most 8, got 9: there are 20 slices of 4 train patients"),
        ({"annotated": None}, ParamError, "every train slice is annotated"),
        ({"encoder": "scratch"}, EncoderError, "got scratch"),
        ({"encoder": ""}, EncoderError, "none was given"),
        (
            {"simulate": 1, "simulate_slices": (2, 6)},
            ParamError,
            "simulate_slices, in half of the train patients: wanted at most 4, got 6",
        ),
        (
            {"simulate": 1, "simulate_with": "finetune", "finetune": "spacing=2"},
            ParamError,
            "spacing are the list's own",
        ),
    ],
)
def test_what_cannot_be_listed_is_said(tiny, encoder, changed, error, words) -> None:
    with pytest.raises(error, match=words):
        execute.execute("worklist", settings(tiny, encoder, changed))


def simulated(tiny, encoder: str, **changed: object) -> tuple[pd.DataFrame, str]:
    import mlflow

    run_id = execute.execute("worklist", settings(tiny, encoder, {"slices": 3, "per_patient": 3, **changed}))
    return pd.read_csv(io.StringIO(mlflow.artifacts.load_text(f"runs:/{run_id}/simulation.csv"))), run_id


def test_simulated_fine_tunings_are_paired_and_read_no_test_slice(tiny, encoder) -> None:
    training = "architecture=test_resnet,decoder=8,8,8,8,8,steps=2,eval_every=2,val_slices=4,image_size=32,batch_size=2"
    found, run_id = simulated(
        tiny, encoder, simulate=2, simulate_with="finetune", simulate_random=1, finetune=training
    )
    assert found["arm"].tolist() == ["worklist", "random"] * 2
    assert (found["slices"] == 3).all()
    by = found.pivot(index="seed", columns="arm", values="best/val_iou")
    metrics = tiny_runs.get(run_id).data.metrics
    assert metrics["simulation/best_val_iou/gain"] == pytest.approx((by["worklist"] - by["random"]).mean())
    children = tiny_runs.client().search_runs(["0"], f"tags.`mlflow.parentRunId` = '{run_id}'")
    assert len(children) == 4
    for child in children:
        assert child.data.tags[names.TAG_STAGE] == names.TRIAL
        assert child.data.params["cfg.slices"] == "7"
        assert not [key for key in child.data.metrics if key.startswith("test")]


def test_the_probe_scores_lists_of_several_lengths_and_is_repeatable(tiny, encoder, capsys) -> None:
    asked = {"simulate": 3, "simulate_random": 4, "simulate_slices": (2, 5)}
    found, run_id = simulated(tiny, encoder, **asked)
    assert (
        found.groupby(["seed", "slices", "arm"])
        .size()
        .unstack("arm")
        .eq({"worklist": 1, "random": 4})
        .all(None)
    )
    assert found["val/iou"].between(0, 1).all()
    assert (found[found["slices"] == 5].groupby("seed")["reach"].max().to_numpy()
            < found[found["slices"] == 2].groupby("seed")["reach"].min().to_numpy()).any()  # fmt: skip
    history = tiny_runs.client().get_metric_history(run_id, "simulation/val_iou/gain")
    by = found.groupby(["slices", "seed", "arm"])["val/iou"].mean().unstack("arm")
    gains = (by["worklist"] - by["random"]).groupby("slices").mean()
    assert {point.step: point.value for point in history} == pytest.approx(gains.to_dict())
    assert "12 random lists beaten" in capsys.readouterr().out
    assert simulated(tiny, encoder, **asked)[0].equals(found)
    assert not tiny_runs.client().search_runs(["0"], f"tags.`mlflow.parentRunId` = '{run_id}'")


def test_a_repetition_leaves_patients_out_and_keeps_to_train(tiny, encoder) -> None:
    p = settings(tiny, encoder, {"simulate_random": 2, "per_patient": 3})
    data = training_set.load(p)
    train = data.rows["train"]
    features = np.eye(len(train), dtype=np.float32)
    patients = data.store.index["patient"].to_numpy()
    left = set()
    for seed in range(6):
        one = gain.repetition(p, data, features, seed, 5)
        assert set(one.rows) <= set(data.labelled["train"])
        assert len(set(patients[one.rows])) == 2  # of four
        left |= set(patients[train]) - set(patients[one.rows])
        (_, listed), *random = one.lists
        for places in (listed, *(places for _, places in random)):
            assert len(set(places)) == 5
            assert not one.pool.annotated[places].any()
            assert len(one.annotated(places)) == 4 + 5
    assert len(left) > 1


def test_an_encoder_that_has_seen_val_is_refused(tiny, store, encoder) -> None:
    seen = tiny.run("finetune")
    with pytest.raises(LeakError, match="were seen upstream: finetune on acdc.*flatters its list"):
        simulated(tiny, seen, simulate=1)


def test_the_share_of_random_lists_that_are_beaten() -> None:
    rows = [
        (0, "worklist", 0.5),
        (0, "random", 0.4),
        (0, "random", 0.6),
        (1, "worklist", 0.9),
        (1, "random", 0.9),
    ]
    table = pd.DataFrame(rows, columns=["seed", "arm", "score"])
    assert gain.share_beaten(table, "score") == pytest.approx((1 + 0 + 0.5) / 3)
