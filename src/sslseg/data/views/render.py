"""Drawn views become pixels, on the CPU.

Physical units, the map to [0, 1], brightness, contrast and the z-score are one gain (on the codes) and one shift
(on the view); `resample.py` applies them on the way from the shard into the batch.
Clipping is done before the resampling, always, on floats: no pixel value depends on a short cut.

cv2's own threads are the caller's matter; `cv2.setNumThreads(0)` is right beside a training loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
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


def _physical(slices: Any, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    volume = slices.index["volume"].to_numpy()[rows]
    return slices.volumes["scale"][volume], slices.volumes["intercept"][volume]


def coefficients(slices: Any, rows: np.ndarray, params: ViewParams, intensity: Any) -> Coefficients:
    """Fold intensity law, brightness and contrast of B views into per-channel numbers.

    ColorJitter's brightness, then contrast around the view's mean, on the [0, 1]-mapped image and without
    its intermediate clamps: m -> c b m + (1 - c) b mean(m). Three channels share the mean of their
    luminance, as in torchvision; any other number of channels that of all channels.
    """
    low, high, scale, offset = (np.asarray(a, np.float64) for a in intensity.affine(slices, rows))
    clipped = intensity.kind != "paper-code"
    if not clipped:
        low, high = np.full_like(low, -np.inf), np.full_like(high, np.inf)
    unit, zero = _physical(slices, rows)
    b, c = params.brightness[:, None], params.contrast[:, None]
    if params.jitter_law == "uint16":
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
    slices: Any, rows: np.ndarray, params: ViewParams, intensity: Any, out: np.ndarray | None = None
) -> np.ndarray:
    """Views of `rows` as float32 [B, C, S, S], normalised under `intensity`.

    Crop and antialiased bilinear resize are torchvision's, to float32 rounding.

    Args:
        slices: a slice store (`data/slices/slice_store.py`).
        rows: [B] row numbers of its index.
        params: what `draw` drew for the heights and widths of these rows.
        out: written to and returned, if given: contiguous float32 [B, C, S, S].
    """
    from sslseg.data.views.resample import resample  # its compiler takes a third of a second to import

    rows = np.asarray(rows)
    size, raw = params.size, params.jitter_law == "uint16"
    if out is None:
        out = np.empty((len(rows), slices.channels, size, size), np.float32)
    if not len(rows):
        return out
    k = coefficients(slices, rows, params, intensity)
    plain = np.zeros_like(k.gain)
    law = (plain + 1, plain - np.inf, plain + np.inf) if raw else (k.gain, k.low, k.high)
    turn = (plain, plain, plain) if raw else (k.base, k.pull, k.share)
    box = (params.top, params.left, params.height, params.width)
    resample(
        _sealed(slices.codes_flat),
        np.stack([slices.index[name].to_numpy()[rows] for name in ("offset", "height", "width")], 1),
        np.stack(box, 1),
        np.array(params.flip, bool),
        np.stack(law, 2, dtype=np.float32, casting="same_kind"),
        np.stack(turn, 2),
        k.drift,
        out,
    )
    if raw:
        for b, view in enumerate(out):
            _finish_uint16(view, k, b)
    return out


def _sealed(flat: np.ndarray) -> np.ndarray:
    """A shard in memory like one that is mapped: read-only, which is a type of its own to the compiler."""
    view = flat.view()
    view.flags.writeable = False
    return view


def render_labels(slices: Any, rows: np.ndarray, params: ViewParams) -> np.ndarray:
    """Labels of `rows`, uint8 [B, S, S]: the geometry of `render`, each pixel the nearest label.

    Pixel centres, not corners, are matched (INTER_NEAREST_EXACT), else labels drift by half a pixel.
    """
    out = np.empty((len(rows), params.size, params.size), np.uint8)
    for b, row in enumerate(np.asarray(rows).tolist()):
        top, left = params.top[b], params.left[b]
        crop = np.asarray(slices.label(row))[top : top + params.height[b], left : left + params.width[b]]
        cv2.resize(crop, (params.size, params.size), dst=out[b], interpolation=cv2.INTER_NEAREST_EXACT)
        if params.flip[b]:
            cv2.flip(out[b], 1, dst=out[b])
    return out


def whole(slices: Any, row: int, intensity: Any) -> tuple[np.ndarray, tuple[int, int]]:
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
