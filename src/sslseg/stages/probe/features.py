"""An encoder's worth without fine-tuning: what its frozen features say of slices of train and val, never of test."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from sslseg.annotation import labelprobe
from sslseg.annotation.labelprobe import PLACES, batched
from sslseg.config import names
from sslseg.config.params import Pretrain, Probe, Worklist
from sslseg.data import training_set
from sslseg.data.training_set import Inputs
from sslseg.data.views import batches
from sslseg.data.views.render import render
from sslseg.models.modes import evaluating
from sslseg.scoring import features
from sslseg.stages.outcome.curves import spread
from sslseg.training import devices

TRAIN, VAL = 128, 64  # slices at most, spread evenly over all
PROJECTION = 32  # of them the principal components of the linear probe are found on
Looked = Pretrain | Probe  # the stages that look at an encoder with views
SEED = 0  # of the views: the same for every encoder


def measure(
    net: nn.Module,
    p: Looked,
    data: Inputs,
    parent: nn.Module | None = None,
    beat: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """The numbers of a probe, by metric name; what the data do not allow is left out.

    Args:
        net: a timm encoder; its modes are left as they were.
        p: knobs of views and device.
        parent: the encoder that it was made from.
        beat: called now and then.
    """
    train, val = spread(data.rows["train"], TRAIN), spread(data.rows["val"], VAL)
    found: dict[str, float] = {}
    if len(val) > 1:
        with evaluating(net):
            seen = pooled(net, p, data, val)
            found |= _position(pooled(net, p, data, train), seen, data, train, val)
            found |= _views(net, p, data, val)
        beat()
        if parent is not None:
            with evaluating(parent):
                found["cka_parent"] = features.cka(seen, pooled(parent, p, data, val))
    train, val = spread(data.labelled["train"], TRAIN), spread(data.labelled["val"], VAL)
    if len(train) and len(val):
        with evaluating(net):
            found |= _linear(net, p, data, train, val, beat)
    return {names.FEATURES + name: value for name, value in found.items()}


def pooled(net: nn.Module, p: Looked | Worklist, data: Inputs, rows: np.ndarray) -> np.ndarray:
    """Features float32 [N, F] of whole slices."""
    return batched(
        lambda r: _look(net, p, batches.whole_batch(data.store, r, data.intensity, p.image_size)), rows
    )


def _look(net: nn.Module, p: Looked | Worklist, images: np.ndarray) -> np.ndarray:
    return net(torch.from_numpy(images).to(devices.of(p))).float().cpu().numpy()


def _position(
    known: np.ndarray, asked: np.ndarray, data: Inputs, train: np.ndarray, val: np.ndarray
) -> dict[str, float]:
    """How far off the nearest train slices are in where a val slice lies in its stack, as shares of the stack."""
    height = batches.places(data.store).height
    stacked = data.store.index.groupby("volume")["z"].transform("nunique").to_numpy() > 1
    a, b = stacked[train], stacked[val]
    if not a.any() or not b.any():
        return {}
    truth = height[val][b]
    guess = features.nearest_mean(known[a], height[train][a], asked[b])
    return {
        "position_error": float(np.abs(guess - truth).mean()),
        "position_error_mean": float(np.abs(height[train][a].mean() - truth).mean()),  # of always the mean
    }


def _views(net: nn.Module, p: Looked, data: Inputs, rows: np.ndarray) -> dict[str, float]:
    drawn = batches.draw_views(data.store, rows, training_set.view_ranges(p), seed=SEED, step=0)
    one, other = (_look(net, p, render(data.store, rows, view, data.intensity)) for view in drawn)
    return {
        "alignment": features.alignment(one, other),
        "uniformity": features.uniformity(np.concatenate([one, other])),
    }


def _linear(
    net: nn.Module, p: Looked, data: Inputs, train: np.ndarray, val: np.ndarray, beat: Callable[[], None]
) -> dict[str, float]:
    """Val IoU of a ridge regression on the frozen feature maps, and of one on the place in the slice alone."""
    seen = regressed(net, p, data, train, val, spread(train, PROJECTION), beat)
    place = seen.known[..., -PLACES:], seen.asked[..., -PLACES:]
    return {
        "linear_iou": labelprobe.score(labelprobe.fit(seen.known, seen.targets), seen.asked, seen.truth),
        "linear_iou_place": labelprobe.score(labelprobe.fit(place[0], seen.targets), place[1], seen.truth),
    }


@dataclass(frozen=True)
class Regressed:
    """What a regression on frozen features learns from and is asked: see `labelprobe`."""

    known: np.ndarray  # features of the slices that it learns from
    targets: np.ndarray
    asked: np.ndarray  # of those that it is scored on
    truth: np.ndarray


def regressed(
    net: nn.Module, p: Looked | Worklist, data: Inputs, rows: np.ndarray, val: np.ndarray, some: np.ndarray,
    beat: Callable[[], None],
) -> Regressed:  # fmt: skip
    """Look once at every slice of `rows` and of `val`; the principal components are those of `some`."""
    store, size = data.store, p.image_size

    def see(rows: np.ndarray) -> np.ndarray:
        images = batches.whole_batch(store, rows, data.intensity, size)
        beat()
        return labelprobe.see(net, torch.from_numpy(images).to(devices.of(p)))

    project = labelprobe.projection(batched(see, some))
    known, asked = (batched(lambda r: project(see(r)), part) for part in (rows, val))
    targets = batched(
        lambda r: labelprobe.shares(batches.whole_labels(store, r, size), len(store.classes)), rows
    )
    truth = batched(lambda r: batches.whole_labels(store, r, size), val)
    return Regressed(known, targets, asked, truth)
