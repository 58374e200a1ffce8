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
    from sslseg.data.slices.intensity import Intensity
    from sslseg.data.slices.slice_store import Slices
    from sslseg.data.views.draw import ViewParams

UINT16_MAX = 65535.0  # [C] albumentations 1.1.0 MAX_VALUES_BY_DTYPE[uint16], flaw F2
LUMA = (0.2989, 0.587, 0.114)  # torchvision rgb_to_grayscale: whose mean ColorJitter's contrast turns around
MULTIPLE = 32  # a U-Net of five stages halves five times


@dataclass(frozen=True)
class Coefficients:
    """What the pixels of B views of C channels go through; arrays are float64 [B, C], `drift` is [B].

    "factor": y = clip(code * gain, low, high), resampled; x = y + base + pull * M, where
    M = sum over channels of share * mean(y), minus drift, is the view's mean on the [0, 1] scale.
    "uint16": y = code, resampled; v = clip(y * gain + pull, 0, 65535); x = clip(v, low, high) * share + base.
    """

    gain: np.ndarray
    low: np.ndarray
    high: np.ndarray
    base: np.ndarray
    pull: np.ndarray
    share: np.ndarray
    drift: np.ndarray


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
    if params.jitter_mode == "uint16":
        share = scale / unit
        return Coefficients(
            gain=unit * c, low=low * unit + zero, high=high * unit + zero, base=offset - zero * share,
            pull=zero * c + b * UINT16_MAX, share=share, drift=np.zeros(len(rows)),
        )  # fmt: skip
    # Without limits [0, 1] is [0, 255] in physical units, as ToTensor maps it.
    black, span = (low, high - low) if clipped else (-zero / unit, 255 / unit)
    weight = np.asarray(LUMA if scale.shape[1] == len(LUMA) else np.full(scale.shape[1], 1 / scale.shape[1]))
    gain = c * b * scale
    flat = (span * gain) == 0  # a constant volume: nothing to turn around
    share = np.divide(weight, span * gain, out=np.zeros_like(scale), where=~flat)
    drift = np.divide(weight * black, span, out=np.zeros_like(scale), where=~flat).sum(1)
    return Coefficients(
        gain=gain, low=gain * low, high=gain * high, base=offset + scale * black - gain * black,
        pull=scale * span * (1 - c) * b, share=share, drift=drift,
    )  # fmt: skip


def _finish_uint16(view: np.ndarray, k: Coefficients, b: int) -> None:
    gain, pull, low, high, share, base = (
        v[b].astype(np.float32)[:, None, None] for v in (k.gain, k.pull, k.low, k.high, k.share, k.base)
    )
    view[:] = np.clip(np.clip(view * gain + pull, 0, UINT16_MAX), low, high) * share + base


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
    rows = np.asarray(rows)
    if out is None:
        out = np.empty((len(rows), slices.channels, params.size, params.size), np.float32)
    if not len(rows):
        return out
    if (moved := params.moved).any():
        for places, one in ((~moved, _upright), (moved, _moved)):
            part = np.empty((int(places.sum()), *out.shape[1:]), np.float32)
            out[places] = one(slices, rows[places], params.at(places), intensity, part)
    else:
        _upright(slices, rows, params, intensity, out)
    if params.changes is not None:
        import torch

        from sslseg.data.views import texture

        texture.apply(torch.from_numpy(out), params.changes)
    return out


def _upright(
    slices: Slices, rows: np.ndarray, params: ViewParams, intensity: Intensity, out: np.ndarray
) -> np.ndarray:
    """Views that are crops: see `render`."""
    from sslseg.data.views.compiled import keep
    from sslseg.data.views.resample import resample  # its compiler takes a third of a second to import

    if not len(rows):
        return out
    flat, place, *levels = _levels(slices, rows, params, k := coefficients(slices, rows, params, intensity))
    box = np.stack((params.top, params.left, params.height, params.width), 1)
    resample(flat, place, box, np.array(params.flip, bool), *levels, out)
    keep(resample)
    if params.jitter_mode == "uint16":
        for b, view in enumerate(out):
            _finish_uint16(view, k, b)
    return out


def _moved(
    slices: Slices, rows: np.ndarray, params: ViewParams, intensity: Intensity, out: np.ndarray
) -> np.ndarray:
    """Views that are turned, scaled or bent: see `render`."""
    from sslseg.data.views import warp
    from sslseg.data.views.compiled import keep
    from sslseg.data.views.resample_moved import resample_moved

    flat, place, *levels = _levels(slices, rows, params, k := coefficients(slices, rows, params, intensity))
    y, x = warp.centres(params)
    resample_moved(flat, place, y, x, warp.filters(params), *levels, out)
    keep(resample_moved)
    outside = ~warp.inside(y, x, place[:, 1], place[:, 2])
    for b, view in enumerate(out):
        if params.jitter_mode == "uint16":
            _finish_uint16(view, k, b)
        view[:, outside[b]] = 0
    return out


def _levels(slices: Slices, rows: np.ndarray, params: ViewParams, k: Coefficients) -> tuple[np.ndarray, ...]:
    """The shard, offset and sides of each slice, and the `tone`, `turn` and `drift` of `resample.resample`."""
    plain, raw = np.zeros_like(k.gain), params.jitter_mode == "uint16"
    tone = (plain + 1, plain - np.inf, plain + np.inf) if raw else (k.gain, k.low, k.high)
    turn = (plain, plain, plain) if raw else (k.base, k.pull, k.share)
    flat = slices.codes_flat.view()
    flat.flags.writeable = False  # as a shard that is mapped is: a type of its own to the compiler
    return (
        flat,
        np.stack([slices.index[name].to_numpy()[rows] for name in ("offset", "height", "width")], 1),
        np.stack(tone, 2, dtype=np.float32, casting="same_kind"),
        np.stack(turn, 2),
        k.drift,
    )


def render_labels(slices: Slices, rows: np.ndarray, params: ViewParams) -> np.ndarray:
    """Labels of `rows`, uint8 [B, S, S]: the geometry of `render`, each pixel the nearest label.

    Pixel centres, not corners, are matched (INTER_NEAREST_EXACT), else labels drift by half a pixel.
    """
    out = np.empty((len(rows), params.size, params.size), np.uint8)
    moved = params.moved
    for b, row in enumerate(np.asarray(rows).tolist()):
        if moved[b]:
            continue
        top, left = params.top[b], params.left[b]
        crop = np.asarray(slices.label(row))[top : top + params.height[b], left : left + params.width[b]]
        cv2.resize(crop, (params.size, params.size), dst=out[b], interpolation=cv2.INTER_NEAREST_EXACT)
        if params.flip[b]:
            cv2.flip(out[b], 1, dst=out[b])
    if moved.any():
        out[moved] = _moved_labels(slices, np.asarray(rows)[moved], params.at(moved))
    return out


def _moved_labels(slices: Slices, rows: np.ndarray, params: ViewParams) -> np.ndarray:
    """Labels of turned, scaled or bent views: that of the pixel each centre lies in, 0 outside the slice."""
    from sslseg.data.views import warp

    out = np.zeros((len(rows), params.size, params.size), np.uint8)
    H, W = (slices.index[name].to_numpy()[rows] for name in ("height", "width"))
    y, x = warp.centres(params)
    there = warp.inside(y, x, H, W)
    for b, row in enumerate(rows.tolist()):
        label, seen = np.asarray(slices.label(row)), there[b]
        out[b][seen] = label[y[b][seen].astype(int), x[b][seen].astype(int)]
    return out


def whole(slices: Slices, row: int, intensity: Intensity) -> tuple[np.ndarray, tuple[int, int]]:
    """A whole slice as float32 [C, H32, W32] and its own (H, W).

    Padded below and to the right to multiples of 32 with 0, the mean of the normalised data.
    """
    codes = np.asarray(slices.codes(row))
    C, H, W = codes.shape
    low, high, scale, offset = (
        np.asarray(a)[0][:, None, None] for a in intensity.affine(slices, np.array([row]))
    )
    out = np.zeros((C, -H % MULTIPLE + H, -W % MULTIPLE + W), np.float32)
    out[:, :H, :W] = np.clip(codes.astype(np.float32), low, high) * scale + offset
    return out, (H, W)
