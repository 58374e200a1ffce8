"""What a trial says: before it starts, what can be decided; at its end, what was."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.statistics import design
from analysis.statistics.design import Costs, Design, Foresight

if TYPE_CHECKING:
    from sslseg.stages.forecast.arms import Arm

METRIC = "test_loss"  # the verdict that is told on the terminal; the page has all
TURNED = {"better": "worse", "worse": "better"}


def ahead(plan: Design, costs: Costs, known: Foresight, arms: Sequence[Arm]) -> str:
    """The plan, and what it will and will not decide."""
    budgets = ", ".join(map(str, plan.budgets))
    lines = [
        f"plan: {', '.join(plan.pipelines)}; {budgets} annotated slices; {plan.seeds} seeds: {plan.runs} "
        f"fine-tunings, {costs.places} at a time, at most {ceil((plan.seconds + costs.spent) / 60)} minutes in all",
        "measured, a fine-tuning: " + ", ".join(f"{name} {s:.0f} s" for name, s in costs.runs.items()),
    ]
    networks = {arm.architecture for arm in arms}
    if len(networks) > 1:
        shown = ", ".join(f"{arm.name} {arm.architecture}" for arm in arms)
        lines.append(f"note: the networks differ ({shown}): a verdict is on network and pretraining together")
    lines += ["it will be able to decide:", *(f"  {line}" for line in known.can or ("nothing",))]
    lines += ["it will not be able to decide:", *(f"  {line}" for line in known.cannot or ("nothing else",))]
    return "\n".join(lines)


def behind(record: Path, plan: Design, costs: Costs, again: str) -> Iterator[str]:
    """Headline, the verdict on every pair, and the minutes that would decide what is open.

    Args:
        record: decisions.json of the page.
        again: the command, without its minutes.
    """
    found = json.loads(record.read_text())
    yield found["headline"]
    table = next((t for t in found.get("verdict", ()) if t["metric"]["key"] == METRIC), None)
    wanted = 0
    for row in table["rows"] if table else ():
        yield _verdict(row, plan, costs)
        wanted = max(wanted, (row.get("more") or {}).get("seeds", 0))
    if wanted:
        minutes = design.minutes_for(costs, len(plan.budgets), min(plan.seeds + wanted, design.MOST_SEEDS))
        yield f"to go on (what has been run is used again): {again} -P minutes={minutes}"


def _verdict(row: dict[str, Any], plan: Design, costs: Costs) -> str:
    """One pair, the later pipeline first: the earlier ones are what it is put against."""
    if "reason" in row:
        return row["reason"]
    call, effect = TURNED.get(row["call"], row["call"]), -row["effect"]["value"]
    said = {"equivalent": "is equivalent to", "undecided": "is undecided against"}.get(
        call, f"is {call} than"
    )
    text = f"{row['b']} {said} {row['a']} (test Jaccard loss, {effect:+.3f} in its favour, p {row['p_holm']:.2g})"
    if more := row.get("more"):
        return f"{text}; about {minutes_more(plan, costs, more['seeds'])} more minutes would decide"
    return f"{text}; {row['note']}" if row["call"] == "undecided" else text


def minutes_more(plan: Design, costs: Costs, seeds: int) -> int:
    """Minutes that further seeds of the whole design take."""
    longer = design.seconds(costs, len(plan.budgets), plan.seeds + seeds)
    return max(1, ceil((longer - plan.seconds) / 60))
