"""Day one: from a folder and a checkpoint to the page, with every run in this process; and what is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from analysis.statistics import design
from analysis.statistics.design import Costs
from sslseg import execute
from sslseg.config import commands, flags, names, params
from sslseg.config.names import FINETUNE, LeakError, ParamError, SslsegError
from sslseg.models import encoder
from sslseg.plans.cells import Cell
from sslseg.plans.jobs import Job, Outcome
from sslseg.stages import tryout
from sslseg.stages.tryout import words as tryout_words
from sslseg.tracking.history import frames
from tests.fixtures.tiny_runs import ARCHITECTURE, TEXTS, Tiny, client, get

OWN = ("dataset", "data_root", "cache", "threads", "budget", "encoder", "architecture")
FINE = ";".join(f"{name}={text}" for name, text in TEXTS[FINETUNE].items() if name not in OWN)
COSTS = Costs({"scratch": 10.0, "supervised": 10.0}, places=1, page=5.0)


@pytest.fixture
def opened(here, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Runs stay in this process; returns the pages that were opened."""
    pages: list[str] = []
    monkeypatch.setattr(tryout.webbrowser, "open", pages.append)
    monkeypatch.setattr(design, "MOST_SEEDS", 3)
    return pages


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody's three-channel encoder."""
    path = tmp_path_factory.mktemp("mine") / "mine.pth"
    torch.save(encoder.build(ARCHITECTURE, 3, seed=5).state_dict(), path)
    return path


def tried(tiny: Tiny, **changed: object) -> str:
    given = {"data_root": str(tiny.root), "cache": str(tiny.cache), "threads": 1, "device": "cpu",
             "finetune": FINE, "budgets": (3,)} | changed  # fmt: skip
    return execute.execute("tryout", flags.resolve(params.Tryout(**given)))


@pytest.mark.slow
def test_from_a_folder_and_a_checkpoint_to_the_page(
    tiny: Tiny, store: str, opened, checkpoint: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DISPLAY", ":0")
    mine = {"encoder": str(checkpoint), "architecture": ARCHITECTURE}
    run_id = tried(tiny, out=str(tmp_path), **mine)
    said = capsys.readouterr().out
    for words in (
        "is read as dataset=acdc: 12 images, 12 of them annotated",
        "mine.pth: a test_resnet, its only network, at the top",
        "plan: scratch, supervised, unknown@mine.pth; 3 annotated slices; 3 seeds: 9 fine-tunings",
        "better or worse: 3 seeds find a difference",
        "equivalent: 29 runs of each pipeline without a collapse are wanted, these are 3",
        "the networks differ (scratch test_resnet, supervised tf_efficientnet_lite0, unknown@mine.pth test_resnet)",
        "unknown@mine.pth is",
        f"page: {tmp_path / 'report.html'}",
    ):
        assert words in said
    assert "nnunet" not in said
    assert said.index("it will not be able to decide") < said.index("page:")
    assert opened == [(tmp_path / "report.html").as_uri()]
    table = json.loads(Path(client().download_artifacts(run_id, names.CELLS)).read_text())
    assert len(table) == 9
    assert all(row["run_id"] and not row["error"] for row in table)
    runs = frames.runs(sweep=run_id, uri=store)
    assert runs.groupby("seed")["subset_sha256"].nunique().eq(1).all()
    assert sorted(runs["label"].unique()) == ["scratch", "supervised", "unknown@mine.pth"]
    assert "tryout/planned_minutes" in get(run_id).data.metrics
    found = json.loads((tmp_path / "decisions.json").read_text())
    assert set(runs["run_id"]) == set(found["runs"])
    assert said.count(found["headline"]) == 1
    said = "nobody knows whether the imported weights behind 3 runs have seen val or test patients (unknown@mine.pth)"
    assert f"EXPOSURE UNKNOWN: {said}" in (tmp_path / "report.html").read_text()
    with pytest.raises(LeakError, match="import_encoder of weights from acdc"):
        tried(tiny, trained_on="acdc", **mine)

    own = runs.loc[runs["label"] == "supervised", "upstream_run_id"].iloc[0]
    with pytest.raises(ParamError, match="its lineage is supervised, which is compared anyway"):
        tried(tiny, encoder=own)
    with pytest.raises(
        ParamError, match=r"minutes: the least that says anything, 3 pipelines x 1 budget x 3 seeds"
    ):
        tried(tiny, minutes=0.2, **mine)
    with monkeypatch.context() as slow:
        slow.setattr(
            tryout, "measure", lambda p, backend, cells, context: Costs(dict.fromkeys(cells, 100.0), 1)
        )
        with pytest.raises(
            ParamError, match=r"takes about 1[89] minutes here, 3 were given. Give more minutes"
        ):
            tried(
                tiny, minutes=3.0, **mine
            )  # 3 x 3 x 100 s and 15 % are 17.25 minutes, and what has been spent
    with pytest.raises(ParamError, match="there are 24 annotated slices to train on, not 999"):
        tried(tiny, budgets=(999,), **mine)
    before = len(frames.runs(uri=store))
    tried(tiny, dry_run=True, **mine)
    assert len(frames.runs(uri=store)) == before + 1  # the trial itself; all that it needed was there


def test_minutes_that_are_too_few_for_anything_are_refused_before_a_file_is_read(
    store: str, tmp_path: Path, capsys
):
    """The smallest trial: 2 pipelines x 3 seeds of 6 s each and 30 s for the page, with 15 %, are 76 s."""
    before = len(frames.runs(None, uri=store))
    with pytest.raises(
        ParamError,
        match=r"2 pipelines x 1 budget x 3 seeds, takes about 2 minutes here, 1.2 were given\. .*dry_run=true measures",
    ):
        execute.execute(
            "tryout", flags.resolve(params.Tryout(data_root=str(tmp_path), minutes=1.2, workers=1))
        )
    assert "is read as dataset=" not in capsys.readouterr().out
    assert len(frames.runs(None, uri=store)) == before
    with pytest.raises(names.DataError):  # the folder is empty, which is seen now
        execute.execute(
            "tryout", flags.resolve(params.Tryout(data_root=str(tmp_path), minutes=1.3, workers=1))
        )


PRE = "architecture=test_resnet;image_size=32;batch_size=2;steps=1;fraction=0.2;decoder=8,8,8,8,8;patch=8"


def test_further_pipelines_are_pretrained_first_and_compared(tiny: Tiny, store: str, opened, capsys):
    asked = ("masked@target", "masked@target+decoder", "scratch")
    tried(tiny, dry_run=True, pipelines=asked, pretrain=PRE)
    said = capsys.readouterr().out
    assert said.count("masked@acdc: before its fine-tunings") == 1
    assert "plan: scratch, supervised, masked@acdc, masked@acdc+decoder; 3 annotated slices" in said
    with pytest.raises(ParamError, match="'msked@target': .* the nearest is masked@target"):
        tried(tiny, pipelines=("msked@target",))


def test_an_encoder_that_is_nowhere(tiny: Tiny, store: str):
    with pytest.raises(ParamError, match=r"none\.pth is no file, and no run ID, runs:/"):
        tried(tiny, encoder="none.pth")


def test_what_would_end_too_late_is_left_out(monkeypatch: pytest.MonkeyPatch):
    cell = Cell("scratch/n=3/seed=0", FINETUNE, {}, pipeline="scratch")
    with pytest.raises(SslsegError, match=tryout.TOO_LATE):
        tryout.work(Job(cell, context={"seconds": {"scratch": 5.0}, "deadline": 0.0}))
    monkeypatch.setattr(tryout.time, "time", lambda: 100.0)
    monkeypatch.setattr(tryout.sweep, "work", lambda job: "done")
    limits = {"seconds": {"scratch": 5.0, "supervised": 50.0}, "deadline": 105.0}
    assert tryout.work(Job(cell, context=limits)) == "done"
    with pytest.raises(SslsegError, match=tryout.TOO_LATE):
        tryout.work(Job(cell, context=limits | {"deadline": 104.9}))
    late = Outcome(Job(cell), error=tryout.TOO_LATE)
    assert not late.failed  # nor does the table of a trial's cells count it as failed
    tryout._complain([late])
    with pytest.raises(SslsegError, match="1 of 2 fine-tunings failed:\n  scratch/n=3/seed=0: out of memory"):
        tryout._complain([late, Outcome(Job(cell), error="out of memory")])


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            {"call": "better", "note": ""},
            "supervised is better than scratch (test IoU +0.100 [+0.050, +0.150])",
        ),
        ({"call": "equivalent", "note": ""}, "supervised is as good as scratch"),
        (
            {"call": "undecided", "note": "2 to 7 more seeds would decide", "more": {"least": 2, "most": 7}},
            "; 2 to 7 more seeds would decide; the first of them in about 1 minute",  # 2 x 2 runs of 10 s, and 15 %
        ),
        (
            {"call": "undecided", "note": "more than 40 seeds", "more": {"least": None}},
            "; more than 40 seeds",
        ),
    ],
)
def test_verdicts_in_words(row: dict, words: str, tmp_path: Path):
    plan = design.Design(("scratch", "supervised"), (30,), 3, design.seconds(COSTS, 1, 3))
    row = {
        "a": "supervised",
        "b": "scratch",
        "effect": {"value": 0.1, "low": 0.05, "high": 0.15},
        "more": None,
    } | row
    record = tmp_path / "decisions.json"
    tables = [{"primary": False, "rows": []}, {"primary": True, "rows": [row]}]
    record.write_text(json.dumps({"verdict": tables}))
    first, *rest = tryout_words.behind(record, plan, COSTS, "mlflow run . -e tryout")
    assert words in first
    assert bool(rest) == bool(row["more"] and row["more"]["least"])
    if rest:
        minutes = design.minutes_for(COSTS, 1, 5)
        assert rest[0].endswith(f"mlflow run . -e tryout -P minutes={minutes}")
        assert design.plan(minutes * 60, COSTS, (30,), fixed=True).seeds >= 5


def test_what_was_left_out_is_ended_by_the_command_that_is_printed(tmp_path: Path):
    """The machine was slower than measured: twice the minutes that were thought to do."""
    plan = design.Design(("scratch", "supervised"), (30,), 3, design.seconds(COSTS, 1, 3))
    row = {"pipeline": "supervised", "reference": "scratch", "reason": "2 pairs, at least 3 are wanted"}
    record = tmp_path / "decisions.json"
    record.write_text(json.dumps({"verdict": [{"primary": True, "rows": [row]}]}))
    reason, again = tryout_words.behind(record, plan, COSTS, "sslseg tryout")
    assert reason == "2 pairs, at least 3 are wanted"
    assert again.endswith(f"used again): sslseg tryout --minutes {2 * design.minutes_for(COSTS, 1, 3)}")


def test_a_command_to_copy_has_whole_numbers_as_a_person_types_them():
    p = params.Tryout(data_root="/data", minutes=12.0)
    assert commands.typed_again("tryout", p).endswith("-P data_root=/data -P minutes=12")
    assert commands.typed_again("tryout", p, minutes=0.5).endswith("-P minutes=0.5")


def test_the_command_that_goes_on_keeps_what_was_given():
    p = params.Tryout(data_root="/data/my scans", minutes=5.0, finetune="steps=10;lr=0.1")
    plan = design.Design(("scratch", "supervised"), (3, 30), 3, 60.0)
    line = tryout._again(p, plan)
    assert line == (
        "mlflow run . -e tryout --env-manager local -P 'data_root=/data/my scans' -P budgets=3,30 "
        "-P 'finetune=steps=10;lr=0.1'"
    )


@pytest.mark.parametrize(
    ("variable", "there"), [("DISPLAY", True), ("WAYLAND_DISPLAY", True), ("NONE", False)]
)
def test_a_browser_is_opened_where_it_can_be_seen(variable, there, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tryout.sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, ":0")
    assert tryout._has_display() is there


def test_a_plan_that_decides_nothing_or_all_says_so():
    plan = design.Design(("scratch", "supervised"), (3, 30), 3, 90.0)
    arms = [tryout_words.Arm(name, "", "resnet50") for name in plan.pipelines]
    for can, cannot, said in (
        ((), ("equal",), ("  nothing", "  equal")),
        (("better",), (), ("  better", "  nothing else")),
    ):
        lines = tryout_words.ahead(plan, COSTS, design.Foresight(1.0, can, cannot), arms).splitlines()
        assert lines[0] == (
            "plan: scratch, supervised; 3, 30 annotated slices; 3 seeds: 12 fine-tunings, 1 at a time, at most 2 minutes in all"
        )
        assert lines[1] == "measured, a fine-tuning: scratch 10 s, supervised 10 s"
        assert (lines[3], lines[5]) == said
        assert len(lines) == 6  # all have one network: nothing is noted
