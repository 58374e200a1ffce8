"""What a worklist would have gained over random choice, on data whose masks are known.

Read on val: test stays unread. All lists of a repetition start from the same annotated slices and have
the same number. Each repetition chooses among half of the train patients, drawn anew: lists from the same
patients would be nearly one list, and its luck would pass for the choice's. The interval is over
repetitions: of this choice on these data with this validation set.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.statistics.records import students_t
from sslseg.annotation import coreset
from sslseg.annotation.coreset import Pool
from sslseg.config.params import Worklist
from sslseg.data import streams
from sslseg.data.training_set import Inputs
from sslseg.stages.intake import leaks
from sslseg.stages.intake.upstream import Start
from sslseg.stages.worklist import pools
from sslseg.stages.worklist.scores import SCORERS, settings
from sslseg.tracking import session

KEPT = 0.5  # share of the train patients in a repetition [H]
LISTED, RANDOM = "worklist", "random"
REMEDY = "Such an encoder flatters its list; simulate with one that was trained without them"


@dataclass(frozen=True)
class Repetition:
    """Slices to choose from, and the lists, the longest there are: a shorter one is its beginning."""

    seed: int
    rows: np.ndarray  # of the store; places of `pool` and of the lists
    pool: Pool
    lists: tuple[tuple[str, list[int]], ...]  # (arm, places); the first is the list's own

    def annotated(self, places: list[int]) -> np.ndarray:
        """Rows of the store that are annotated with the slices `places`, sorted."""
        return np.sort(self.rows[np.concatenate([np.flatnonzero(self.pool.annotated), places]).astype(int)])


def simulate(start: Start[Worklist], features: np.ndarray) -> None:
    """Score `p.simulate` lists and `p.simulate_random` times as many random ones; log the differences.

    Args:
        features: [N, F] of the train rows, of unit length.

    Raises:
        ParamError: too few annotated slices to choose from, or see `scores.settings`.
        LeakError: the encoder, or an ancestor, has seen val: the simulation would flatter it.
    """
    p, run, data = start.p, start.run, start.data
    leaks.gate(run, start.source.resolved, data, remedy=REMEDY)
    if p.simulate_with == "finetune":
        settings(p, 0)  # before any work
    sizes = tuple(sorted(set(p.simulate_slices))) or (p.slices,)
    made = [repetition(p, data, features, seed, sizes[-1]) for seed in range(p.simulate)]
    sets = [one.annotated(places) for one in made for _, places in one.lists]
    score = SCORERS[p.simulate_with](start, sets)
    wanted = [(one, size, draw) for one in made for size in sizes for draw in range(len(one.lists))]
    found = []
    for one, size, draw in run.progress(wanted, "simulating", len(wanted)):
        arm, places = one.lists[draw]
        mean, radius = coreset.reach(one.pool, places[:size])
        place = {"seed": one.seed, "slices": size, "arm": arm, "draw": draw, "reach": mean, "radius": radius}
        name = f"{arm}, {size} slices, repetition {one.seed}" + f", draw {draw}" * (draw > 1)
        scores = score(one.annotated(places[:size]), one.seed, name)
        found.append(place | scores)
    table = pd.DataFrame(found)
    run.text(table.to_csv(index=False), "simulation.csv")
    log(run, table, tuple(scores))


def repetition(p: Worklist, data: Inputs, features: np.ndarray, seed: int, most: int) -> Repetition:
    """Lists of `most` slices, chosen among half of the train patients; no mask is read.

    The annotated slices are a nested subset of the seed: `p.annotated` of them, or half of those that
    have a mask.
    """
    labelled = data.labelled["train"]
    patients = data.store.index["patient"].to_numpy()[labelled]
    drawn = streams.stream(seed, "worklist-patients").permutation(np.unique(patients))
    rows = labelled[np.isin(patients, drawn[: max(1, round(KEPT * len(drawn)))])]
    start = len(rows) // 2 if p.annotated is None else p.annotated
    had = np.isin(rows, pools.annotated(data, rows, start, seed))
    pool = pools.of(data.store, rows, features[np.searchsorted(data.rows["train"], rows)], had)
    knob = f"{'simulate_slices' if p.simulate_slices else 'slices'}, in half of the train patients"
    lists = [(LISTED, [one.place for one in pools.pick(p, pool, most, knob)])]
    free = np.flatnonzero(~had)
    for draw in range(p.simulate_random):
        random = streams.stream(seed, "worklist-random", draw).permutation(free)[:most]
        lists.append((RANDOM, random.tolist()))
    return Repetition(seed, rows, pool, tuple(lists))


def log(run: session.Run, table: pd.DataFrame, scores: tuple[str, ...]) -> None:
    """Gains with their intervals, as metrics whose step is the length of the list, and as sentences."""
    for score in scores:
        key = f"simulation/{score.replace('/', '_')}"
        for size, part in table.groupby("slices"):
            by = part.groupby(["seed", "arm"])[score].mean().unstack("arm")
            found = students_t(by[LISTED] - by[RANDOM])
            gain, low, high = found.value, found.low, found.high
            beaten = share_beaten(part, score)
            numbers = {f"{key}/{arm}": float(by[arm].mean()) for arm in by}
            numbers |= {f"{key}/gain": gain, f"{key}/beaten": beaten}
            run.log(numbers | ({} if np.isnan(low) else {f"{key}/low": low, f"{key}/high": high}), int(size))
            verdict = "undecided" if np.isnan(low) or low <= 0 <= high else "better" if gain > 0 else "worse"
            print(
                f"{size} slices, {score}: {by[LISTED].mean():.4f} with the list, {by[RANDOM].mean():.4f} at "
                f"random; difference {gain:+.4f} [{low:+.4f}, {high:+.4f}] over {len(by)} repetitions, "
                f"{beaten:.0%} of {(part['arm'] == RANDOM).sum()} random lists beaten: {verdict}"
            )


def share_beaten(table: pd.DataFrame, score: str) -> float:
    """Share of random lists that are worse than the list of their repetition; equal ones count half."""
    listed = table[table["arm"] == LISTED].set_index("seed")[score]
    random = table[table["arm"] == RANDOM]
    difference = listed.loc[random["seed"]].to_numpy() - random[score].to_numpy()
    return float(((np.sign(difference) + 1) / 2).mean())
