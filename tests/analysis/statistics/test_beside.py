"""What the other pipelines show beside a pair, against the definition written out run by run."""

from __future__ import annotations

from statistics import fmean

import numpy as np
import pytest

from analysis.statistics.records import Score
from analysis.statistics.verdicts.beside import board

NAMES, BUDGETS, SEEDS = "abcdef", (10, 30), range(6)


def drawn(subsets: int, rng: np.random.Generator) -> dict[str, list[Score]]:
    """Every cell of the pair a and b; one in twenty runs of the others is missing."""
    return {
        name: [
            Score(name, n, s, str(k), float(rng.standard_normal()))
            for n in BUDGETS for s in SEEDS for k in range(subsets) if name in "ab" or rng.random() > 0.05
        ]
        for name in NAMES
    }  # fmt: skip


def by_unit(found: dict[tuple[int, int], float], units: dict[int, int], read: list[int]) -> list[float]:
    """The mean over budgets of the means over the seeds of a unit; empty where one of them has no run."""
    cells = [
        [[found[n, s] for s in SEEDS if units[s] == u and (n, s) in found] for n in BUDGETS] for u in read
    ]
    return [fmean(map(fmean, own)) for own in cells] if all(all(own) for own in cells) else []


@pytest.mark.parametrize("subsets", [1, 3])
@pytest.mark.parametrize("several", [False, True])
def test_it_is_the_mean_over_subsets_seeds_and_budgets(subsets: int, several: bool) -> None:
    runs = drawn(subsets, np.random.default_rng(subsets))
    units = {s: s % 3 for s in SEEDS} if several else {s: s for s in SEEDS}
    read = sorted(set(units.values()))[: -1 if several else -2]
    cells = [(n, s) for n in BUDGETS for s in SEEDS]
    own = {cell: fmean(r.value for r in runs["a"] if (r.budget, r.seed) == cell) for cell in cells}
    level, apart = by_unit(own, units, read), []
    for name in NAMES[1:]:
        left = {(r.budget, r.seed, r.subset): r.value for r in runs[name]}
        gaps: dict[tuple[int, int], list[float]] = {}
        for r in runs["a"]:
            if (key := (r.budget, r.seed, r.subset)) in left:
                gaps.setdefault(key[:2], []).append(left[key] - r.value)
        if found := by_unit({cell: fmean(values) for cell, values in gaps.items()}, units, read):
            apart.append(np.add(level, found))
    found = board(runs).beside("a", "b", cells, units if several else None, BUDGETS, read)
    np.testing.assert_allclose(found, [level, *apart], rtol=1e-12)
    assert len(found) == 2 + len(apart) - 1 >= 3
