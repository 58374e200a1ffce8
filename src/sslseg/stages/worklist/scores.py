"""What a set of annotated slices is worth on val: by a regression on the encoder, or by fine-tuning."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from sslseg.annotation import labelprobe
from sslseg.config import caches, flags, names
from sslseg.config.names import ParamError
from sslseg.config.params import Data, Finetune, Worklist
from sslseg.data import streams
from sslseg.models.modes import evaluating
from sslseg.plans import cells
from sslseg.stages import finetune
from sslseg.stages.intake import upstream
from sslseg.stages.intake.upstream import Start
from sslseg.stages.outcome import curves
from sslseg.stages.probe import features
from sslseg.tracking import session
from sslseg.training import devices

MOST_VAL = 256  # validation slices of the probe, spread evenly over all [H]
PROJECTION_SLICES = 256  # slices that the probe's principal components are read from [H]
# annotated rows, seed and name of a run -> its scores
Scorer = Callable[[np.ndarray, int, str], dict[str, float]]
OWN = {"encoder", "encoder_epoch", "encoder_role", "seed"}  # of a fine-tuning's knobs, those of the list


def probe(start: Start[Worklist], sets: Sequence[np.ndarray]) -> Scorer:
    """`labelprobe` on the list's own encoder: its validation IoU; all slices of `sets` pass it once."""
    p, data = start.p, start.data
    rows, val = np.unique(np.concatenate(sets)), curves.spread(data.labelled["val"], MOST_VAL)
    some = streams.stream(0, "worklist-probe").permutation(rows)[:PROJECTION_SLICES]
    net = start.network().to(devices.of(p))
    with evaluating(net):
        seen = features.regressed(net, p, data, rows, val, np.sort(some), start.run.beat)

    def score(annotated: np.ndarray, seed: int, name: str) -> dict[str, float]:
        places = np.searchsorted(rows, annotated)
        weights = labelprobe.fit(seen.known[places], seen.targets[places])
        return {names.VAL_IOU: labelprobe.score(weights, seen.asked, seen.truth)}

    return score


def tuning(start: Start[Worklist], sets: Sequence[np.ndarray]) -> Scorer:
    """Best, last and area of the validation IoU of a fine-tuning, each in a child run.

    Those of a repetition have one initialisation.
    """

    def score(annotated: np.ndarray, seed: int, name: str) -> dict[str, float]:
        q = upstream.settle(settings(start.p, seed), start.source.resolved)
        with session.open_run(  # as a trial: readers of results skip it
            names.TRIAL, name=name, parent_run_id=start.run.id, experiment_id=start.run.experiment_id
        ) as child:
            labelled = {**start.data.labelled, "train": annotated}
            restricted = dataclasses.replace(start.data, labelled=labelled)
            _, _, progress = finetune.train(Start(q, child, start.source, restricted))
        caches.drop_checkpoints(start.p.cache, child.id)
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
