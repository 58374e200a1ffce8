"""Print every table of docs/explanation/statistics.md: `python -m benchmarks.statistics`.

Rates are over `--stores` stores a cell, twenty times as many where stores are read as one array.
"""

import argparse
from collections.abc import Callable, Iterator
from itertools import product

from benchmarks.statistics import curves, laws, patients, pretrainings, verdicts
from benchmarks.statistics.stores import PIPELINES, SEEDS

AT_ONCE = 20  # times as many stores where they are read as one array
Part = tuple[str, tuple[str, ...], Callable[[int], Iterator[tuple[str, ...]]], int]

PARTS: dict[str, Part] = {
    "candidates": (
        "Intervals to choose from: most families with a false “different”, %, and power, %",
        ("runs", *verdicts.CANDIDATES),
        verdicts.candidates,
        4,
    ),
    "different": (
        "Families with a false “different”, %",
        ("runs", *(f"{s} seeds, {p} pipelines" for s, p in product(SEEDS, PIPELINES)),
         "looked at 3, 5, 10, 20 and 40, 7 pipelines"),
        verdicts.different,
        AT_ONCE,
    ),
    "power": (
        "Pairs called different, %, by their true difference in s.d. of the paired differences",
        ("budgets", "seeds", "pipelines", "1", "2", "3", "6", "20"),
        verdicts.power,
        AT_ONCE,
    ),
    "equivalent": (
        "Families with a false “equivalent” at the margin, 7 pipelines, %",
        ("runs", "3 seeds", "5 seeds", "10 seeds", "5 seeds, 7 budgets", "10 seeds, 4 budgets", "40 seeds"),
        verdicts.equivalent,
        4,
    ),
    "unseen": (
        "Equal means, one pipeline collapsing: families with a false “different”, %",
        ("collapses", "looked at, seeds", "stores without one",
         *(f"{p} pipelines, {n} budget{'s' * (n > 1)}" for p, n in verdicts.UNSEEN)),
        verdicts.unseen,
        AT_ONCE,
    ),
    "added": (
        "An eighth pipeline: pairs of the others whose call changes, and that turn from better to worse, %",
        ("it", *(f"{s} seeds" for s in SEEDS)),
        verdicts.added,
        4,
    ),
    "overall": (
        "Five further seeds at one budget: false “different” overall at 5 %, %",
        ("average of a seed", "false"),
        verdicts.overall,
        10,
    ),
    "steps": (
        "Ratio of steps: 95 % intervals cover, % (refused, %)",
        ("runs", *(f"{s} seeds" for s in SEEDS)),
        verdicts.steps,
        1,
    ),
    "spreads": (
        "Ratio of spreads: 95 % intervals cover, %",
        ("runs", "3 seeds", "5 seeds", "10 seeds", "20 seeds"),
        verdicts.spreads,
        4,
    ),
    "worth": (
        "Worth in slices: cover, mean (least) over budgets, and slices to within 5 %, %",
        ("true curves", "sizes", "3 seeds", "5 seeds", "10 seeds"),
        laws.worths,
        1,
    ),
    "laws": ("The fitted law: 95 % intervals cover, %", ("runs", "α", "β", "γ", "no law given"), laws.laws, 1),
    "knees": (
        "Knee, ten seeds",
        ("curve", "knee, slices", "named, %", "of these within one step, %", "named and further off, %",
         "within one step if all were named, %", "interval covers, %", "evident, %"),
        laws.knees,
        1,
    ),
    **{name: (*part, 1) for name, part in (curves.PARTS | patients.PARTS | pretrainings.PARTS).items()},
}  # fmt: skip


def show(title: str, head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> None:
    """Print one table in Markdown."""
    print(f"\n### {title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def main() -> None:
    """Measure what was asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stores", type=int, default=500)
    parser.add_argument("--only", nargs="+", choices=sorted(PARTS), default=list(PARTS))
    asked = parser.parse_args()
    for name in asked.only:
        title, head, part, times = PARTS[name]
        show(title, head, part(asked.stores * times))


if __name__ == "__main__":
    main()
