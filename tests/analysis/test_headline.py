"""The first sentence: everything that a clinician asks, in whole words, whatever the runs leave open."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest

from analysis.comparison import cells, decisions, families, headline, measures
from analysis.comparison.headline import saves, span, spoken
from analysis.statistics.laws.worth import Worth
from analysis.statistics.records import Estimate
from benchmarks.statistics.simulate import Plant
from sslseg.config import names, plugins
from tests.fixtures.planted import Planted
from tests.fixtures.planted_study import curves_of, finetune, make, runs_of

INF, SIZES = float("inf"), (3, 10, 30, 100, 300)
FAR = {"scratch": Plant(0.9, 0.4, 0.3, 0.04), "supervised": Plant(0.6, 0.4, 0.02, 0.04)}
NEAR = {"scratch": Plant(0.9, 0.4, 0.02, 0.04), "supervised": Plant(0.6, 0.4, 0.02, 0.04)}
ALIKE = {"scratch": Plant(0.9, 0.4, 0.02, 0.1), "supervised": Plant(0.89, 0.4, 0.02, 0.1)}
OLD = (">", "<", "[", "]", "(", "not surely", "inf", "nan")


@pytest.fixture(autouse=True)
def no_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sentences are made of worths and advice; the tables of verdicts, which they do not read, take most of the time."""
    monkeypatch.setattr(families, "verdicts", lambda *given: ())


def of(planted: Sequence[Planted], tested: int = 10, **given: int) -> decisions.Decisions:
    study = cells.study(runs_of(planted))
    scores = measures.measure(study, curves_of(planted))
    return decisions.decide(study, scores, decisions.curves(study), tested=tested, **given)


def test_everything_that_is_asked_is_in_one_sentence() -> None:
    text = of(make(tuple(FAR), SIZES, 5, FAR), budget=30).headline
    assert text == (
        "With 30 annotated slices of acdc, a network that starts from supervised ImageNet weights reaches a mean test IoU "
        f"of {re.search(r'0[.][0-9]+', text)[0]} on 10 patients in 200 training steps and saves more than 270 slices "
        "against random weights, with 95 % confidence from 5 seeds."
    )


@pytest.mark.parametrize(
    ("dataset", "folder", "called"),
    [
        ("nnunet", "/raw/Dataset001_Heart", "Dataset001_Heart"),
        ("acdc", "/data/training", "acdc"),
        ("images", "", "images"),
    ],
)
def test_data_in_a_file_format_are_called_by_their_folder(dataset: str, folder: str, called: str) -> None:
    study = cells.study(runs_of(make(tuple(FAR), SIZES, 5, FAR)))
    mine = replace(study, dataset=dataset, runs=study.runs.assign(**{"cfg.data_root": folder}))
    assert headline.so_far(mine, 30, 10).startswith(f"With 30 annotated slices of {called}, ")


def test_the_datasets_that_are_formats() -> None:
    found = set(filter(plugins.is_format, [*plugins.names("datasets"), "of a package that is not here"]))
    assert found == {"decathlon", "dicom", "images", "nnunet", "nrrd"}


def test_a_number_that_lies_inside_is_said_with_what_it_lies_between() -> None:
    sizes = (3, 10, 30, 60, 100, 300, 1000)
    text = of(make(tuple(NEAR), sizes, 8, NEAR), budget=30).headline
    found = re.search(
        r"saves about (\d+) slices against random weights, between (\d+) and (\d+), with 95 %", text
    )
    about, low, high = map(int, found.groups())
    factor = (0.9 / 0.6) ** (1 / 0.4)
    assert low <= about <= high
    assert low <= factor * 30 - 30 <= high


def test_what_is_not_settled_is_said_to_be_so() -> None:
    text = of(make(tuple(ALIKE), SIZES, 5, ALIKE), tested=1, budget=30).headline
    assert "on 1 patient in 200 training steps; whether that saves slices against" in text
    assert " is not settled by 5 seeds; " in text
    assert text.endswith("may be as good.")


@pytest.mark.parametrize("seeds", [1, 2])
def test_with_too_few_seeds_it_is_the_best_so_far_and_what_is_wanting(seeds: int) -> None:
    text = of(make(tuple(FAR), (3, 30), seeds, FAR), tested=0, budget=30).headline
    assert text.startswith(
        "With 30 annotated slices of acdc, the best so far is a network that starts from supervised ImageNet weights, "
        "with a mean test IoU of 0."
    )
    assert (
        "on the test patients in 200 training steps; what that saves against random weights wants at least 3 "
        in text
    )
    assert text.endswith(f"seeds of each, and this has {seeds}.")


def test_budgets_that_were_not_run_and_runs_without_a_test() -> None:
    planted = make(tuple(FAR), SIZES, 5, FAR)
    assert of(planted, budget=5000).headline == (
        "There is no test score with 5,000 annotated slices of acdc; there is with 3, 10, 30, 100, 300."
    )
    between = of(planted, budget=50).headline
    assert between.endswith("by the curve between the sizes that were run, which are 3, 10, 30, 100, 300.")
    few = of(make(tuple(FAR), (3, 30), 5, FAR), budget=30).headline
    assert "reaches a mean test IoU of" in few
    assert few.endswith("over 5 seeds; how many slices that saves against random weights is not known yet.")
    bare = [
        replace(r, metrics={k: v for k, v in r.metrics.items() if not k.startswith("test/")}) for r in planted
    ]
    assert of(bare, budget=30).headline == "No fine-tuning on acdc has a test score yet."


def test_with_several_encoders_it_is_the_pretrainings_that_are_counted() -> None:
    planted = [
        replace(run, tags={**run.tags, names.TAG_UPSTREAM_SHA: f"sha{int(run.cfg['seed']) % 3}"})
        if run.name.startswith("supervised/") else run
        for run in make(tuple(FAR), SIZES, 6, FAR)
    ]  # fmt: skip
    assert "with 95 % confidence from 3 pretrainings." in of(planted, budget=30).headline


@pytest.mark.parametrize("plants", [FAR, NEAR, ALIKE])
@pytest.mark.parametrize("seeds", [1, 3, 5])
def test_no_sentence_has_a_bracket_or_a_sign(plants: dict, seeds: int) -> None:
    planted = make(tuple(plants), SIZES, seeds, plants)
    study = cells.study(runs_of(planted))
    for budget in (3, 30, 300):
        found = of(planted, budget=budget)
        cards = [decisions.worth_of(study, found, label) for label in ("scratch", "supervised")]
        for text in (found.headline, *filter(None, cards)):
            assert not [word for word in OLD if word in text], text
            assert text.endswith(".")


def test_a_card_says_what_it_is_about() -> None:
    planted = make(tuple(FAR), SIZES, 5, FAR)
    study, found = cells.study(runs_of(planted)), of(planted, budget=30)
    assert decisions.worth_of(study, found, "supervised") == (
        "With 30 annotated slices of acdc, starting here saves more than 270 slices against random weights, with 95 % "
        "confidence: about this encoder, on 10 patients of one test."
    )
    one = [finetune("scratch", 30, s, 0.5) for s in range(3)]
    assert decisions.worth_of(cells.study(runs_of(one)), of(one), "scratch") == ""


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("scratch", "random weights"),
        ("supervised", "supervised ImageNet weights"),
        ("supervised+byol@acdc", "supervised ImageNet weights followed by BYOL on acdc"),
        ("byol@photos+byol@acdc", "BYOL on photos followed by BYOL on acdc"),
        ("phantom", "weights trained on the phantom's labels"),
        ("supervised@mnms", "weights trained on labels of mnms"),
        ("unknown@mine.pth", "the weights of mine.pth"),
        ("newmethod@acdc", "newmethod on acdc"),
    ],
)
def test_pipelines_in_words(label: str, words: str) -> None:
    assert spoken(label) == words


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((INF, INF, INF), "saves more than 1,423 slices against random weights"),
        ((INF, 225, INF), "saves at least 225 slices against random weights"),
        ((INF, 0, INF), "saves slices against random weights"),
        ((300, 225, 675), "saves about 300 slices against random weights, between 225 and 675"),
        ((143, 0, 225), "saves about 143 slices against random weights, at most 225"),
        ((7, 7, 7), "saves about 7 slices against random weights"),
        ((-10, -60, 0), "saves no slices against random weights"),
        ((10, -60, 75), ""),
        ((10, -INF, INF), ""),
    ],
)
def test_what_is_saved(more: tuple[float, float, float], said: str) -> None:
    found = Worth("a", "scratch", 75, 3, 1498, 5, Estimate(0, 0, 0), Estimate(*more), "", "")
    assert saves(found, "scratch", "slice") == said
    at_all = replace(found, budget=1498, more=Estimate(INF, INF, INF))
    assert saves(at_all, "scratch", "slice") == (
        "saves slices against random weights, more than can be counted with all that there are"
    )


def test_scores_have_two_digits_that_say_something() -> None:
    assert [headline.score(v) for v in (0.844, 0.1, 0.0021, 0.0)] == ["0.84", "0.10", "0.0021", "0.00"]


def test_numbers_of_slices_in_words() -> None:
    assert span(12, 5, 31, 3, 1498) == "12, from 5 to 31"
    assert span(INF, INF, INF, 3, 1498) == "more than 1,498"
    assert span(-INF, -INF, -INF, 3, 1498) == "fewer than 3"
    assert span(40, 15, INF, 3, 1498) == "at least 15"
    assert span(3, -INF, 31, 3, 1498) == "at most 31"
    assert span(40, -INF, INF, 3, 1498) == "not settled"
    assert headline.span(7, 7, 7, 3, 9) == "7"


def test_what_is_settled_and_what_is_left_stand_in_one_sentence() -> None:
    study = cells.study(runs_of([finetune("scratch", 30, s, 0.5) for s in range(3)]))
    worth = Worth("a", "scratch", 75, 3, 1498, 5, Estimate(0, 0, 0), Estimate(INF, 225, INF), "", "")
    left = replace(worth, more=Estimate(10, -60, 75))
    told = headline.worth_sentence(study, "scratch", 75, [("scratch", worth), ("supervised", left)], 10)
    assert told == (
        "With 75 annotated slices of acdc, starting here saves at least 225 slices against random weights, with 95 % confidence, "
        "and whether it saves any against supervised ImageNet weights is not settled: on 10 patients of one test."
    )
