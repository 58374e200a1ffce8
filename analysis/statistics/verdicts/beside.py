"""The runs of all pipelines beside a pair of them: what they say about how its difference scatters."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.statistics.records import Score


@dataclass(frozen=True)
class Board:
    """Scores `values` [P, C] of pipelines in columns of one budget, seed and subset each; NaN where there is none."""

    names: Mapping[str, int]  # pipeline -> its row
    columns: Sequence[tuple[int, int, str]]
    values: np.ndarray

    def beside(
        self,
        a: str,
        b: str,
        cells: Collection[tuple[int, int]],
        unit: Mapping[int, int] | None,
        budgets: Sequence[int],
        read: Sequence[int],
    ) -> np.ndarray:
        """Scores [P, S] of two pipelines, and of the others that have all of these, averaged over budgets and units.

        Of the others it is their difference to `a` that is averaged, over what both have, and counted from `a`.

        Args:
            cells: (budget, seed) that both have.
            read: units, or seeds where a seed is its own, that are looked at.
        """
        units = {s: s for _, s in cells} if unit is None else unit
        used = [
            i for i, (n, s, _) in enumerate(self.columns)
            if n in budgets and (n, s) in cells and units.get(s) in read
        ]  # fmt: skip
        own = self.values[self.names[a], used]
        found = np.vstack([own, self.values[:, used] - own])
        found, seeds = means(found, [self.columns[i][:2] for i in used])
        found, _ = means(found, [(read.index(units[s]), n) for n, s in seeds])
        found = found.reshape(len(found), len(read), -1).mean(axis=-1)
        level, apart = found[0], found[1:]
        others = np.isfinite(apart).all(axis=1)
        others[[self.names[a], self.names[b]]] = False
        return np.vstack([np.zeros(len(read)), apart[self.names[b]], apart[others]]) + level


def board(runs: Mapping[str, Sequence[Score]]) -> Board:
    """The scores of every pipeline."""
    columns = sorted({(s.budget, s.seed, s.subset) for rows in runs.values() for s in rows})
    place = {key: i for i, key in enumerate(columns)}
    values = np.full((len(runs), len(columns)), np.nan)
    for row, scores in zip(values, runs.values(), strict=True):
        row[[place[s.budget, s.seed, s.subset] for s in scores]] = [s.value for s in scores]
    return Board({name: i for i, name in enumerate(runs)}, columns, values)


def means(values: np.ndarray, groups: Sequence[tuple[int, int]]) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Means [P, G] over the columns of `values` [P, C] that are of one group, gaps left out; and the groups, in order."""
    names = sorted(set(groups))
    if len(names) == len(groups):
        return values[:, sorted(range(len(groups)), key=groups.__getitem__)], names
    there, member = np.isfinite(values), np.array([[group == name for name in names] for group in groups])
    count = there.astype(float) @ member
    return np.nan_to_num(values) @ member / np.where(count > 0, count, np.nan), names
