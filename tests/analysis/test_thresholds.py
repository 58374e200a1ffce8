"""Every threshold of the paper's claims, and what each is asked of, where the answer is known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from analysis import claims
from analysis.claims import CLAIMS, Context, amounts
from analysis.claims.records import CONTRADICTED, INCONCLUSIVE, REPRODUCED, UNTESTED, Outcome
from analysis.comparison import arms, cells
from analysis.comparison.decisions import Curves
from analysis.comparison.measures import Learned, Measures
from analysis.statistics.curves import Curve
from analysis.statistics.laws import knee
from analysis.statistics.records import Estimate, Refusal, Score
from analysis.statistics.verdicts import arrival, stability
from tests.analysis.test_claims import FIVE, G1, G2, B, M, S, paper
from tests.fixtures.planted_study import make, runs_of

FULL = 1498
CLAIM = {claim.id: claim for claim in CLAIMS}
LEVELS = {"minutes": B, "test_iou": S}


@pytest.fixture(scope="module")
def context() -> Context:
    with pytest.MonkeyPatch.context() as patch:
        paper(patch)
        study = cells.study(runs_of(make(FIVE, (3, 30, 31, FULL), 5)))
    fitted = {arm.label: SimpleNamespace(sizes=(3, FULL), label=arm.label) for arm in study.arms}
    networks = {arm.label: "resnet50" for arm in study.arms}
    return claims.context(study, Measures({}, (), ()), Curves(fitted, {}), networks)


def found(c: Context, claim: str, **scores: list[Score]) -> Outcome | Refusal:
    return CLAIM[claim].rule(replace(c, measures=replace(c.measures, scores=scores)))


def level(c: Context, row: str, values: list[float], budget: int = FULL) -> list[Score]:
    return [Score(c.labels[row], budget, i, str(i), v) for i, v in enumerate(values)]


def levels(c: Context, wanted: Mapping[str, float], budget: int = FULL, seeds: int = 30) -> list[Score]:
    """Seeds of each pipeline that are within a ten-thousandth of what is wanted."""
    near = np.linspace(-1e-4, 1e-4, seeds)
    return [
        s
        for i, (row, v) in enumerate(wanted.items())
        for s in level(c, row, [*(v + np.roll(near, 7 * i))], budget)
    ]


@pytest.mark.parametrize(
    ("claim", "values", "call"),
    [
        ("C11", [20.0] * 3, REPRODUCED), ("C11", [13.4] * 3, REPRODUCED), ("C11", [29.9] * 3, REPRODUCED),
        ("C11", [13.3] * 3, CONTRADICTED), ("C11", [30.1] * 3, CONTRADICTED), ("C11", [10.0, 20.0, 40.0], INCONCLUSIVE),
        ("C12", [0.751] * 3, REPRODUCED), ("C12", [0.749] * 3, CONTRADICTED), ("C12", [0.6, 0.75, 0.9], INCONCLUSIVE),
    ],
)  # fmt: skip
def test_minutes_and_iou_are_those_of_one_pipeline_on_all_data(context, claim, values, call) -> None:
    key = {"C11": "minutes", "C12": "test_iou"}[claim]
    decoys = [*level(context, G1, [500.0] * 4), *level(context, LEVELS[key], [500.0] * 4, 30)]
    said = found(context, claim, **{key: [*decoys, *level(context, LEVELS[key], values)]})
    mean = np.exp(np.mean(np.log(values))) if claim == "C11" else np.mean(values)
    assert (said.call, said.effect.value) == (call, pytest.approx(mean))
    assert said.text.endswith("n = 3")
    few = found(context, claim, **{key: level(context, LEVELS[key], values[:2])})
    assert few.reason.endswith("ed runs, at least 3 are wanted")


@pytest.mark.parametrize(
    ("low", "high", "evident", "call"),
    [(10.1, 224.0, True, REPRODUCED), (9.9, 100.0, True, INCONCLUSIVE), (50.0, 226.0, True, INCONCLUSIVE),
     (1.0, 29.9, True, CONTRADICTED), (75.1, 300.0, True, CONTRADICTED), (40.0, 60.0, False, INCONCLUSIVE)],
)  # fmt: skip
def test_the_knee_is_that_of_the_generalists_mean(context, monkeypatch, low, high, evident, call) -> None:
    seen: list[Score] = []

    def bend(pooled: list[Score], name: str) -> SimpleNamespace:
        seen.extend(pooled)
        size = Estimate(50.0, low, high)
        return SimpleNamespace(size=size, evident=evident, p=0.4, slope_before=-0.45, slope_after=-0.05)

    monkeypatch.setattr(knee, "knee", bend)
    both = [*level(context, G1, [0.2, 0.4], 3), *level(context, G2, [0.6], 3), *level(context, M, [0.9], 3)]
    said = found(context, "C8", test_loss=both)
    assert seen == [Score("generalist", 3, 0, "0", pytest.approx(0.4))]  # seed 1 lacks one of the two
    assert (said.call, said.effect.low) == (call, low)
    assert said.text.startswith(f"knee at 50 [{low:.3g}, {high:.3g}] slices, slope -0.45 before, -0.05 after")
    assert ("a straight line is not ruled out (p = 0.4)" in said.text) is not evident
    assert isinstance(found(context, "C8", test_loss=level(context, G1, [0.2, 0.4], 3)), Refusal)


@pytest.mark.parametrize(
    ("low", "high", "call"),
    [(5.0, 99.9, REPRODUCED), (5.0, 100.0, INCONCLUSIVE), (99.9, 300.0, INCONCLUSIVE), (100.0, 300.0, CONTRADICTED)],
)  # fmt: skip
def test_few_slices_are_those_within_five_percent_of_the_score(context, monkeypatch, low, high, call) -> None:
    def near(fit: SimpleNamespace, percent: float) -> SimpleNamespace:
        assert (fit.label, percent) == ("supervised", 5.0)
        return SimpleNamespace(slices=Estimate(50.0, low, high))

    monkeypatch.setattr(amounts, "near_full", near)
    said = found(context, "C9")
    assert said.call == call
    assert said.text == f"within 5 % of the score at 1498 slices: 50 [{low:.3g}, {high:.3g}] slices"


@pytest.mark.parametrize(
    ("changed", "call"),
    [({}, REPRODUCED), ({G2: 0.1}, CONTRADICTED), ({G2: 0.99}, CONTRADICTED), ({S: 0.1}, CONTRADICTED)],
)
def test_little_data_are_up_to_thirty_slices(context, changed, call) -> None:
    """Of more slices the opposite is planted. One of the generalists may be worse than a hierarchical one."""
    loss = {G1: 0.3, G2: 0.4, S: 0.9, M: 0.45, B: 0.45}
    little = [s for n in (3, 30) for s in levels(context, loss | changed, n)]
    much = [s for n in (31, FULL) for s in levels(context, {row: 1 - v for row, v in loss.items()}, n)]
    said = found(context, "C7", test_loss=[*little, *much])
    assert said.call == call
    assert CLAIM["C7"].sizes(context) == (3, 30)
    mean = (0.3 + (loss | changed)[G2]) / 2 - 0.45
    assert said.effect.value == pytest.approx(-mean, abs=1e-3)  # positive: better


@pytest.mark.parametrize(
    ("claim", "key", "values", "call", "least"),
    [
        ("C4", "area", {G1: 0.6, G2: 0.6, S: 0.7, M: 0.65, B: 0.8}, REPRODUCED, 0.1),
        ("C4", "area", {G1: 0.6, G2: 0.6, S: 0.82, M: 0.6, B: 0.8}, CONTRADICTED, -0.02),
        ("C4", "area", {G1: 0.6, G2: 0.6, S: 0.8, M: 0.6, B: 0.8}, CONTRADICTED, 0.0),
        ("C5", "final_iou", {G1: 0.9, G2: 0.8, S: 0.8, M: 0.6, B: 0.7}, REPRODUCED, -0.1),
        ("C5", "final_iou", {G1: 0.9, G2: 0.8, S: 0.8, M: 0.6, B: 0.5}, CONTRADICTED, 0.1),
        ("C6", "area", {S: 0.8, M: 0.807}, REPRODUCED, -0.007),
        ("C6", "area", {S: 0.8, M: 0.82}, CONTRADICTED, -0.02),
        ("C6", "area", {S: 0.82, M: 0.8}, CONTRADICTED, 0.02),
    ],
)  # fmt: skip
def test_one_pipeline_against_the_others_has_the_effect_that_speaks_least_for_the_claim(
    context, claim, key, values, call, least
) -> None:
    said = found(context, claim, **{key: levels(context, values)})
    assert (said.call, said.effect.value) == (call, pytest.approx(least, abs=1e-3))


def test_pairs_without_runs_leave_a_claim_open_and_are_counted(context) -> None:
    said = found(context, "C4", area=levels(context, {S: 0.6, M: 0.6, B: 0.8}))
    assert said.call == INCONCLUSIVE
    assert said.text.endswith(" (and 1 more pairs)")
    assert found(context, "C4", area=levels(context, {S: 0.9, M: 0.6, B: 0.8})).call == CONTRADICTED


@pytest.mark.parametrize(("seeds", "call"), [(29, REPRODUCED), (28, INCONCLUSIVE)])
@pytest.mark.parametrize("apart", [-0.007, 0.007])
def test_a_sure_difference_within_the_margin_contradicts_no_equivalence(context, seeds, call, apart) -> None:
    """Too few runs to call it equivalent show no difference that matters."""
    said = found(context, "C6", area=levels(context, {S: 0.8 + apart, M: 0.8}, seeds=seeds))
    assert (said.call, said.effect.value) == (call, pytest.approx(apart, abs=1e-3))
    assert ("29 runs of each without a collapse are wanted" in said.text) is (seeds == 28)


def learned(
    c: Context, row: str, seed: int, step: float, budget: int = FULL, epoch: int = -1, area: float = 0.5
) -> Learned:
    """A run that is there at `step`, and at nothing one step before it."""
    curve = Curve(np.array([0.0, step - 1, step, step + 1]), np.array([0.0, 0.0, 0.8, 0.8]))
    run = f"{row} {budget} {seed} {epoch}"
    return Learned(c.labels[row], budget, seed, str(seed), run, epoch, curve, area, 0.1, 0.8)


@pytest.mark.parametrize(
    ("claim", "low", "high", "call"),
    [
        ("C1", 1.01, 9.0, REPRODUCED), ("C1", 0.5, 0.99, CONTRADICTED), ("C1", 0.99, 9.0, INCONCLUSIVE),
        *((claim, *row) for claim in ("C2", "C3") for row in (
            (2.67, 7.49, REPRODUCED), (2.66, 7.0, INCONCLUSIVE), (4.0, 7.51, INCONCLUSIVE),
            (1.0, 3.99, CONTRADICTED), (5.01, 9.0, CONTRADICTED))),
    ],
)  # fmt: skip
def test_times_are_geometric_means_of_runs_on_all_data(context, monkeypatch, claim, low, high, call) -> None:
    seen = []

    def ratio(slow: list, fast: list) -> Estimate:
        seen.extend([[t.steps for t in slow], [t.steps for t in fast]])
        return Estimate(4.5, low, high, "1 of 2 pairs censored")

    monkeypatch.setattr(arrival, "ratio_of_steps", ratio)
    steps = {G1: 100.0, G2: 400.0, S: 800.0, M: 20.0, B: 80.0}
    runs = [learned(context, row, seed, n * (1 + seed)) for row, n in steps.items() for seed in (0, 1)]
    decoys = [learned(context, row, 0, 7.0, budget=30) for row in FIVE] + [learned(context, B, 9, 7.0)]
    measured = replace(context.measures, learned=(*decoys, *runs))
    said = CLAIM[claim].rule(replace(context, measures=measured))
    slow = {"C1": (G1, G2, S), "C2": (G1, G2, S, M), "C3": (G1,)}[claim]
    fast = (M, B) if claim == "C1" else (B,)
    for side, rows in zip(seen, (slow, fast), strict=True):
        mean = np.exp(np.mean([np.log(steps[row]) for row in rows]))
        assert side == pytest.approx([mean, 2 * mean])
    assert (said.call, said.effect.value) == (call, 4.5)
    assert said.text.endswith(", n = 2; 1 of 2 pairs censored")


@pytest.mark.parametrize(
    ("low", "high", "call"), [(1.01, 9.0, REPRODUCED), (0.5, 0.99, CONTRADICTED), (0.99, 9.0, INCONCLUSIVE)]
)
def test_stability_is_that_of_the_areas_with_four_corrected_intervals(
    context, monkeypatch, low, high, call
) -> None:
    def ratio(theirs: np.ndarray, mine: np.ndarray, *, level: float) -> Estimate:
        assert (mine.tolist(), level) == ([0.8, 0.9], 1 - 0.05 / 4)
        return Estimate(2.0 + theirs[0], low, high)  # the one with the smallest area is the least

    monkeypatch.setattr(stability, "ratio_of_spread", ratio)
    own = {G1: 0.3, G2: 0.1, S: 0.2, M: 0.4}
    scores = [s for row, v in own.items() for s in level(context, row, [v, v])]
    said = found(context, "C1s", area=[*scores, *level(context, B, [0.8, 0.9, 0.5])])
    assert (said.call, said.effect.value) == (call, 2.1)
    assert "supervised 2.3 [" in said.text


@pytest.mark.parametrize(
    ("areas", "call", "words"),
    [
        ({4: 0.8}, UNTESTED, "there is 4"), ({3: 0.8, 4: 0.8}, UNTESTED, "there is 3, 4"),
        ({2: 0.8, 5: 0.8}, UNTESTED, "there is 2, 5"), ({}, UNTESTED, "there is none"),
        ({3: 0.8, 5: 0.805}, REPRODUCED, "3 epochs"), ({3: 0.2, 4: 0.8, 7: 0.2, 10: 0.8}, REPRODUCED, "4 epochs"),
        ({4: 0.9, 10: 0.8}, REPRODUCED, "10 epochs"), ({4: 0.7, 10: 0.8}, CONTRADICTED, "10 epochs"),
    ],
)  # fmt: skip
def test_few_epochs_are_three_or_four_and_are_set_against_the_last(context, areas, call, words) -> None:
    def kept(row: str, shift: float) -> list[Learned]:
        return [
            learned(context, row, seed, 5.0, n, e, v + shift + 1e-5 * ((7 * e + 3 * seed) % 10))
            for e, v in areas.items() for n in (3, FULL) for seed in range(30)
        ]  # fmt: skip

    measured = replace(context.measures, by_epoch=(*kept(B, 0.0), *kept(S, -0.5)))
    said = CLAIM["C10"].rule(replace(context, measures=measured))
    assert said.call == call
    assert words in said.text
    ends = {max(e for e in areas if e in (3, 4)), max(areas)} if call != UNTESTED else set()
    assert set(said.run_ids) == {f"{B} {n} {seed} {e}" for e in ends for n in (3, FULL) for seed in range(30)}


@pytest.mark.parametrize(
    ("device", "steps", "said"),
    [
        ("cuda: Tesla V100", "1050", []),
        ("", "1050", ["unknown device for a V100"]),
        ("cpu", "500", ["cpu for a V100", "500 steps for 1,050"]),
    ],
)
def test_time_is_that_of_the_papers_machine_and_length(context, device, steps, said) -> None:
    runs = context.study.runs.assign(device=device, **{"cfg.steps": steps})
    assert CLAIM["C11"].substitutes(replace(context, study=replace(context.study, runs=runs))) == said


def mixed_networks(c: Context) -> Context:
    return replace(c, architectures=c.architectures | {c.labels[S]: "", c.labels[M]: "resnet18"})


def other_data(c: Context) -> Context:
    return replace(c, study=replace(c.study, dataset="mnms"))


@pytest.mark.parametrize(
    ("claim", "change", "said"),
    [
        ("C9", mixed_networks, []), ("C9", other_data, ["mnms for ACDC"]),
        ("C6", mixed_networks, ["unknown network, resnet18 for ResNet-50"]),
        ("C12", other_data, ["byol@acdc for byol@imagenet", "mnms for ACDC"]), ("C4", lambda c: c, []),
    ],
)  # fmt: skip
def test_what_stands_for_what_the_paper_had(
    context, claim: str, change: Callable[[Context], Context], said: list[str]
) -> None:
    assert claims.substitutes(change(context), CLAIM[claim]) == said


def test_a_claim_is_of_its_own_pipelines_at_its_own_sizes(context, monkeypatch) -> None:
    runs = context.study.runs.set_index("run_id")
    empty = dict.fromkeys(("minutes", "test_iou", "test_loss", "area", "final_iou"), ())
    monkeypatch.setattr(claims, "CLAIMS", tuple(CLAIM[name] for name in ("C7", "C11", "C12")))
    judged = {j.id: j for j in claims.judge(replace(context, measures=Measures(empty, (), ())))}
    of = {
        key: {*runs.loc[list(j.run_ids), ["arm", "budget"]].itertuples(index=False, name=None)}
        for key, j in judged.items()
    }
    assert of["C12"] == {("byol@acdc", FULL)}
    assert of["C11"] == {("byol@imagenet+byol@acdc", FULL)}
    assert {budget for _, budget in of["C7"]} == {3, 30}
    assert claims.varied(context, CLAIM["C12"]) == "all runs start from the same pretraining"
    assert claims.varied(context, CLAIM["C6"]) == "all runs of a pipeline start from the same pretraining"


def test_of_several_sources_imagenet_stands_for_a_pipeline() -> None:
    pairs = [
        ("byol@natural", "byol@imagenet100"),
        ("byol@natural", "byol@a"),
        ("byol@natural", "byol@photos"),
    ]
    study = SimpleNamespace(arms=arms.arms(pairs))
    assert claims.context(study, Measures({}, (), ()), Curves({}, {}), {}).labels == {
        "byol@natural": "byol@imagenet100"
    }
