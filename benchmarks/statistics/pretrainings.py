"""Several pretrainings of a pipeline, fine-tuned with several seeds each: rows of `benchmarks.statistics`."""

from collections.abc import Iterator

import numpy as np

from analysis.statistics.records import Score, generator
from analysis.statistics.verdicts.compare import compare
from analysis.statistics.verdicts.records import Verdict
from benchmarks.statistics import simulate
from benchmarks.statistics.stores import DEPTH

NAMES, VARIED, ENCODERS = ("scratch", "supervised", "specialist", "mixed"), (2, 3), 3
BUDGETS = (7, 30, 150, 300)
PAIRS = [(b, a) for a in NAMES[:2] for b in NAMES[1:] if a != b]
TRUTHS = {  # s.d. of encoders in those of a run; share of collapsing pretrainings of one; how much it is better
    "encoders alike": (0.0, 0.0, 0.0),
    "they scatter as the runs from one": (1.0, 0.0, 0.0),
    "they scatter three times as much": (3.0, 0.0, 0.0),
    "1 in 10 collapses": (0.0, 0.1, 0.0),
    "1 in 5 collapses": (0.0, 0.2, 0.0),
    "power: one is 6 s.d. of a run better": (0.5, 0.0, 6.0),
    "power: 10 s.d.": (0.5, 0.0, 10.0),
}


def store(rng: np.random.Generator, seeds: int, apart: float, rate: float, shift: float) -> list[Score]:
    """Runs of unit s.d., of which seeds share 0.3; fine-tuning seed i starts from the encoder at place i mod 3."""
    shape = (seeds, len(BUDGETS))
    values = 0.3**0.5 * rng.standard_normal((1, *shape)) + 0.7**0.5 * rng.standard_normal((4, *shape))
    encoder = apart * rng.standard_normal((len(VARIED), ENCODERS, 1))
    encoder[0] += DEPTH * (rate - (rng.random((ENCODERS, 1)) < rate)) + shift
    values[list(VARIED)] += encoder[:, np.arange(seeds) % ENCODERS]
    return simulate.scores(NAMES, values, BUDGETS)


def units(a: str, b: str) -> dict[int, int] | None:
    """As `scope.pretrainings`: of a pair with a varied pipeline, the place of a seed's encoder."""
    varied = {a, b} & {NAMES[k] for k in VARIED}
    return {s: s % ENCODERS for s in range(40)} if varied else None


def called(stores: int) -> Iterator[tuple[str, ...]]:
    """Families with a call at the first budget; where one is better, stores in which it is called so beside scratch."""
    for name, (apart, rate, shift) in TRUTHS.items():
        row = []
        for seeds in (3, 10):
            rng, hits = generator(0, f"pretrainings {name} {seeds}"), 0
            for _ in range(stores):
                found = compare(
                    store(rng, seeds, apart, rate, shift), margin=1.0, higher_is_better=True, budget=BUDGETS[0],
                    pairs=PAIRS, worst=-2 * DEPTH, units=units,
                )  # fmt: skip
                calls = [v for v in found if isinstance(v, Verdict) and v.call in ("better", "worse")]
                hits += any(not shift or (v.a, v.b) == (NAMES[2], NAMES[0]) for v in calls)
            row.append(f"{100 * hits / stores:.1f}")
        yield (name, *row)


PARTS = {
    "pretrainings": (
        "Four pipelines, two with three pretrainings, four budgets: families with a false “different”, and power, %",
        ("encoders", "3 seeds", "10 seeds"),
        called,
    )
}
