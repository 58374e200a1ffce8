"""What stages say at their end."""

from __future__ import annotations

import os
import shlex
import types

import pandas as pd
import pytest

from sslseg import execute
from sslseg.config import commands, flags, names
from sslseg.config.params import Analyse, Finetune, Prepare, Pretrain, Sweep
from sslseg.plans.cells import Cell
from sslseg.plans.jobs import Job, Outcome
from sslseg.stages.outcome import endings
from sslseg.stages.sweep import overview
from sslseg.tracking import store
from sslseg.tracking.registry import logged


def test_a_fine_tuning_ends_with_its_score_its_names_and_the_next_command(capsys: pytest.CaptureFixture):
    endings.finetuned("abc", "unet-x", "acdc", {"iou": 0.5, "iou/RV": 0.25, "iou/LV": 0.75, "dice": 0.6})
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == "test IoU 0.500 on acdc (RV 0.250, LV 0.750)"
    assert second == "registered as unet-x, run abc"
    assert (
        third
        == "next: mlflow run . -e predict --env-manager local -P model=abc -P input=FOLDER -P output=out/masks"
    )


def test_outside_of_a_checkout_the_next_command_is_the_installed_program_s(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    p = flags.resolve(Pretrain(dataset="images", data_root="/my data", encoder="scratch", preset="cpu"))
    endings.pretrained(p, "abc", "encoder-x", 3)
    said = "next: sslseg finetune --encoder abc --dataset images --data_root '/my data'\n"
    assert capsys.readouterr().out == f"registered as encoder-x, run abc\n{said}"
    endings.pretrained(p, "abc", "encoder-x", 0)
    said = "which slices to annotate first: sslseg worklist --encoder abc --dataset images --data_root '/my data'\n"
    assert capsys.readouterr().out.endswith(said)


@pytest.mark.parametrize(
    ("stage", "kept", "following"),
    [
        (Finetune, {}, {}),
        (Finetune, {"spacing": 2.0, "split": "fold:1/5"}, {"spacing": "2", "split": "fold:1/5"}),
        (Sweep, {"spacing": 2.0, "on_bad_file": "skip"}, {"finetune": "spacing=2,on_bad_file=skip"}),
        (Sweep, {"preset": "demo", "cache": "/c"}, {"preset": "demo", "cache": "/c"}),
        (Pretrain, {"preset": "demo"}, {"preset": "demo"}),
        (Pretrain, {"preset": "paper-text"}, {}),  # no preset of a pretraining
    ],
)
def test_the_next_command_keeps_what_was_said_of_the_data(
    stage: type, kept: dict, following: dict, monkeypatch
):
    """What the preset sets anyway is left out, and what the next stage reads is what this one has read."""
    monkeypatch.setattr(flags, "has_gpu", lambda: False)
    p = flags.resolve(Prepare(dataset="images", data_root="d", **kept))
    assert commands.kept(p, stage) == {"dataset": "images", "data_root": "d"} | following


@pytest.mark.parametrize("there", [True, False])
def test_an_analysis_ends_with_the_network_that_is_best_on_validation(
    tmp_path, monkeypatch, capsys, there: bool
):
    """Out of an archive without weights it cannot be used, and nothing is said of it."""
    place = tmp_path / ("" if there else "gone")
    models = {"byol": [types.SimpleNamespace(artifact_location=str(place))]}
    monkeypatch.setattr(store, "run", lambda run_id, uri: run_id)
    monkeypatch.setattr(logged, "of_run", lambda run_id, uri: models[run_id])
    rows = [
        ("scratch", 0.3, 0.9),
        ("byol", 0.6, 0.5),
        ("cut", None, None),
    ]
    runs = pd.DataFrame(rows, columns=["run_id", names.BEST_VAL_IOU, names.TEST_IOU])
    study = types.SimpleNamespace(runs=runs, tuned=None)
    run = types.SimpleNamespace(id="r", experiment_id="7", uri="http://server:5000")
    endings.drawn(Analyse(dataset="acdc"), run, study)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "page: report.html of run r"
    wanted = "next, with the network that is best on validation: mlflow run . -e predict"
    assert said[-1].startswith(wanted) == there
    assert ("-P model=byol -P input=FOLDER" in said[-1]) == there


def test_a_sweep_ends_with_a_line_per_pipeline(capsys: pytest.CaptureFixture):
    rows = [("scratch", 3.0, 0.1), ("scratch", 3, 0.3), ("scratch", 30, 0.5), ("supervised", 3, 0.7)]
    runs = pd.DataFrame(
        [{"stage": "finetune", "dataset": "demo", "label": p, "budget": n, "unit": "slice", names.TEST_IOU: v}
         for p, n, v in rows]
    )  # fmt: skip
    endings.swept("s", runs, "demo", "hearts")
    title, scratch, supervised, following = capsys.readouterr().out.splitlines()
    assert title == "mean test IoU on hearts (seeds), by annotated slices:"
    assert scratch.split() == ["scratch", "3:", "0.200", "(2)", "30:", "0.500", "(1)"]
    assert supervised.split() == ["supervised", "3:", "0.700", "(1)"]
    assert "-e analyse" in following
    assert following.endswith("-P dataset=demo -P sweep=s -P out=out/hearts")
    endings.swept("", runs, "demo", "hearts")
    assert capsys.readouterr().out.splitlines() == [title, scratch, supervised]  # the stage around it goes on
    endings.swept("s", runs[:0], "demo", "hearts")
    assert capsys.readouterr().out == ""


def _planted(pipelines: int, seeds: int) -> pd.DataFrame:
    """Fine-tunings on demo, and the pretraining before them."""
    tuned = [
        {"stage": "finetune", "dataset": "demo", "pipeline": f"byol@d{k}", "budget": 30, "unit": "slice", "seed": s,
         "run_id": f"{k * seeds + s:032x}", "experiment_id": "7", "name": "x", names.TEST_IOU: 0.5 + s / 100}
        for k in range(pipelines) for s in range(seeds)
    ]  # fmt: skip
    upstream = {
        "stage": "pretrain",
        "dataset": "demo",
        "run_id": "f" * 32,
        "experiment_id": "8",
        "name": "pre",
    }
    return pd.DataFrame([*tuned, upstream])


@pytest.mark.parametrize(("pipelines", "seeds", "linked"), [(4, 3, True), (7, 100, False), (60, 50, False)])
def test_a_sweep_s_description_links_its_cells_as_far_as_a_tag_can_hold(pipelines, seeds, linked):
    runs = _planted(pipelines, seeds)
    outcomes = [Outcome(Job(Cell("a", "finetune", {})), value="1"),
                Outcome(Job(Cell("b|c", "finetune", {})), error="out of memory")]  # fmt: skip
    text = overview.text(outcomes, runs, "demo", "demo")
    assert len(text) < 8000
    assert text.startswith("| pipeline | 30 slices |")
    if pipelines == 60:
        assert text.endswith(names.CELLS)
        return
    links = [f"(#/experiments/7/runs/{run_id})" for run_id in runs["run_id"][:-1]]
    assert [link in text for link in links] == [linked] * len(links)
    assert "[s1 0.51](#/experiments/7/runs/" in text or not linked
    assert "\n2 cells, 1 of them failed\n" in text
    assert "| byol@d0&emsp; | **0.510**: [s0 0.50](" in text or not linked
    assert ("[byol@d1](#/experiments/7/runs?searchFilter=tags" in text) != linked
    assert f"[pre](#/experiments/8/runs/{'f' * 32})" in text
    assert "Failed: b\\|c: out of memory" in text


def test_a_budget_that_a_pipeline_has_no_run_at_has_a_dash_in_the_description():
    runs = pd.concat([_planted(2, 2), _planted(1, 1)[:-1].assign(budget=75)])
    text = overview.text([], runs, "demo", "demo")
    assert text.startswith("| pipeline | 30 slices | 75 slices |\n|---|---|---|\n")
    rows = {row.split("&emsp;")[0]: row for row in text.splitlines()[2:4]}
    assert rows["| byol@d0"].endswith(
        " | **0.500**: [s0 0.50](#/experiments/7/runs/" + "0" * 32 + ")&emsp; |"
    )
    assert rows["| byol@d1"].endswith("&emsp; | – |")


def test_a_sweep_says_before_its_first_cell_what_it_is_to_run():
    cells = [Cell("a", "pretrain", {})] + [Cell(f"b{i}", "finetune", {}, pipeline="byol@a|b") for i in (0, 1)]
    head, _, rows = overview.begun(cells, "f" * 32).partition("\n\n")
    assert head.startswith("3 cells: 1 of pretrain, 2 of finetune. `sslseg status ffff")
    assert rows == "- byol@a\\|b"
    many = [Cell(str(i), "finetune", {}, pipeline=f"byol@{i}") for i in range(5000)]
    assert len(overview.begun(many, "f")) < 8000


def test_a_sweep_without_a_result_is_described_too():
    assert (
        overview.text([], pd.DataFrame({"stage": [], "dataset": [], "run_id": []}), "demo", "demo")
        == "0 cells"
    )


def test_the_command_that_opens_the_ui_runs_as_it_is_printed(capsys) -> None:
    endings.compare("0", uri := "sqlite:////a store/mlflow.db")
    assert shlex.split(capsys.readouterr().out.splitlines()[1])[-2:] == ["--backend-store-uri", uri]


def test_runs_on_a_server_are_compared_in_its_own_pages(capsys) -> None:
    endings.compare("7", "http://me:secret@server:5000")
    place = "http://me:***@server:5000/#/experiments/7/runs?workflowType=machine_learning"
    assert capsys.readouterr().out == f"to compare the runs: {place}\n"


def test_who_does_a_cell_leaves_the_last_word_to_its_sweep(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    """On Ray and Slurm, too, where multiprocessing has not made the process."""
    endings.tell("next")
    monkeypatch.setattr(execute, "_guarded_pid", os.getpid())
    endings.tell("next")
    assert capsys.readouterr().out == "next\n"
