"""What a fine-tuning shows of its test: tables, fixed cases and the overlay figure."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from sslseg.config import names
from sslseg.data.training_set import Inputs
from sslseg.scoring import patients, segmentation
from sslseg.scoring.segmentation import Evaluation
from sslseg.stages.outcome import curves, overlays
from sslseg.stages.outcome.overlays import Picture
from sslseg.tracking.runs import Run

KEPT = 12  # test slices that every run keeps as pictures, the same for all runs on the same data


def pictures(net: nn.Module, tested: Evaluation, data: Inputs, device: torch.device) -> list[Picture]:
    """Image, truth and prediction of the worst, median and best test slice by mean foreground IoU.

    Slices without any structure are left out.
    """
    with np.errstate(invalid="ignore"):
        scores = np.stack([tested.per_slice[f"iou/{name}"] for name in data.store.classes[1:]])
    scored = np.flatnonzero(np.isfinite(scores).any(axis=0))
    if not len(scored):
        return []
    means = np.nanmean(scores[:, scored], axis=0)
    order = np.argsort(means, kind="stable")
    shown = []
    for word, i in (("worst", order[0]), ("median", order[len(order) // 2]), ("best", order[-1])):
        row = int(tested.per_slice["row"][scored[i]])
        predicted = segmentation.predict_whole(net, data.store, row, data.intensity, device=device)
        masks = (np.zeros_like(predicted), data.store.label(row), predicted)
        titles = (f"{word} test slice", "truth", f"prediction, IoU {float(means[i]):.2f}")
        image = np.asarray(data.store.codes(row)[0])
        shown += [Picture(title, image, mask) for title, mask in zip(titles, masks, strict=True)]
    return shown


def fixed(data: Inputs) -> list[int]:
    """Rows of the test slices that every run on these data keeps as pictures."""
    return curves.spread(np.asarray(data.labelled["test"]), KEPT).tolist()


def kept(tested: Evaluation, data: Inputs) -> dict[str, np.ndarray]:
    """The `fixed` test slices as the tested network sees them: what Fig. 5 is drawn from.

    Args:
        tested: with their masks.

    Returns:
        rows int64 [K] of the slice store; image (p1 to p99 as 1 to 255, padded with 0), truth and
        prediction uint8 [K, H, W], H and W of the largest; colours, hex text by class.
    """
    rows = fixed(data)
    truths = [np.asarray(data.store.label(row)) for row in rows]
    height, width = (max(t.shape[axis] for t in truths) for axis in (0, 1))
    shape = (len(rows), height, width)
    found = {name: np.zeros(shape, np.uint8) for name in ("image", "truth", "prediction")}
    for i, (row, truth) in enumerate(zip(rows, truths, strict=True)):
        h, w = truth.shape
        found["image"][i, :h, :w] = 1 + overlays.stretched(np.asarray(data.store.codes(row)[0])) * 254
        found["truth"][i, :h, :w] = truth
        found["prediction"][i, :h, :w] = tested.masks[row][:h, :w]
    told = {key: np.array(getattr(data.store, key), dtype=str) for key in ("colours", "classes")}
    return {"rows": np.asarray(rows, np.int64), **found, **told}


def log(run: Run, tested: Evaluation, data: Inputs, net: nn.Module, device: torch.device) -> None:
    """Tables by slice, volume and patient (the last as metrics, too), fixed cases, overlay of the run's extremes.

    Args:
        tested: with the masks of `fixed`.
    """
    run.text(pd.DataFrame(tested.per_slice).to_csv(index=False), "test/slices.csv")
    run.text(pd.DataFrame(tested.per_volume).to_csv(index=False), "test/volumes.csv")
    by_patient = patients.of_slices(tested, data.store.classes)
    number = patients.numbers(data.store.index["patient"])
    for step, scores in patients.points(by_patient, number, names.TEST_PATIENTS):
        run.log(scores, step)
    by_patient.insert(0, "number", by_patient.index.map(number))
    run.text(by_patient.to_csv(), "test/patients.csv")
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / Path(names.CASES).name
        np.savez_compressed(file, **kept(tested, data))  # type: ignore[arg-type] # stubs: it could be allow_pickle
        run.artifact(file, str(Path(names.CASES).parent))
    if shown := pictures(net, tested, data, device):
        overlays.log(run, shown, data.store.classes, f"test/{names.OVERLAY}", data.store.colours)
