"""Trained segmenters by reference: fetched, opened, put on volumes, and on record."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sslseg.config import caches, names
from sslseg.config.files import read_json
from sslseg.config.params import Evaluate, Predict
from sslseg.data import outside
from sslseg.data.slices import slice_store
from sslseg.data.source import Spacing
from sslseg.models import inference
from sslseg.models.inference import Model
from sslseg.stages.intake import upstream
from sslseg.tracking import lineage, runs, store
from sslseg.tracking.history import frames
from sslseg.tracking.registry import resolve
from sslseg.tracking.registry.resolve import Resolved
from sslseg.training import devices


@dataclass(frozen=True)
class Trained:
    """One model, or an ensemble of several, and how it is asked."""

    p: Predict | Evaluate
    resolved: tuple[Resolved, ...]
    models: tuple[Model, ...]
    known: dict | None  # fingerprint of the data of the first one's training; None = nowhere to be found

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, background first."""
        return self.models[0].classes

    def segment(self, image: np.ndarray, spacing: Spacing, sliced: int = 0) -> np.ndarray:
        """uint8 [Z, Y, X] of an image [C, Z, Y, X]; see `inference.segment`."""
        p = self.p
        mask = inference.segment(
            self.models, image, spacing, batch_size=p.batch_size, mirror=p.mirror, tile=p.tile, sliced=sliced,
            device=devices.of(p),
        )  # fmt: skip
        return inference.largest_components(mask, len(self.classes)) if p.largest else mask

    def strange(self, image: np.ndarray, spacing: Spacing, sliced: int = 0) -> list[dict]:
        """Where an image [C, Z, Y, X] lies outside the training data, see `outside.compare`; [] where these are unknown."""
        if self.known is None:
            return []
        order = inference.turn(sliced, self.models[0].axis)  # as the slice store of the training data has it
        turned = image.transpose(0, *(1 + k for k in order))
        z, y, x = (spacing[k] for k in order)
        return outside.compare(outside.measure(turned, (z, y, x)), self.known)


def fetch(p: Predict | Evaluate, run: runs.Run) -> Trained:
    """Resolve and open the models, and tag the run with them; lineage and upstream are the first one's.

    Raises:
        EncoderError: unknown, failed, damaged, or no segmenter; or see `stored.check`.
    """
    found = [resolve.resolve(r, kind=names.KIND_SEGMENTER, cache=p.cache) for r in p.model]
    first = found[0]
    hops, *_ = [upstream.ancestry(one, p.cache) for one in found]
    pipeline = lineage.pipeline(hops, first.tags.get(names.MODEL_DATASET, ""))
    run.tags(first.upstream_tags | {names.TAG_LINEAGE: lineage.text(hops), names.TAG_PIPELINE: pipeline})
    for resolved in found:
        run.input_model(resolved.model_id)
    if len(found) == 1:
        theirs = store.client(run.uri).get_run(first.run_id).data.params
        compared = (names.BY_PIPELINE, names.BY_BUDGET, names.BY_SEED)
        run.by({key: theirs[key] for key in compared if key in theirs})
    models = tuple(inference.open_model(r.path, devices.of(p)) for r in found)
    own = models[0].facts
    known = own["fingerprint"] if "fingerprint" in own else _prepared(first.run_id, p.cache)
    return Trained(p, tuple(found), models, known)


def _prepared(run_id: str, cache: str) -> dict | None:
    """Fingerprint of the data of a training: of the run that prepared them, or of the prepared data."""
    tags = store.client().get_run(run_id).data.tags
    if prepared := tags.get(names.TAG_PREPARE_RUN):
        with tempfile.TemporaryDirectory() as scratch:
            kept = frames.artifact(prepared, names.FINGERPRINT, Path(scratch))
            if kept:  # else it was deleted since
                return read_json(kept)
    name = f"{tags.get(names.TAG_DATASET)}-{tags.get(names.TAG_DATA_DIGEST, '')[:16]}"
    try:
        return slice_store.open_store(caches.cache_folder(cache) / "slices" / name).fingerprint
    except names.DataError:
        return None
