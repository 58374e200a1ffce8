"""A sweep that varies the pretraining and the division of patients, from its cells to the levels for new patients."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.comparison import cells, patients, scope
from sslseg import execute
from sslseg.config import flags, names, params
from sslseg.config.names import FINETUNE, PRETRAIN, SWEEP
from sslseg.tracking.history import frames
from tests.fixtures import one_process
from tests.fixtures.tiny_runs import TEXTS, Tiny, client, get

HERE = {"dataset", "data_root", "cache", "threads", "encoder", "budget"}
FOLDS = ("fold:1/2", "fold:2/2")


@pytest.fixture(scope="module")
def swept(tiny: Tiny, store: str) -> str:
    """Two pretraining seeds, three fine-tuning seeds, two folds."""
    spelled = {
        stage: ";".join(f"{k}={v}" for k, v in TEXTS[stage].items() if k not in HERE)
        for stage in (FINETUNE, PRETRAIN)
    }
    p = params.Sweep(
        dataset="acdc", data_root=str(tiny.root), cache=str(tiny.cache), threads=1, workers=1, device="cpu",
        pipelines=("scratch", "byol@target"), budgets=(3,), seeds=(0, 1, 2), pretrain_seeds=(0, 1), split=FOLDS,
        finetune=spelled[FINETUNE], pretrain=spelled[PRETRAIN],
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        one_process.install(patch)
        return execute.execute(SWEEP, flags.resolve(p))


@pytest.mark.slow
def test_fine_tunings_start_from_the_pretraining_of_their_seed_and_their_fold(swept: str, tiny: Tiny):
    table = json.loads(Path(client().download_artifacts(swept, names.CELLS)).read_text())
    assert len(table) == 2 * 2 + 2 * 3 * 2
    runs = {row["cell"]: get(row["run_id"]) for row in table}
    tested = {fold: set() for fold in FOLDS}
    for cell, run in runs.items():
        split = run.data.params["cfg.split"]
        assert cell.endswith(f"/split={split}")
        if run.data.tags[names.TAG_STAGE] == FINETUNE:
            tested[split] |= {
                m.step
                for m in client().get_metric_history(run.info.run_id, names.stored("test_patients/iou"))
            }
        if "byol" in cell and "/n=" in cell:
            upstream = get(run.data.tags[names.TAG_UPSTREAM_RUN])
            assert int(upstream.data.params["cfg.seed"]) == int(run.data.params["cfg.seed"]) % 2
            assert upstream.data.params["cfg.split"] == split
            assert run.data.tags[names.TAG_ROW] == "byol@target"
    assert [len(found) for found in tested.values()] == [3, 3]
    assert set.union(*tested.values()) == set(range(6))  # every patient once


@pytest.mark.slow
def test_levels_are_of_two_pretrainings_and_all_patients(swept: str, store: str):
    runs = frames.runs(sweep=swept, uri=store, upstream=True)
    study = cells.study(runs, "acdc")
    assert study.missing == ()
    curves = frames.curves(study.runs["run_id"], patients.keys(study.runs), store)
    found = {one.arm: one for one in patients.levels(study, curves, ["iou"])}
    byol = found["byol@acdc"]
    assert (byol.crossed.seeds, byol.crossed.patients) == (2, 6)
    assert byol.about == "about 2 encoders of byol@acdc"
    assert (found["scratch"].crossed.seeds, found["scratch"].crossed.patients) == (3, 6)
    assert scope.units(study, "byol@acdc", "scratch") == {0: 0, 1: 1, 2: 0}
    (apart,) = patients.differences(study, curves, [("byol@acdc", "scratch")], ["iou"])
    assert (apart.crossed.seeds, apart.crossed.patients) == (2, 6)
