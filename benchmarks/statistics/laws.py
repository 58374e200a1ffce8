"""What curves promise, measured: worth and advice by joined means, the fitted law, the knee."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from tqdm import tqdm

from analysis.statistics.laws.advice import near_full
from analysis.statistics.laws.interpolate import Joined, joined
from analysis.statistics.laws.inversion import size_grid
from analysis.statistics.laws.knee import Knee, knee, places
from analysis.statistics.laws.scaling import Scaling, fit
from analysis.statistics.laws.worth import Worth, worth
from analysis.statistics.records import Cells, Estimate, generator
from benchmarks.statistics import simulate
from benchmarks.statistics.simulate import PAPER_SIZES, Plant

Row = tuple[str, ...]
Curve = Callable[[np.ndarray], np.ndarray]
SIZES = np.asarray(PAPER_SIZES, float)
FIVE_SIZES = (3, 15, 75, 300, 1498)
LADDERS = ((3, 23, 187, 1498), (3, 10, 36, 125, 432, 1498), PAPER_SIZES)

# name -> (law, seeds, variance shared by pipelines, variance of a pipeline's seed, noise, sizes)
FITTED: dict[str, tuple[Plant, int, float, float, str, tuple[int, ...]]] = {
    "as in the paper": (Plant(0.75, 0.5, 0.1), 10, 0.3, 0.2, "lognormal", PAPER_SIZES),
    "normal noise": (Plant(0.75, 0.5, 0.1), 10, 0.3, 0.2, "normal", PAPER_SIZES),
    "own seed effect": (Plant(0.7, 0.7, 0.2), 10, 0.0, 0.7, "lognormal", PAPER_SIZES),
    "independent runs": (Plant(0.7, 0.4, 0.1), 10, 0.0, 0.0, "lognormal", PAPER_SIZES),
    "noisy, slow": (Plant(0.8, 0.35, 0.08, 0.2), 10, 0.3, 0.2, "lognormal", PAPER_SIZES),
    "no floor (γ = 0)": (Plant(0.7, 0.3, 0.0), 10, 0.3, 0.2, "lognormal", PAPER_SIZES),
    "5 seeds": (Plant(0.75, 0.5, 0.1), 5, 0.3, 0.2, "lognormal", PAPER_SIZES),
    "5 seeds, 5 sizes": (Plant(0.75, 0.5, 0.1), 5, 0.3, 0.2, "lognormal", FIVE_SIZES),
    "3 seeds (wide)": (Plant(0.75, 0.5, 0.1), 3, 0.3, 0.2, "lognormal", PAPER_SIZES),
}
BENDS: dict[str, tuple[Plant, tuple[int, ...]]] = {
    "break at 30 slices, −0.5 to −0.15": (Plant(0.8, 0.5, 0.0, break_at=30, after=0.15), PAPER_SIZES),
    "break at 50 slices, noise 20 %": (Plant(0.8, 0.5, 0.0, 0.2, 0.0, break_at=50, after=0.10), PAPER_SIZES),
    "smooth law, α 0.8, β 0.5, γ 0.1": (Plant(0.8, 0.5, 0.1), PAPER_SIZES),
    "smooth law, α 0.7, β 0.7, γ 0.2": (Plant(0.7, 0.7, 0.2), PAPER_SIZES),
    "slow bend: α 0.8, β 0.35, γ 0.08, noise 20 %": (Plant(0.8, 0.35, 0.08, 0.2, 0.05), PAPER_SIZES),
    "break at 7 slices, −0.5 to −0.15": (Plant(0.8, 0.5, 0.0, break_at=7, after=0.15), PAPER_SIZES),
    "break at 15 slices, −0.5 to −0.25, noise 20 %": (
        Plant(0.8, 0.5, 0.0, 0.2, 0.0, break_at=15, after=0.25), PAPER_SIZES,
    ),
    "break at 300 slices, −0.4 to −0.05": (Plant(0.8, 0.4, 0.0, break_at=300, after=0.05), PAPER_SIZES),
    "straight line, −0.3": (Plant(0.8, 0.3, 0.0), PAPER_SIZES),
    "5 sizes: break at 75 slices, −0.5 to −0.10": (Plant(0.8, 0.5, 0.0, break_at=75, after=0.10), FIVE_SIZES),
    "5 sizes: smooth law, α 0.8, β 0.5, γ 0.1": (Plant(0.8, 0.5, 0.1), FIVE_SIZES),
    "5 sizes: straight line, −0.3": (Plant(0.8, 0.3, 0.0), FIVE_SIZES),
}  # fmt: skip


def plateaus(start: float, end: float) -> Curve:
    """Equally bad below `start` slices, a steep fall, equally good from `end` on."""

    def error(n: np.ndarray) -> np.ndarray:
        done = np.clip(np.log(n / start) / np.log(end / start), 0, 1)
        return 0.8 * (0.3 / 0.8) ** done

    return error


PAIRS: dict[str, tuple[Curve, Curve]] = {
    "the law": (Plant(0.75, 0.5, 0.1).error, Plant(0.85, 0.45, 0.11).error),
    "plateau, fall, plateau": (plateaus(20, 150), plateaus(40, 300)),
}


def table(values: np.ndarray, sizes: tuple[int, ...]) -> Cells:
    """Errors [S, K] as the table of one pipeline."""
    return Cells("planted", np.asarray(sizes, float), tuple(range(len(values))), values)


def covers(estimate: Estimate, truth: float, sizes: tuple[int, ...]) -> bool:
    """Whether an interval holds the truth, which may lie outside of the sizes."""
    if truth > sizes[-1]:
        return bool(np.isposinf(estimate.high))
    if truth < sizes[0]:
        return bool(np.isneginf(estimate.low))
    return bool(estimate.low * (1 - 1e-6) <= truth <= estimate.high * (1 + 1e-6))


def reached(curve: Curve, error: float, sizes: tuple[int, ...]) -> float:
    """Slices at which a true curve is down to `error`."""
    grid = size_grid(sizes[0], sizes[-1], 200_001)
    low = curve(grid) <= error + 1e-12
    return np.inf if not low.any() else float(grid[np.argmax(low)]) if not low[0] else -np.inf


def worths(stores: int) -> Iterator[Row]:
    """Coverage of worth, mean and least over budgets, and of the slices to within 5 %."""
    for name, (mine, other) in PAIRS.items():
        for sizes in LADDERS:
            n = np.asarray(sizes, float)
            truth = [reached(other, float(e), sizes) for e in mine(n)]
            near = reached(mine, 1 - 0.95 * (1 - float(mine(n[-1:])[0])), sizes)
            row = []
            for seeds in (3, 5, 10):
                rng, held = generator(0, f"{name} {len(sizes)} {seeds}"), np.zeros((stores, len(sizes) + 1))
                for store in tqdm(range(stores), desc=f"worth: {name}", disable=None):
                    a, b = (joined(table(v, sizes), "x")
                            for v in simulate.noisy(np.stack([mine(n), other(n)]), n, seeds, rng))  # fmt: skip
                    assert isinstance(a, Joined) and isinstance(b, Joined)  # noqa: PT018 simulated whole
                    worths = [worth(a, b, budget) for budget in sizes]
                    found = [one.match for one in worths if isinstance(one, Worth)]
                    held[store, :-1] = [covers(f, t, sizes) for f, t in zip(found, truth, strict=True)]
                    held[store, -1] = covers(near_full(a, 5.0).slices, near, sizes)
                rates = 100 * held.mean(axis=0)
                row.append(f"{rates[:-1].mean():.1f} ({rates[:-1].min():.1f}), {rates[-1]:.1f}")
            yield (name, str(len(sizes)), *row)


def laws(stores: int) -> Iterator[Row]:
    """Coverage of α, β and γ, and how often no law is given."""
    for name, (plant, seeds, shared, own, noise, sizes) in FITTED.items():
        rng, hits, given = generator(0, name), np.zeros(3), 0
        for _ in tqdm(range(stores), desc=name, disable=None):
            errors = simulate.errors((plant,), sizes, seeds, rng, shared=shared, own=own, noise=noise)
            found = fit(table(errors[0], sizes), "a")
            if isinstance(found, Scaling):
                given += 1
                fitted = (found.alpha, found.beta, found.gamma)
                hits += [e.low <= p <= e.high
                         for e, p in zip(fitted, (plant.alpha, plant.beta, plant.gamma), strict=True)]  # fmt: skip
        yield (name, *(f"{100 * v:.1f}" for v in (*(hits / given), 1 - given / stores)))


def knees(stores: int) -> Iterator[Row]:
    """How often a knee is named, how near it is then and over all stores, and coverage of its interval."""
    for name, (plant, sizes) in BENDS.items():
        rng, counts = generator(0, name), np.zeros(5)
        truth, at = _bend(plant, sizes), partial(places, np.asarray(sizes, float))
        for _ in tqdm(range(stores), desc=name, disable=None):
            found = knee(table(simulate.errors((plant,), sizes, 10, rng)[0], sizes), "a")
            if not isinstance(found, Knee):
                continue
            planted, told = at(np.array([found.size.value, truth]))
            close = abs(planted - told) <= 1
            inside = found.size.low <= truth <= found.size.high
            counts += [found.located, found.located and close, close, inside, found.evident]
        named, right, near, held, evident = counts
        shares = [named, right * stores / max(named, 1), named - right, near, held, evident]
        texts = [f"{100 * v / stores:.1f}" for v in shares]
        if not plant.break_at and not plant.gamma:  # a straight line has no knee to be near to
            yield name, "none", texts[0], "-", texts[0], "-", "-", texts[5]
        else:
            yield name, f"{truth:.0f}", texts[0], texts[1] if named else "-", *texts[2:]


def _bend(plant: Plant, sizes: tuple[int, ...]) -> float:
    """The planted break, else where the best bent line through the noise-free curve has its break."""
    exact = knee(table(np.repeat(plant.error(np.asarray(sizes, float))[None], 3, axis=0), sizes), "a")
    return plant.break_at or (exact.size.value if isinstance(exact, Knee) else np.nan)
