"""How often the intervals over patients, and over seeds × patients, hold the truth: rows of `benchmarks.statistics`."""

from collections.abc import Callable, Iterator

import numpy as np
from tqdm import tqdm

from analysis.statistics import patients
from analysis.statistics.records import Estimate, generator

Draw = Callable[[np.random.Generator, int], np.ndarray]
# what scores of patients look like: (draw of n patients, true mean)
SCORES: dict[str, tuple[Draw, float]] = {
    "normal": (lambda rng, n: rng.normal(0, 1, n), 0.0),
    "Dice, most near 0.86": (lambda rng, n: rng.beta(18, 3, n), 18 / 21),
    "Dice, wide and skewed": (lambda rng, n: rng.beta(4, 1, n), 0.8),
    "absolute error, half normal": (lambda rng, n: np.abs(rng.normal(0, 1, n)), float(np.sqrt(2 / np.pi))),
    "distance, gamma of shape 2": (lambda rng, n: rng.gamma(2, 1, n), 2.0),
    "distance, exponential": (lambda rng, n: rng.exponential(1, n), 1.0),
    "distance, log-normal of s.d. 0.7": (lambda rng, n: rng.lognormal(0, 0.7, n), float(np.exp(0.245))),
}
RATES = (0.02, 0.1, 0.3, 0.5)
COHORTS = (5, 10, 50)
SEEDS = (3, 5, 10)
SPREADS = (0.0, 0.5, 1.0, 3.0)  # s.d. of patients in units of the seeds'
RESAMPLES = 1000
Row = tuple[str, ...]


def over_patients(stores: int) -> Iterator[Row]:
    """Coverage of the interval of one evaluation, %, by cohort."""
    rows = {name: (_mean(draw), truth) for name, (draw, truth) in SCORES.items()}
    rows |= {f"failures, {100 * rate:g} % of patients": (_share(rate), rate) for rate in RATES}
    for name, (estimate, truth) in rows.items():
        shares = []
        for n in COHORTS:
            rng = generator(0, f"{name}/{n}")
            drawn = (estimate(rng, n) for _ in tqdm(range(stores), desc=f"{name}, {n}", disable=None))
            shares.append(f"{100 * sum(e.low <= truth <= e.high for e in drawn) / stores:.1f}")
        yield name, *shares


def _mean(draw: Draw) -> Callable[[np.random.Generator, int], Estimate]:
    return lambda rng, n: patients.mean(draw(rng, n), rng, resamples=RESAMPLES)


def _share(rate: float) -> Callable[[np.random.Generator, int], Estimate]:
    return lambda rng, n: patients.share(rng.random(n) < rate)


def planted(rng: np.random.Generator, seeds: int, cohort: int, spread: float) -> np.ndarray:
    """Scores [S, P] of true mean 0: s.d. 1 over seeds, `spread` over patients, 1 of seed by patient."""
    return (
        rng.standard_normal((seeds, 1))
        + spread * rng.standard_normal((1, cohort))
        + rng.standard_normal((seeds, cohort))
    )


def over_both(stores: int) -> Iterator[Row]:
    """Coverage of the crossed interval and of Student's t over seeds alone, %, ten patients."""
    for spread in SPREADS:
        for seeds in SEEDS:
            rng, hits = generator(0, f"crossed/{spread}/{seeds}"), np.zeros(2)
            for _ in range(stores):
                table = planted(rng, seeds, 10, spread)
                both = patients.crossed(table).estimate
                alone = patients.crossed(table.mean(axis=1, keepdims=True)).estimate
                hits += [found.low <= 0 <= found.high for found in (both, alone)]
            yield (f"{spread:g}", str(seeds), *(f"{100 * h / stores:.1f}" for h in hits))


PARTS = {
    "patients": (
        "Coverage of the interval over the patients of one evaluation, %",
        ("scores of patients", *(f"{n} patients" for n in COHORTS)),
        over_patients,
    ),
    "crossed": (
        "Coverage of the interval over seeds × patients, %",
        ("s.d. of patients, in seeds' s.d.", "seeds", "crossed", "over seeds alone"),
        over_both,
    ),
}
