"""What one interval says of a pair of pipelines: better, worse, equivalent or undecided, and what to know beside it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from analysis.statistics.records import Refusal
from analysis.statistics.verdicts import looks
from analysis.statistics.verdicts.collapse import CLEAR
from analysis.statistics.verdicts.interval import mean_interval
from analysis.statistics.verdicts.power import more_seeds
from analysis.statistics.verdicts.records import SURE, Call, Pair, Unproven, Verdict
from analysis.statistics.verdicts.stands import hurdle, stands
from analysis.statistics.words import plural

SAID = 4  # missing cells that are named beside a call
EXACT = 2**12  # sign patterns up to which the permutation test counts all of them, beyond it draws as many


def judge(
    pairs: Sequence[Pair | Refusal], *, margin: float, budget: int | None = None, counts: str = "slice"
) -> tuple[Verdict | Refusal, ...]:
    """The verdicts of one family; refusals stay what they are, and do not count in it. A budget `counts` slices or patients.

    Raises:
        ValueError: when the margin is not positive.
    """
    if not margin > 0:
        raise ValueError(f"a margin above zero, in units of the score, is wanted, {margin} came")
    family = [p for p in pairs if isinstance(p, Pair)]
    of_each = Counter(name for p in family for name in (p.a, p.b))
    return tuple(
        p if isinstance(p, Refusal) else _verdict(p, margin, budget, len(family), of_each, counts)
        for p in pairs
    )


def _verdict(
    p: Pair, margin: float, budget: int | None, family: int, of_each: Mapping[str, int], counts: str
) -> Verdict:
    seeds = looks.look(len(p.low))
    low, high = p.low[:seeds], p.high[:seeds]
    error_rate = looks.error_rate(seeds, family)
    effect = mean_interval(low, high, 1 - error_rate, p.rest)
    alike = -margin < effect.low and effect.high < margin
    differ = effect.low > 0 or effect.high < 0
    call: Call = "undecided"
    unproven = _unproven(p) if alike else None
    if alike and not unproven:
        call = "equivalent"
    elif differ:
        call = "better" if effect.low > 0 else "worse"
    call, standing = stands(p, effect, call, of_each)
    middles = np.where(np.isinf(low), high, np.where(np.isinf(high), low, (low + high) / 2))
    permuted, least = _permuted(middles), 2.0 ** (1 - seeds)
    more = more_seeds(middles, family, hurdle(p, effect, of_each)) if call == "undecided" else None
    more = replace(more, what=p.unit) if more else None
    notes = [
        *_waiting(len(p.low), seeds, p.unit),
        *_fallen(p, budget, seeds, counts),
        *_missing(p, budget, counts),
        *([f"within the margin, but not equivalent: {unproven.why}"] if unproven else []),
        *(["a real difference, smaller than the margin"] if call == "equivalent" and differ else []),
        *standing,
        *(["the permutation test alone would not call it: the call takes the differences for normally distributed"]
          if call in SURE and permuted > looks.ALPHA else []),
        *([more.text] if more else []),
    ]  # fmt: skip
    return Verdict(
        p.a, p.b, budget, call, effect, 1 - error_rate, permuted, least, seeds, margin, more, "; ".join(notes),
        unit=p.unit, unproven=unproven,
    )  # fmt: skip


def _unproven(p: Pair) -> Unproven | None:
    """What stands between an interval within the margin and "equivalent"."""
    if p.fallen:
        return Unproven("a run lies far below the others")
    if p.missing:
        return Unproven("a run is missing")
    if p.runs < CLEAR:
        told = f"{CLEAR} {p.counted()} of each without a collapse are wanted, and there are {p.runs}"
        return Unproven(told, CLEAR)
    return None


def _waiting(there: int, read: int, unit: str) -> list[str]:
    coming = looks.following(there)
    if there == read or not coming:
        return []
    return [f"the first {read} of {there} {unit}s count, the others only when there are {coming[0]}"]


def _fallen(p: Pair, budget: int | None, read: int, counts: str) -> list[str]:
    return [
        f"{s.pipeline} with seed {s.seed} at {plural(s.budget, counts)} ({s.value:.3g}) lies far below its other runs"
        for s in p.fallen
        if budget in (None, s.budget) and (s.seed in p.seeds[:read] or p.unit != "seed")
    ]


def _missing(p: Pair, budget: int | None, counts: str) -> list[str]:
    """Cells that this call has to do without; a few of them by name."""
    here = [cell for cell in p.missing if budget in (None, cell[1])]
    cells = [f"{name} with seed {seed} at {plural(n, counts)}" for name, n, seed in here]
    more = [f"{len(cells) - SAID} more"] if len(cells) > SAID else []
    return [f"missing: {', '.join([*cells[:SAID], *more])}"] if cells else []


def _permuted(differences: np.ndarray) -> float:
    """Two-sided p of the mean under exchange of the two runs of any pair; valid for censored steps, too."""
    how = {"permutation_type": "samples", "n_resamples": EXACT, "vectorized": True, "rng": 0}
    return float(stats.permutation_test((np.sort(differences),), np.mean, **how).pvalue)
