"""The figure, the calls and the table of methods-acdc.md from methods-acdc/runs.csv.

    python docs/results/methods_acdc.py                      # draw and print
    python docs/results/methods_acdc.py out/methods/fig4.csv # first add the runs that another sweep's analysis has

A cell that is there already has to have the same score, or it is refused.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.comparison import arms, cells, families
from analysis.comparison.measures import PRIMARY
from analysis.figures import outputs, style
from analysis.statistics.records import Score
from analysis.statistics.verdicts.compare import compare
from analysis.statistics.verdicts.records import Verdict
from sslseg.config.names import TEST_IOU as METRIC

HERE = Path(__file__).parent / "methods-acdc"
RUNS, CELL = HERE / "runs.csv", ["arm", "budget", "seed"]
TOLERANCE = 1e-6  # relative; what two processors may differ by


def add(runs: pd.DataFrame, path: Path) -> pd.DataFrame:
    """`runs` and those of another fig4.csv.

    Raises:
        SystemExit: a cell of both has two scores.
    """
    both = runs.merge(more := pd.read_csv(path), on=CELL)
    apart = both[~np.isclose(both["value_x"], both["value_y"], rtol=TOLERANCE, atol=0)]
    if len(apart):
        sys.exit(f"{path}: other scores than in {RUNS}:\n{apart[[*CELL, 'value_x', 'value_y']]}")
    print(f"{len(both)} cells of both sweeps are equal")
    return pd.concat([runs, more]).drop_duplicates(CELL).sort_values(CELL)


def study(runs: pd.DataFrame) -> cells.Study:
    """Runs as figures and families of verdicts want them; a seed has one subset of each size."""
    runs = runs.rename(columns={"value": METRIC}).assign(subset_sha256=runs["seed"].astype(str))
    return cells.Study(runs, "acdc", "slice", arms.arms(zip(runs["pipeline"], runs["arm"], strict=True)))


def calls(found: cells.Study, budget: int) -> pd.DataFrame:
    """A row per pair of the family at a budget."""
    scores = [
        Score(r.arm, r.budget, r.seed, r.subset_sha256, value)
        for r, value in zip(found.runs.itertuples(), found.runs[METRIC], strict=True)
    ]
    rows = compare(
        scores, margin=PRIMARY.margin, higher_is_better=True, budget=budget, pairs=families.family(found),
        worst=PRIMARY.worst,
    )  # fmt: skip
    return pd.DataFrame(
        {"budget": budget, "a": r.a, "b": r.b, "call": r.call, "difference": r.effect.value, "low": r.effect.low,
         "high": r.effect.high} for r in rows if isinstance(r, Verdict)
    )  # fmt: skip


def table(runs: pd.DataFrame, judged: pd.DataFrame) -> str:
    """Markdown: means and s.d. at both budgets, and the calls at the larger one."""
    by = runs.groupby(["arm", "budget"])["value"]
    small, large = sorted(set(runs["budget"]))
    means, spread = by.mean(), by.std()

    def call(arm: str, other: str) -> str:
        for r in judged[judged["budget"] == large].itertuples():
            if {r.a, r.b} == {arm, other}:
                sign, ends = (1, (r.low, r.high)) if r.a == arm else (-1, (-r.high, -r.low))
                said = r.call if sign == 1 else {"better": "worse", "worse": "better"}.get(r.call, r.call)
                low, high = (f"{end:+.3f}" for end in ends)
                return f"{said}, {sign * r.difference:+.3f} [{low}, {high}]".replace("-", "−")
        return ""

    return "\n".join(
        f"| `{arm}` | {means[arm, small]:.3f} ± {spread[arm, small]:.3f} | {means[arm, large]:.3f} ± "
        f"{spread[arm, large]:.3f} | {call(arm, 'supervised')} | {call(arm, 'scratch')} |"
        for arm in sorted(set(runs["arm"]), key=lambda arm: -means[arm, large])
    )


def draw(found: cells.Study) -> Figure:
    """A row per pipeline, the best at the larger budget on top; a panel per budget: its runs, and their mean as a bar."""
    large = max(found.budgets)
    by = found.runs.groupby(["arm", "budget"])[METRIC].mean()
    order = sorted(found.arms, key=lambda arm: by[arm.label, large])
    with style.look():
        figure = Figure(figsize=(style.WIDTH, 1 + 0.22 * len(order)))
        panels = figure.subplots(1, len(found.budgets), sharex=True, sharey=True)
        for axis, budget in zip(panels, found.budgets, strict=True):
            for row, arm in enumerate(order):
                values = found.of(arm, budget)[METRIC]
                axis.plot(values, [row] * len(values), arm.marker, color=arm.colour, ms=5, mew=0, alpha=0.6)
                axis.plot([values.mean()] * 2, [row - 0.4, row + 0.4], color=arm.colour, lw=2)
            axis.set(title=f"{budget} annotated slices", xlabel="test IoU (higher is better)")
            axis.set_yticks(range(len(order)), [arm.label for arm in order])
    return figure


def main() -> None:
    """Add what is given, draw, judge, print."""
    runs = pd.read_csv(RUNS)
    for path in map(Path, sys.argv[1:]):
        runs = add(runs, path)
    runs.to_csv(RUNS, index=False, float_format="%.10g")
    found = study(runs)
    draw(found).savefig(HERE / "scores.png", dpi=outputs.DPI, metadata={"Software": None})
    judged = pd.concat(calls(found, budget) for budget in found.budgets)
    judged.to_csv(HERE / "calls.csv", index=False, float_format="%.6g")
    print(table(runs, judged))


if __name__ == "__main__":
    main()
