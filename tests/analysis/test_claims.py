"""Every claim of the paper: planted stores give all four verdicts, and substitutes decide nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from analysis import claims
from analysis.claims import CLAIMS, Judged
from analysis.claims.records import CONTRADICTED, INCONCLUSIVE, REPRODUCED, UNTESTED
from analysis.comparison import cells, decisions, measures
from sslseg.config import names
from tests.fixtures.planted import Planted
from tests.fixtures.planted_claims import FIVE, G1, G2, B, M, S, paper
from tests.fixtures.planted_study import curves_of, encoders, finetune, make, runs_of

BUDGETS = (3, 7, 15, 30, 75, 150, 1498)
SEEDS = 8
EPOCHS = (0, 4, 10)


@dataclass
class World:
    """A planted study in which each claim can be made true, false, or a matter of noise.

    Per pipeline: steps of one e-fold, final IoU, s.d. of it over seeds, and test loss by budget.
    """

    speed: dict[str, float] = field(default_factory=lambda: dict.fromkeys(FIVE, 60.0))
    final: dict[str, float] = field(default_factory=lambda: dict.fromkeys(FIVE, 0.8))
    spread: dict[str, float] = field(default_factory=lambda: dict.fromkeys(FIVE, 0.002))
    loss: dict[str, Callable[[float], float]] = field(default_factory=dict)
    speed_noise: float = 0.005  # s.d. of a logarithm
    loss_noise: float = 0.03
    epoch_final: dict[int, float] = field(default_factory=lambda: dict.fromkeys(EPOCHS, 0.8))
    minutes: float = 20.0
    minutes_noise: float = 0.05

    def runs(self) -> list[Planted]:
        rng = np.random.default_rng(3)
        made = [e for row in FIVE for e in encoders(row)]
        for row in FIVE:
            for seed in range(SEEDS):
                noise = rng.standard_normal(3)
                for n in BUDGETS:
                    at = max(EPOCHS) if row == B else None
                    made.append(self._run(row, n, seed, noise, rng.standard_normal(), at, self.final[row]))
                for e in EPOCHS[:-1] if row == B else ():
                    other = rng.standard_normal(3)
                    made += [self._run(row, n, seed, other, 0.0, e, self.epoch_final[e]) for n in BUDGETS]
        return list({run.name: run for run in made}.values())

    def _run(self, row, n, seed, noise, own, epoch, final) -> Planted:
        steps = np.arange(0, 1051, 7)
        fold = self.speed[row] * np.exp(self.speed_noise * noise[1])
        value = (final + self.spread[row] * noise[0]) * (1 - np.exp(-steps / fold))
        loss = float(self.loss[row](n) * np.exp(self.loss_noise * own))
        run = finetune(row, n, seed, loss, epoch, {"steps": "1050"})
        iou = value[-1] if row == S else 1 - loss  # what the specialist segments is told from its curve
        seconds = 60 * self.minutes * np.exp(self.minutes_noise * noise[2])
        metrics = {**run.metrics, "val/iou": list(zip(steps.tolist(), value.tolist(), strict=True)),
                   "cost/seconds": [(1050, seconds)], "test/iou": [(1050, iou)]}  # fmt: skip
        return replace(run, metrics=metrics, tags={**run.tags, "sslseg.device": "cuda: Tesla V100"})


def judged(runs: list[Planted], network: str = "resnet50") -> dict[str, Judged]:
    study = cells.study(runs_of(runs))
    scores = measures.measure(study, curves_of(runs))
    fitted = decisions.curves(study)
    networks = {arm.label: network for arm in study.arms}
    return {j.id: j for j in claims.judge(claims.context(study, scores, fitted, networks))}


def bent(n: float) -> float:
    """A power law to 45 slices, nearly flat beyond."""
    return 0.8 * min(n, 45.0) ** -0.45 * max(n / 45.0, 1.0) ** -0.05


def yes() -> list[Planted]:
    """Every claim holds: S and M have equal areas, M the lower end; B is four times as fast."""
    share = {G1: 0.68, G2: 0.8, S: 1.0, M: 1.2, B: 1.2}
    return World(
        speed={G1: 100.0, G2: 90.0, S: 180.0, M: 83.0, B: 22.0},
        final=dict.fromkeys(FIVE, 0.8) | {M: 0.72},
        spread={G1: 0.01, G2: 0.01, S: 0.004, M: 0.004, B: 0.0005},
        loss={row: (lambda n, s=s: s * bent(n)) for row, s in share.items()},
    ).runs()


def no() -> list[Planted]:
    """Every claim is false, and the specialist's encoder is not what its runs say."""
    share = {S: 1.0, M: 0.8, B: 0.8}
    runs = World(
        speed={G1: 30.0, G2: 30.0, S: 30.0, M: 250.0, B: 90.0},
        final=dict.fromkeys(FIVE, 0.8) | {S: 0.7, M: 0.85},
        spread=dict.fromkeys(FIVE, 0.001) | {B: 0.02},
        loss={row: (lambda n, s=s: s * bent(n)) for row, s in share.items()}
        | {row: (lambda n: 0.5 * min(n / 9.0, 1.0) ** -0.6 * max(n / 9.0, 1.0) ** -0.15) for row in (G1, G2)},
        epoch_final={0: 0.2, 4: 0.4, 10: 0.8},
        minutes=60.0,
    ).runs()
    lie = {names.TAG_UPSTREAM_RUN: encoders(G2)[-1].run_id}
    return [replace(r, tags={**r.tags, **lie}) if r.name.startswith(f"{S}/") else r for r in runs]


def noise(fast: float = 27.0) -> list[Planted]:
    """Nothing can be told, and a run that encoders come from is gone.

    Args:
        fast: steps of one e-fold of B; at 100 all are as fast.
    """
    runs = World(
        speed=dict.fromkeys(FIVE, 100.0) | {B: fast},
        final=dict.fromkeys(FIVE, 0.8) | {S: 0.75},
        spread=dict.fromkeys(FIVE, 0.08),
        loss={row: (lambda n: 0.5 * min(n, 110.0) ** -0.3) for row in FIVE},
        speed_noise=0.6,
        loss_noise=0.35,
        minutes=29.0,
        minutes_noise=0.4,
    ).runs()
    return [r for r in runs if r.name != "supervised"]


@pytest.fixture(scope="module")
def verdicts() -> dict[str, list[str]]:
    """Claim -> its call where all claims hold, where none does, in noise, in noise with all as fast, and without runs."""
    with pytest.MonkeyPatch.context() as patch:
        paper(patch)
        stores = [yes(), no(), noise(), noise(100.0), make(("scratch",), (3, 30), 3)]
        found = [judged(store) for store in stores]
    return {claim.id: [one[claim.id].call for one in found] for claim in CLAIMS}


@pytest.mark.parametrize("claim", [c.id for c in CLAIMS])
def test_each_planted_store_gives_its_own_verdict(verdicts, claim: str) -> None:
    faster = {"C1": [REPRODUCED, INCONCLUSIVE]} | dict.fromkeys(("C2", "C3"), [INCONCLUSIVE, CONTRADICTED])
    in_noise = faster.get(claim, [INCONCLUSIVE, INCONCLUSIVE])
    assert verdicts[claim] == [REPRODUCED, CONTRADICTED, *in_noise, UNTESTED]


def test_a_substitute_leaves_a_claim_untested_with_its_analogue() -> None:
    runs = make(FIVE, BUDGETS[:5], 4)  # byol@photos
    found = judged(runs, "tf_efficientnet_lite0")
    assert {j.call for j in found.values()} == {UNTESTED}
    assert found["C0"].analogue == REPRODUCED
    assert found["C0"].why == "analogue: byol@photos for byol@imagenet; tf_efficientnet_lite0 for ResNet-50"
    assert found["C9"].why == "analogue: tf_efficientnet_lite0 for ResNet-50"
    assert "unknown device for a V100" in found["C11"].why


@pytest.fixture(scope="module")
def true_store() -> list[Planted]:
    with pytest.MonkeyPatch.context() as patch:
        paper(patch)
        return yes()


@pytest.mark.parametrize("row", FIVE)
def test_without_a_pipeline_exactly_its_claims_are_untested(row: str, true_store) -> None:
    left = judged([run for run in true_store if not run.name.startswith(f"{row}/")])
    assert {key for key, j in left.items() if j.call == UNTESTED} == {c.id for c in CLAIMS if row in c.rows}
    assert row in left["C0"].why


def test_each_claim_names_its_runs_and_says_what_would_reproduce_it(true_store) -> None:
    there = {run.run_id for run in true_store}
    for j in judged(true_store).values():
        assert j.run_ids, j.id
        assert set(j.run_ids) <= there
        assert list(j.run_ids) == sorted(j.run_ids)
        assert j.criterion
        assert j.outcome


def test_speed_is_not_mistaken_for_level() -> None:
    """Hierarchical pipelines end lower and get there sooner: their area is smaller, and C1 holds all the same."""
    with pytest.MonkeyPatch.context() as patch:
        paper(patch)
        runs = World(
            speed=dict.fromkeys(FIVE, 200.0) | {M: 60.0, B: 50.0},
            final=dict.fromkeys(FIVE, 0.8) | {M: 0.5, B: 0.5},
            loss=dict.fromkeys(FIVE, bent),
        ).runs()
        found = judged(runs)
    assert found["C4"].call == CONTRADICTED
    assert found["C1"].call == REPRODUCED
    # e-folds of 200 against 55: 3.65 times, of curves that in 1,050 steps are not quite at their end
    assert found["C1"].effect.value == pytest.approx(200 / (60 * 50) ** 0.5, rel=0.06)


def test_pretrainings_are_counted_where_there_are_several() -> None:
    """Eight seeds from three encoders of each pipeline are three units."""
    with pytest.MonkeyPatch.context() as patch:
        paper(patch)
        sha = names.TAG_UPSTREAM_SHA
        runs = [
            replace(r, tags={**r.tags, sha: f"{r.tags[sha]}-{int(r.cfg['seed']) % 3}"})
            if "/n=" in r.name
            else r
            for r in yes()
        ]
        found = judged(runs)
    assert "n = 3" in found["C2"].outcome
    assert "n = 3" in found["C4"].outcome
    assert "n = 3" in found["C1"].outcome
    assert "the runs of supervised and byol@imagenet" in found["C1s"].outcome
    assert found["C1s"].outcome.endswith(" start from several pretrainings")
