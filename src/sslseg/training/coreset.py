"""Floor 1b: which slices stand for the rest: greedy k-centre, with turns for groups and positions.

Sener and Savarese 2018 (Active Learning for Convolutional Neural Networks: A Core-Set Approach): what is
farthest from everything annotated is annotated next. Its largest distance is at most twice the least that
any choice of as many centres could reach, as long as no cap and no turn stands in the way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CHUNK = 256  # centres that are compared at a time
THIRDS = ("first third", "middle third", "last third")


@dataclass(frozen=True)
class Pool:
    """N slices: what is known of each without looking at a mask.

    Attributes:
        features: float32 [N, F], compared by Euclidean distance.
        annotated, candidates: bool [N]; a slice is one of the two or neither.
        patients, groups: [N] texts.
        thirds: int [N], the part of its volume that a slice lies in: 0, 1 or 2.
    """

    features: np.ndarray
    annotated: np.ndarray
    candidates: np.ndarray
    patients: np.ndarray
    groups: np.ndarray
    thirds: np.ndarray


@dataclass(frozen=True)
class Pick:
    """A chosen slice, and why: how far from all that was annotated or chosen, and whose turn it was."""

    place: int
    distance: float  # NaN for the first one, when nothing is annotated
    group_had: int  # slices of its group before it
    third_had: int  # slices of its group in its third before it


def third(z: np.ndarray, slices: np.ndarray) -> np.ndarray:
    """0, 1 or 2 for slice `z` of `slices`, counted from 0."""
    return np.minimum(3 * np.asarray(z) // np.maximum(np.asarray(slices), 1), 2)


def unit(features: np.ndarray) -> np.ndarray:
    """Features of length one: their Euclidean distance is then that of their directions, 0 to 2."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(length, np.finfo(features.dtype).tiny)


def distances(features: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """float64 [N] from each of [N, F] to the nearest of [K, F]; infinite without a centre."""
    here, there = features.astype(np.float64), centres.astype(np.float64)
    found, squares = np.full(len(here), np.inf), (here**2).sum(axis=1)[:, None]
    for part in np.array_split(there, max(1, len(there) // CHUNK)) if len(there) else ():
        table = squares + (part**2).sum(axis=1) - 2 * here @ part.T
        found = np.minimum(found, table.min(axis=1))
    return np.sqrt(np.maximum(found, 0))


def choose(pool: Pool, k: int, *, per_patient: int, cover: bool = True) -> list[Pick]:
    """The next `k` slices, each the one farthest from all that is annotated or chosen before it.

    With nothing annotated the first is the candidate nearest to the mean of all. Equal ones: the first.

    Args:
        per_patient: at most so many of one patient among the `k`.
        cover: only slices of the group that has fewest so far have their turn, and among them those of
            the third of the volume that has fewest in that group; annotated slices count.

    Returns:
        `k` picks, or fewer where the cap leaves no more.
    """
    near = distances(pool.features, pool.features[pool.annotated])
    free, had = pool.candidates.copy(), pool.annotated.copy()
    found: list[Pick] = []
    while len(found) < k and free.any():
        turn = _turn(pool, free, had) if cover else free
        if np.isinf(near[turn]).all():
            middle = pool.features[pool.candidates].mean(axis=0)
            score = -np.linalg.norm(pool.features - middle, axis=1)
        else:
            score = near
        place = int(np.argmax(np.where(turn, score, -np.inf)))
        same = had & (pool.groups == pool.groups[place])
        distance = float(near[place]) if np.isfinite(near[place]) else float("nan")
        beside = same & (pool.thirds == pool.thirds[place])
        found.append(Pick(place, distance, int(same.sum()), int(beside.sum())))
        had[place], free[place] = True, False
        own = pool.patients == pool.patients[place]
        if sum(own[pick.place] for pick in found) >= per_patient:
            free &= ~own
        near = np.minimum(near, np.linalg.norm(pool.features - pool.features[place], axis=1))
    return found


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


def radius(pool: Pool, chosen: list[int]) -> float:
    """Largest distance of any slice of the pool from what is annotated or chosen."""
    centres = np.concatenate([np.flatnonzero(pool.annotated), np.asarray(chosen, int)])
    return float(distances(pool.features, pool.features[centres])[pool.candidates | pool.annotated].max())
