"""Drawn views become pixels where the network is: two batched matrix products.

The slice store lies on the device; one view is (rows) @ slice @ (columns) with the weights of an
antialiased bilinear resize, so the result is torchvision's crop and resize up to float32 rounding (with
float32 matrix products in full precision, torch's default), and so is that of the CPU back-end.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sslseg.config.names import DataError
from sslseg.data.slices.intensity import Intensity
from sslseg.data.slices.slice_store import Slices
from sslseg.data.views import texture, warp
from sslseg.data.views.draw import ViewParams
from sslseg.data.views.render import Coefficients, coefficients, finish

ROOM = 4  # a store may take a fourth of what is free; the networks need the rest


@dataclass(frozen=True, eq=False)
class DeviceSlices:
    """The voxels of a slice store on a device, beside the store itself."""

    slices: Slices  # index and volumes stay on the CPU
    codes: Tensor  # int16, flat, as in the shard
    labels: Tensor | None  # uint8, flat

    @property
    def index(self) -> pd.DataFrame:
        """The store's index."""
        return self.slices.index


def place(slices: Slices, device: torch.device, *, labels: bool = False) -> Slices | DeviceSlices:
    """Where views are made for a network on `device`: the store itself beside a CPU, else its copy on there.

    A CUDA device that has not `ROOM` times the memory free gets its views from the CPU.
    """
    if device.type != "cuda":
        return slices
    wanted = slices.codes_flat.nbytes + labels * slices.labels_flat.nbytes
    free, _ = torch.cuda.mem_get_info(device)
    return upload(slices, device, labels=labels) if ROOM * wanted < free else slices


def upload(slices: Slices, device: torch.device | str, *, labels: bool = False) -> DeviceSlices:
    """Copy the shard (and, if asked, the labels) to `device`: two bytes a voxel (and one)."""

    def copy(flat: np.ndarray) -> Tensor:
        return torch.from_numpy(np.array(flat)).to(device)

    return DeviceSlices(slices, copy(slices.codes_flat), copy(slices.labels_flat) if labels else None)


def _send(array: np.ndarray, like: Tensor, kind: str) -> Tensor:
    # a copy: columns of pandas 3 are read-only
    tensor = torch.tensor(np.ascontiguousarray(array), dtype=getattr(torch, kind))
    return tensor.pin_memory().to(like.device, non_blocking=True) if like.is_cuda else tensor


def _sources(length: Tensor, size: int, mirrored: Tensor | None) -> Tensor:
    """Centres [B, S] of the output pixels, in pixels of a crop of `length` [B]."""
    i = torch.arange(size, device=length.device).expand(len(length), size)
    if mirrored is not None:
        i = torch.where(mirrored[:, None], size - 1 - i, i)
    return (i + 0.5) * (length[:, None] / size)


def _weights(length: Tensor, longest: int, size: int, mirrored: Tensor | None = None) -> Tensor:
    """Weights [B, S, L] of an antialiased bilinear resize of `length` [B] pixels to `size`.

    A triangle as wide as the shrinkage, at least one pixel, cut at the crop and normalised: torch
    aten/native/cpu/UpSampleKernel.cpp, HelperInterpLinear with antialias.
    """
    centre = _sources(length, size, mirrored)[:, :, None]
    j = torch.arange(longest, device=length.device)
    support = (length / size).clamp(min=1)[:, None, None]
    weight = (1 - (j + 0.5 - centre).abs() / support).clamp(min=0) * (j < length[:, None, None])
    return weight / weight.sum(2, keepdim=True)


def _geometry(d: DeviceSlices, rows: np.ndarray, params: ViewParams, column: str) -> tuple[Tensor, ...]:
    """Shard offset of each crop's first pixel, and height, width of the slices: int64 [B, 1, 1] each."""
    H, W, start = (d.index[name].to_numpy()[rows] for name in ("height", "width", column))
    first = start + params.top * W + params.left
    return tuple(_send(v, d.codes, "int64")[:, None, None] for v in (first, H, W))


def render(d: DeviceSlices, rows: np.ndarray, params: ViewParams, intensity: Intensity) -> Tensor:
    """Views of `rows` as a float32 tensor [B, C, S, S] on the device; arguments as in `render.render`."""
    views = _joined(d, rows, params, _upright, _moved, intensity)
    return views if params.changes is None else texture.apply(views, params.changes)


def _joined(
    d: DeviceSlices, rows: np.ndarray, params: ViewParams, upright: Callable, moved: Callable, *more: Any
) -> Tensor:
    """What `upright` and `moved` make of the views that are theirs, in the order of the views."""
    rows = np.asarray(rows)
    made = [(which, make(d, rows[which], part, *more)) for which, part, make in params.parts(upright, moved)]
    (_, first), *others = made
    if not others:
        return first
    out = first.new_empty(len(params), *first.shape[1:])
    for which, part in made:
        out[torch.from_numpy(which).to(out.device)] = part
    return out


def _upright(d: DeviceSlices, rows: np.ndarray, params: ViewParams, intensity: Intensity) -> Tensor:
    """Views that are crops: see `render`."""
    k = coefficients(d.slices, rows, params, intensity)
    gain, low, high = _numbers(d, k.tone)
    start, H, W = _geometry(d, rows, params, "offset")
    h, w = (_send(v, d.codes, "float32") for v in (params.height, params.width))
    tall, broad = int(params.height.max()), int(params.width.max())
    y = torch.arange(tall, device=d.codes.device)[:, None].clamp(max=h[:, None, None].long() - 1)
    x = torch.arange(broad, device=d.codes.device).clamp(max=w[:, None, None].long() - 1)
    channel = torch.arange(d.slices.channels, device=d.codes.device)[:, None, None]
    lines = (start + y * W)[:, None] + channel * (H * W)[:, None]
    pixels = d.codes[lines + x[:, None]].float().mul_(gain).clamp_(low, high)
    mirrored = _send(params.flip, d.codes, "bool")
    down, across = _weights(h, tall, params.size), _weights(w, broad, params.size, mirrored)
    view = down[:, None] @ pixels @ across[:, None].mT
    base, turned = _turned(d, k, view.mean((2, 3), keepdim=True))
    return finish(view.add_(base + turned), k)


def _moved(d: DeviceSlices, rows: np.ndarray, params: ViewParams, intensity: Intensity) -> Tensor:
    """Views that are turned, scaled or bent: see `render`."""
    k = coefficients(d.slices, rows, params, intensity)
    start, sides, where, seen = _moved_places(d, rows, params, "offset")
    channels = torch.arange(d.slices.channels, device=d.codes.device) * sides.prod(1, keepdim=True)
    start = start[:, None] + channels
    view = warp.pixels(d.codes, start, sides, where, warp.filters(params), _numbers(d, k.tone))
    seen = seen[:, None]
    mean = (view * seen).sum((2, 3), keepdim=True) / seen.sum((2, 3), keepdim=True).clamp(min=1)
    base, turned = _turned(d, k, mean)
    return finish(view + base + turned, k) * seen


def _numbers(d: DeviceSlices, array: np.ndarray) -> tuple[Tensor, ...]:
    """The numbers [B, C, N] of `Coefficients`: N of float32 [B, C, 1, 1]."""
    return _send(array, d.codes, "float32")[..., None, None].unbind(2)


def _turned(d: DeviceSlices, k: Coefficients, mean: Tensor) -> tuple[Tensor, Tensor]:
    """base, and pull * M, of views whose channels have these means [B, C, 1, 1]."""
    base, pull, share = _numbers(d, k.turn)
    drift = _send(k.drift, d.codes, "float32")[:, None, None, None]
    return base, pull * ((share * mean).sum(1, keepdim=True) - drift)


def _moved_places(d: DeviceSlices, rows: np.ndarray, params: ViewParams, column: str) -> tuple[Tensor, ...]:
    """Offset [B] and sides [B, 2] of the slices, `warp.centres` [B, 2, S, S] and `warp.inside` [B, S, S]."""
    H, W, start = (d.index[name].to_numpy()[rows] for name in ("height", "width", column))
    y, x = warp.centres(params)
    return (
        _send(start, d.codes, "int64"),
        _send(np.stack((H, W), 1), d.codes, "int64"),
        _send(np.stack((y, x), 1), d.codes, "float64"),
        _send(warp.inside(y, x, H[:, None, None], W[:, None, None]), d.codes, "bool"),
    )


def render_labels(d: DeviceSlices, rows: np.ndarray, params: ViewParams) -> Tensor:
    """Labels of `rows`, uint8 [B, S, S] on the device: equal to `render.render_labels`.

    Raises:
        DataError: a row has no label, or labels were not uploaded.
    """
    if d.labels is None or (d.slices.index["label_offset"].to_numpy()[rows] < 0).any():
        raise DataError("wanted labelled slices with their labels on the device; upload(…, labels=True)")
    return _joined(d, rows, params, _upright_labels, _moved_labels, d.labels)


def _moved_labels(d: DeviceSlices, rows: np.ndarray, params: ViewParams, labels: Tensor) -> Tensor:
    start, sides, where, seen = _moved_places(d, rows, params, "label_offset")
    y, x = (where[:, axis].long() * seen for axis in (0, 1))
    return labels[start[:, None, None] + y * sides[:, 1, None, None] + x] * seen


def _upright_labels(d: DeviceSlices, rows: np.ndarray, params: ViewParams, labels: Tensor) -> Tensor:
    start, _, W = _geometry(d, rows, params, "label_offset")
    h, w = (_send(v, d.codes, "float64") for v in (params.height, params.width))
    y = _sources(h, params.size, None).long()[:, :, None]
    x = _sources(w, params.size, _send(params.flip, d.codes, "bool")).long()[:, None, :]
    return labels[start + y * W + x]
