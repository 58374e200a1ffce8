"""What varied, and what is therefore said of other seeds, encoders and patients."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from analysis.comparison import cells, decisions, families, measures, patients, scope
from analysis.comparison.cells import Study
from analysis.figures import fig3a_convergence, fig4_scaling
from analysis.page import cards, matrices, report
from analysis.statistics import records as statistics
from analysis.statistics.laws import knee
from analysis.statistics.laws.advice import near_full
from analysis.statistics.laws.interpolate import mean_difference
from analysis.statistics.laws.worth import worth
from analysis.statistics.patients import crossed
from analysis.statistics.records import WIDE, students_t
from sslseg.config import names
from tests.fixtures import planted_study
from tests.fixtures.planted import Planted

BUDGETS = (3, 30)


def scored(run: Planted, scores: dict[int, float], encoder: str = "") -> Planted:
    """The run with scores of patients, and from an encoder with that digest."""
    points = {f"{names.TEST_PATIENTS}/iou": list(scores.items())}
    tags = dict(run.tags) | ({names.TAG_UPSTREAM_SHA: encoder} if encoder else {})
    return replace(run, metrics={**run.metrics, **points}, tags=tags)


def study_of(runs: Iterable[Planted]) -> tuple[Study, object]:
    runs = list(runs)
    return cells.study(planted_study.runs_of(runs), "acdc"), planted_study.curves_of(runs)


def made(encoders: int = 1, seeds: int = 6, patients_: int = 4, seed: int = 0) -> tuple[list[Planted], dict]:
    """Scratch and byol@target with planted scores [seed, patient] by (pipeline, budget)."""
    rng = np.random.default_rng(seed)
    runs, truth = [*planted_study.encoders("byol@target")], {}
    for pipeline in ("scratch", "byol@target"):
        for budget in BUDGETS:
            table = truth[pipeline, budget] = rng.uniform(0.2, 0.8, (seeds, patients_))
            for s in range(seeds):
                run = planted_study.finetune(pipeline, budget, s, 0.5)
                own = f"sha{s % encoders}" if pipeline != "scratch" else ""
                runs.append(scored(run, dict(enumerate(table[s].tolist())), own))
    return runs, truth


def label_of(study: Study, control: bool) -> str:
    return next(arm.label for arm in study.arms if (arm.label == "scratch") == control)


def test_a_level_is_crossed_over_the_seeds_and_patients_of_its_runs():
    runs, truth = made()
    study, curves = study_of(runs)
    found = {(one.arm, one.budget): one for one in patients.levels(study, curves)}
    label = label_of(study, False)
    assert len(found) == 4
    expected = crossed(truth["byol@target", 30], bounds=(0.0, 1.0))
    assert found[label, 30].crossed == expected
    assert (expected.seeds, expected.patients) == (6, 4)
    assert found[label, 30].about == "about this encoder"
    assert found["scratch", 3].about == ""
    assert found["scratch", 3].crossed.estimate.value == pytest.approx(truth["scratch", 3].mean())


def test_a_difference_is_paired_by_seed_and_by_patient():
    runs, truth = made()
    study, curves = study_of(runs)
    label = label_of(study, False)
    (at_3, at_30) = patients.differences(study, curves, [(label, "scratch")])
    expected = crossed(truth["byol@target", 3] - truth["scratch", 3], bounds=(-1.0, 1.0))
    assert (at_3.budget, at_30.budget) == BUDGETS
    assert at_3.crossed == expected
    assert at_3.about == f"about this encoder of {label}"


def test_with_several_encoders_the_pretraining_is_the_unit():
    """Six seeds from three encoders are three units, of scratch beside them, too."""
    runs, truth = made(encoders=3)
    study, curves = study_of(runs)
    label = label_of(study, False)
    assert scope.count(study, label) == 3
    assert scope.units(study, label) == {0: 0, 1: 1, 2: 2, 3: 0, 4: 1, 5: 2}
    assert scope.units(study, "scratch") == {s: s for s in range(6)}
    means = (truth["byol@target", 3][:3] + truth["byol@target", 3][3:]) / 2
    level = next(one for one in patients.levels(study, curves) if (one.arm, one.budget) == (label, 3))
    assert level.crossed.seeds == 3
    assert level.crossed.estimate.high == pytest.approx(crossed(means).estimate.high)
    other = (truth["scratch", 3][:3] + truth["scratch", 3][3:]) / 2
    found = patients.differences(study, curves, [(label, "scratch")])[0]
    assert found.crossed.estimate.low == pytest.approx(crossed(means - other).estimate.low)
    assert found.about == f"about 3 encoders of {label}"


def test_what_is_about_which_encoder():
    runs = [
        scored(planted_study.finetune(pipeline, 3, s, 0.5), {0: 0.5}, sha)
        for pipeline, shas in {
            "scratch": ("", "", ""), "byol@target": ("a", "a", "a"), "supervised": ("b", "b", "b"),
            "supervised+byol@target": ("c", "d", "c"),
        }.items()
        for s, sha in enumerate(shas)
    ]  # fmt: skip
    study, _ = study_of(runs)
    by = {arm.pipeline: arm.label for arm in study.arms}
    labels = list(by.values())
    alone = [label for label in labels if scope.count(study, label) == 1]
    assert len(alone) == 2
    assert scope.about(study, "scratch") == ""
    assert scope.about(study, *alone) == f"about this encoder of {alone[0]} and this one of {alone[1]}"
    (varied,) = (label for label in labels if scope.count(study, label) == 2)
    assert scope.about(study, varied) == f"about 2 encoders of {varied}"
    assert scope.about(study, alone[0], varied) == f"about this encoder of {alone[0]}, 2 encoders of {varied}"


def test_folds_join_their_patients_and_a_patient_without_all_seeds_is_left_out():
    """The same seed tests patients 0 and 1 in one fold, 2 and 3 in another; of seed 1 the second fold is not there."""
    runs, _ = made(seeds=2)
    study, curves = study_of(runs)
    run_ids = study.runs.loc[
        (study.runs["arm"] == "scratch") & (study.runs["budget"] == 3), "run_id"
    ].tolist()
    gone = (curves["run_id"] == run_ids[1]) & (curves["step"] > 1)
    level = patients.levels(study, curves[~gone])[0]
    assert (level.arm, level.budget) == ("scratch", 3)
    assert (level.crossed.seeds, level.crossed.patients) == (2, 2)
    lost = curves["run_id"] == run_ids[1]
    nothing = curves.assign(value=curves["value"].mask(lost))  # a run whose scores are no numbers is none
    left, gone = (patients.levels(study, some)[0].crossed for some in (nothing, curves[~lost]))
    assert (left.estimate, left.seeds) == (gone.estimate, 1)
    assert patients.levels(study, curves.assign(value=float("nan"))) == ()


def test_stores_without_scores_of_patients_give_none(tmp_path):
    study, curves = study_of(planted_study.make(("scratch", "byol@target"), BUDGETS, seeds=3))
    assert patients.levels(study, curves) == ()
    assert patients.differences(study, curves, [("scratch", label_of(study, False))]) == ()
    text = patients.write(study, (), tmp_path).read_text()
    assert text == "arm,budget,metric,mean,low,high,low_seeds,high_seeds,seeds,encoders,patients\n"
    runs, _ = made(seeds=2)
    study, curves = study_of(runs)
    table = patients.frame(study, patients.levels(study, curves))
    assert table["encoders"].tolist() == [0, 0, 1, 1]
    assert patients.keys(study.runs) == ["test_patients/iou"]


def test_where_pretrainings_are_counted_further_ones_are_asked_for_and_not_fine_tunings() -> None:
    """More seeds from three encoders are no more units: the next command has more pretraining seeds."""
    runs = [*planted_study.encoders("byol@target")]
    for s, loss in enumerate((0.40, 0.50, 0.45) * 3):
        for name, value in (("scratch", 0.46 + 0.01 * (s % 2)), ("byol@target", loss)):
            runs.append(
                scored(
                    planted_study.finetune(name, 30, s, value),
                    {0: 1 - value},
                    f"sha{s % 3}" * (name != "scratch"),
                )
            )
    study, curves = study_of(runs)
    scores = measures.measure(study, curves)
    found = decisions.decide(study, scores, decisions.curves(study), budget=30)
    (row,), minutes = found.verdicts[0].rows, found.verdicts[0].minutes
    assert (row.unit, row.seeds, row.more.what, minutes) == ("pretraining", 3, "pretraining", (None,))
    assert (
        "3 pretrainings, permutation p"
        in matrices.of_verdicts(study, found.verdicts[0], {}).rows[-1][1][0].tip
    )
    sure = cards.cards(study, found)[2]
    assert "pretraining" in " ".join(sure.lines)
    assert not sure.command or "pretrain_seeds=0,1,2,3" in sure.command


def page_of(runs: list[Planted]) -> str:
    study, curves = study_of(runs)
    scores = measures.measure(study, curves)
    scored = patients.measure(study, curves, families.family(study))
    found = decisions.decide(study, scores, decisions.curves(study), budget=30, tested=scored.tested)
    return report.render(
        report.Page(study, found, (), (), {}, ("verdict", "scores"), "python", "", patients=scored)
    )


def test_the_page_says_what_varied_and_shows_what_holds_for_others():
    runs, truth = made()
    page = page_of(runs)
    label = "byol@acdc"
    assert f"There is one encoder of {label}: what is said of it is about this encoder" in page
    assert "Intervals over seeds are about these 4 test patients; for other patients see the scores." in page
    assert (
        page.count(f"about this encoder of {label}") >= 3
    )  # verdicts, grid, and the difference for other patients
    for pipeline, budget in truth:
        e = crossed(truth[pipeline, budget], bounds=(0.0, 1.0)).estimate
        assert f"{e.value:.3f}, {e.low:.3f} to {e.high:.3f}" in page
    e = crossed(truth["byol@target", 30] - truth["scratch", 30], bounds=(-1.0, 1.0)).estimate
    assert f"{e.value:+.3f}, {e.low:+.3f} to {e.high:+.3f}" in page


def test_the_page_counts_pretrainings_where_there_are_several_and_says_nothing_of_patients_it_does_not_know():
    runs, _ = made(encoders=3)
    page = page_of(runs)
    assert "There are several encoders, 3 of byol@acdc, and they are what is counted." in page
    assert "about 3 encoders of byol@acdc" in page
    assert "about this encoder" not in page
    plain = page_of(planted_study.make(("scratch", "byol@target"), BUDGETS, seeds=3))
    assert "Intervals over seeds are about these test patients, and about no others." in plain
    assert "left no scores patient by patient" in plain
    assert 'id="patients"' not in plain


def test_worth_and_advice_count_pretrainings_and_not_the_fine_tunings_from_them() -> None:
    """Nine seeds of three encoders a third of the error apart: three units, in every interval on slices."""
    sizes, rng = (3, 10, 30, 100, 300), np.random.default_rng(4)
    runs = [*planted_study.encoders("byol@target")]
    errors = {
        name: np.array([0.8 * n**-0.3 for n in sizes]) * rng.uniform(0.95, 1.05, (9, 5))
        for name in ("scratch", "byol@target")
    }
    errors["byol@target"] *= np.array([0.8, 1.0, 1.25] * 3)[:, None]
    for name, table in errors.items():
        for s in range(9):
            for k, n in enumerate(sizes):
                run = planted_study.finetune(name, n, s, float(table[s, k]))
                runs.append(scored(run, {0: 0.5}, f"sha{s % 3}" if name != "scratch" else ""))
    study, curves = study_of(runs)
    label = label_of(study, False)
    fitted = decisions.curves(study)
    mine, other = fitted.fitted[label], fitted.fitted["scratch"]
    d = errors["scratch"][:, 1] - errors["byol@target"][:, 2]
    wanted = students_t([d[k::3].mean() for k in range(3)])
    found = mean_difference(other.by_seed(10), mine.by_seed(30), mine.units, other.units)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))
    assert (wanted.low < 0, students_t(d).low > 0) == (True, True)  # nine "independent" seeds would call it
    assert (mine.note, other.note, other.units) == (WIDE, "", None)
    assert worth(mine, other, 30).match.low < worth(replace(mine, units=None), other, 30).match.low
    assert near_full(mine, 5.0).slices.low <= near_full(replace(mine, units=None), 5.0).slices.low
    means = np.stack([errors["byol@target"][k::3].mean(axis=0) for k in range(3)])
    bend = knee.knee(statistics.Cells(label, np.array(sizes, float), (0, 1, 2), means), label)
    assert (fitted.knees[label].p, fitted.knees[label].note) == (pytest.approx(bend.p), bend.note)
    drawn = fig4_scaling.data(study).parts[0]
    assert next(law.knee for law in drawn if law.arm.label == label) == fitted.knees[label]
    table = fig3a_convergence.data(study, curves).table
    mean = table[(table["arm"] == label) & (table["kind"] == "mean")].iloc[-1]
    ends = (
        table[(table["arm"] == label) & (table["kind"] == "seed")].groupby("seed")["value"].last().to_numpy()
    )
    band = students_t([ends[k::3].mean() for k in range(3)])
    assert (mean["low"], mean["high"]) == pytest.approx((band.low, band.high))
