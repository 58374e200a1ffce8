"""Stores with known answers: planted scaling laws, noise and correlation of seeds."""

from dataclasses import dataclass

import numpy as np

from analysis.statistics.records import Score

PAPER_SIZES = (1, 3, 7, 15, 30, 75, 150, 300, 749, 1498)  # the sweep of the original code


@dataclass(frozen=True)
class Plant:
    """A planted law and its noise.

    `noise` is the relative s.d. of one run at one slice, falling as n^−`decay`; `break_at` and
    `after`, when given, plant α·n^−β up to the break and the exponent `after` beyond it (γ unused).
    """

    alpha: float
    beta: float
    gamma: float
    noise: float = 0.12
    decay: float = 0.1
    break_at: float = 0.0
    after: float = 0.0

    def error(self, sizes: np.ndarray) -> np.ndarray:
        """Mean error [K] at sizes [K] in slices."""
        n = np.asarray(sizes, float)
        if not self.break_at:
            return self.alpha * n**-self.beta + self.gamma
        before = self.alpha * np.minimum(n, self.break_at) ** -self.beta
        return before * np.maximum(n / self.break_at, 1.0) ** -self.after


def errors(
    plants: tuple[Plant, ...],
    sizes: tuple[int, ...],
    seeds: int,
    rng: np.random.Generator,
    *,
    shared: float = 0.3,
    own: float = 0.2,
    noise: str = "lognormal",
) -> np.ndarray:
    """Errors [P pipelines, S seeds, K sizes] whose expectation is the planted law.

    `shared` is the part of the variance that a seed has in common over pipelines and sizes (what pairing
    removes), `own` the part a seed has in common over sizes within a pipeline; the rest is independent.
    `noise` is `lognormal` (skewed, positive) or `normal`.
    """
    n = np.asarray(sizes, float)
    mean = np.stack([plant.error(n) for plant in plants])
    sd = np.stack([plant.noise * n**-plant.decay for plant in plants])
    return noisy(mean, n, seeds, rng, sd=sd, shared=shared, own=own, noise=noise)


def noisy(
    mean: np.ndarray,
    n: np.ndarray,
    seeds: int,
    rng: np.random.Generator,
    *,
    sd: np.ndarray | None = None,
    shared: float = 0.3,
    own: float = 0.2,
    noise: str = "lognormal",
) -> np.ndarray:
    """Errors [P, S, K] around `mean` [P, K] at sizes `n` [K]; `sd` [P, K] is relative, that of `Plant` if not given."""
    sd = Plant(1.0, 1.0, 0.0).noise * n**-0.1 * np.ones_like(mean) if sd is None else sd
    p, k = mean.shape
    z = np.sqrt(shared) * rng.standard_normal((1, seeds, 1))
    z = z + np.sqrt(own) * rng.standard_normal((p, seeds, 1))
    z = z + np.sqrt(1 - shared - own) * rng.standard_normal((p, seeds, k))
    mean, sd = mean[:, None], sd[:, None]
    if noise == "normal":
        return mean * (1 + sd * z)
    return mean * np.exp(sd * z - sd**2 / 2)


def scores(names: tuple[str, ...], values: np.ndarray, sizes: tuple[int, ...]) -> list[Score]:
    """Rows of an array [P, S, K] as scores, the seed naming the subset."""
    return [
        Score(name, size, seed, str(seed), float(values[p, seed, k]))
        for p, name in enumerate(names)
        for seed in range(values.shape[1])
        for k, size in enumerate(sizes)
    ]
