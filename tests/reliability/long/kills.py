"""Real SIGKILLs at random effects of every stage: `python -m tests.reliability.long.kills [--kills 20]`, `make kills`.

The same command again has to end with the numbers, models and registry entries of an uninterrupted run, bit
by bit, and to do again at most one checkpoint interval. Each kill has a store, checkpoints and a study of
its own; the prepared data are shared. The victims are forks of a process that has imported everything, but
the first ones of each stage, which start cold by the entry point.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.reliability.long import record, saboteur
from tests.reliability.long.facts import compare, facts, finished_early
from tests.reliability.long.places import INTERVAL, STAGES, Place, begin, command, fresh, warm_more, warm_up

GROUPS = {"step": 0.4, "checkpoint": 0.3, "store": 0.3}  # shares of the kills


@dataclass(frozen=True)
class Whole:
    """What an uninterrupted command leaves, and the effects it has on the way."""

    facts: dict[str, Any]
    effects: list[str]

    @property
    def steps(self) -> int:
        return sum(name.startswith("step") and name.endswith("done") for name in self.effects)


def draw(effects: list[str], kills: int, rng: random.Random) -> list[int]:
    """Numbers of the effects to die in: each group its share, none twice."""
    of = {group: [n for n, name in enumerate(effects) if name.startswith(group)] for group in GROUPS}
    chosen: list[int] = []
    for group, share in GROUPS.items():
        chosen += rng.sample(of[group], min(len(of[group]), max(1, round(share * kills))))
    rest = [n for n in range(len(effects)) if n not in chosen]
    rng.shuffle(chosen)
    return (chosen + rng.sample(rest, len(rest)))[:kills]


def one(
    stage: str, root: Path, place: Place, at: int, whole: Whole, mode: str = "all", cold: bool = False
) -> dict:
    """Kill once, go on, and say what came of it."""
    begun = time.perf_counter()
    code = command(stage, root, place, "killed", at, mode, cold=cold)
    died = saboteur.effects(place.folder / "killed")[at]
    faults = []
    if code != (0 if mode == "worker" else -signal.SIGKILL):
        faults.append(f"exit code {code} of the killed command")
    if mode == "all":
        faults += finished_early(whole.facts, place)
        if code := command(stage, root, place, "again", cold=cold):
            output = (place.folder / "again.output").read_text()[-400:]
            faults.append(f"exit code {code} of the second command: {output}")
    got = facts(place)
    both = saboteur.effects(place.folder / "killed") + saboteur.effects(place.folder / "again")
    repeated = sum(name.startswith("step") and name.endswith("done") for name in both) - whole.steps
    faults += compare(whole.facts, got)
    if repeated > INTERVAL:
        faults.append(f"{repeated} steps done again, at most {INTERVAL}")
    resumed = any(run["resumed"] for runs in got["runs"].values() for run in runs)
    return {"stage": stage, "died": died, "mode": mode, "cold": cold, "repeated": max(repeated, 0), "resumed": resumed,
            "twice": got["logged twice"], "faults": faults,
            "seconds": round(time.perf_counter() - begun, 1)}  # fmt: skip


def undisturbed(stage: str, base: Path, root: Path) -> Whole:
    """The command when nothing happens to it."""
    place = fresh(base, f"{stage}-whole")
    if code := command(stage, root, place, "whole"):
        raise RuntimeError(
            f"{stage}: exit code {code}: {(place.folder / 'whole.output').read_text()[-3000:]}"
        )
    found = facts(place)
    for name in ("whole", "facts"):
        warm_more(place.folder / f"{name}.modules")
    return Whole(found, until_the_end(saboteur.effects(place.folder / "whole")))


def until_the_end(effects: list[str]) -> list[str]:
    """Without what follows the stored end of the last run: the same command after it rightly runs it all again."""
    ends = [i for i, name in enumerate(effects) if name == "store set_terminated done"]
    return effects[: ends[-1]] if ends else effects


def try_stage(stage: str, options: argparse.Namespace, base: Path, root: Path) -> list[dict]:
    """All kills of one stage."""
    whole = undisturbed(stage, base, root)
    print(f"{stage}: {len(whole.effects)} effects, {whole.steps} steps", flush=True)
    rows = []
    for number, at in enumerate(draw(whole.effects, options.kills, random.Random(f"{options.seed} {stage}"))):
        # of a sweep, every second kill takes the worker alone, and the command goes on by itself
        worker = stage == "sweep" and number % 2 and whole.effects[at].startswith(("step", "checkpoint"))
        place = fresh(base, f"{stage}-{number}")
        mode = "worker" if worker else "all"
        rows.append(one(stage, root, place, at, whole, mode, cold=number < options.cold))
        print(json.dumps(rows[-1]), flush=True)
        if options.record:
            record.keep("kills", counts(rows, options.seed))
        if not (options.keep or rows[-1]["faults"]):
            shutil.rmtree(place.folder)
    return rows


def counts(rows: list[dict], seed: int) -> dict[str, dict[str, int]]:
    """Stage -> what was killed, and what came of it."""
    found = {}
    for stage in dict.fromkeys(row["stage"] for row in rows):
        own = [row for row in rows if row["stage"] == stage]
        found[stage] = {
            "kills": len(own), "cold": sum(row["cold"] for row in own),
            "in a step": sum(row["died"].startswith("step") for row in own),
            "in a checkpoint's writing": sum(row["died"].startswith("checkpoint") for row in own),
            "in a call of the store": sum(row["died"].startswith("store") for row in own),
            "the worker alone": sum(row["mode"] == "worker" for row in own),
            "gone on with": sum(row["resumed"] for row in own),
            "steps done again, at most": max(row["repeated"] for row in own),
            "numbers logged twice": sum(row["twice"] for row in own),
            "faults": sum(bool(row["faults"]) for row in own),
            "seconds": round(sum(row["seconds"] for row in own)), "seed": seed,
        }  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stages", nargs="*", default=list(STAGES))
    parser.add_argument("--kills", type=int, default=20, help="of each stage")
    parser.add_argument("--cold", type=int, default=2, help="of them, victims that start cold")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="keep the stores")
    parser.add_argument("--folder", type=Path, help="work here; default: a temporary folder")
    parser.add_argument("--record", action="store_true", help="into docs/reference/reliability.md")
    options = parser.parse_args()
    warm_up()
    base = options.folder or Path(tempfile.mkdtemp(prefix="sslseg-kills-"))
    root = begin(base)
    rows = []
    for stage in options.stages:
        rows += try_stage(stage, options, base, root)
    print(record.kills(counts(rows, options.seed)))
    failed = [row for row in rows if row["faults"]]
    if not (options.folder or failed):
        shutil.rmtree(base)
    print(f"{len(rows)} kills, {len(failed)} with faults" + (f"; see {base}" if failed else ""))
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
