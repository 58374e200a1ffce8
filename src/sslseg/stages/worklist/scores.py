"""What a set of annotated slices is worth on val: by a regression on the encoder, or by fine-tuning."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from sslseg.annotation import labelprobe
from sslseg.config import caches, flags, names
from sslseg.config.names import ParamError
from sslseg.config.params import Data, Finetune, Worklist
from sslseg.data import streams
from sslseg.data.training_set import Inputs
from sslseg.models import encoder
from sslseg.models.modes import evaluating
from sslseg.plans import cells
from sslseg.stages import finetune
from sslseg.stages.intake import upstream
from sslseg.stages.intake.upstream import Upstream
from sslseg.stages.outcome import curves
from sslseg.stages.probe import features
from sslseg.tracking import session
from sslseg.training import devices

MOST_VAL = 256  # validation slices of the probe, spread evenly over all [H]
PROJECTION_SLICES = 256  # slices that the probe's principal components are read from [H]
# annotated rows, seed and name of a run -> its scores
Scorer = Callable[[np.ndarray, int, str], dict[str, float]]
OWN = {"encoder", "encoder_epoch", "encoder_role", "seed"}  # of a fine-tuning's knobs, those of the list


def probe(
    p: Worklist, run: session.Run, source: Upstream, data: Inputs, sets: Sequence[np.ndarray]
) -> Scorer:
    """`labelprobe` on the list's own encoder: its validation IoU; all slices of `sets` pass it once."""
    rows, val = np.unique(np.concatenate(sets)), curves.spread(data.labelled["val"], MOST_VAL)
    some = streams.stream(0, "worklist-probe").permutation(rows)[:PROJECTION_SLICES]
    net = encoder.from_state(source.state, source.config).to(devices.of(p))
    with evaluating(net):
        seen = features.regressed(net, p, data, rows, val, np.sort(some), run.beat)

    def score(annotated: np.ndarray, seed: int, name: str) -> dict[str, float]:
        places = np.searchsorted(rows, annotated)
        weights = labelprobe.fit(seen.known[places], seen.targets[places])
        return {names.VAL_IOU: labelprobe.score(weights, seen.asked, seen.truth)}

    return score


def tuning(
    p: Worklist, run: session.Run, source: Upstream, data: Inputs, sets: Sequence[np.ndarray]
) -> Scorer:
    """Best, last and area of the validation IoU of a fine-tuning, each in a child run.

    Those of a repetition have one initialisation.
    """

    def score(annotated: np.ndarray, seed: int, name: str) -> dict[str, float]:
        q = upstream.settle(settings(p, seed), source.resolved)
        with session.open_run(  # as a trial: readers of results skip it
            names.TRIAL, name=name, parent_run_id=run.id, experiment_id=run.experiment_id
        ) as child:
            restricted = dataclasses.replace(data, labelled={**data.labelled, "train": annotated})
            _, _, progress = finetune.train(q, child, source, restricted)
        caches.drop_checkpoints(p.cache, child.id)
        return {
            n: progress.summary()[n] for n in (names.BEST_VAL_IOU, names.LAST_VAL_IOU, names.AREA_VAL_IOU)
        }

    return score


SCORERS = {"probe": probe, "finetune": tuning}


def settings(p: Worklist, seed: int) -> Finetune:
    """Parameters of a simulated fine-tuning: the list's own data and encoder, the preset's training.

    Raises:
        ParamError: `finetune` has a knob of the data, which is the list's.
    """
    given, shared = cells.overrides(p.finetune, "finetune"), {f.name for f in dataclasses.fields(Data)}
    if own := sorted(set(given) & (shared | OWN)):
        raise ParamError(f"finetune: {', '.join(own)} are the list's own; give them to the list")
    same = sorted(shared | OWN - {"seed"} | {"preset", "cache", "threads", "device"})
    texts = {name: flags.to_text(getattr(p, name)) for name in same}
    return flags.resolve(flags.from_mapping(Finetune, texts | {"seed": str(seed)} | given))
