"""What a trial says: before it starts, what can be decided; at its end, what was."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from analysis.statistics import design
from analysis.statistics.design import Costs, Design, Foresight
from analysis.statistics.verdicts.records import WORDS
from analysis.statistics.words import plural
from sslseg.config import names
from sslseg.config.files import read_json


@dataclass(frozen=True)
class Arm:
    """A pipeline of the trial: its row or lineage, what its fine-tunings start from, and its network."""

    name: str
    encoder: str
    architecture: str
    decoder_from: str = ""  # "upstream": its fine-tunings take the decoder over, too

    @property
    def texts(self) -> dict[str, str]:
        """Knobs of a fine-tuning of this arm, as texts."""
        own = {"architecture": self.architecture} if self.encoder == names.SCRATCH else {}
        own |= {"decoder_from": self.decoder_from} if self.decoder_from else {}
        return {"encoder": self.encoder} | own


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
    """The verdict on every pair, and the minutes that would decide what is open, or end what was left out.

    Args:
        record: decisions.json of the page.
        again: the command, without its minutes.
    """
    found = read_json(record)
    table = next((t for t in found.get("verdict", ()) if t["primary"]), None)
    wanted, minutes = 0, 0
    for row in table["rows"] if table else ():
        yield _verdict(row, plan, costs)
        wanted = max(wanted, (row.get("more") or {}).get("least") or 0)
        if "reason" in row:  # runs were left out, for the machine was slower than measured
            minutes = 2 * design.minutes_for(costs, len(plan.budgets), plan.seeds)
    if wanted:
        longer = design.minutes_for(costs, len(plan.budgets), min(plan.seeds + wanted, design.MOST_SEEDS))
        minutes = max(minutes, longer)
    if minutes:
        knob = "-P minutes=" if again.startswith("mlflow") else "--minutes "
        yield f"to go on (what has been run is used again): {again} {knob}{minutes}"


def _verdict(row: dict[str, Any], plan: Design, costs: Costs) -> str:
    """One pair and its interval; where it is undecided, how many seeds more, and the minutes to the first of them."""
    if "reason" in row:
        return row["reason"]
    said, effect = WORDS[row["call"]], row["effect"]
    text = f"{row['a']} {said} {row['b']} (test IoU {effect['value']:+.3f} [{effect['low']:+.3f}, {effect['high']:+.3f}])"
    if row["note"]:
        text += f"; {row['note']}"
    if least := (row.get("more") or {}).get("least"):
        text += f"; the first of them in about {plural(minutes_more(plan, costs, least), 'minute')}"
    return text


def minutes_more(plan: Design, costs: Costs, seeds: int) -> int:
    """Minutes that further seeds of the whole design take."""
    longer = design.seconds(costs, len(plan.budgets), plan.seeds + seeds)
    return max(1, ceil((longer - plan.seconds) / 60))
