"""Drawn views become pixels, on the CPU.

Physical units, the map to [0, 1], brightness, contrast and the z-score are one gain (on the codes) and one shift
(on the view); `resample.py` applies them on the way from the shard into the batch.
Clipping is done before the resampling, always, on floats: no pixel value depends on a short cut.

cv2's own threads are the caller's matter; `cv2.setNumThreads(0)` is right beside a training loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    import torch

    from sslseg.data.slices.intensity import Intensity
    from sslseg.data.slices.slice_store import Slices
    from sslseg.data.views.draw import ViewParams

UINT16_MAX = 65535.0  # [C] albumentations 1.1.0 MAX_VALUES_BY_DTYPE[uint16], flaw F2
LUMA = (0.2989, 0.587, 0.114)  # torchvision rgb_to_grayscale: whose mean ColorJitter's contrast turns around
MULTIPLE = 32  # a U-Net of five stages halves five times


@dataclass(frozen=True)
class Coefficients:
    """What the pixels of B views of C channels go through, float64.

    y = clip(code * gain, low, high), resampled; x = y + base + pull * M, where M = sum over channels of
    share * mean(y), minus drift, is the view's mean on the [0, 1] scale. "uint16" leaves the codes as they are
    until they are resampled; then it is x = clip(clip(y * gain + pull, 0, 65535), low, high) * share + base.
    """

    tone: np.ndarray  # gain, low, high: [B, C, 3]
    turn: np.ndarray  # base, pull, share: [B, C, 3]
    drift: np.ndarray  # [B]
    late: np.ndarray | None = None  # gain, pull, low, high, share, base of "uint16": [6, B, C]


def coefficients(slices: Slices, rows: np.ndarray, params: ViewParams, intensity: Intensity) -> Coefficients:
    """Fold the normalisation, brightness and contrast of B views into per-channel numbers.

    ColorJitter's brightness, then contrast around the view's mean, on the [0, 1]-mapped image and without
    its intermediate clamps: m -> c b m + (1 - c) b mean(m). Three channels share the mean of their
    luminance, as in torchvision; any other number of channels that of all channels.
    """
    low, high, scale, offset = (np.asarray(a, np.float64) for a in intensity.affine(slices, rows))
    clipped = intensity.kind != "paper-code"
    if not clipped:
        low, high = np.full_like(low, -np.inf), np.full_like(high, np.inf)
    volume = slices.index["volume"].to_numpy()[rows]
    unit, zero = slices.volumes["scale"][volume], slices.volumes["intercept"][volume]
    b, c = params.brightness[:, None], params.contrast[:, None]
    nothing = np.zeros_like(scale)
    if params.jitter_mode == "uint16":
        share = scale / unit
        ends = low * unit + zero, high * unit + zero
        late = unit * c, zero * c + b * UINT16_MAX, *ends, share, offset - zero * share
        tone = np.stack((nothing + 1, nothing - np.inf, nothing + np.inf), 2)
        return Coefficients(tone, np.stack((nothing,) * 3, 2), np.zeros(len(rows)), np.stack(late))
    # Without limits [0, 1] is [0, 255] in physical units, as ToTensor maps it.
    black, span = (low, high - low) if clipped else (-zero / unit, 255 / unit)
    weight = np.asarray(LUMA if scale.shape[1] == len(LUMA) else np.full(scale.shape[1], 1 / scale.shape[1]))
    gain = c * b * scale
    flat = (span * gain) == 0  # a constant volume: nothing to turn around
    share = np.divide(weight, span * gain, out=nothing.copy(), where=~flat)
    drift = np.divide(weight * black, span, out=nothing, where=~flat).sum(1)
    tone = np.stack((gain, gain * low, gain * high), 2)
    turn = np.stack((offset + scale * black - gain * black, scale * span * (1 - c) * b, share), 2)
    return Coefficients(tone, turn, drift)


def finish(views: torch.Tensor, k: Coefficients) -> torch.Tensor:
    """What "uint16" does to resampled views [B, C, S, S]: in place, wherever they are."""
    import torch

    if k.late is None:
        return views
    late = torch.from_numpy(k.late.astype(np.float32)).to(views.device)
    gain, pull, low, high, share, base = late[..., None, None]
    return views.mul_(gain).add_(pull).clamp_(0, UINT16_MAX).clamp_(low, high).mul_(share).add_(base)


def render(
    slices: Slices, rows: np.ndarray, params: ViewParams, intensity: Intensity, out: np.ndarray | None = None
) -> np.ndarray:
    """Views of `rows` as float32 [B, C, S, S], normalised under `intensity`.

    Crop and antialiased bilinear resize are torchvision's, to float32 rounding.

    Args:
        slices: a slice store (`data/slices/slice_store.py`).
        rows: [B] row numbers of its index.
        params: what `draw` drew for the heights and widths of these rows.
        out: written to and returned, if given: contiguous float32 [B, C, S, S].
    """
    import torch

    from sslseg.data.views import texture

    rows = np.asarray(rows)
    if out is None:
        out = np.empty((len(rows), slices.channels, params.size, params.size), np.float32)
    for places, part, make in params.parts(_upright, _moved):
        views = out if places.all() else np.empty((len(part), *out.shape[1:]), np.float32)
        make(slices, rows[places], part, coefficients(slices, rows[places], part, intensity), views)
        if views is not out:
            out[places] = views
    if params.changes is not None:
        texture.apply(torch.from_numpy(out), params.changes)
    return out


def _upright(slices: Slices, rows: np.ndarray, params: ViewParams, k: Coefficients, out: np.ndarray) -> None:
    """Views that are crops: see `render`."""
    import torch

    from sslseg.data.views.compiled import keep
    from sslseg.data.views.resample import resample  # its compiler takes a third of a second to import

    flat, place = _shard(slices, rows)
    box = np.stack((params.top, params.left, params.height, params.width), 1)
    resample(flat, place, box, np.array(params.flip, bool), k.tone.astype(np.float32), k.turn, k.drift, out)
    keep(resample)
    finish(torch.from_numpy(out), k)


def _moved(slices: Slices, rows: np.ndarray, params: ViewParams, k: Coefficients, out: np.ndarray) -> None:
    """Views that are turned, scaled or bent: see `render`."""
    import torch

    from sslseg.data.views import warp
    from sslseg.data.views.compiled import keep
    from sslseg.data.views.resample_moved import resample_moved

    flat, place = _shard(slices, rows)
    y, x = warp.centres(params)
    tone, filters = k.tone.astype(np.float32), warp.filters(params)
    resample_moved(flat, place, y, x, filters, tone, k.turn, k.drift, out)
    keep(resample_moved)
    finish(torch.from_numpy(out), k)
    out.transpose(0, 2, 3, 1)[~warp.inside(y, x, *place[:, 1:, None, None].swapaxes(0, 1))] = 0


def _shard(slices: Slices, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The voxels, and offset and sides of each slice in them: int64 [B, 3]."""
    flat = slices.codes_flat.view()
    flat.flags.writeable = False  # as a shard that is mapped is: a type of its own to the compiler
    return flat, np.stack([slices.index[name].to_numpy()[rows] for name in ("offset", "height", "width")], 1)


def render_labels(slices: Slices, rows: np.ndarray, params: ViewParams) -> np.ndarray:
    """Labels of `rows`, uint8 [B, S, S]: the geometry of `render`, each pixel the nearest label.

    Pixel centres, not corners, are matched (INTER_NEAREST_EXACT), else labels drift by half a pixel.
    """
    from sslseg.data.views import warp

    out, moved = np.zeros((len(rows), params.size, params.size), np.uint8), np.flatnonzero(params.moved)
    centres = zip(*warp.centres(params.at(moved)), strict=True) if len(moved) else ()
    where = dict(zip(moved, centres, strict=True))
    for b, row in enumerate(np.asarray(rows).tolist()):
        label = np.asarray(slices.label(row))
        if b in where:  # the label of the pixel that each centre lies in; 0 outside the slice
            y, x = where[b]
            seen = warp.inside(y, x, *label.shape)
            out[b][seen] = label[y[seen].astype(int), x[seen].astype(int)]
            continue
        top, left = params.top[b], params.left[b]
        crop = label[top : top + params.height[b], left : left + params.width[b]]
        cv2.resize(crop, (params.size, params.size), dst=out[b], interpolation=cv2.INTER_NEAREST_EXACT)
        if params.flip[b]:
            cv2.flip(out[b], 1, dst=out[b])
    return out


def whole(
    slices: Slices, row: int, intensity: Intensity, size: tuple[int, ...] = ()
) -> tuple[np.ndarray, tuple[int, int]]:
    """A whole slice as float32 [C, H32, W32] and its own (H, W).

    Padded below and to the right to multiples of 32, or to `size`, with 0, the mean of the normalised data.
    """
    codes = np.asarray(slices.codes(row))
    C, H, W = codes.shape
    levels = intensity.affine(slices, np.array([row]))
    low, high, scale, offset = (np.asarray(a)[0][:, None, None] for a in levels)
    out = np.zeros((C, *(size or (-H % MULTIPLE + H, -W % MULTIPLE + W))), np.float32)
    out[:, :H, :W] = np.clip(codes.astype(np.float32), low, high) * scale + offset
    return out, (H, W)
