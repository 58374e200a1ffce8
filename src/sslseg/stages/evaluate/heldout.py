"""Has a model seen the patients it is scored on? Known by name, and by the voxels of every image."""

from dataclasses import dataclass, field

import numpy as np

from sslseg.config.names import TAG_TRANSDUCTIVE, LeakError
from sslseg.config.texts import some
from sslseg.data import exposure
from sslseg.data.slices.encode import SHA256, XXH3, voxel_digest
from sslseg.stages.intake import leaks
from sslseg.stages.intake.segmenters import Trained
from sslseg.tracking.runs import Run


@dataclass
class Scored:
    """The volumes scored so far, as `exposure.overlap` knows them."""

    dataset: str
    rows: list[dict[str, str]] = field(default_factory=list)

    def note(self, patient: str, image: np.ndarray) -> None:
        """Add one volume [C, Z, Y, X]."""
        self.rows.append({"patient": patient} | {kind: voxel_digest(image, kind) for kind in (XXH3, SHA256)})

    def volumes(self) -> exposure.Volumes:
        """All of them."""
        patients = [row["patient"] for row in self.rows]
        return exposure.Volumes(self.dataset, patients, lambda kind: [row[kind] for row in self.rows])


def check(run: Run, trained: Trained, scored: Scored, *, strict: bool) -> None:
    """Tag the run with what was seen; with `strict`, stop.

    A model that carries no list is tagged "unknown": nothing can be said about it.

    Raises:
        LeakError: `strict`, and a model or an ancestor of it saw one of the patients.
        EncoderError: see `leaks.ancestry`.
    """
    for resolved in trained.resolved:
        seen = leaks.ancestry(resolved)
        if seen is None:
            run.tag(TAG_TRANSDUCTIVE, "unknown")
            print(f"warning: nobody knows what the model of run {resolved.run_id} has seen")
            continue
        leaks.note(run, seen)
        found = exposure.overlap(seen, scored.volumes())
        if not found.patients:
            continue
        fault = (
            f"run {resolved.run_id}: {len(found.patients)} patients scored ({some(found.patients, 5)}) "
            f"were seen by {leaks.stages(found)}"
        )
        if strict:
            raise LeakError(f"{fault}. allow_transductive=true scores all the same and marks the run")
        leaks.mark(run, fault)
