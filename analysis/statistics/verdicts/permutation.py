"""Paired tests: sign flips for a difference, two one-sided t tests for equivalence."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from statsmodels.stats.weightstats import DescrStatsW

from analysis.statistics.records import generator

EXACT = 16  # seeds up to which every sign pattern is counted
_DRAWS = 20_000


@lru_cache(maxsize=EXACT)
def _signs(count: int) -> np.ndarray:
    """Sign patterns [2^(n−1), n] with the first sign held: the other half are their mirror images."""
    bits = np.arange(2 ** (count - 1))[:, None] >> np.arange(count - 1)[None]
    return np.hstack([np.ones((len(bits), 1)), 1.0 - 2.0 * (bits & 1)])


def sign_flip(differences: np.ndarray, *, seed: int = 0) -> float:
    """Two-sided p of a mean paired difference [S] under exchange of the two runs of any pair.

    Exact to 16 pairs, beyond by 20,000 draws with the observed pattern counted (Phipson and Smyth 2010,
    *Stat. Appl. Genet. Mol. Biol.* 9, 39). Valid for censored steps put at their censoring time, too.
    """
    d = np.sort(np.asarray(differences, float))
    if len(d) == 0 or not np.any(d):
        return 1.0
    observed = abs(d.sum()) * (1 - 1e-9)
    if len(d) <= EXACT:
        return float(np.mean(np.abs(_signs(len(d)) @ d) >= observed))
    flips = generator(seed, "sign flip").integers(0, 2, (_DRAWS, len(d))) * 2.0 - 1.0
    return float((1 + np.sum(np.abs(flips @ d) >= observed)) / (1 + _DRAWS))


def smallest_p(pairs: int) -> float:
    """Smallest p that `sign_flip` can give with this many pairs."""
    if pairs == 0:
        return 1.0
    return 2.0 ** (1 - pairs) if pairs <= EXACT else 1 / (1 + _DRAWS)


def equivalence(differences: np.ndarray, margin: float) -> float:
    """p of 'the mean difference lies outside of ±margin' by two one-sided paired t tests.

    Schuirmann 1987 (*J. Pharmacokinet. Biopharm.* 15, 657), through statsmodels.
    """
    d = np.sort(np.asarray(differences, float))
    if len(d) < 2:
        return 1.0
    if np.ptp(d) < 1e-12:
        return 0.0 if abs(d.mean()) < margin else 1.0
    return float(DescrStatsW(d).ttost_mean(-margin, margin)[0])
