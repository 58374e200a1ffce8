"""Areas under planted learning curves, and what verdicts say of them: rows of `benchmarks.statistics`."""

from collections.abc import Callable, Iterator

import numpy as np

from analysis.statistics.curves import Curve, area, early_area
from analysis.statistics.records import generator, students_t
from benchmarks.statistics.stores import SEEDS, read

Row = tuple[str, ...]
Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
STEPS = np.arange(0.0, 601.0, 30.0)
# s.d. of runs and of one evaluation, in IoU; of the logarithm where log-normal
APART, NOISE, LOG = 0.02, 0.01, 0.7
LONG = float(np.sqrt((np.exp(LOG**2) - 1) * np.exp(LOG**2)))  # s.d. of that log-normal
BUDGETS = 20  # of as many runs none has collapsed, so the interval alone decides
FAST, SLOW = (80.0, 0.70), (160.0, 0.66)  # steps that a curve takes to 63 % of its end, and the end

# how runs of mean 0 and s.d. 1 differ in what they end at; the last ones differ in how fast they get there
ENDS: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "t with 3 degrees": lambda rng, shape: rng.standard_t(3, shape) / 3**0.5,
    "skewed (exponential, long tail below)": lambda rng, shape: 1 - rng.exponential(1.0, shape),
    "log-normal, long tail below": lambda rng, shape: (np.exp(LOG**2 / 2) - rng.lognormal(0, LOG, shape)) / LONG,
    "log-normal steps": lambda rng, shape: np.zeros(shape),
}  # fmt: skip


def curves(law: str, rng: np.random.Generator, shape: tuple[int, ...], pace: float, end: float) -> np.ndarray:
    """Scores [*shape, T] at `STEPS` of runs that come near `end` at a `pace`, each evaluation with its noise."""
    ends = end + APART * ENDS[law](rng, shape)
    paces = pace * (rng.lognormal(0, LOG, shape) if law == "log-normal steps" else np.ones(shape))
    exact = ends[..., None] * (1 - np.exp(-STEPS / paces[..., None]))
    return exact + NOISE * rng.standard_normal(exact.shape)


def areas(scores: np.ndarray, of: Callable[[Curve], float]) -> np.ndarray:
    """Areas [...] of curves [..., T]."""
    flat = scores.reshape(-1, scores.shape[-1])
    return np.array([of(Curve(STEPS, values)) for values in flat]).reshape(scores.shape[:-1])


def under(stores: int) -> Iterator[Row]:
    """False "different" of families that are alike, and coverage of the difference of a fast and a slow pipeline."""
    for law in ENDS:
        for name, of in (("whole", area), ("first fifth", early_area)):
            row, rng = [], generator(0, f"area {law} {name}")
            for seeds in SEEDS:
                alike = areas(curves(law, rng, (stores, 7, seeds, 1), *FAST), of)
                many = np.broadcast_to(alike, (*alike.shape[:3], BUDGETS))
                row.append(f"{100 * read(many, margin=1e-9).sign.any(axis=1).mean():.1f}")
            fast, slow = (areas(curves(law, rng, (20_000,), *one), of) for one in (FAST, SLOW))
            truth = float(fast.mean() - slow.mean())
            for seeds in SEEDS:
                a, b = (areas(curves(law, rng, (4 * stores, seeds), *one), of) for one in (FAST, SLOW))
                held = [(e := students_t(d)).low <= truth <= e.high for d in a - b]
                row.append(f"{100 * np.mean(held):.1f}")
            yield (law, name, *row)


PARTS = {
    "areas": (
        "Areas under learning curves: families with a false “different”, and 95 % intervals that cover, %",
        ("runs differ by", "steps", *(f"false, {s} seeds, 7 pipelines" for s in SEEDS),
         *(f"covers, {s} seeds" for s in SEEDS)),
        under,
    )
}  # fmt: skip
