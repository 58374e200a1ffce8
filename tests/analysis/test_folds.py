"""The folds of one cross-validation are one study; other divisions are never mixed with them without a word."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from analysis.comparison import cells, measures, patients
from analysis.page import scores
from sslseg.config import names
from sslseg.config.names import SslsegError
from tests.fixtures import planted_study
from tests.fixtures.planted import Planted

FOLDS = ("fold:1/2", "fold:2/2")


def run(pipeline: str, seed: int, split: str, loss: float, tested: dict[int, float] | None = None) -> Planted:
    """A fine-tuning on 30 slices under a division of the patients, with the scores of those that it tests."""
    made = planted_study.finetune(pipeline, 30, seed, loss, cfg={"split": split})
    subset = hashlib.sha256(f"{seed} {split}".encode()).hexdigest()
    points = {f"{names.TEST_PATIENTS}/iou": list(tested.items())} if tested else {}
    return replace(made, name=f"{made.name}/split={split}", tags={**made.tags, names.TAG_SUBSET: subset},
                   metrics={**made.metrics, **points})  # fmt: skip


def folds(seeds: int = 3) -> list[Planted]:
    """Scratch and supervised; patients 0 and 1 are tested by the first fold, 2 and 3 by the second."""
    runs = planted_study.encoders("supervised")
    for pipeline, level in (("scratch", 0.6), ("supervised", 0.3)):
        for seed in range(seeds):
            for k, fold in enumerate(FOLDS):
                loss = level + 0.02 * k + 0.01 * seed
                runs.append(run(pipeline, seed, fold, loss, {2 * k: 1 - loss, 2 * k + 1: 0.9 - loss}))
    return runs


def test_folds_are_averaged_by_seed_and_their_patients_joined():
    planted = folds()
    frame, curves = planted_study.runs_of(planted), planted_study.curves_of(planted)
    study = cells.study(frame, "acdc")
    assert (len(study.runs), study.missing, study.mixed) == (12, (), ())
    table = scores.table(study).set_index(["arm", "metric"])
    row = table.loc["scratch", "test/jaccard_loss"]
    assert (row["mean"], row["seeds"]) == (pytest.approx(0.62), 3)
    assert row["sd"] == pytest.approx(0.01)
    level = patients.levels(study, curves)[0]
    assert (level.crossed.seeds, level.crossed.patients) == (3, 4)
    assert level.crossed.estimate.value == pytest.approx(0.95 - 0.62)
    losses = measures.measure(study, curves).of("test_loss")
    assert len({(s.pipeline, s.seed, s.subset) for s in losses}) == 12  # each pairs with its own fold


@pytest.mark.parametrize("fold", FOLDS)
def test_a_fold_that_is_not_there_is_a_missing_cell(fold: str):
    planted = [one for one in folds() if one.name != f"scratch/n=30/seed=1/split={fold}"]
    study = cells.study(planted_study.runs_of(planted), "acdc")
    assert [m.cell for m in study.missing] == [f"scratch/n=30/seed=1/split={fold}"]


def test_the_pretrainings_of_the_folds_are_repetitions_of_one():
    """Each fold's encoder is pretrained on the patients that this fold trains on."""
    planted = [run for run in folds() if "scratch" in run.name]
    for fold in FOLDS:
        (own,) = planted_study.encoders("byol@target")
        own = replace(own, name=f"byol {fold}", cfg={**own.cfg, "split": fold})
        start = {names.TAG_UPSTREAM_RUN: own.run_id, names.TAG_UPSTREAM_SHA: own.run_id}
        tuned = [run("byol@target", seed, fold, 0.3) for seed in range(3)]
        planted += [own, *(replace(one, tags={**one.tags, **start}) for one in tuned)]
    assert cells.study(planted_study.runs_of(planted), "acdc").mixed == ()
    odd = [
        replace(one, cfg={**one.cfg, "split": "auto"}) if one.name == "byol fold:1/2" else one
        for one in planted
    ]
    with pytest.raises(
        SslsegError, match="the pretrainings of byol@acdc differ in split: auto in 1 run, folds of 2 in 1 run"
    ):
        cells.study(planted_study.runs_of(odd), "acdc")


@pytest.mark.parametrize("other", ["kalapos2022", "auto", "fold:1/3"])
def test_other_divisions_are_refused_and_named(other: str):
    planted = [*folds(), run("scratch", 7, other, 0.5)]
    with pytest.raises(SslsegError, match="they differ in split: .*folds of 2 in 12 runs"):
        cells.study(planted_study.runs_of(planted), "acdc")
    study = cells.study(planted_study.runs_of(planted), "acdc", allow_mixed=True)
    assert any("split" in sentence for sentence in study.mixed)


def test_one_fold_alone_is_a_study_with_the_others_missing():
    planted = [one for one in folds(seeds=1) if "fold:2/2" not in one.name]
    study = cells.study(planted_study.runs_of(planted), "acdc")
    assert len(study.runs) == 2
    assert len(study.missing) == 2
