"""What collapses that no run has shown leave of a call, and the lead that they let be called."""

from collections.abc import Callable, Mapping

import numpy as np

from analysis.statistics.records import Estimate
from analysis.statistics.verdicts import looks
from analysis.statistics.verdicts.collapse import DEEP, RATES, open_rate, unseen
from analysis.statistics.verdicts.power import least_lead
from analysis.statistics.verdicts.records import SURE, Call, Pair
from analysis.statistics.words import plural


def stands(p: Pair, effect: Estimate, call: Call, of_each: Mapping[str, int]) -> tuple[Call, list[str]]:
    """The call, and how often the better one may collapse before it is wrong, where its runs cannot exclude as much.

    Of a pipeline that has been seen to collapse, or to fall far below its others, at whatever budget, nothing is called
    that more of these could undo; of the others nothing that a pipeline of equal mean, whose collapses have not been
    seen, would show too often (`unseen`).
    """
    if call not in SURE or p.sinking is None:
        return call, []
    name, sinking = (p.a, p.sinking[0]) if call == "better" else (p.b, p.sinking[1])
    least = min(abs(effect.low), abs(effect.high))
    stands = least / max(sinking.cost, 1e-9)
    left = sinking.open or open_rate(sinking.chances)
    if sinking.fallen and stands < left:
        gone = sum(cell[0] == name for cell in p.missing)
        what = sinking.how + " or missing" * bool(gone)
        what = "missing, counted as collapsed" if gone == sinking.fallen else what
        may = "collapse" if sinking.cost >= sinking.depth else "fall as far"
        told = f"{sinking.fallen} of {plural(sinking.runs, 'run')} of {name} {what}"
        return "undecided", [
            f"{told}: up to {left:.0%} may {may}, and from {stands:.0%} on it would not be the better one"
        ]
    seeds = looks.look(len(p.low))
    chances, told = sinking.read(seeds / len(p.low))  # those of seeds that wait for the next look wait, too
    seen = unseen(effect.value, seeds, chances, *p.scatter, sinking.depth, p.averaged)
    rate, chance, granted = max(
        zip(RATES, seen, looks.granted(seeds, of_each[name]), strict=True), key=lambda one: one[1] / one[2]
    )
    if chance > granted:
        return "undecided", [
            f"were {name} no better, and did one of {1 / rate:.0f} of its {p.counted(sinking)} collapse, {100 * chance:.2g}% of "
            f"studies would show this lead and no collapse in {told}; it is called from {100 * granted:.2g}% down"
            + ("" if sinking.pretrainings else ", and runs at other sizes count")
        ]
    stands = least / max(sinking.depth, 1e-9)
    if stands >= left or not np.isfinite(sinking.depth):
        return call, []
    return call, [
        f"stands if {name} collapses in fewer than {stands:.0%} of {p.counted(sinking)}, and these do not rule out up to "
        f"{left:.0%}"
    ]


def hurdle(p: Pair, effect: Estimate, of_each: Mapping[str, int]) -> Callable[[int], float]:
    """The least lead that is called after further seeds at this budget, none of which collapses."""
    spread, freedom = p.scatter
    if p.sinking is None or spread <= 0:
        return lambda seeds: 0.0
    better, read = int(effect.value < 0), looks.look(len(p.low))
    sinking, pairs = p.sinking[better], of_each[(p.a, p.b)[better]]
    deep = round(min(DEEP * p.averaged, sinking.depth / spread), 1)

    def least(seeds: int) -> float:
        further = max(seeds - len(p.low), 0)
        return spread * least_lead(
            seeds, sinking.chances + further, round(freedom * (seeds - 1) / (read - 1)), deep, pairs
        )

    return least
