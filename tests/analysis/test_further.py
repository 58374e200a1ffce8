"""What would settle more: for each thing that a verdict can lack its sentence, and the sweep that runs just that."""

from __future__ import annotations

import pytest

from analysis.comparison import cells
from analysis.comparison.cells import Study
from analysis.comparison.decisions import Choice
from analysis.page import further
from analysis.statistics.records import Estimate, Refusal
from analysis.statistics.verdicts.power import MoreSeeds
from analysis.statistics.verdicts.records import Unproven, Verdict
from sslseg.config import params
from tests.analysis.test_cards import sweep_of
from tests.fixtures.planted_study import finetune, make, runs_of

BOTH = ("scratch", "supervised")


@pytest.fixture(scope="module")
def study() -> Study:
    """Five seeds of three pipelines at two sizes, and two further seeds of scratch with 3 slices."""
    more = [finetune("scratch", 3, seed, 0.5) for seed in (5, 6)]
    return cells.study(runs_of([*make((*BOTH, "byol@target"), (3, 30), 5), *more]))


def lead(unit: str = "seed", **given) -> Verdict:
    fixed = {"call": "undecided", "effect": Estimate(0.1, -0.1, 0.3), "level": 0.95, "p": 0.5, "least_p": 0.1,
             "seeds": 5, "margin": 0.01, "more": None, "note": "", "unit": unit}  # fmt: skip
    return Verdict("supervised", "scratch", 30, **fixed | given)


def decides(study: Study, found: Verdict | Refusal) -> tuple[str, params.Sweep | None]:
    told, command = further.decides(study, Choice(30, "supervised", 0.3, "scratch", found, False), 30)
    assert told.endswith(":") == bool(command)
    asked = sweep_of(command) if command else None
    assert asked is None or set(asked.pipelines) == set(BOTH)
    return told, asked


def test_too_few_pairs_want_seeds_of_both_at_this_size(study) -> None:
    told, asked = decides(study, Refusal("few"))
    assert told == "3 seeds of both with 30 slices would say more, against random weights:"
    assert (asked.seeds, asked.budgets) == (tuple(range(7)), (30,))  # those that one of them has somewhere


@pytest.mark.parametrize(("least", "proposed"), [(5, 10), (17, 22), (18, 0), (None, 0)])
def test_more_seeds_are_proposed_up_to_the_look_at_twenty(study, least: int | None, proposed: int) -> None:
    told, asked = decides(study, lead(more=MoreSeeds(least, None)))
    assert (len(asked.seeds), asked.budgets) == (proposed, (30,)) if proposed else asked is None
    assert told.endswith("the runs scatter more than they differ.") is not bool(proposed)


def test_more_pretrainings_are_pretrained(study) -> None:
    _, asked = decides(study, lead("pretraining", more=MoreSeeds(2, 7, "pretraining")))
    assert (asked.pretrain_seeds, asked.seeds, asked.budgets) == (tuple(range(7)), tuple(range(7)), (30,))


@pytest.mark.parametrize(
    ("unit", "lacks", "proposed"),
    [("seed", Unproven("few", 29), 15), ("seed", Unproven("a run is missing"), 0),
     ("pretraining", Unproven("few", 29), 0)],
)  # fmt: skip
def test_equivalence_wants_runs_at_all_sizes_that_both_have(
    study, unit: str, lacks: Unproven, proposed: int
) -> None:
    told, asked = decides(study, lead(unit, unproven=lacks))
    assert f"lies within 0.01 IoU, but they are not called equivalent: {lacks.why}" in told
    assert (len(asked.seeds), asked.budgets) == (proposed, (3, 30)) if proposed else asked is None


def test_the_sweep_is_the_one_that_these_runs_are_of_with_what_their_preset_has_otherwise(study) -> None:
    assert sweep_of(further.again(study, (0, 1))).budgets == (3, 30)
    command = further.again(study, (0,), (30,))
    assert "--preset cpu" in command
    assert "--finetune" not in command
    runs = make(BOTH, (3, 30), 2)
    other = [finetune(p, n, s, 0.4, cfg={"steps": "399"}) for p in BOTH for n in (3, 30) for s in (0, 1)]
    asked = further.again(cells.study(runs_of([*(r for r in runs if "/n=" not in r.name), *other])), (0,))
    assert "--finetune steps=399" in asked
