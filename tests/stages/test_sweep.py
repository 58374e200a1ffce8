"""Sweeps: a cell is a stage, cells are used again, what is interrupted goes on, what fails is named."""

from __future__ import annotations

import re
import types

import pytest

import sslseg
from sslseg.commands import encoders
from sslseg.config import names
from sslseg.config.names import FINETUNE, PRETRAIN, SWEEP
from sslseg.data.views import batches
from sslseg.plans.cells import Cell
from sslseg.plans.jobs import Job, Outcome
from sslseg.stages import sweep
from sslseg.tracking import session
from sslseg.tracking.capsule import pack as packing
from sslseg.tracking.history import frames
from sslseg.tracking.runs import PARENT
from sslseg.training import loop
from tests.fixtures import tiny_runs
from tests.fixtures.planted import Planted, plant, run_id_of
from tests.fixtures.tiny_runs import ARCHITECTURE, Tiny, client, get, numbers
from tests.fixtures.tiny_sweeps import swept, table


def own_tags(run_id: str) -> dict[str, str]:
    """The project's tags, but for what tells one process from another."""
    own = {
        names.TAG_PROCESS,
        names.TAG_OWNER,
        names.TAG_HEARTBEAT,
        names.TAG_SWEEP,
        "sslseg.cell",
        names.TAG_ROW,
        "sslseg.code",
    }
    return {k: v for k, v in get(run_id).data.tags.items() if k.startswith("sslseg.") and k not in own}


def params_of(run_id: str) -> dict[str, str]:
    return {k: v for k, v in get(run_id).data.params.items() if k.startswith(names.CFG)}


@pytest.fixture(scope="module")
def first(tiny: Tiny, store: str) -> str:
    """A sweep in real worker processes."""
    return swept(tiny)


CELLS = {"scratch/n=3/seed=0", "byol@acdc", "byol@acdc/n=3/seed=0"}


@pytest.mark.slow
def test_a_cell_is_a_stage_started_by_hand(first: str, tiny: Tiny):
    cells = table(first)
    assert set(cells) == CELLS
    hand = tiny.run(FINETUNE, encoder=cells["byol@acdc"], device="cpu")
    cell = cells["byol@acdc/n=3/seed=0"]
    assert params_of(cell) == params_of(hand)
    assert own_tags(cell) == own_tags(hand)
    assert numbers(cell) == numbers(hand)  # a worker process, and this one
    hand = tiny.run(PRETRAIN, device="cpu")
    assert params_of(cells["byol@acdc"]) == params_of(hand)
    assert own_tags(cells["byol@acdc"]) == own_tags(hand)
    for run_id in cells.values():
        tags = get(run_id).data.tags
        assert tags["mlflow.parentRunId"] == tags[names.TAG_SWEEP] == first
    assert get(first).data.metrics["sweep/ended"] == 3


@pytest.mark.slow
def test_runs_are_compared_by_pipeline_budget_and_seed(first: str):
    """In a list of the UI, on the axes of its charts, from the sweep's page, and in the table of models."""
    cells = {name: get(run_id) for name, run_id in table(first).items()}
    tuned = cells["byol@acdc/n=3/seed=0"]
    assert tuned.info.run_name == "byol@target n3 s0 acdc"
    assert cells["byol@acdc"].info.run_name == "byol@acdc s0 pretrain"
    by = (names.BY_PIPELINE, names.BY_BUDGET, names.BY_SEED)
    assert [tuned.data.params[key] for key in by] == ["byol@target", "3", "0"]
    iou = tuned.data.metrics[names.TEST_IOU]
    note = get(first).data.tags["mlflow.note.content"]
    assert f"[s0 {iou:.2f}](#/experiments/0/runs/{tuned.info.run_id})" in note
    assert all(f"/runs/{run.info.run_id})" in note for run in cells.values())
    found = {model.tags[names.MODEL_KIND]: model for model in tiny_runs.models(tuned.info.run_id)}
    for kind, name in (("segmenter", "unet-"), ("encoder", "finetuned-encoder-")):
        measured = {m.key: (m.value, m.dataset_name) for m in found[kind].metrics}
        assert measured[names.TEST_IOU] == (iou, "acdc")
        assert found[kind].params == {"pipeline": "byol@target", "budget": "3", "seed": "0"}
        (version,) = [
            v for v in client().search_model_versions(f"run_id = '{tuned.info.run_id}'")
            if v.name == name + ARCHITECTURE
        ]  # fmt: skip
        assert version.tags[names.MODEL_IOU] == f"{iou:.3f}"
        assert max(map(len, version.tags.values())) < 40
    assert len(client().get_metric_history(tuned.info.run_id, names.TEST_IOU)) == 1
    (pretrained,) = client().search_model_versions(f"run_id = '{cells['byol@acdc'].info.run_id}'")
    assert pretrained.name == f"encoder-{ARCHITECTURE}"
    told = sslseg.encoders().set_index("run_id", drop=False).loc[pretrained.run_id]
    assert told["model_id"] == tuned.data.tags[names.TAG_UPSTREAM_MODEL]
    listed = encoders.shown(told)
    assert (listed["budget"], listed["seed"], listed["test IoU"][:5]) == ("3", "0", f"{iou:.3f}")
    assert (told["budget"], told["seed"]) == (3, 0)
    assert told["of"] >= 1  # and those started by hand
    assert told["test_iou"] == pytest.approx(iou)


def test_finished_cells_are_used_again(first: str, tiny: Tiny, here):
    before = set(tiny_runs.all_runs())
    again = swept(tiny)
    # the newest of an identity: those started by hand above, or the first sweep's
    shas = {names.TAG_IDENTITY, names.TAG_UPSTREAM_SHA}
    assert set(tiny_runs.all_runs()) - before == {again}
    for cell, run_id in table(again).items():
        ours, theirs = get(run_id).data.tags, get(table(first)[cell]).data.tags
        assert {ours[k] for k in shas} == {theirs[k] for k in shas}


def test_a_dry_run_lists_the_cells_and_runs_nothing(first: str, tiny: Tiny, here, capsys):
    before = set(tiny_runs.all_runs())
    dry = swept(tiny, dry_run=True, seeds=(0, 1))
    assert set(tiny_runs.all_runs()) - before == {dry}
    opening, *lines = capsys.readouterr().out.splitlines()
    assert opening.startswith("sweep ")
    assert lines[5] == "5 cells, 2 missing"
    said = {line.split()[1]: line.split()[0] for line in lines[:5]}
    assert {cell for cell, state in said.items() if state == "done"} == CELLS
    assert said["byol@acdc/n=3/seed=1"] == "missing"
    assert re.match(
        r"2 x finetune cpu test_resnet: \d+\.\d s and \d+\.\d MB each, by \d earlier runs", lines[6]
    )
    assert re.match(r"hours: 0\.\d\d of work, 0\.\d\d with 1 at a time; end: not before 20", lines[7])
    assert lines[-1].startswith("next: mlflow run . -e sweep --env-manager local -P ")
    assert " -P seeds=0,1 " in lines[-1]
    assert "dry_run" not in lines[-1]


def test_a_sweep_in_a_new_experiment_says_and_links_what_it_borrows(
    first: str, tiny: Tiny, store: str, here, capsys, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "second")
    dry = swept(tiny, dry_run=True, seeds=(0, 1))
    assert capsys.readouterr().out.count("  of experiment 'Default'") == 3
    again = swept(tiny, seeds=(0, 1))
    assert "3 of 5 cells had been finished elsewhere" in (out := capsys.readouterr().out)
    assert "3 of experiment 'Default'" in out
    cells, place = table(again), get(again).info.experiment_id
    assert len(set(cells.values())) == 5
    own = {cell for cell, run_id in cells.items() if get(run_id).info.experiment_id == place}
    assert own == {"scratch/n=3/seed=1", "byol@acdc/n=3/seed=1"}
    read = frames.runs("second")  # what `analyse` compares, without a sweep being named
    assert sorted(read.loc[read["stage"] == FINETUNE, "seed"]) == [0, 0, 1, 1]
    assert set(read["run_id"]) == {*cells.values(), again, dry}
    for target in (again, "second"):
        assert {*cells.values(), again} <= set(packing.chosen(target, store)[0])
    linked = client().search_runs([place], f"tags.`{PARENT}` = '{again}'")
    assert {run.data.tags[names.TAG_CELL] for run in linked} == set(cells)  # the sweep's page has them all


def test_an_interrupted_sweep_goes_on_where_it_stopped(
    tiny: Tiny, store: str, here, monkeypatch: pytest.MonkeyPatch
):
    """Stopped inside the pretraining, behind its first checkpoint and the first finished cell."""
    longer = {"steps": "6", "checkpoint_every": "2"}
    real = loop.Training.step

    def step(self, number, batch, **rest):
        if number == 5:
            raise KeyboardInterrupt
        return real(self, number, batch, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Training, "step", step)
        with pytest.raises(KeyboardInterrupt):
            swept(tiny, pretrain=longer, seeds=(4,))
    stopped = session.search({names.TAG_STAGE: SWEEP})[0]
    assert stopped.info.status == "KILLED"
    broken = session.search({names.TAG_STAGE: PRETRAIN})[0].info.run_id
    half = frames.cells(stopped.info.run_id)
    assert [row["cell"] for row in half if not row["run_id"]] == ["byol@acdc", "byol@acdc/n=3/seed=4"]
    again = swept(tiny, pretrain=longer, seeds=(4,))
    assert again == stopped.info.run_id  # one sweep, not cells divided between two
    cells = table(again)
    assert {get(run_id).data.tags[PARENT] for run_id in cells.values()} == {again}
    assert len(frames.runs(sweep=again)) == 3
    assert cells["byol@acdc"] == broken
    assert get(broken).data.tags["sslseg.resumed_at_step"] == "4"
    assert all(get(run_id).info.status == "FINISHED" for run_id in cells.values())


def test_a_cell_that_fails_is_named_and_the_others_run(tiny: Tiny, store: str, here, monkeypatch):
    real = loop.Training.step

    def step(self, number, batch, **rest):
        if isinstance(batch, batches.PretrainBatch):
            raise names.SslsegError("the card is gone")
        return real(self, number, batch, **rest)

    monkeypatch.setattr(loop.Training, "step", step)
    with pytest.raises(names.SslsegError, match=r"2 of 3 cells have no result") as error:
        swept(tiny, seeds=(5,), pretrain={"weight_decay": "1e-3"})
    assert "byol@acdc: the card is gone" in str(error.value)
    assert "byol@acdc/n=3/seed=5: its upstream byol@acdc failed" in str(error.value)
    failed = session.search({names.TAG_STAGE: SWEEP})[0]
    assert failed.info.status == "FAILED"
    cells = table(failed.info.run_id)
    assert get(cells["scratch/n=3/seed=5"]).info.status == "FINISHED"


def test_a_cell_that_was_interrupted_or_run_by_another_sweep_tells_nothing_of_how_long_one_takes(store: str):
    """From its first start to its end lies the night that nobody worked on it."""
    plant(store, [
        Planted("whole", {names.TAG_SWEEP: "s"}), Planted("another's", {names.TAG_SWEEP: "t"}),
        Planted("resumed", {names.TAG_SWEEP: "s", names.TAG_RESUMED_AT: "100"}),
    ])  # fmt: skip
    sweep_run = types.SimpleNamespace(id="s", uri=store)
    job = Job(Cell("", names.FINETUNE, {}))
    took = [
        sweep._took(Outcome(job, run_id_of(name)), sweep_run) for name in ("whole", "another's", "resumed")
    ]
    assert took == [60.0, None, None]
    assert sweep._took(Outcome(job, error="it failed"), sweep_run) is None
