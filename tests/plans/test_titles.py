"""Names of runs: what their first characters tell."""

from __future__ import annotations

import itertools

import pytest

from sslseg.config.params import Finetune
from sslseg.plans import studies, titles


def _cut(pipeline: str, budget: int | None, seed: int) -> str:
    p = Finetune(dataset="acdc", encoder="scratch", budget=budget, seed=seed)
    return titles.finetuning(p, pipeline)[: titles.WIDTH]


def test_twenty_characters_tell_every_cell_of_the_paper_s_study_from_the_others() -> None:
    cells = list(itertools.product(studies.SEVEN, (*studies.PAPER_BUDGETS, None), studies.PAPER_SEEDS))
    shown = [_cut(*cell) for cell in cells]
    assert len(set(shown)) == len(cells)
    for (_, budget, seed), text in zip(cells, shown, strict=True):
        words = text.split()
        assert words[1] == (f"n{budget}" if budget else "all")
        assert f"s{seed}".startswith(words[2])  # 1,498 slices and seed 1111 are beyond what there is room for
        assert words[2] == f"s{seed}" or len(f"{budget}{seed}") > 7


@pytest.mark.parametrize(
    ("pipeline", "budget", "name"),
    [
        ("scratch", None, "scratch all s2 acdc"),
        ("byol@target", 30, "byol@target n30 s2 acdc"),
        ("supervised+byol@target", 30, "sup+byol@tgt n30 s2 acdc"),
        ("scratch+mean_teacher", 30, "scratch+mt n30 s2 acdc"),
        ("supervised+frozen", 30, "sup+frozen n30 s2 acdc"),
        ("byol@natural+byol@target", 30, "byol@nat+tgt n30 s2 acdc"),
        ("byol@natural+moco@target", 30, "byol@n+moco@t n30 s2 acdc"),
        ("phantom+decoder", 30, "phantom+dec n30 s2 acdc"),
        ("masked@natural+decoder+masked@target", 30, "ma@n+dec+ma@t n30 s2 acdc"),
        ("supervised+byol@target", 1498, "sup+byo@tgt n1498 s2 acdc"),
    ],
)
def test_a_long_pipeline_is_written_shorter(pipeline: str, budget: int | None, name: str) -> None:
    p = Finetune(dataset="acdc", encoder="scratch", budget=budget, seed=2)
    assert titles.finetuning(p, pipeline) == name


def test_what_a_budget_counts_and_what_else_differs_is_told() -> None:
    p = Finetune(
        dataset="acdc", encoder="x", encoder_epoch=5, budget=4, budget_unit="patient", split="fold:1/5"
    )
    assert titles.finetuning(p, "byol@target") == "byol@target p4 s0 acdc epoch=5 split=fold:1/5"
    first = Finetune(dataset="acdc", encoder="x", encoder_epoch=0, budget=4)
    assert titles.finetuning(first, "byol@target") == "byol@target n4 s0 acdc epoch=0"
    assert titles.title("scratch+unimatch", "s0") == "scratch+um s0"  # as with a budget
