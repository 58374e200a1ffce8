"""What verdicts promise, measured: false calls, power, looks, steps, spread, and the interval that was chosen."""

from collections.abc import Iterator
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy import stats

from analysis.statistics.curves import Steps
from analysis.statistics.records import Refusal, generator
from analysis.statistics.verdicts import looks
from analysis.statistics.verdicts.arrival import ratio_of_steps
from analysis.statistics.verdicts.compare import by_seed
from analysis.statistics.verdicts.interval import rest_variance
from analysis.statistics.verdicts.stability import ratio_of_spread
from benchmarks.statistics.stores import (
    DEPTH,
    EQUAL_MEANS,
    NOISES,
    PIPELINES,
    SEEDS,
    family,
    half,
    read,
)

Row = tuple[str, ...]
CELLS = tuple(product(SEEDS, PIPELINES))
UNSEEN = (*((p, 1) for p in PIPELINES), (5, 2), (7, 4), (7, 7))  # pipelines and budgets
SHIFTS = ((3, 20.0), (5, 6.0))  # seeds, and s.d. of the paired difference that are to be called in 95 of 100


def percent(hits: npt.ArrayLike) -> str:
    """Share of hits, in per cent."""
    return f"{100 * np.mean(np.asarray(hits) != 0):.1f}"


def candidates(stores: int) -> Iterator[Row]:
    """The most that intervals at 5 % in one look are false, over seeds and five or seven pipelines, and their power."""
    for name, noise in NOISES.items():
        rng, worst = generator(0, f"candidates {name}"), np.zeros(len(CANDIDATES))
        for seeds, pipelines in product(SEEDS, PIPELINES[1:]):
            called = candidate_calls(noise(rng, (stores, pipelines, seeds, 1))[..., 0])
            worst = np.maximum(worst, [100 * c.any(axis=1).mean() for c in called])
        yield (name, *(f"{w:.1f}" for w in worst))
    for seeds, shift in ((3, 6.0), *SHIFTS, (10, 2.0)):
        for noisy in ("", ", one of the others scatters 10 times as much"):
            values = moved(stores, 7, seeds, shift)[..., 0]
            values[:, 4] *= 10 if noisy else 1
            told = (percent(c[:, 5]) for c in candidate_calls(values))
            yield (f"power: {seeds} seeds, 7 pipelines, {shift:g} s.d.{noisy}", *told)


CANDIDATES = (
    "pooled over pipelines, seeds as blocks",
    "Welch, unpaired",
    "own variance of a pair",
    "own variance and the rest, summed",
    "the shorter of the last two",
)


def candidate_calls(values: np.ndarray) -> list[np.ndarray]:
    """Which pairs [N, pairs] of runs [N, P, S] each of `CANDIDATES` calls different, at 5 % over the family."""
    (a, b), (_, pipelines, seeds) = family(values.shape[1]), values.shape
    d = values[:, a] - values[:, b]
    own, rest, each = d.var(axis=2, ddof=1), rest_variance(values, a, b), values.var(axis=2, ddof=1)
    free, few = (pipelines - 2) * (seeds - 1), seeds - 1
    left = values - values.mean(axis=2, keepdims=True)
    left = left - left.mean(axis=1, keepdims=True)
    pooled, of_all = 2 * (left**2).sum(axis=(1, 2)) / (few * (pipelines - 1)), few * (pipelines - 1)
    apart = each[:, a] + each[:, b]
    error_rate = looks.ALPHA / len(a)

    def reach(variance: np.ndarray, freedom: np.ndarray | int) -> np.ndarray:
        return stats.t.ppf(1 - error_rate / 2, freedom) * np.sqrt(variance / seeds)

    with np.errstate(invalid="ignore"):  # runs that do not vary at all
        lengths = (
            reach(pooled[:, None], of_all),
            reach(apart, apart**2 / (each[:, a] ** 2 + each[:, b] ** 2) * few),
            reach(own, few),
            reach(own + rest, (own + rest) ** 2 / (own**2 / few + rest**2 / free)),
            half(d, rest, error_rate),
        )
    return [np.abs(d.mean(axis=2)) > length for length in lengths]


def moved(stores: int, pipelines: int, seeds: int, shift: float, budgets: int = 1) -> np.ndarray:
    """Normal stores [N, P, S, B] whose last pipeline is better by `shift` s.d. of its paired differences."""
    values = NOISES["normal"](generator(0, f"moved {pipelines} {seeds}"), (stores, pipelines, seeds, budgets))
    values[:, -1] += shift * np.sqrt(2 * 0.7)
    return values


def different(stores: int) -> Iterator[Row]:
    """Families with a false "different", by seeds and pipelines; then after looking at every number of seeds."""
    for name, noise in NOISES.items():
        rng = generator(0, f"different {name}")
        once = [percent(read(noise(rng, (stores, p, s, 1))).false(name)) for s, p in CELLS]
        long = noise(rng, (stores, 7, looks.MOST, 1))
        added = np.any([read(long[:, :, :n]).false(name) for n in looks.SHARES], axis=0)
        yield (name, *once, percent(added))


def equivalent(stores: int) -> Iterator[Row]:
    """Families with a false "equivalent": every pipeline a margin apart from the references, 3 s.d. of a run."""
    margin = 3.0
    designs = [(s, 1) for s in SEEDS] + [(5, 7), (10, 4), (40, 1)]
    rates = {"one pipeline a margin worse by collapses in 10 %": 0.1, "by collapses in 20 %": 0.2}
    for name in (*NOISES, *rates):
        rng, row = generator(0, f"equivalent {name}"), []
        for seeds, budgets in designs:
            if name in rates:
                values = NOISES["normal"](rng, (stores, 7, seeds, budgets))
                hit = rng.random((stores, seeds, budgets)) < rates[name]
                values[:, -1] -= margin / rates[name] * hit
            else:
                values = NOISES[name](rng, (stores, 7, seeds, budgets))
                values[:, 2:] += margin
            apart = read(values, margin).equivalent
            places = family(7)[0] >= 2
            row.append(percent(apart[:, family(7)[0] == 6 if name in rates else places].any(axis=1)))
        yield (name, *row)
    rng = generator(0, "alike")
    alike = [read(NOISES["normal"](rng, (stores, 7, s, n)), margin).equivalent for s, n in designs]
    yield ("share of pairs called equivalent that are equal (normal)", *(percent(e) for e in alike))


def power(stores: int) -> Iterator[Row]:
    """Share of stores in which the pair of the moved pipeline with the first one is called."""
    for budgets, seeds, pipelines in product((1, 4), SEEDS, PIPELINES):
        signs = (read(moved(stores, pipelines, seeds, x, budgets)).sign for x in (1, 2, 3, 6, 20))
        yield str(budgets), str(seeds), str(pipelines), *(percent(s[:, pipelines - 2]) for s in signs)


def unseen(stores: int) -> Iterator[Row]:
    """Equal means, one pipeline collapsing: what is called although no collapse, or too few, have been seen."""
    for (rate, place), noise in EQUAL_MEANS.items():
        for looked in (*((s,) for s in SEEDS), (3, 7, 10), SEEDS, tuple(looks.SHARES)):
            row = []
            for p, n in UNSEEN:
                drawn = noise(
                    generator(0, f"unseen {rate} {looked[-1]} {p}{' scratch' * (not place)}"),
                    (stores, p, looked[-1], n),
                )
                called = [read(drawn[:, :, :s], worst=-DEPTH).sign.any(axis=1) for s in looked]
                row.append(percent(np.any(called, axis=0)))
            yield (
                f"{100 * rate:g} % of runs{' of scratch' * (not place)}, {DEPTH:g} s.d. deep",
                ", ".join(map(str, looked)),
                f"{100 * (1 - rate) ** looked[0]:.1f}",
                *row,
            )


def added(stores: int) -> Iterator[Row]:
    """Pairs of seven pipelines, 0 to 7 s.d. apart, whose call an eighth pipeline changes."""
    kept = np.isin(np.stack(family(8)), np.arange(7)).all(axis=0)
    for name, spread in (("scatters as the others", 1.0), ("scatters 10 times as much", 10.0)):
        row = []
        for seeds in SEEDS:
            values = NOISES["normal"](generator(0, f"added {seeds}"), (stores, 8, seeds, 1))
            values[:, 7] *= spread
            values[:, :7] += np.arange(7)[:, None, None]
            before, after = read(values[:, :7]).sign, read(values).sign[:, kept]
            row.append(f"{percent(before != after)}, {percent(before * after < 0)}")
        yield (name, *row)


def overall(stores: int) -> Iterator[Row]:
    """One pipeline better at the largest budget and worse at another, none overall; seeds are added at one budget."""
    rng, seeds, calls = generator(0, "overall"), 5, np.zeros(2)
    for _ in range(stores):
        d = rng.normal([[0.5], [-0.5]], 1.0, (2, 10))
        cells = {(n, s): (d[k, s],) * 2 for k, n in enumerate((30, 300)) for s in range(10) if k or s < seeds}
        whole = np.array(list(by_seed(cells, (30, 300)).values()))[:, 0]
        simple = np.array(
            [np.mean([cells[n, s][0] for n in (30, 300) if (n, s) in cells]) for s in range(10)]
        )
        calls += [stats.ttest_1samp(v, 0.0).pvalue <= looks.ALPHA for v in (whole, simple)]
    yield "seeds that have all budgets (as the page)", f"{100 * calls[0] / stores:.1f}"
    yield "every seed over what budgets it has", f"{100 * calls[1] / stores:.1f}"


def steps(stores: int) -> Iterator[Row]:
    """Coverage of 95 % intervals of a ratio of steps: exact, censored, on a grid; and what is refused."""
    cases = {
        "steps known exactly, ratio 4": (200.0, 4.0, 1e9, 0.0, 0.6),
        "1 in 4 of the slow never get there": (200.0, 4.0, 1200.0, 0.0, 0.6),
        "1 in 2 of the slow never get there": (200.0, 4.0, 800.0, 0.0, 0.6),
        "evaluated every 25 steps, ratio 1.83": (30.0, 1.83, 1e9, 25.0, 0.1),
        "evaluated every 25 steps, ratio 1": (60.0, 1.0, 1e9, 25.0, 0.2),
        "times of 500 and 2,000, training ends at 200": (500.0, 4.0, 200.0, 25.0, 0.1),
    }
    for name, (fast, ratio, end, grid, spread) in cases.items():
        rng, row = generator(0, name), []
        for seeds in SEEDS:
            held = told = 0
            for _ in range(stores):
                times = np.exp(np.log([[fast * ratio], [fast]]) + spread * rng.standard_normal((2, seeds)))
                found = ratio_of_steps(*([arrival(t, end, grid) for t in row_] for row_ in times))
                told += not isinstance(found, Refusal)
                held += not isinstance(found, Refusal) and found.low <= ratio <= found.high
            row.append(f"{100 * held / told:.1f} ({100 - 100 * told / stores:.0f})" if told else "- (100)")
        yield (name, *row)


def arrival(time: float, end: float, grid: float) -> Steps:
    """What is logged of a run that arrives at `time`."""
    if time > end:
        return Steps(end, False, end)
    if not grid:
        return Steps(time, True, time)
    at = grid * np.ceil(time / grid)
    return Steps(float(at), True, float(at - grid))


def spreads(stores: int) -> Iterator[Row]:
    """Coverage of the ratio of spreads of two pipelines of one distribution, the first twice as wide."""
    for name, noise in NOISES.items():
        if any(word in name for word in ("collapses", "unequal", "rounded")):
            continue
        row = []
        for seeds in (3, 5, 10, 20):
            values = noise(generator(0, f"spread {name} {seeds}"), (stores, 2, seeds, 1))[..., 0]
            found = [ratio_of_spread(2 * a, b) for a, b in values]
            row.append(
                percent(np.array([not isinstance(f, Refusal) and f.low <= 2 <= f.high for f in found]))
            )
        yield (name, *row)
