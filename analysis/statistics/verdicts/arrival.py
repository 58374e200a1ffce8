"""How many times faster one pipeline learns than another: ratios of steps to a level, known to a grid or censored."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analysis.statistics.curves import Curve, Steps, steps_to
from analysis.statistics.records import MIN_SEEDS, Estimate, Refusal
from analysis.statistics.verdicts.interval import mean_interval

Bounds = tuple[float, float]


def bounds(slow: Steps, fast: Steps) -> Bounds:
    """Least and greatest log ratio of steps slow/fast: a run arrives between two evaluations, or after the last."""
    with np.errstate(divide="ignore"):
        slowest, quickest = np.log([slow.steps if slow.reached else np.inf, slow.before])
        late, early = np.log([fast.steps if fast.reached else np.inf, fast.before])
    return float(quickest - late), float(slowest - early)


def speed_up(a: Curve, b: Curve, final_a: float, final_b: float) -> Bounds:
    """Bounds of the log of how many times the steps of `a` the run `b` takes to the same level.

    The level is 95 % of what the weaker of the two runs ends at, so that both are asked for what both can do, and
    other runs do not matter.
    """
    level = min(final_a, final_b)
    return bounds(steps_to(b, level), steps_to(a, level))


def telling(pairs: Sequence[Bounds]) -> np.ndarray | Refusal:
    """Bounds [S, 2] of the pairs that bound their ratio at all, or why too few do: three, and more than half."""
    found = np.array([p for p in pairs if np.isfinite(p).any()], float).reshape(-1, 2)
    if len(found) < MIN_SEEDS or 2 * len(found) <= len(pairs):
        return Refusal.insufficient(
            f"when the level was reached can be told in {len(found)} of {len(pairs)} pairs, at least {MIN_SEEDS} and more than "
            "half are wanted"
        )
    return found


def ratio_of_steps(slow: Sequence[Steps], fast: Sequence[Steps]) -> Estimate | Refusal:
    """Geometric mean of slow/fast over pairs (same seed and subset at the same place of both sequences).

    Returns:
        `Estimate` (a ratio; infinite where censoring leaves a side open), or the `Refusal` of `telling`.

    Raises:
        ValueError: for sequences of different lengths or steps that are not positive.
    """
    if len(slow) != len(fast):
        raise ValueError(f"pairs are wanted, {len(slow)} and {len(fast)} runs came")
    if min((t.steps for t in (*slow, *fast)), default=1.0) <= 0:
        raise ValueError("steps above zero are wanted: leave the evaluation before the first step out")
    found = telling([bounds(a, b) for a, b in zip(slow, fast, strict=True)])
    if isinstance(found, Refusal):
        return found
    log = mean_interval(found[:, 0], found[:, 1], 0.95)
    censored = int(np.isinf(found).any(axis=1).sum())
    note = f"{censored} of {len(found)} pairs censored" if censored else ""
    return replace(log, note=note).mapped(np.exp)
