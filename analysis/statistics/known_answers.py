"""The promises of this package, measured: ``python -m analysis.statistics.known_answers``.

Stores with planted answers are made and read back; the shares are printed as the tables that
docs/explanation/statistics.md shows. Rates are over ``--stores`` stores a scenario for the scaling laws and over half as
many for the rest.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from analysis.statistics import known_patients, simulate
from analysis.statistics.curves import Steps
from analysis.statistics.laws.knee import Knee, knee, places
from analysis.statistics.laws.scaling import Scaling, fit
from analysis.statistics.laws.worth import worth
from analysis.statistics.records import Cells, Estimate, Refusal, generator
from analysis.statistics.simulate import PAPER_SIZES, Plant
from analysis.statistics.verdicts import stability
from analysis.statistics.verdicts.compare import Verdict, compare
from analysis.statistics.verdicts.ratio import ratio_of_steps

SIZES = np.asarray(PAPER_SIZES, float)
Row = tuple[str, ...]

# name -> (pipeline, reference, seeds, variance shared by pipelines, variance of a pipeline's seed, noise law)
LAWS: dict[str, tuple[Plant, Plant, int, float, float, str]] = {
    "as in the paper": (Plant(0.75, 0.5, 0.1), Plant(0.85, 0.45, 0.11), 10, 0.3, 0.2, "lognormal"),
    "normal noise": (Plant(0.75, 0.5, 0.1), Plant(0.85, 0.45, 0.11), 10, 0.3, 0.2, "normal"),
    "strong pairing": (Plant(0.75, 0.5, 0.1), Plant(0.85, 0.4, 0.14), 10, 0.7, 0.0, "lognormal"),
    "own seed effect": (Plant(0.7, 0.7, 0.2), Plant(0.75, 0.6, 0.2), 10, 0.0, 0.7, "lognormal"),
    "independent runs": (Plant(0.7, 0.4, 0.1), Plant(0.8, 0.4, 0.1), 10, 0.0, 0.0, "lognormal"),
    "noisy, slow": (Plant(0.8, 0.35, 0.08, 0.2), Plant(0.85, 0.3, 0.08, 0.2), 10, 0.3, 0.2, "lognormal"),
    "no floor (γ = 0)": (Plant(0.7, 0.3, 0.0), Plant(0.8, 0.3, 0.0), 10, 0.3, 0.2, "lognormal"),
    "identical pipelines": (Plant(0.75, 0.5, 0.1), Plant(0.75, 0.5, 0.1), 10, 0.3, 0.2, "lognormal"),
    "5 seeds": (Plant(0.75, 0.5, 0.1), Plant(0.85, 0.45, 0.11), 5, 0.3, 0.2, "lognormal"),
    "3 seeds (wide)": (Plant(0.75, 0.5, 0.1), Plant(0.85, 0.45, 0.11), 3, 0.3, 0.2, "lognormal"),
}
BENDS: dict[str, Plant] = {
    "break at 30 slices, −0.5 to −0.15": Plant(0.8, 0.5, 0.0, break_at=30, after=0.15),
    "break at 75 slices, −0.5 to −0.10": Plant(0.8, 0.5, 0.0, break_at=75, after=0.10),
    "break at 50 slices, noise 20 %": Plant(0.8, 0.5, 0.0, 0.2, 0.0, break_at=50, after=0.10),
    "smooth law, α 0.8, β 0.5, γ 0.1": Plant(0.8, 0.5, 0.1),
    "smooth law, α 0.7, β 0.7, γ 0.2": Plant(0.7, 0.7, 0.2),
    "slow bend: α 0.8, β 0.35, γ 0.08, noise 20 %": Plant(0.8, 0.35, 0.08, 0.2, 0.05),
    "slower bend: α 0.8, β 0.3, γ 0.03": Plant(0.8, 0.3, 0.03),
    "slow bend, noise 30 %": Plant(0.8, 0.35, 0.08, 0.3, 0.05),
    "break at 7 slices, −0.5 to −0.15": Plant(0.8, 0.5, 0.0, break_at=7, after=0.15),
    "break at 15 slices, −0.5 to −0.25, noise 20 %": Plant(0.8, 0.5, 0.0, 0.2, 0.0, break_at=15, after=0.25),
    "break at 150 slices, −0.3 to −0.1, noise 20 %": Plant(0.8, 0.3, 0.0, 0.2, 0.0, break_at=150, after=0.1),
    "break at 300 slices, −0.4 to −0.05": Plant(0.8, 0.4, 0.0, break_at=300, after=0.05),
    "straight line, −0.3": Plant(0.8, 0.3, 0.0),
}


def table(values: np.ndarray) -> Cells:
    """Errors [S, 10] as the table of one pipeline."""
    return Cells("planted", SIZES[: values.shape[1]], tuple(range(len(values))), values)


def covers(estimate: Estimate, truth: float) -> bool:
    """Whether an interval holds the truth, which may lie outside of the sizes."""
    low, high = estimate.low, estimate.high
    if truth > SIZES[-1]:
        return bool(np.isposinf(high))
    if truth < SIZES[0]:
        return bool(np.isneginf(low))
    return bool(low - 1e-9 <= truth <= high + 1e-9)


def laws(stores: int) -> Iterator[Row]:
    """Coverage of α, β, γ and of worth-in-slices (mean and worst of the budgets whose answer is inside)."""
    for name, (plant, other, seeds, shared, own, noise) in LAWS.items():
        rng, hits, inside = generator(0, name), np.zeros(3), np.zeros((stores, len(SIZES)))
        truth = np.array([other.size_of(float(e)) for e in plant.error(SIZES)])
        tellable = (truth >= SIZES[0]) & (truth <= SIZES[-1])
        for store in tqdm(range(stores), desc=name, disable=None):
            errors = simulate.errors(
                (plant, other), PAPER_SIZES, seeds, rng, shared=shared, own=own, law=noise
            )
            found, reference = fit(table(errors[0]), "a"), fit(table(errors[1]), "b")
            if not isinstance(found, Scaling) or not isinstance(reference, Scaling):
                continue  # counts as not covered
            planted = (plant.alpha, plant.beta, plant.gamma)
            fitted = (found.alpha, found.beta, found.gamma)
            hits += [e.low <= p <= e.high for e, p in zip(fitted, planted, strict=True)]
            got = [worth(found, reference, n) for n in PAPER_SIZES]
            inside[store] = [covers(w.match, t) for w, t in zip(got, truth, strict=True)]
        rates = inside.mean(axis=0)
        spread = (rates[tellable].mean(), rates[tellable].min(), rates[tellable].max())
        yield (name, *(f"{100 * v:.1f}" for v in (*(hits / stores), *spread)), str(int(tellable.sum())))


def knees(stores: int) -> Iterator[Row]:
    """How often a knee is named, how near it is then and over all stores, and coverage of its interval."""
    for name, plant in BENDS.items():
        rng, counts = generator(0, name), np.zeros(5)
        truth = _bend(plant)
        for _ in tqdm(range(stores), desc=name, disable=None):
            found = knee(table(simulate.errors((plant,), PAPER_SIZES, 10, rng)[0]), "a")
            if not isinstance(found, Knee):
                continue
            near = abs(np.subtract(*places(SIZES, np.array([found.size.value, truth])))) <= 1
            held = found.size.low <= truth <= found.size.high
            counts += [found.located, found.located and near, near, held, found.evident]
        named, right, near, held, evident = counts
        shares = [named, right * stores / max(named, 1), named - right, near, held, evident]
        texts = [f"{100 * v / stores:.1f}" for v in shares]
        if not plant.break_at and not plant.gamma:  # a straight line has no knee to be near to
            yield name, "none", texts[0], "-", texts[0], "-", "-", texts[5]
        else:
            yield name, f"{truth:.0f}", texts[0], texts[1] if named else "-", *texts[2:]


def _bend(plant: Plant) -> float:
    """The planted break, else where the best bent line through the noise-free curve has its break."""
    exact = knee(table(np.repeat(plant.error(SIZES)[None], 3, axis=0)), "a")
    return plant.break_at or (exact.size.value if isinstance(exact, Knee) else np.nan)


def verdicts(stores: int) -> Iterator[Row]:
    """Shares of stores with a pair called different, and with the moved pipeline called better everywhere."""
    for shift in (0.0, 1.0):
        for pipelines in (2, 3, 5):
            for budgets, correlation in ((4, 0.0), (4, 0.5), (4, 1.0), (1, 0.0)):
                name = f"{shift}/{pipelines}/{budgets}/{correlation}"
                rng, called, won, pairs = generator(0, name), 0, 0, 0
                for _ in tqdm(range(stores), desc=name, disable=None):
                    calls = _calls(pipelines, budgets, shift, correlation, rng)
                    called += any(c in ("better", "worse") for _, c in calls)
                    moved = [c == "better" for first, c in calls if first]
                    won, pairs = won + sum(moved), pairs + len(moved)
                different = "-" if shift else f"{100 * called / stores:.1f}"
                power = f"{100 * won / pairs:.1f}" if shift else "-"
                yield (f"{shift:g}", str(pipelines), str(budgets), f"{correlation:g}", different, power)


def _calls(
    pipelines: int, budgets: int, shift: float, correlation: float, rng: np.random.Generator
) -> list[tuple[bool, str]]:
    """(is the moved pipeline in it, call) of every pair of one store of 10 seeds."""
    values = simulate.shifted(
        pipelines, budgets, 10, rng, shift=shift, seed_correlation=0.5, budget_correlation=correlation
    )
    names = tuple("abcde"[:pipelines])
    found = compare(simulate.scores(names, values, PAPER_SIZES[:budgets]), margin=0.05, higher_is_better=True)
    return [(v.a == "a", v.call) for v in found if isinstance(v, Verdict)]


def spreads(stores: int) -> Iterator[Row]:
    """Coverage of the ratios of s.d., of interquartile range and of steps, 10 pairs, true ratio 2 or 4."""
    rng, seeds = generator(0, "ratios"), 10
    hits = np.zeros(5)
    for _ in tqdm(range(stores), desc="ratios", disable=None):
        common = rng.standard_normal(seeds) * np.sqrt(0.5)
        first, second = (common + rng.standard_normal(seeds) * np.sqrt(0.5) for _ in range(2))
        hits[0] += _holds(stability.ratio_of_sd(2 * first, second), 2)
        hits[1] += _holds(stability.ratio_of_iqr(2 * first, second), 2)
        for k, end in enumerate((np.inf, 1200.0, 800.0)):  # the slow: none, 1 in 4, 1 in 2
            slow = [_steps_until(t, end) for t in np.exp(np.log(800) + 0.6 * first)]
            fast = [_steps_until(t, end) for t in np.exp(np.log(200) + 0.6 * second)]
            hits[2 + k] += _holds(ratio_of_steps(slow, fast), 4)
    names = ("s.d.", "interquartile range", "steps", "steps, 1 in 4 censored", "steps, 1 in 2 censored")
    for name, value in zip(names, hits, strict=True):
        yield name, f"{100 * value / stores:.1f}"


def _holds(found: Estimate | Refusal, truth: float) -> bool:
    return isinstance(found, Estimate) and found.low <= truth <= found.high


def _steps_until(time: float, end: float) -> Steps:
    return Steps(min(time, end), bool(time <= end))


def show(title: str, head: Row, rows: Iterator[Row]) -> None:
    """Print one table in Markdown."""
    print(f"\n### {title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


PARTS = {
    "laws": (
        "Coverage of 95 % intervals, %",
        ("scenario", "α", "β", "γ", "worth, mean", "worth, least", "worth, most", "budgets"),
        laws,
    ),
    "knees": (
        "Knee",
        (
            "curve",
            "knee, slices",
            "named, %",
            "of these within one step, %",
            "named and further off, %",
            "within one step if all were named, %",
            "interval covers, %",
            "evident, %",
        ),
        knees,
    ),
    "verdicts": (
        "Verdicts",
        ("shift, s.d.", "pipelines", "budgets", "correlation", "any pair different, %", "power, %"),
        verdicts,
    ),
    "ratios": ("Coverage of ratios, %", ("ratio of", "covers, %"), spreads),
    **known_patients.PARTS,
}


def main() -> None:
    """Measure what was asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stores", type=int, default=1000)
    parser.add_argument("--only", nargs="+", choices=sorted(PARTS), default=list(PARTS))
    chosen = parser.parse_args()
    for name in chosen.only:
        title, head, part = PARTS[name]
        show(title, head, part(chosen.stores if name == "laws" else max(chosen.stores // 2, 2)))


if __name__ == "__main__":
    main()
