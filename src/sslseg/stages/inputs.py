"""Floor 2: what a training stage reads: the slice store, its splits and its intensity law.

Kept per process, so that a warm worker opens a store once however many stages it runs.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sslseg import names, params, plugins, tracking
from sslseg.data import intensity as laws
from sslseg.data import probe, slices, splits, streams
from sslseg.data.intensity import Intensity
from sslseg.data.slices import Slices
from sslseg.data.source import Description, Source

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Inputs:
    """One dataset under one law, divided by patient."""

    store: Slices
    rows: dict[str, np.ndarray]  # split -> all rows, unlabelled ones included
    labelled: dict[str, np.ndarray]  # split -> rows with a mask
    intensity: Intensity
    split: str

    @property
    def digest(self) -> str:
        """sha256 that stands for these inputs: content, split and intensity law."""
        return self.store.digest


def store(p: params.Data) -> Slices:
    """The prepared slice store of `p`; read from files only where it is not there yet.

    Raises:
        DataError, ParamError: see `slices.locate` and `slices.prepare`.
    """
    return _store(p.dataset, p.data_root, tracking.cache_folder(p.cache), p.spacing, p.on_bad_file, p.verify)


@functools.lru_cache(maxsize=4)
def _store(dataset: str, root: str, cache: Path, spacing: float, on_bad_file: str, verify: bool) -> Slices:
    place = slices.locate(dataset, root, cache)
    return slices.prepare(dataset, place, cache, spacing=spacing, on_bad_file=on_bad_file, verify=verify)


def divide(source: Slices | Listed, dataset: str, split: str) -> dict[str, np.ndarray]:
    """split -> rows of the index. Patients without any label train, unless the data say otherwise."""
    index = source.index
    module = plugins.load("datasets", dataset)
    if not index["labelled"].any():
        return {"train": np.arange(len(index)), "val": np.array([], int), "test": np.array([], int)}
    kind = (source.split or module.SPLIT) if split == "auto" else split
    patients = index.groupby("patient", sort=False).agg({"group": "first", "labelled": "any"}).reset_index()
    own = source.sides.get if source.sides or kind == "file" else getattr(module, "official", None)
    if own is not None:
        patients = patients.assign(official=[own(p) for p in patients["patient"]])
    side = splits.assign(patients[patients["labelled"]], kind)
    bare = patients[~patients["labelled"]]
    held = kind in ("official", "file") and own is not None
    side |= {p: (own(p) if held else None) or "train" for p in bare["patient"]}
    assigned = index["patient"].map(side)
    return {name: np.flatnonzero(assigned == name) for name in SPLITS}


@dataclass(frozen=True)
class Listed:
    """What `divide` reads of a slice store, of volumes that are in none."""

    index: pd.DataFrame
    split: str
    sides: dict[str, str]


def divide_sources(
    sources: Sequence[Source], about: Description, dataset: str, split: str
) -> dict[str, np.ndarray]:
    """split -> positions in `sources`: the patients fall on the sides that they have in training."""
    rows = [(s.patient, s.group, s.label is not None) for s in sources]
    index = pd.DataFrame(rows, columns=["patient", "group", "labelled"])
    return divide(Listed(index, about.split, about.sides), dataset, split)


def load(p: params.Data, law: dict | None = None) -> Inputs:
    """Everything a stage reads.

    Args:
        law: input law of the upstream encoder, used for `norm=encoder` alone.

    Raises:
        DataError, ParamError: see `store` and `data_root`.
    """
    source = store(p)
    rows = divide(source, p.dataset, p.split)
    labelled = {name: r[source.index["labelled"].to_numpy()[r]] for name, r in rows.items()}
    return Inputs(source, rows, labelled, _intensity(p, source, law), p.split)


def _intensity(p: params.Data, source: Slices, law: dict | None) -> Intensity:
    if p.norm == "dataset":
        return _fitted(source.path, source.dataset, p.split)
    if p.norm == "paper-code":
        return Intensity("paper-code")
    if not law:
        raise names.ParamError("norm=encoder: the upstream encoder records no input law, use norm=dataset")
    return Intensity("encoder", tuple(law["mean"]), tuple(law["std"]))


@functools.lru_cache(maxsize=16)
def _fitted(path: Path, dataset: str, split: str) -> Intensity:
    """Mean and s.d. of train; once per process, for they read every train slice."""
    source = slices.open_store(path)
    return laws.fit(source, divide(source, dataset, split)["train"])


def record(p: params.Data, inputs: Inputs, run: tracking.Run) -> None:
    """Tag the data and the run that prepared it, and log it as an MLflow dataset."""
    digest = inputs.store.digest
    run.tags({names.TAG_DATASET: p.dataset, names.TAG_DATA_DIGEST: digest})
    prepared = tracking.find_by_tags(
        run.experiment_id, {names.TAG_STAGE: names.PREPARE, names.TAG_DATA_DIGEST: digest}
    )
    if prepared:
        run.tag(names.TAG_PREPARE_RUN, prepared)
    run.input_dataset(p.dataset, digest[:32], str(inputs.store.path), run.stage)


def view_law(p: params.Views):  # -> views.ViewLaw
    """The law random views are drawn from."""
    from sslseg.data.views import ViewLaw

    return ViewLaw(
        size=p.image_size,
        crop_scale=tuple(p.crop_scale),
        flip=p.flip,
        brightness=p.brightness,
        contrast=p.contrast,
        jitter=p.jitter,
        jitter_law=p.jitter_law,
    )


def unlabelled_rows(inputs: Inputs, fraction: float, seed: int) -> np.ndarray:
    """Rows of train for pretraining: a seeded share of them, a prefix of one order."""
    rows = inputs.rows["train"]
    keep = max(1, round(len(rows) * fraction))
    return rows if keep == len(rows) else np.sort(streams.stream(seed, "fraction").permutation(rows)[:keep])


def examine(p: params.Views, data: Inputs, rows: np.ndarray, run: tracking.Run, *, labelled: bool) -> None:
    """Probe the input before the first step and log it; stop the run, or warn, when it is damaged.

    Raises:
        ProbeError: the input suffers one of the flaws F1 to F3 and `p.probe` is "stop".
    """
    metrics = probe.examine(data.store, rows, view_law(p), data.intensity, seed=p.seed, labelled=labelled)
    run.log(metrics, 0)
    faults = probe.verdict(metrics)
    if faults and p.probe == "stop":
        raise names.ProbeError("the network's input is damaged: " + "; ".join(faults))
    for fault in faults:
        print(f"warning: {fault}")
    if faults:
        run.tag("sslseg.probe", "; ".join(faults))


def frame_of(source: Slices, rows: np.ndarray) -> pd.DataFrame:
    """The index restricted to `rows`, keeping row numbers as its index."""
    return source.index.iloc[rows]
