"""The page's three cards agree with its headline and its tables, and propose a sweep that would say more."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from analysis.comparison import decisions
from analysis.page import cards, matrices, report
from analysis.page import make as maker
from analysis.statistics.laws.worth import Worth
from analysis.statistics.records import Estimate
from sslseg.config import flags, names, params
from tests.fixtures.planted import Planted
from tests.fixtures.planted_study import decided, encoders, finetune, make


def sweep_of(command: str) -> params.Sweep:
    program, stage, *words = shlex.split(command)
    assert (program, stage) == ("sslseg", "sweep")
    return flags.parse(params.Sweep, words)


def test_cards_say_which_how_many_how_sure_and_what_to_run_for_more() -> None:
    few, found = decided(make(("scratch", "supervised"), (3, 30), 1), 30)
    which, saves, sure = cards.cards(few, found)
    assert which.question == "Best so far with 30 annotated slices"
    means = few.runs[few.runs["budget"] == 30].groupby("arm")[names.TEST_IOU].mean()
    words = {"scratch": "Random weights", "supervised": "Supervised ImageNet weights"}
    assert which.answer == words[means.idxmax()]
    worse, best = sorted(few.runs.loc[few.runs["budget"] == 30, names.TEST_IOU])
    assert saves.answer == f"IoU {best:.2f} instead of {worse:.2f} so far"
    assert sweep_of(sure.command).seeds == (0, 1, 2)
    better = {"scratch": 0.5, "supervised": 0.4}
    runs = [finetune(p, n, s, loss + s / 200 - n / 1000) for p, loss in better.items() for n in (3, 15, 30, 100)
            for s in range(8)]  # fmt: skip
    which, saves, sure = cards.cards(*decided(runs, 30))
    assert which.answer == "Supervised ImageNet weights"
    assert saves.answer == "More than 70"  # scratch with all 100 is worse than it with 30
    assert sure.answer == "Better than every other"
    alike = [finetune(p, n, s, 0.4 + (s % 3) / 20 + (p == "scratch") * (s % 2) / 50 - n / 1000)
             for p in ("scratch", "supervised") for n in (3, 15, 30) for s in range(4)]  # fmt: skip
    _, saves, sure = cards.cards(*decided(alike, 15))
    assert sure.answer == "Not decided"
    assert len(sweep_of(saves.command).budgets) == 4
    assert saves.answer.startswith("IoU 0.")
    assert saves.answer.endswith(" so far")
    if sure.command:
        assert set(sweep_of(sure.command).pipelines) == {"scratch", "supervised"}
        assert len(sweep_of(sure.command).seeds) > 4


@pytest.mark.parametrize(
    ("sizes", "cfg", "proposed"),
    [
        ((7,), {}, (3, 5, 7, 0)),  # 0 is all of train, however much that is
        ((2,), {}, (2, 4, 8, 0)),
        ((30,), {"budget": ""}, (3, 9, 16, 0)),  # all of train already
        ((3, 30), {}, (3, 9, 16, 30)),
        ((3, 4), {}, ()),
        ((2,), {"budget": ""}, ()),  # no smaller size leaves a curve, and there are no more slices
        ((3, 30, 100), {}, (3, 9, 30, 100)),  # the gap is as wide as one size is times the other
    ],
)
def test_the_command_for_a_curve_runs_sizes_that_are_not_there(
    sizes: tuple[int, ...], cfg: dict[str, str], proposed: tuple[int, ...]
) -> None:
    runs = [finetune(p, n, s, 0.4 + s / 50 + (p == "scratch") / 10, cfg=cfg) for p in ("scratch", "supervised")
            for n in sizes for s in range(3)]  # fmt: skip
    _, saves, _ = cards.cards(*decided(runs, sizes[-1]))
    assert (sweep_of(saves.command).budgets if saves.command else ()) == proposed
    assert any("this runs what lacks:" in line for line in saves.lines) == bool(proposed)


def of(losses: dict[str, Callable[[int, int], float]], sizes: Sequence[int], seeds: int) -> list[Planted]:
    """Fine-tunings whose loss is a function of budget and seed."""
    return [finetune(p, n, s, loss(n, s)) for p, loss in losses.items() for n in sizes for s in range(seeds)]


def test_what_the_verdict_leaves_open_no_other_sentence_claims() -> None:
    """By itself worth has its lower end at zero; of a family of three, at the first of five looks, it is undecided."""
    runs = of({"scratch": lambda n, s: 0.5 - n / 2000 + (0, 0.02, -0.01)[s],
               "supervised": lambda n, s: 0.47 - n / 2000 + (0.002, 0.01, -0.02)[s]}, (3, 15, 75, 300), 3)  # fmt: skip
    study, found = decided(runs, 75)
    alone = decisions.worths(study, decisions.curves(study))
    assert [r.worth.more.low for r in alone if (r.pipeline, r.budget) == ("supervised", 75)] == [0.0]
    (verdict,) = found.verdicts[0].rows
    assert verdict.call == "undecided"
    which, saves, sure = cards.cards(study, found)
    assert "whether that saves slices against random weights is not settled by 3 seeds; random weights may be as good." in (
        found.headline)  # fmt: skip
    assert "random weights may be as good" in which.lines
    assert (saves.answer, sure.answer) == ("Not settled", "Not decided")
    worth = matrices.of_worth(study, found)[0]
    assert [(c.call, c.text) for c in dict(worth.rows)["supervised"]][2] == ("undecided", "?")
    assert found.advice.choice.lead == verdict


def test_what_the_verdict_calls_better_is_blue_in_worth_and_what_it_is_not_surely_better_than_is_named() -> (
    None
):
    """The next by its mean is surely worse, and the one after it scatters: that one may be as good."""
    runs = of({"scratch": lambda n, s: 0.5 - n / 2000 + s / 500, "supervised": lambda n, s: 0.4 - n / 2000 + s / 500,
               "byol@target": lambda n, s: 0.35 - n / 2000 + (0.14, 0, 0.04, 0.1, 0.12)[s],
               "byol@natural": lambda n, s: 0.36 - n / 2000 + s / 500}, (3, 15, 75, 300), 5)  # fmt: skip
    study, found = decided(runs, 75)
    assert found.advice.choice.pipeline == "byol@photos"
    assert found.advice.choice.runner_up == "byol@acdc"
    for matrix in matrices.of_worth(study, found):
        assert dict(matrix.rows)["byol@photos"][2].call == "better"
    assert (
        cards.cards(study, found)[2].answer
        == "Surely better than random weights and supervised ImageNet weights"
    )


def test_pipelines_of_disjoint_sizes_are_to_be_run_at_common_ones() -> None:
    loss = lambda n, s: 0.5 - n / 2000 + s / 500  # noqa: E731
    runs = [*of({"scratch": loss}, (3, 75), 3), *of({"supervised": loss}, (15, 300), 3)]
    sure = cards.cards(*decided(runs, 75))[2]
    assert sure.lines == ("No other pipeline was run with 75 slices; this runs all at the same sizes:",)
    asked = sweep_of(sure.command)
    assert (asked.pipelines, asked.budgets) == (("scratch", "supervised"), (3, 15, 75, 300))


@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        (("scratch",), ("scratch", "byol@target")),
        (("byol@target",), ("scratch", "byol@target")),
        (("byol@natural", "byol@target"), ("scratch", "byol@natural", "byol@target")),
    ],
)
@pytest.mark.parametrize("seeds", [1, 3])
def test_what_has_nothing_to_be_put_against_gets_it(there: tuple, wanted: tuple, seeds: int) -> None:
    losses = {name: (lambda n, s, i=i: 0.5 - n / 2000 - i / 100 + s / 500) for i, name in enumerate(there)}
    study, found = decided(of(losses, (30,), seeds), 30)
    made = cards.cards(study, found)
    proposed = [sweep_of(card.command) for card in made[1:] if card.command]
    assert wanted in {asked.pipelines for asked in proposed}
    assert not [line for card in made for line in card.lines if "the others are put against" in line]
    assert (
        "30 slices, 3 seeds" in report.render(report.Page(study, found, (), (), {}, (), "", "")) or seeds == 1
    )


def test_finished_runs_without_a_score_are_not_proposed_again() -> None:
    """A sweep finds them finished and leaves them, so it is new seeds that give scores."""
    runs = make(("scratch", "supervised"), (3, 30), 3)
    bare = [
        replace(r, metrics={k: v for k, v in r.metrics.items() if not k.startswith("test/")}) for r in runs
    ]
    study, found = decided(bare, 30)
    sure = cards.cards(study, found)[2]
    assert (sure.answer, sweep_of(sure.command).seeds) == ("No run has a test score", (3, 4, 5))
    some = [b if r.name.endswith("seed=1") else r for b, r in zip(bare, runs, strict=True)]
    sure = cards.cards(*decided(some, 30))[2]
    assert sweep_of(sure.command).seeds == (0, 2, 3)


def test_equal_pipelines_want_as_many_runs_as_call_them_equivalent() -> None:
    """The same losses: 29 runs of each without a collapse; once they are there, the page says that they are as good."""
    loss = lambda n, s: 0.5 - n / 2000 + s % 5 / 500  # noqa: E731
    sizes = (3, 15, 75, 300)
    study, found = decided(of(dict.fromkeys(("scratch", "supervised"), loss), sizes, 5), 75)
    sure = cards.cards(study, found)[2]
    assert sure.lines[-1] == (
        "The difference to supervised ImageNet weights lies within 0.01 IoU, but they are not called equivalent: 29 runs of "
        "each without a collapse are wanted, and there are 20:"
    )
    asked = sweep_of(sure.command)
    assert (asked.budgets, len(asked.seeds)) == (sizes, 8)
    study, found = decided(of(dict.fromkeys(("scratch", "supervised"), loss), sizes, len(asked.seeds)), 75)
    which, saves, sure = cards.cards(study, found)
    assert sure.answer == "As good as supervised ImageNet weights"
    assert "within 0.01 IoU the same as supervised ImageNet weights" in which.lines
    assert found.headline.endswith("; within 0.01 IoU the same as supervised ImageNet weights.")
    assert (saves.answer, sure.command) == ("Not settled", "")


def test_one_of_anything_is_not_called_several() -> None:
    study, found = decided(make(("scratch", "supervised"), (1,), 1), 1)
    page = report.render(report.Page(study, found, (), (), {}, maker.parts(()), "python", ""))
    said = [
        found.headline,
        *(line for card in cards.cards(study, found) for line in (card.question, *card.lines)),
    ]
    assert not re.findall(
        r"\b1 (?:annotated )?(?:slices|patients|runs|seeds|sizes|pipelines|budgets)\b", f"{page} {said}"
    )
    assert "2 pipelines, with 1 slice, 1 seed." in page


def test_a_score_near_nothing_and_a_difference_of_nothing_are_told_as_what_they_are() -> None:
    """Two networks that segment nothing: an IoU of 0.002 is not written 0.00, and no difference not as -0.000."""
    study, found = decided(
        of(dict.fromkeys(("scratch", "supervised"), lambda n, s: 0.998), (3, 15, 75, 300), 5), 75
    )
    assert "a mean test IoU of 0.002 on" in found.headline
    assert "mean test IoU 0.002" in cards.cards(study, found)[0].lines
    page = report.render(report.Page(study, found, (), (), {}, maker.parts(()), "", ""))
    assert "mean test IoU 0.002, 0.000 [0.000, 0.000] against" in page
    assert not re.findall(r"[-+]0[.]000", page)


def test_between_the_sizes_that_were_run_and_beyond_them() -> None:
    runs = make(("scratch", "supervised"), (3, 15, 75, 300), 3)
    _, saves, sure = cards.cards(*decided(runs, 50))
    assert sure.answer == "Not decided"
    assert saves.lines == ("that is counted at the sizes that were run, and 50 is none of them",)
    assert (sweep_of(sure.command).budgets, sweep_of(sure.command).seeds) == ((50,), (0, 1, 2))
    few = make(("scratch", "supervised"), (30, 300), 1)
    assert (
        cards.cards(*decided(few, 150))[0].question == "Best so far with 300 annotated slices"
    )  # twice, not a fifth
    which, _, sure = cards.cards(*decided(runs, 5000))
    assert which.question == "Best so far with 300 annotated slices"
    assert (
        sure.lines[0] == "No pipeline has test scores of 3 seeds at 5,000 slices, nor a curve that spans it"
    )


INF = float("inf")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((INF, INF, INF), "More than 1,423"), ((INF, 225, INF), "At least 225"), ((INF, 0, INF), "Some"),
        ((300, 225, 675), "About 300, 225 to 675"), ((143, 0, 225), "About 143, at most 225"), ((7, 7, 7), "About 7"),
        ((-10, -60, 0), "None"), ((10, -60, 75), "Not settled"), ((10, -INF, INF), "Not settled"),
    ],
)  # fmt: skip
def test_what_is_saved_in_few_words(more: tuple[float, float, float], said: str) -> None:
    found = Worth("a", "scratch", 75, 3, 1498, 5, Estimate(0, 0, 0), Estimate(*more), "", "")
    assert cards._saved(found) == said
    at_all = replace(found, budget=1498, more=Estimate(INF, INF, INF))
    assert cards._saved(at_all) == "More than were run"


@pytest.mark.parametrize(
    ("best", "encoders", "proposed"),
    [("byol@target", 1, (0, 1, 2)), ("byol@target", 4, ()), ("supervised", 1, ())],
)
def test_what_is_sure_of_one_encoder_wants_other_ones(best: str, encoders: int, proposed: tuple) -> None:
    """Of weights that a sweep can pretrain again, and has not."""
    losses = {"scratch": lambda n, s: 0.5 - n / 2000 + s / 500, best: lambda n, s: 0.3 - n / 2000 + s / 500}
    runs = of(losses, (3, 15, 75, 300), 8)
    sha = names.TAG_UPSTREAM_SHA
    runs = [
        replace(r, tags=r.tags | {sha: f"{r.tags[sha]}{int(r.cfg['seed']) % encoders}"})
        if r.name.startswith(best)
        else r
        for r in runs
    ]
    sure = cards.cards(*decided(runs, 75))[2]
    if encoders > 1:
        assert (
            sure.lines[0] == "95 % confidence, 8 seeds, about 4 encoders of byol@acdc, on the test patients"
        )
    assert sure.answer == ("Better than every other" if encoders == 1 else sure.answer)
    assert (sweep_of(sure.command).pretrain_seeds if sure.command else ()) == proposed
    assert ("Several pretrainings would say" in sure.lines[-1]) is bool(proposed)
    if encoders == 1 and not proposed:
        assert sure.lines[-1] == "Other patients would say whether it is so for them."


def test_a_reference_with_too_few_seeds_at_enough_sizes_is_named() -> None:
    losses = {"supervised": lambda n, s: 0.4 - n / 2000 + s / 500}
    runs = [
        *of(losses, (3, 15, 75, 300), 3),
        *of({"scratch": lambda n, s: 0.5 + s / 500}, (3, 15, 75, 300), 2),
    ]
    saves = cards.cards(*decided(runs, 75))[1]
    assert saves.answer == "Not known yet"
    assert saves.lines == ("against random weights", "scratch has 2 seeds, at least 3 are wanted")


def test_of_equal_pipelines_the_simpler_is_the_best_so_far_on_the_page_and_on_its_cards() -> None:
    runs = [finetune(p, 30, 0, 0.4) for p in ("byol@target", "supervised", "scratch")]
    study, found = decided([*encoders("byol@target"), *runs], 30)
    assert "the best so far is a network that starts from random weights" in found.headline
    assert cards.cards(study, found)[0].answer == "Random weights"
