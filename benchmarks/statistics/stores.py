"""Many stores at once in which no pipeline is better than another, and what verdicts call them, as arrays."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.statistics.verdicts import looks
from analysis.statistics.verdicts.collapse import _MAD, CLEAR, FAR, open_rate, scatter, unseen
from analysis.statistics.verdicts.interval import reach_of, rest_variance

Noise = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
SEEDS, PIPELINES = (3, 5, 10), (2, 5, 7)
DEPTH = 20.0  # s.d. of a run that a collapse costs: 0.4 IoU where runs scatter by 0.02


def _normal(rng: np.random.Generator, shape: tuple[int, ...], shared: float = 0.3) -> np.ndarray:
    """Runs [N, P, S, B] that share a part of their variance with the other pipelines of their seed."""
    count, _, seeds, budgets = shape
    common = rng.standard_normal((count, 1, seeds, budgets))
    return np.sqrt(shared) * common + np.sqrt(1 - shared) * rng.standard_normal(shape)


def _unequal(noise: Noise) -> Noise:
    """The first pipeline scatters five times as much as the last."""
    return lambda rng, shape: noise(rng, shape) * np.linspace(5, 1, shape[1])[:, None, None]


def _skewed(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """A long tail below, as of scores that now and then fall short."""
    return 1 - rng.exponential(1.0, shape)


def _collapsing(rate: float, place: int = -1, *, equal_means: bool = False) -> Noise:
    """One pipeline collapses in a share of its runs; where means are equal, its other runs are better for it."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        values = _normal(rng, shape)
        values[:, place] -= DEPTH * (rng.random(values[:, place].shape) < rate)
        values[:, place] += DEPTH * rate * equal_means
        return values

    return draw


def _beta(mean: float, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Scores near an end of [0, 1], in s.d.: a beta distribution of weight 50."""
    a, b = 50 * mean, 50 * (1 - mean)
    return (rng.beta(a, b, shape) - mean) / stats.beta(a, b).std()


NOISES: dict[str, Noise] = {
    "normal": _normal,
    "t with 3 degrees": lambda rng, shape: rng.standard_t(3, shape),
    "skewed (exponential, long tail below)": _skewed,
    "unequal s.d., 5 to 1": _unequal(_normal),
    "skewed, unequal s.d., 5 to 1": _unequal(_skewed),
    "seeds correlate by 0.9": lambda rng, shape: _normal(rng, shape, 0.9),
    "rounded to two s.d.": lambda rng, shape: 2 * np.round(_normal(rng, shape) / 2),
    "in two clumps": lambda rng, shape: rng.choice([-1.0, 1.0], shape) + 0.15 * rng.standard_normal(shape),
    "scores near 0 (mean 0.02)": lambda rng, shape: _beta(0.02, rng, shape),
    "scores near 1 (mean 0.98)": lambda rng, shape: _beta(0.98, rng, shape),
    "one pipeline collapses in 10 %": _collapsing(0.1),
    "one pipeline collapses in 20 %": _collapsing(0.2),
}
# rate, and place of the pipeline that collapses: the last, or scratch, which stands in more pairs
EQUAL_MEANS = {
    (rate, place): _collapsing(rate, place, equal_means=True) for place in (-1, 0) for rate in (0.1, 0.2)
}


def family(pipelines: int) -> tuple[np.ndarray, np.ndarray]:
    """The pipelines' places in each pair: all against the first, all but it against the second."""
    pairs = [(k, 0) for k in range(1, pipelines)] + [(k, 1) for k in range(2, pipelines)]
    return tuple(np.array(pairs).T)


@dataclass(frozen=True)
class Read:
    """What a family's intervals say in each store [N, pairs]: 1 better, −1 worse, else 0; and equivalent."""

    sign: np.ndarray
    equivalent: np.ndarray

    def false(self, noise: str) -> np.ndarray:
        """Stores [N] with a false "different": a pipeline that collapses *is* worse, and may be called so."""
        sign = self.sign.copy()
        if "collapses" in noise:
            last = family((sign.shape[1] + 3) // 2)[0] == sign.shape[1] // 2 + 1
            sign[:, last] = np.maximum(sign[:, last], 0)
        return np.asarray(sign.any(axis=1))


def read(values: np.ndarray, margin: float = 1.0, worst: float | None = None) -> Read:
    """Calls on runs [N, P, S, B] at the first budget, by the rule of `compare`, of which a test holds that it is the same."""
    seeds = looks.look(values.shape[2])
    a, b = family(values.shape[1])
    first = values[..., 0]
    d = first[:, a, :seeds] - first[:, b, :seeds]
    error_rate = looks.error_rate(seeds, len(a))
    reach = half(d, rest_variance(first[:, :, :seeds], a, b) if len(a) > 1 else None, error_rate)
    low, high = d.mean(axis=2) - reach, d.mean(axis=2) + reach
    same = (low > -margin) & (high < margin)
    if values.shape[2] * values.shape[3] < CLEAR:
        same[:] = False
    else:
        fell = np.asarray(reached(values, worst)[1].any(axis=(2, 3)))
        same &= ~(fell[:, a] | fell[:, b])
    sign = np.where(same, 0, (low > 0) * 1 - (high < 0))
    better, least = np.where(sign > 0, a, b), np.minimum(np.abs(low), np.abs(high))
    depth = np.full(low.shape, np.inf)
    if worst is not None:
        wanted, depth = (np.take_along_axis(v, better, axis=1) for v in _wanted(values, worst))
        sign = np.where(least < wanted, 0, sign)
    store, pair = np.nonzero(sign)
    spread, freedom = scatter(first[:, :, :seeds])
    chance = unseen(
        d.mean(axis=2)[store, pair],
        seeds,
        seeds * values.shape[3],
        spread[store],
        freedom[store],
        depth[store, pair],
    )
    of_each = np.bincount(np.concatenate([a, b]))[better[store, pair]]
    granted = np.array([looks.granted(seeds, int(n)) for n in of_each]).reshape(-1, 2).T
    sign[store, pair] *= (chance <= granted).all(axis=0)
    return Read(sign, same)


def _wanted(values: np.ndarray, worst: float) -> tuple[np.ndarray, np.ndarray]:
    """The lead [N, P] that a pipeline has to have because of the collapses of its runs [N, P, S, B], and its height."""
    above, runs = values - worst, values.shape[2] * values.shape[3]
    level, fell = reached(values, worst)
    level -= worst
    lost = np.where(fell, np.where(above < level / 2, np.inf, level - above), 0).max(axis=(2, 3))
    rates = np.array([0.0, *(open_rate(runs, k) for k in range(1, runs + 1))])
    depth = np.abs(above[..., 0].mean(axis=2))
    return rates[fell.sum(axis=(2, 3))] * np.minimum(lost, depth), depth


def half(d: np.ndarray, rest: np.ndarray | None, error_rate: float) -> np.ndarray:
    """Half lengths [N, pairs] of the intervals of mean differences `d` [N, pairs, S]."""
    seeds, own = d.shape[2], d.var(axis=2, ddof=1)
    if rest is None:
        return stats.t.ppf(1 - error_rate / 2, seeds - 1) * np.sqrt(own / seeds)
    freedom = (d.shape[1] - 1) // 2 * (seeds - 1)  # of 2P − 3 pairs: (P − 2)(S − 1)
    return reach_of(own, seeds, rest, freedom, 1 - error_rate)


def reached(values: np.ndarray, worst: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """What runs [N, P, S, B] reach in their cell [N, P, 1, B], and which are far below it: as `collapse.far_below` has it."""
    level, best = np.median(values, axis=2, keepdims=True), values.max(axis=2, keepdims=True)
    moved = np.abs(values - level)
    own = np.median(moved, axis=2, keepdims=True)
    pooled = np.nanmedian(np.where(moved > 0, moved, np.nan), axis=(1, 2, 3), keepdims=True)
    far = FAR * _MAD * np.maximum(own, pooled)
    if worst is not None:
        level = np.where((level - worst < (best - worst) / 2) & (best - level > far), best, level)
    return level, values < level - far
