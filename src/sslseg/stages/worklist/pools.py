"""What a worklist is chosen from: slices of train as an encoder sees them, annotated or not."""

import numpy as np

from sslseg.annotation import coreset
from sslseg.annotation.coreset import Pick, Pool
from sslseg.config.names import ParamError
from sslseg.config.params import Worklist
from sslseg.data import subsets
from sslseg.data.slices.slice_store import Slices
from sslseg.data.training_set import Inputs
from sslseg.models.modes import evaluating
from sslseg.scoring.features import unit
from sslseg.stages.intake.upstream import Start
from sslseg.stages.probe import features
from sslseg.training import devices


def see(start: Start[Worklist], rows: np.ndarray) -> np.ndarray:
    """Features float32 [N, F] of unit length, of whole slices squeezed to a square; no mask is read."""
    net = start.network().to(devices.of(start.p))
    with evaluating(net):
        return unit(features.pooled(net, start.p, start.data, rows))


def annotated(data: Inputs, labelled: np.ndarray, count: int | None, seed: int) -> np.ndarray:
    """Those of the rows `labelled` that count as annotated: all, or a nested subset of them."""
    if count is None or count == 0:
        return labelled[: 0 if count == 0 else None]
    index = data.store.index.iloc[labelled]
    return np.asarray(subsets.draw(index, count, "slice", "nested", seed).rows)


def of(store: Slices, rows: np.ndarray, seen: np.ndarray, had: np.ndarray) -> Pool:
    """What `coreset` reads of the slices `rows`; those that are not annotated are candidates."""
    index = store.index.iloc[rows]
    sizes = store.volume_table["slices"].to_numpy()[index["volume"]]
    text = {name: index[name].astype(str).to_numpy() for name in ("patient", "group")}
    thirds = coreset.third(index["z"].to_numpy(), sizes)
    return Pool(seen, had, text["patient"], text["group"], thirds)


def pick(p: Worklist, pool: Pool, slices: int, knob: str = "slices") -> list[Pick]:
    """The list, of `slices` slices.

    Args:
        knob: how a message begins.

    Raises:
        ParamError: there are not as many slices to list.
    """
    if pool.annotated.all():
        raise ParamError(
            "annotated: every train slice is annotated, so there is none to list; annotated=<n> takes only "
            "n of them as annotated, to try the list out"
        )
    picks = coreset.choose(pool, slices, per_patient=p.per_patient, cover=p.cover, rule=p.choice)
    if len(picks) < slices:
        patients = len(set(pool.patients[~pool.annotated]))
        raise ParamError(
            f"{knob}: wanted at most {len(picks)}, got {slices}: there are {int((~pool.annotated).sum())} slices "
            f"of {patients} train patients that are not annotated, and per_patient={p.per_patient}; raise it for a longer list"
        )
    return picks
