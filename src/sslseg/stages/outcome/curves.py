"""The validation curve of a fine-tuning, its summary, and its resumable state."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from sslseg.config import names
from sslseg.config.names import NonFiniteLoss
from sslseg.config.params import Finetune, Pretrain
from sslseg.models.encoder import State
from sslseg.stages.intake.upstream import Start
from sslseg.tracking.runs import Run
from sslseg.training import checkpoint
from sslseg.training.loop import Batch, Step, Training

BEST = "best."


def spread(rows: np.ndarray, n: int | None) -> np.ndarray:
    """`n` of `rows`, evenly spaced over all; 0 or None = every one. Deterministic."""
    if not n or n >= len(rows):
        return rows
    return rows[np.linspace(0, len(rows) - 1, n).round().astype(int)]


def area(curve: list[tuple[int, float]]) -> float:
    """Normalised area under the learning curve: trapezoids over steps, divided by the steps (0..1)."""
    steps, values = np.asarray(curve, dtype=float).T
    whole = np.trapezoid(values, steps) / (steps[-1] - steps[0]) if len(curve) > 1 else values[-1]
    return float(whole)


@dataclass
class Best:
    """The best network so far, as its tensors on the CPU; step -1 = none yet."""

    step: int = -1
    iou: float = -1.0
    state: State = field(default_factory=dict)


@dataclass
class Progress:
    """The validation curve so far and the best network so far; saved and restored with a training.

    Attributes:
        curve: (step, mean foreground IoU) of every validation.
        best: the first of equals.
    """

    curve: list[tuple[int, float]] = field(default_factory=list)
    best: Best = field(default_factory=Best)

    @classmethod
    def start(cls, folder: Path, training: Training, run: Run) -> Progress:
        """Fresh, or as it was at the last whole checkpoint in `folder`, with `training` restored to it."""
        saved = checkpoint.latest(folder, warn=print)
        if saved is None:
            return cls()
        tensors, meta = saved.tensors, saved.meta
        training.restore({k: v for k, v in tensors.items() if not k.startswith(BEST)})
        run.tag(names.TAG_RESUMED_AT, str(training.done))
        run.kept_back = meta.get("kept_back", [])
        state = {k.removeprefix(BEST): v for k, v in tensors.items() if k.startswith(BEST)}
        return cls([tuple(point) for point in meta["curve"]], Best(**meta["best"], state=state))

    def note(self, step: int, iou: float, net: torch.nn.Module) -> None:
        """Add a validation; keep the network if it is the best."""
        self.curve.append((step, iou))
        worth = -1.0 if np.isnan(iou) else iou  # no class was to be scored: anything is better
        if worth > self.best.iou or not self.best.state:  # a copy, for training goes on
            copy = {k: v.detach().to("cpu", copy=True) for k, v in net.state_dict().items()}
            self.best = Best(step, worth, copy)

    def save(self, folder: Path, training: Training, run: Run) -> None:
        """One resumable checkpoint of the training, of this, and of the numbers that the run keeps back."""
        tensors = training.state() | {BEST + k: v for k, v in self.best.state.items()}
        best = {"step": self.best.step, "iou": self.best.iou}
        meta = {"curve": self.curve, "best": best, "kept_back": run.kept_back}
        checkpoint.save(folder, training.done, tensors, meta)

    def summary(self) -> dict[str, float]:
        """The metrics that sum a run up in one row of the UI."""
        return {
            names.AREA_VAL_IOU: area(self.curve),
            names.LAST_VAL_IOU: self.curve[-1][1],
            names.BEST_VAL_IOU: self.best.iou,
            "best/step": float(self.best.step),
        }


def followed(
    start: Start[Pretrain] | Start[Finetune], training: Training, batch_at: Callable[[int], Batch], words: str,
    save: Callable[[], object],
) -> Iterator[Step]:  # fmt: skip
    """The steps that are missing, as they are done: checkpoints between them, and how fast they went at the end.

    Args:
        words: what the progress is of.
        save: writes a checkpoint.

    Raises:
        NonFiniteLoss: a loss is not finite; with the file that lists its batch and the last good checkpoint.
    """
    p, run, first, begun = start.p, start.run, training.done, time.perf_counter()
    try:
        for done in run.progress(training.run(batch_at), words, p.steps - first):
            yield done
            if done.step % p.checkpoint_every == 0 and done.step < p.steps:
                run.flush()  # a resumed run does not make the numbers before its checkpoint again
                save()
    except NonFiniteLoss as error:
        index = start.data.store.index
        columns = [c for c in ("patient", "group", "frame", "phase", "z") if c in index]
        file = f"nonfinite/step-{error.step + 1}.csv"
        run.text(index.iloc[np.asarray(error.rows)][columns].to_csv(index_label="row"), file)
        saved = checkpoint.latest(start.checkpoints)
        good = (
            f"that of step {saved.step}, in {start.checkpoints}"
            if saved
            else "none: it came before the first"
        )
        error.args = (f"{error}. Its batch: {file} of run {run.id}. Last good checkpoint: {good}",)
        raise
    speed = (p.steps - first) / max(time.perf_counter() - begun, 1e-9)
    run.log({"cost/steps_per_second": speed, "cost/slices_per_second": speed * p.batch_size}, p.steps)
