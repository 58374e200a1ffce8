"""The verdict at default and at tuned settings, side by side: runs told apart by their mark, never mixed."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import replace

import pytest

from analysis.comparison import cells, decisions, measures
from analysis.comparison.cells import Study
from analysis.comparison.decisions import Decisions
from analysis.figures import outputs
from analysis.page import make as maker
from analysis.page import report
from sslseg.config import names
from sslseg.config.names import SslsegError
from tests.fixtures.planted import Planted
from tests.fixtures.planted_study import curves_of, encoders, finetune, make, runs_of

TWO = ("scratch", "supervised")
LR = {"scratch": "0.01", "supervised": "0.0004"}


def tuned(pipeline: str, budget: int, seed: int, loss: float, mark: str = "", **cfg: str) -> Planted:
    """A fine-tuning that the winner's line has started."""
    own = {"tuned": mark or f"finetune-{pipeline}:20", "lr": LR[pipeline]} | cfg
    run = finetune(pipeline, budget, seed, loss, cfg=own)
    return replace(run, name=f"{run.name} {own['tuned']}", start=run.start + 1000)


def found(seeds: int = 8, **losses: float) -> list[Planted]:
    """Tuned runs at 30 slices; a seed shifts both pipelines alike."""
    return [tuned(p, 30, s, loss + s / 200) for p, loss in losses.items() for s in range(seeds)]


@pytest.fixture(scope="module")
def usual() -> list[Planted]:
    """By default supervised is clearly better."""
    return make(TWO, (3, 30), 20)


def decided(planted: list[Planted]) -> tuple[Study, Decisions]:
    study, curves = cells.study(runs_of(planted)), curves_of(planted)
    scores = measures.measure(study, curves)
    beside = None if study.tuned is None else measures.measure(study.tuned, curves)
    return study, decisions.decide(study, scores, decisions.curves(study), tuned=beside)


def call(of: tuple, budget: int | None) -> str:
    """Of supervised, against scratch."""
    (row,) = next(t.rows for t in of if (t.metric.key, t.budget) == ("test_iou", budget))
    assert (row.a, row.b) == ("supervised", "scratch")
    return row.call


@pytest.mark.parametrize(
    ("losses", "wanted"),
    [
        ({"scratch": 0.4, "supervised": 0.3}, "better"),
        ({"scratch": 0.3, "supervised": 0.4}, "worse"),
        ({"scratch": 0.3, "supervised": 0.3}, "undecided"),  # alike, of eight runs each
    ],
)
def test_both_verdicts_are_there(usual, losses: dict[str, float], wanted: str):
    study, got = decided([*usual, *found(**losses)])
    assert call(got.verdicts, 30) == "better"
    assert call(got.tuned, 30) == wanted
    assert {t.budget for t in got.tuned} == {30}
    page = report.render(report.Page(study, got, (), (), {}, maker.parts(()), "python", ""))
    assert f"tuned: {report.SYMBOL[wanted]} {wanted}" in page
    assert "16 fine-tunings" in page
    assert html.escape("supervised") in page


def test_the_rest_of_the_page_is_as_without_them(usual):
    alone, beside = decided(usual), decided([*usual, *found(scratch=0.4, supervised=0.3)])
    assert beside[0].runs["run_id"].tolist() == alone[0].runs["run_id"].tolist()
    assert replace(beside[1], tuned=()) == alone[1]
    assert alone[1].tuned == ()
    assert "tuned:" not in report.render(report.Page(*alone, (), (), {}, maker.parts(()), "python", ""))


def test_overall_only_over_the_same_budgets(usual):
    more = [tuned(p, 3, s, 0.5 + s / 200) for p in TWO for s in range(8)]
    _, got = decided([*usual, *more, *found(scratch=0.4, supervised=0.3)])
    assert {t.budget for t in got.tuned} == {None, 3, 30}


REFUSED: list[tuple[Callable[[], list[Planted]], str]] = [
    (lambda: [tuned("scratch", 30, 9, 0.4, lr="0.002")], "scratch at tuned settings: they differ in lr"),
    (lambda: [tuned("scratch", 30, 9, 0.4, steps="400")], "they differ in steps"),
    (
        lambda: [replace(r, tags=r.tags | {names.TAG_DATA_DIGEST: "x"}) for r in found(8, scratch=0.4)],
        "they differ in data",
    ),
    (
        lambda: [tuned("supervised", 30, s, 0.4, "finetune-other:40") for s in range(8)],
        "unequal numbers of trials: scratch with 20, supervised with 40",
    ),
]


@pytest.mark.parametrize(("odd", "words"), REFUSED)
def test_what_cannot_be_compared_is_refused_unless_told(usual, odd, words: str):
    planted = [*usual, *found(scratch=0.4, supervised=0.3), *odd()]
    planted = list({r.run_id: r for r in planted}.values())
    with pytest.raises(SslsegError, match=f"cannot be compared.*{words}"):
        cells.study(runs_of(planted))
    assert cells.study(runs_of(planted), allow_mixed=True).tuned.mixed


def test_settings_without_a_mark_are_refused_as_ever(usual):
    odd = replace(finetune("scratch", 30, 0, 0.3, cfg={"lr": "0.01"}), name="by hand")
    with pytest.raises(SslsegError, match="they differ in lr"):
        cells.study(runs_of([*usual, odd]))


def test_the_last_search_of_a_pipeline_counts(usual):
    older = found(scratch=0.4, supervised=0.3)
    newer = [tuned("scratch", 30, s, 0.2, "finetune-again:20", lr="0.005") for s in range(8)]
    newer = [replace(r, start=r.start + 5000) for r in newer]
    study = cells.study(runs_of([*usual, *older, *newer]))
    assert study.tuned.marks["scratch"] == "finetune-again:20"
    assert set(study.tuned.runs.query("arm == 'scratch'")["test/jaccard_loss"]) == {0.2}


def test_found_settings_alone_are_compared_and_said():
    study, got = decided(found(scratch=0.4, supervised=0.3))
    assert (study.tuned, call(got.verdicts, 30)) == (None, "better")
    assert any(
        "settings that searches have found: finetune-scratch:20" in t for t in outputs.face(study, study.runs)
    )
    page = report.render(report.Page(study, got, (), (), {}, maker.parts(()), "python", ""))
    assert "All runs are at settings that searches have found." in page


def test_the_mark_of_a_tuned_pretraining_reaches_its_fine_tunings():
    hop = encoders("byol@target")[0]
    hop = replace(hop, cfg={**hop.cfg, "tuned": "pretrain-x:10"})
    study = cells.study(
        runs_of(
            [hop, *make(("scratch",), (30,), 3), *[finetune("byol@target", 30, s, 0.3) for s in range(3)]]
        )
    )
    assert [arm.label for arm in study.arms] == ["scratch"]
    assert study.tuned.marks == {"byol@acdc": "pretrain-x:10"}


def test_runs_older_than_the_knob_have_no_mark(usual):
    old = [replace(r, cfg={k: v for k, v in r.cfg.items() if k != "tuned"}) for r in usual[::2]]
    mixed = list({r.run_id: r for r in [*usual, *old]}.values())
    assert cells.study(runs_of(mixed)).mixed == ()
    assert cells.study(runs_of(old)).tuned is None
