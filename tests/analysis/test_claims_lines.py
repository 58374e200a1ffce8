"""Which runs a claim is of, and what stands in them for what the paper had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest

from analysis import claims
from analysis.claims import Context
from analysis.claims.records import REPRODUCED, UNTESTED
from analysis.comparison import arms
from analysis.comparison.decisions import Curves
from analysis.comparison.measures import Measures
from tests.fixtures.planted_claims import (
    CLAIM,
    FULL,
    B,
    M,
    S,
    learned,
)


@pytest.mark.parametrize(
    ("device", "steps", "said"),
    [
        (["cpu", "V100"] * 50, ["500", "1050"] * 50, ["V100, cpu for a V100", "500, 1050 steps for 1,050"]),
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
        ("C4", mixed_networks, ["unknown network, resnet18, resnet50 for ResNet-50"]),
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
    sizes = dict.fromkeys(("C0", "C8", "C9"), (3, 30, 31, FULL)) | {"C7": (3, 30)}
    assert {name: claim.sizes(context) for name, claim in CLAIM.items()} == dict.fromkeys(
        CLAIM, (FULL,)
    ) | sizes
    assert not any("pretraining" in j.outcome for j in judged.values())  # there is no number
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


def test_the_line_of_a_claim_has_its_own_runs_and_what_they_differ_in(context, monkeypatch) -> None:
    monkeypatch.setattr(claims, "CLAIMS", (CLAIM["C10"],))
    (none,) = claims.judge(context)
    wanted = "wanted encoders kept after 3 or 4 epochs and later ones; there is none"
    assert (none.call, none.analogue, none.why, none.outcome, none.run_ids) == (UNTESTED, "", wanted, "", ())
    kept = tuple(learned(context, B, seed, 5.0, FULL, e, 1 / e) for e in (4, 10) for seed in range(5))
    (some,) = claims.judge(replace(context, measures=replace(context.measures, by_epoch=kept)))
    assert some.call == REPRODUCED
    assert some.run_ids == tuple(sorted(one.run_id for one in kept))
    assert some.outcome.endswith("; all runs start from the same pretraining")
