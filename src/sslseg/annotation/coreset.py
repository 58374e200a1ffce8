"""Which slices stand for the rest, in an encoder's space, with turns for groups and positions.

Two rules, both greedy:

k-median   the slice that brings all slices nearest to an annotated or listed one, on average. Its gain is
           at least 1 - 1/e of the best that as many slices could bring (Nemhauser, Wolsey and Fisher 1978,
           An analysis of approximations for maximizing submodular set functions).
k-centre   the slice farthest from all that is annotated or listed (Sener and Savarese 2018, Active Learning
           for Convolutional Neural Networks: A Core-Set Approach). The largest distance left is at most
           twice the least possible. It goes to the rim of the data, to the outliers.

The bounds hold as long as no cap and no turn stands in the way.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sslseg.data.streams import stream

CHUNK = 256  # centres, or candidates, that are compared at a time
SAMPLE = 4096  # slices that k-median measures its reach on; of more, so many are drawn: a table of N x SAMPLE
THIRDS = ("first third", "middle third", "last third")


@dataclass(frozen=True)
class Pool:
    """N slices: what is known of each without looking at a mask.

    Attributes:
        features: float32 [N, F], compared by Euclidean distance.
        annotated: bool [N]; the others are candidates.
        patients, groups: [N] texts.
        thirds: int [N], the part of its volume that a slice lies in: 0, 1 or 2.
    """

    features: np.ndarray
    annotated: np.ndarray
    patients: np.ndarray
    groups: np.ndarray
    thirds: np.ndarray


@dataclass(frozen=True)
class Pick:
    """A chosen slice, and why: how far from all that was annotated or chosen, and whose turn it was."""

    place: int
    distance: float  # NaN for the first one, when nothing is annotated
    reach: float  # mean distance of all slices of the pool from what is annotated or chosen, with this one
    group_had: int  # slices of its group before it
    third_had: int  # slices of its group in its third before it


def third(z: np.ndarray, slices: np.ndarray) -> np.ndarray:
    """0, 1 or 2 for slice `z` of `slices`, counted from 0."""
    return 3 * z // slices


def distances(features: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """float64 [N] from each of [N, F] to the nearest of [K, F]; infinite without a centre."""
    found = np.full(len(features), np.inf)
    for part in np.array_split(centres, max(1, len(centres) // CHUNK)) if len(centres) else ():
        found = np.minimum(found, _table(features, part).min(axis=1))
    return found


def _table(features: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """float64 [N, K], every distance."""
    here, there = features.astype(np.float64), centres.astype(np.float64)
    squares = (here**2).sum(axis=1)[:, None] + (there**2).sum(axis=1)
    return np.sqrt(np.maximum(squares - 2 * here @ there.T, 0))


def choose(pool: Pool, k: int, *, per_patient: int, cover: bool = True, rule: str = "k-median") -> list[Pick]:
    """The next `k` slices. A shorter list is the beginning of a longer one.

    With nothing annotated, the first is the one nearest to all on average (k-median), or nearest to the
    mean of all candidates (k-centre). Equal ones: the first.

    Args:
        per_patient: at most so many of one patient among the `k`.
        cover: only slices of the group that has fewest so far have their turn, and among them those of
            the third of the volume that has fewest in that group; annotated slices count.
        rule: "k-median" or "k-centre".

    Returns:
        `k` picks, or fewer where the cap leaves no more.
    """
    worth = _median(pool) if rule == "k-median" else _centre(pool)
    near = distances(pool.features, pool.features[pool.annotated])
    free, had = ~pool.annotated, pool.annotated.copy()
    found: list[Pick] = []
    while len(found) < k and free.any():
        turn = np.flatnonzero(_turn(pool, free, had) if cover else free)
        place = int(turn[np.argmax(worth(turn, near))])
        same = had & (pool.groups == pool.groups[place])
        distance = float(near[place]) if np.isfinite(near[place]) else float("nan")
        beside = same & (pool.thirds == pool.thirds[place])
        near = np.minimum(near, np.linalg.norm(pool.features - pool.features[place], axis=1))
        found.append(Pick(place, distance, float(near.mean()), int(same.sum()), int(beside.sum())))
        had[place], free[place] = True, False
        own = pool.patients == pool.patients[place]
        if sum(own[pick.place] for pick in found) >= per_patient:
            free &= ~own
    return found


# of candidates at [P] places, by the distances [N] so far: [P]
Worth = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _centre(pool: Pool) -> Worth:
    """Worth of a candidate: its distance."""
    middle = pool.features[~pool.annotated].mean(axis=0)
    first = -np.linalg.norm(pool.features - middle, axis=1)
    return lambda places, near: (near if np.isfinite(near[places]).any() else first)[places]


def _median(pool: Pool) -> Worth:
    """Worth of a candidate: by how much it shortens the distances of all, in sum."""
    inside = np.arange(len(pool.features))
    if len(inside) > SAMPLE:
        inside = np.sort(stream(0, "k-median").permutation(inside)[:SAMPLE])
    candidates = np.flatnonzero(~pool.annotated)
    table = np.empty((len(candidates), len(inside)), np.float32)
    for start in range(0, len(candidates), CHUNK):
        part = pool.features[candidates[start : start + CHUNK]]
        table[start : start + CHUNK] = _table(part, pool.features[inside])

    def worth(places: np.ndarray, near: np.ndarray) -> np.ndarray:
        now = near[inside].astype(np.float32)
        out = np.empty(len(places))
        for start in range(0, len(places), CHUNK):
            there = table[np.searchsorted(candidates, places[start : start + CHUNK])]
            gain = -there if np.isinf(now).all() else np.maximum(now - there, 0)
            out[start : start + CHUNK] = gain.sum(axis=1, dtype=np.float64)
        return out

    return worth


def _turn(pool: Pool, free: np.ndarray, had: np.ndarray) -> np.ndarray:
    """Those of `free` whose group has fewest of `had`, in the thirds that have fewest in that group."""
    turn = np.zeros_like(free)
    for group in _fewest(pool.groups, free, had):
        here = pool.groups == group
        turn |= free & here & np.isin(pool.thirds, _fewest(pool.thirds, free & here, had & here))
    return turn


def _fewest(parts: np.ndarray, free: np.ndarray, had: np.ndarray) -> list:
    """Values of `parts` among `free` with the least number among `had`."""
    counts = {value: int((had & (parts == value)).sum()) for value in np.unique(parts[free])}
    return [value for value, n in counts.items() if n == min(counts.values())]


def reach(pool: Pool, chosen: list[int]) -> tuple[float, float]:
    """Mean and largest distance of the slices of the pool from what is annotated or chosen."""
    centres = np.concatenate([np.flatnonzero(pool.annotated), np.asarray(chosen, int)])
    near = distances(pool.features, pool.features[centres])
    return float(near.mean()), float(near.max())
