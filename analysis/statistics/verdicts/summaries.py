"""Summaries of repeated runs over several budgets: interquartile mean and probability of improvement.

Agarwal et al. 2021 (arXiv:2108.13264): few runs, several tasks; a budget takes the place of a task.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from analysis.statistics.records import Estimate, Score, generator, ordered

_DRAWS = 2000


def interquartile_mean(values: Sequence[float]) -> float:
    """Mean of the middle half of ``values`` [N]."""
    return float(stats.trim_mean(np.sort(np.asarray(values, float)), 0.25))


def stratified_iqm(
    by_budget: Mapping[int, Sequence[float]], *, level: float = 0.95, seed: int = 0
) -> Estimate:
    """Interquartile mean over the runs of all budgets, with a stratified percentile bootstrap.

    Parameters
    ----------
    by_budget : budget -> scores [S] of its runs; runs are resampled inside of their budget.
    seed : of the resampling; values are sorted first, so the order of runs does not matter.

    Notes
    -----
    A description: at ten runs a percentile bootstrap covers less than its level, so nothing is decided by it.
    """
    rng = generator(seed, "iqm")
    sorted_strata = [np.sort(np.asarray(by_budget[budget], float)) for budget in sorted(by_budget)]
    drawn = [v[rng.integers(0, len(v), (_DRAWS, len(v)))] for v in sorted_strata]
    means = stats.trim_mean(np.concatenate(drawn, axis=1), 0.25, axis=1)
    low, high = np.quantile(means, [0.5 - level / 2, 0.5 + level / 2])
    return Estimate(interquartile_mean(np.concatenate(sorted_strata)), float(low), float(high))


def strata(scores: Iterable[Score], pipeline: str) -> dict[int, list[float]]:
    """Scores of one pipeline by budget, as `stratified_iqm` takes them."""
    found: dict[int, list[float]] = {}
    for s in ordered(scores):
        if s.pipeline == pipeline:
            found.setdefault(s.budget, []).append(s.value)
    return found


def improvement(differences: Mapping[int, Sequence[float]], *, level: float = 0.95) -> Estimate:
    """Probability that a run beats its partner of the same seed and subset; ties count one half.

    Parameters
    ----------
    differences : seed -> paired differences [B] of that seed, positive for the better.

    Notes
    -----
    Pairs of one seed are averaged first, and the interval is Wilson's (1927, *JASA* 22, 209) for as many
    trials as seeds: a bootstrap of ten wins out of ten would claim certainty.
    """
    shares = [float(np.mean((np.sign(differences[s]) + 1) / 2)) for s in sorted(differences)]
    wins, seeds = float(np.sum(shares)), len(shares)
    low, high = proportion_confint(wins, seeds, alpha=1 - level, method="wilson")
    return Estimate(wins / seeds, float(low), float(high))
