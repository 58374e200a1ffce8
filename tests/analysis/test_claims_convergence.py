"""Thresholds of C1 to C6 and C10, where the answer is known beforehand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.claims import Context
from analysis.claims.records import CONTRADICTED, INCONCLUSIVE, REPRODUCED, UNTESTED
from analysis.comparison.measures import Learned
from analysis.statistics.records import Estimate, Refusal
from analysis.statistics.verdicts import arrival, stability
from tests.fixtures.planted_claims import (
    CLAIM,
    FIVE,
    FULL,
    G1,
    G2,
    B,
    M,
    S,
    found,
    learned,
    level,
    levels,
)


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
    decoys = levels(
        context, {row: 1 - 2 * v for row, v in values.items()}, 30
    )  # fewer data are not looked at
    said = found(context, claim, **{key: [*decoys, *levels(context, values)]})
    assert (said.call, said.effect.value) == (call, pytest.approx(least, abs=1e-3))


def test_pairs_without_runs_leave_a_claim_open_and_are_named(context) -> None:
    patients = replace(context, study=replace(context.study, unit="patient"))
    said = found(patients, "C4", area=levels(context, {S: 0.6, M: 0.6, B: 0.8}))
    assert said.call == INCONCLUSIVE
    lack = "insufficient evidence: byol@imagenet+byol@acdc and {} have 0 pairs of equal seed and subset at 1,498 patients"
    for other in ("supervised", "byol@imagenet"):
        assert lack.format(other) in said.text
    assert found(context, "C4", area=levels(context, {S: 0.9, M: 0.6, B: 0.8})).call == CONTRADICTED


@pytest.mark.parametrize(
    ("claim", "key", "values", "seeds"),
    [
        ("C4", "area", {G1: 0.6, G2: 0.6, S: 0.7, M: 0.65, B: 0.8}, 5),
        ("C5", "final_iou", {G1: 0.6, G2: 0.6, S: 0.65, M: 0.5, B: 0.7}, 5),
        ("C6", "area", {S: 0.8, M: 0.8}, 30),
    ],
)
def test_a_collapse_at_any_size_leaves_a_claim_open_and_so_does_a_missing_run(
    context, claim, key, values, seeds
) -> None:
    """As in the page's tables: a run with 30 slices has an IoU of a hundredth, or is not there."""
    own = max(values, key=values.__getitem__)
    scores = [s for n in (30, FULL) for s in levels(context, values, n, seeds)]
    odd = (context.labels[own], 30, 4)
    sunk = [replace(s, value=0.01) if (s.pipeline, s.budget, s.seed) == odd else s for s in scores]
    holes = replace(context, measures=replace(context.measures, holes={odd[0]: frozenset({odd[1:]})}))
    calls = [
        found(c, claim, **{key: some}).call
        for c, some in ((context, scores), (context, sunk), (holes, scores))
    ]
    assert calls == [REPRODUCED, INCONCLUSIVE, INCONCLUSIVE]


@pytest.mark.parametrize(("seeds", "call"), [(29, REPRODUCED), (28, INCONCLUSIVE)])
@pytest.mark.parametrize("apart", [-0.007, 0.007])
def test_a_sure_difference_within_the_margin_contradicts_no_equivalence(context, seeds, call, apart) -> None:
    """Too few runs to call it equivalent show no difference that matters."""
    said = found(context, "C6", area=levels(context, {S: 0.8 + apart, M: 0.8}, seeds=seeds))
    assert (said.call, said.effect.value) == (call, pytest.approx(apart, abs=1e-3))
    assert ("29 runs of each without a collapse are wanted" in said.text) is (seeds == 28)
    kept = tuple(
        learned(context, B, i, 5.0, FULL, e, 0.8 + apart * (e < 9)) for e in (4, 10) for i in range(seeds)
    )
    epochs = CLAIM["C10"].rule(replace(context, measures=replace(context.measures, by_epoch=kept)))
    assert epochs.call == (REPRODUCED if apart > 0 else call)
    assert ("are wanted" in epochs.text) is (
        seeds == 28 and apart < 0
    )  # surely better wants no proof of the rest
    if apart > 0:  # of "larger than any other" it is one against
        better = levels(context, {G1: 0.6, G2: 0.6, M: 0.6, S: 0.8 + apart, B: 0.8}, seeds=seeds)
        assert found(context, "C4", area=better).call == CONTRADICTED


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
    measured = replace(context.measures, learned=(*runs, *decoys))
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


def several(c: Context) -> Context:
    """Seeds 0 and 1 start from one encoder, 2 and 3 from another one."""
    runs = c.study.runs
    starts = [f"{arm} {seed // 2}" for arm, seed in zip(runs["arm"], runs["seed"], strict=True)]
    return replace(c, study=replace(c.study, runs=runs.assign(upstream_sha256=starts)))


def test_of_several_pretrainings_each_is_the_mean_of_its_seeds(context, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(
        stability, "ratio_of_spread", lambda a, b, level: seen.append(b.tolist()) or Refusal("no")
    )
    monkeypatch.setattr(
        arrival, "ratio_of_steps", lambda a, b: seen.append([t.steps for t in b]) or Refusal("no")
    )
    scores = [s for row in FIVE for s in level(context, row, [0.8, 0.9, 0.4, 0.6])]
    found(several(context), "C1s", area=scores)
    assert seen == [pytest.approx([0.85, 0.5])] * 4
    runs = tuple(learned(context, row, s, n) for row in FIVE for s, n in enumerate((20.0, 80.0, 30.0, 30.0)))
    CLAIM["C3"].rule(replace(several(context), measures=replace(context.measures, learned=runs)))
    assert seen[4:] == [pytest.approx([40.0, 30.0])]


def test_a_mean_of_times_is_open_as_soon_as_one_is(context, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(
        arrival, "ratio_of_steps", lambda a, b: seen.append((a[0].reached, b[0].reached)) or Refusal("no")
    )
    runs = [replace(learned(context, row, 0, 20.0), final=0.9 if row == G2 else 0.8) for row in FIVE]
    for name in ("C2", "C3"):
        CLAIM[name].rule(replace(context, measures=replace(context.measures, learned=tuple(runs))))
    assert seen == [(False, True), (True, True)]
