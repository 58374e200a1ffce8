"""What a set of annotated slices is worth on val: by a regression on the encoder, or by fine-tuning."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch

from sslseg.annotation import labelprobe
from sslseg.config import caches, flags, names
from sslseg.config.names import ParamError
from sslseg.config.params import Data, Finetune, Worklist
from sslseg.data import streams
from sslseg.data.training_set import Inputs
from sslseg.data.views import batches
from sslseg.models import encoder
from sslseg.models.modes import evaluating
from sslseg.plans import cells
from sslseg.stages import finetune
from sslseg.stages.intake import upstream
from sslseg.stages.intake.upstream import Upstream
from sslseg.stages.outcome import curves
from sslseg.tracking import session
from sslseg.training import devices

MOST_VAL = 256  # validation slices of the probe, spread evenly over all [H]
PROJECTION_SLICES = 256  # slices that the probe's principal components are read from [H]
OWN = {"encoder", "encoder_epoch", "encoder_role", "seed"}  # of a fine-tuning's knobs, those of the list


class Probe:
    """`labelprobe` on the list's own encoder; all slices pass it once."""

    scores = (names.VAL_IOU,)

    def __init__(self, p: Worklist, run: session.Run, source: Upstream, data: Inputs) -> None:
        self._p, self._run, self._data = p, run, data
        self._net = encoder.from_state(source.state, source.config).to(devices.of(p))
        self._classes = len(data.store.classes)

    def prepare(self, sets: Sequence[np.ndarray]) -> None:
        """Look at every slice of `sets` and of val."""
        rows = np.unique(np.concatenate(sets))
        val = curves.spread(self._data.labelled["val"], MOST_VAL)
        some = streams.stream(0, "worklist-probe").permutation(rows)[:PROJECTION_SLICES]
        projection = labelprobe.projection(self._see(np.sort(some)))
        size, store = self._p.image_size, self._data.store
        self._place = {int(row): n for n, row in enumerate(rows)}
        self._features = self._project(projection, rows)
        self._targets = self._batched(
            lambda r: labelprobe.shares(batches.whole_labels(store, r, size), self._classes), rows
        )
        self._val = self._project(projection, val)
        self._truth = self._batched(lambda r: batches.whole_labels(store, r, size), val)

    def score(self, rows: np.ndarray, seed: int, name: str) -> dict[str, float]:
        """The probe's validation IoU when `rows` are annotated."""
        places = [self._place[int(row)] for row in rows]
        weights = labelprobe.fit(self._features[places], self._targets[places])
        return {self.scores[0]: labelprobe.score(weights, self._val, self._truth)}

    def _project(self, projection: labelprobe.Projection, rows: np.ndarray) -> np.ndarray:
        return self._batched(lambda r: projection(self._see(r)), rows)

    def _see(self, rows: np.ndarray) -> np.ndarray:
        data, size, device = self._data, self._p.image_size, devices.of(self._p)

        def look(part: np.ndarray) -> np.ndarray:
            images = batches.whole_batch(data.store, part, data.intensity, size)
            return labelprobe.see(self._net, torch.from_numpy(images).to(device))

        with evaluating(self._net):
            return self._batched(look, rows)

    def _batched(self, do: Callable[[np.ndarray], np.ndarray], rows: np.ndarray) -> np.ndarray:
        def beating(part: np.ndarray) -> np.ndarray:
            self._run.beat()
            return do(part)

        return labelprobe.batched(beating, rows)


class Tuning:
    """A fine-tuning for every set, each in a child run; of a repetition all have one initialisation."""

    scores = (names.BEST_VAL_IOU, names.LAST_VAL_IOU, names.AREA_VAL_IOU)

    def __init__(self, p: Worklist, run: session.Run, source: Upstream, data: Inputs) -> None:
        self._p, self._run, self._source, self._data = p, run, source, data
        settings(p, 0)  # before any work

    def prepare(self, sets: Sequence[np.ndarray]) -> None:
        """Nothing."""

    def score(self, rows: np.ndarray, seed: int, name: str) -> dict[str, float]:
        """Best, last and area of the validation IoU of a fine-tuning with `rows`."""
        q = upstream.settle(settings(self._p, seed), self._source.resolved)
        with session.open_run(
            names.TRIAL,  # readers of results skip it
            name=name,
            parent_run_id=self._run.id,
            experiment_id=self._run.experiment_id,
        ) as child:
            restricted = dataclasses.replace(self._data, labelled={**self._data.labelled, "train": rows})
            _, _, progress = finetune.train(q, child, self._source, restricted)
        caches.drop_checkpoints(self._p.cache, child.id)
        return {name: progress.summary()[name] for name in self.scores}


SCORERS: dict[str, type[Probe] | type[Tuning]] = {"probe": Probe, "finetune": Tuning}


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
