"""One dataset under one normalisation, divided by patient: what every stage trains and tests on."""

import dataclasses
import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sslseg.config import caches, names, params
from sslseg.data import streams
from sslseg.data.slices import prepare, slice_store
from sslseg.data.slices.intensity import Intensity, fit
from sslseg.data.slices.slice_store import Slices
from sslseg.data.splits import divide
from sslseg.data.views.augment import Augmentation
from sslseg.data.views.draw import ViewRanges
from sslseg.data.views.render import MULTIPLE


@dataclass(frozen=True)
class Inputs:
    """One dataset under one normalisation, divided by patient."""

    store: Slices
    rows: dict[str, np.ndarray]  # split -> all rows, unlabelled ones included
    labelled: dict[str, np.ndarray]  # split -> rows with a mask
    intensity: Intensity
    split: str


def store(p: params.Reader) -> Slices:
    """The prepared slice store of `p`; read from files only where it is not there yet.

    Raises:
        DataError, ParamError: see `slices.locate` and `slices.prepare`.
    """
    given = (p.dataset, p.data_root, caches.cache_folder(p.cache), p.spacing, p.on_bad_file, p.verify)
    found = _store(*given)
    if found.stamps != slice_store.stamps(found.path):  # written since: opened again, which checks it
        _store.cache_clear()
        _fitted.cache_clear()
        found = _store(*given)
    return replace(found, domain=p.domain) if p.domain else found


@functools.lru_cache(maxsize=4)
def _store(dataset: str, root: str, cache: Path, spacing: float, on_bad_file: str, verify: bool) -> Slices:
    place = prepare.locate(dataset, root, cache)
    return prepare.prepare(dataset, place, cache, spacing=spacing, on_bad_file=on_bad_file, verify=verify)


def load(p: params.Reader, normalisation: dict | None = None) -> Inputs:
    """Everything a stage reads.

    Args:
        normalisation: of the upstream encoder, used for `norm=encoder` alone.

    Raises:
        DataError, ParamError: see `store` and `data_root`.
    """
    source, rows, labelled = divided(p)
    return Inputs(source, rows, labelled, _intensity(p, source, normalisation), p.split)


def divided(p: params.Reader) -> tuple[Slices, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The slice store, and for each part of its patients all rows and those with a mask; reads no pixel.

    Raises:
        DataError, ParamError: see `store` and `splits.divide`.
    """
    source = store(p)
    rows = divide(source, p.dataset, p.split)
    return source, rows, {name: r[source.index["labelled"].to_numpy()[r]] for name, r in rows.items()}


def _intensity(p: params.Reader, source: Slices, normalisation: dict | None) -> Intensity:
    if p.norm == "dataset":
        return _fitted(source.path, source.dataset, p.split)
    if p.norm == "paper-code":
        return Intensity("paper-code")
    if not normalisation:
        raise names.ParamError("norm=encoder: the upstream encoder records none, use norm=dataset")
    return Intensity("encoder", tuple(normalisation["mean"]), tuple(normalisation["std"]))


@functools.lru_cache(maxsize=16)
def _fitted(path: Path, dataset: str, split: str) -> Intensity:
    """Mean and s.d. of train; once per process, for they read every train slice."""
    source = slice_store.open_store(path)
    return fit(source, divide(source, dataset, split)["train"])


def view_ranges(p: params.Views) -> ViewRanges:
    """What random views are drawn from."""
    own = dataclasses.fields(Augmentation) if isinstance(p, params.Augment) else ()
    asked = Augmentation(**{f.name: getattr(p, f.name) for f in own})
    scale, grey = (p.crop_scale[0], p.crop_scale[1]), (p.brightness, p.contrast, p.jitter, p.jitter_mode)
    return ViewRanges(p.image_size, scale, p.flip, *grey, augmentation=Augmentation() if asked.off else asked)


def share(rows: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """A seeded share of rows, a prefix of one order."""
    keep = max(1, round(len(rows) * fraction))
    return rows if keep == len(rows) else np.sort(streams.stream(seed, "fraction").permutation(rows)[:keep])


def extremes(source: Slices) -> list[tuple[int, int]]:
    """The smallest and the largest padded slice that can be validated or tested on; which are test is not asked."""
    annotated = source.index[source.index["labelled"]]
    sides = [-(-annotated[side].to_numpy() // MULTIPLE) * MULTIPLE for side in ("height", "width")]
    shapes = sorted(zip(*(side.tolist() for side in sides), strict=True), key=math.prod)
    return [shapes[0], shapes[-1]] if shapes else []


def beside(inputs: Inputs, rows: Iterable[int]) -> np.ndarray:
    """Train slices other than `rows`, annotated or not: what a fine-tuning may see without their masks.

    Raises:
        DataError: there are none.
    """
    found = np.setdiff1d(inputs.rows["train"], np.asarray(list(rows), np.int64))
    if not len(found):
        wanted = "wanted train slices beside the annotated ones to learn from without masks"
        every = f"all {len(inputs.rows['train'])} train slices are in the budget"
        raise names.DataError(f"semi: {wanted}, got none: {every}. Give a smaller budget, or semi=none")
    return found
