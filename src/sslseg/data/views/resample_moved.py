"""Views of moved geometry from a flat shard, compiled (numba) and without the interpreter's lock; see `warp.py`."""

import math

import numpy as np

from sslseg.data.views.compiled import compiled

FLAT = 1e-12  # a slope that does not leave the triangle within any slice


@compiled
def _span(slope: float, offset: float, reach: float) -> tuple[float, float]:
    """Where |slope * t + offset| < reach: the ends of t."""
    if abs(slope) < FLAT:
        return (-np.inf, np.inf) if abs(offset) < reach else (0.0, 0.0)
    one, other = (-reach - offset) / slope, (reach - offset) / slope
    return (one, other) if one < other else (other, one)


@compiled
def _pixel(flat: np.ndarray, start: int, sides: tuple, at: tuple, frame: tuple, levels: tuple) -> np.floating:
    """The slice at a place, under the turned triangle.

    Args:
        start: where the slice's channel begins in the shard.
        sides: rows and columns of the slice.
        at: row and column of the place.
        frame: cosine and sine over half the triangle's height, the same over its width, and the rows it reaches.
        levels: gain, low, high.
    """
    (H, W), (y, x), (cos_y, sin_y, cos_x, sin_x, reach), (gain, low, high) = sides, at, frame, levels
    total, weights = np.float32(0), np.float32(0)
    one = np.float32(1)
    for row in range(max(int(y - reach), 0), min(int(y + reach) + 1, H)):
        down = row + 0.5 - y
        a, b = _span(sin_y, cos_y * down, 1.0)
        c, d = _span(cos_x, -sin_x * down, 1.0)
        first, last = max(math.ceil(x + max(a, c) - 0.5), 0), min(math.floor(x + min(b, d) - 0.5), W - 1)
        if first > last:
            continue
        begin, across = np.uint64(start + row * W + first), first + 0.5 - x
        u, v = np.float32(cos_y * down + sin_y * across), np.float32(cos_x * across - sin_x * down)
        step_u, step_v = np.float32(sin_y), np.float32(cos_x)
        for t in range(last - first + 1):
            weight = max(one - abs(u + step_u * np.float32(t)), np.float32(0))
            weight *= max(one - abs(v + step_v * np.float32(t)), np.float32(0))
            total += weight * min(max(np.float32(flat[begin + np.uint64(t)]) * gain, low), high)
            weights += weight
    return total / weights


@compiled
def resample_moved(
    flat: np.ndarray,
    place: np.ndarray,
    where_y: np.ndarray,
    where_x: np.ndarray,
    filters: np.ndarray,
    law: np.ndarray,
    turn: np.ndarray,
    drift: np.ndarray,
    out: np.ndarray,
) -> None:
    """Views at given places: `resample.resample` for what is no upright crop; 0 outside the slice.

    Args:
        where_y, where_x: float64 [B, S, S], see `warp.centres`.
        filters: float64 [B, 4], see `warp.filters`.
        flat, place, law, turn, drift, out: as in `resample.resample`; the view's mean is that of its pixels inside.
    """
    B, C, S, _ = out.shape
    for b in range(B):
        offset, H, W = place[b]
        cos, sin, tall, broad = filters[b]
        frame = (cos / tall, sin / tall, cos / broad, sin / broad, abs(cos) * tall + abs(sin) * broad)
        mean = -drift[b]
        for c in range(C):
            start, levels = offset + c * H * W, (law[b, c, 0], law[b, c, 1], law[b, c, 2])
            total, count = 0.0, 0
            for i in range(S):
                for j in range(S):
                    y, x = where_y[b, i, j], where_x[b, i, j]
                    out[b, c, i, j] = 0
                    if 0 <= y < H and 0 <= x < W:
                        found = _pixel(flat, start, (H, W), (y, x), frame, levels)
                        out[b, c, i, j] = found
                        total += found
                        count += 1
            mean += turn[b, c, 2] * total / max(count, 1)
        for c in range(C):
            shift = np.float32(turn[b, c, 0] + turn[b, c, 1] * mean)
            for i in range(S):
                for j in range(S):
                    y, x = where_y[b, i, j], where_x[b, i, j]
                    if 0 <= y < H and 0 <= x < W:
                        out[b, c, i, j] += shift
