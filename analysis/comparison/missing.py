"""Cells of the grid that have no run: those that a sweep says have failed, and those that other pipelines have."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.comparison import sameness
from analysis.comparison.sameness import KEY
from analysis.statistics.records import grouped

WHY = 200  # characters of a failed cell's reason; the whole of it is a tag of its run
CELL = r"(.+)/n=(\d+)/seed=(\d+)"  # name of a fine-tuning's cell


@dataclass(frozen=True)
class Missing:
    """A cell of the grid without a FINISHED run."""

    cell: str  # as a sweep names it: byol@acdc/n=30/seed=1
    why: str = ""
    # arm, budget and seed, where it failed or another pipeline has a run of this budget and seed
    tried: tuple[str, int, int] | None = None

    @property
    def budget(self) -> int | None:
        """Slices of a fine-tuning; None of a pretraining, which every size may wait for."""
        read = re.match(CELL, self.cell)
        return int(read[2]) if read else None

    def __str__(self) -> str:
        return f"{self.cell}: {self.why}" if self.why else self.cell


def holes(cells: Iterable[Missing]) -> dict[str, frozenset[tuple[int, int]]]:
    """Arm -> (budget, seed) of its cells that were tried and have no run: they may be those that went badly."""
    found = grouped((one.tried[0], one.tried[1:]) for one in cells if one.tried)
    return {arm: frozenset(places) for arm, places in found.items()}


def missing(
    tuned: pd.DataFrame, arms: Sequence[str], failed: Sequence[Mapping[str, object]], dataset: str
) -> tuple[Missing, ...]:
    """Cells of budgets × a pipeline's own seeds × folds without a run, and cells that a sweep says have failed.

    That pipelines have different seeds is no hole: further seeds are run where a verdict wants them.
    """
    budgets, seeds = sorted(set(tuned["budget"])), tuned.groupby("arm")["seed"].unique()
    there = set(tuned[KEY].itertuples(index=False, name=None))
    parts = sorted({one for fold in set(tuned["fold"]) for one in sameness.siblings(fold)})
    somewhere = {(budget, seed) for _, budget, seed, _ in there}
    gone = {
        _cell(arm, budget, seed, fold): ("", (arm, budget, seed) if (budget, seed) in somewhere else None)
        for arm in arms
        for budget in budgets
        for seed in sorted(map(int, seeds.get(arm, ())))
        for fold in parts
        if (arm, budget, seed, fold) not in there
    }
    finished, labels = {_cell(*where) for where in there}, set(arms)
    for row in failed:
        cell = str(row["cell"]).replace("/n=all/", f"/n={budgets[-1]}/")
        read = re.match(CELL, cell)
        place = (read[1], int(read[2]), int(read[3])) if read else None
        ours = place and place[0] in labels and place[1] in budgets and row.get("dataset") == dataset
        if "dataset" in row and not ours:
            continue  # found by its status alone, and of another study
        if cell not in finished:
            gone[cell] = str(row.get("error") or "").partition("\n")[0][:WHY], place
    return tuple(Missing(cell, *told) for cell, told in sorted(gone.items()))


def _cell(arm: str, budget: int, seed: int, fold: str) -> str:
    """Name of a fine-tuning's cell, as a sweep gives it."""
    return f"{arm}/n={budget}/seed={seed}" + (f"/split={fold}" if fold else "")
