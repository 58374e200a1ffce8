"""Floor 2: what a worklist would have gained over random choice, by fine-tuning with both on known labels.

Read on val: test stays unread. Both lists of a repetition start from the same annotated slices, have the
same number, the same initialisation and the same steps.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
from scipy import stats

from sslseg import cells, flags, names, tracking
from sslseg.data import streams
from sslseg.names import ParamError
from sslseg.params import Data, Finetune, Worklist
from sslseg.stages import finetune, pools, upstream
from sslseg.stages.inputs import Inputs
from sslseg.stages.upstream import Upstream
from sslseg.training import coreset

SCORES = ("best/val_iou", "last/val_iou", "area/val_iou")


def simulate(p: Worklist, run: tracking.Run, source: Upstream, data: Inputs, features: np.ndarray) -> None:
    """Fine-tune `p.simulate` times with each list; log every score and the paired differences.

    The annotated slices of a repetition are a nested subset of its seed: `p.annotated` of them, or half
    of those that have a mask.

    Args:
        features: [N, F] of the train rows, of unit length.

    Raises:
        ParamError: too few annotated slices are left to choose from.
        LeakError: the encoder, or an ancestor, has seen val: the simulation would flatter it.
    """
    labelled = data.labelled["train"]
    start = len(labelled) // 2 if p.annotated is None else p.annotated
    of_labelled = features[np.searchsorted(data.rows["train"], labelled)]
    found = []
    for seed in range(p.simulate):
        had = np.isin(labelled, pools.annotated(data, start, seed))
        pool = pools.of(data.store, labelled, of_labelled, had)
        listed = [one.place for one in pools.pick(p, pool)]
        free = np.flatnonzero(pool.candidates)
        drawn = streams.stream(seed, "worklist-random").permutation(free)[: len(listed)]
        for arm, places in {"worklist": listed, "random": drawn.tolist()}.items():
            rows = np.sort(labelled[np.concatenate([np.flatnonzero(had), places]).astype(int)])
            scores = _train(p, run, source, data, rows, seed, arm)
            reach = coreset.radius(pool, places)
            found.append({"seed": seed, "arm": arm, "slices": len(rows), "radius": reach, **scores})
    _log(run, pd.DataFrame(found))


def settings(p: Worklist, seed: int) -> Finetune:
    """Parameters of a simulated fine-tuning: the list's own data and encoder, the preset's training.

    Raises:
        ParamError: `finetune` has a knob of the data, which is the list's.
    """
    given = cells.overrides(p.finetune, "finetune")
    own = sorted(set(given) & {f.name for f in dataclasses.fields(Data)} | set(given) & {"encoder", "seed"})
    if own:
        raise ParamError(f"finetune: {', '.join(own)} are the list's own; give them to the list")
    shared = [f.name for f in dataclasses.fields(Data)] + [
        "encoder",
        "encoder_epoch",
        "encoder_role",
        "preset",
    ]
    texts = {name: flags.to_text(getattr(p, name)) for name in [*shared, "cache", "threads", "device"]}
    return flags.resolve(flags.from_mapping(Finetune, texts | {"seed": str(seed)} | given))


def _train(p, run, source: Upstream, data: Inputs, rows: np.ndarray, seed: int, arm: str) -> dict[str, float]:
    q = upstream.settle(settings(p, seed), source.resolved)
    with tracking.open_run(
        names.TRIAL,  # readers of results skip it
        name=f"{arm}, repetition {seed}",
        parent_run_id=run.id,
        experiment_id=run.experiment_id,
    ) as child:
        restricted = dataclasses.replace(data, labelled={**data.labelled, "train": rows})
        _, _, progress = finetune.train(q, child, source, restricted)
    tracking.drop_checkpoints(p.cache, child.id)
    return {name: progress.summary()[name] for name in SCORES}


def _log(run: tracking.Run, found: pd.DataFrame) -> None:
    run.text(found.to_csv(index=False), "simulation.csv")
    for score in SCORES:
        by = found.pivot(index="seed", columns="arm", values=score)
        mean, low, high = paired((by["worklist"] - by["random"]).to_numpy())
        key = f"simulation/{score.replace('/', '_')}"
        run.log({f"{key}/{arm}": float(by[arm].mean()) for arm in by})
        run.log({f"{key}/gain": mean} | ({} if np.isnan(low) else {f"{key}/low": low, f"{key}/high": high}))
        verdict = "undecided" if np.isnan(low) or low <= 0 <= high else "better" if mean > 0 else "worse"
        print(
            f"{score}: {by['worklist'].mean():.4f} with the list, {by['random'].mean():.4f} at random; "
            f"difference {mean:+.4f} [{low:+.4f}, {high:+.4f}] over {len(by)} repetitions: {verdict}"
        )


def paired(differences: np.ndarray) -> tuple[float, float, float]:
    """Mean and 95 % interval (Student's t) of paired differences; NaN ends for fewer than two."""
    mean, n = float(differences.mean()), len(differences)
    if n < 2:
        return mean, float("nan"), float("nan")
    half = stats.t.ppf(0.975, n - 1) * differences.std(ddof=1) / np.sqrt(n)
    return mean, float(mean - half), float(mean + half)
