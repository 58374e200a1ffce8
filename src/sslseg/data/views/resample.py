"""Crops of a flat shard become views, compiled (numba) and without the interpreter's lock.

A view is resized one axis after the other, with the weights of torchvision's antialiased bilinear resize. Columns
come first: on the way codes become floats, scaled and clipped. What the rows are then mixed from stays in the
processor's cache, so a view is written once, its shift in it.

Indices are unsigned where pixels are read: numba would count negative ones from the end, at a test a pixel.
"""

import math

import numpy as np

from sslseg.data.views.compiled import compiled

ROWS = 4  # of a crop at a time: each place and weight is read once for them
LINEAR = 2  # pixels that a pixel is made of, where nothing shrinks


@compiled
def taps(length: int, size: int, mirrored: bool, first: np.ndarray, weights: np.ndarray) -> int:
    """Which of `length` pixels each of `size` is made of: `weights` [T, S] from pixel `first` [S] on.

    A triangle as wide as the shrinkage, at least one pixel, cut at the crop and normalised: torch
    aten/native/cpu/UpSampleKernel.cpp, HelperInterpLinear with antialias. Returns how many weights count.
    """
    step = -length / size if mirrored else length / size
    begin = float(length) if mirrored else 0.0
    if length <= size:  # the same in closed form
        for i in range(size):
            x = min(max(begin + step * (i + 0.5) - 0.5, 0.0), length - 1.0)
            first[i] = np.uint64(x)
            weights[1, i] = x - math.floor(x)
            weights[0, i] = 1 - weights[1, i]
        return LINEAR
    reach, most = abs(step), LINEAR
    for i in range(size):
        centre = begin + step * (i + 0.5)
        start, stop = max(int(centre - reach + 0.5), 0), min(int(centre + reach + 0.5), length)
        first[i] = start
        total = 0.0
        for t in range(len(weights)):
            weights[t, i] = max(1 - abs(start + t + 0.5 - centre) / reach, 0.0) if start + t < stop else 0.0
            total += weights[t, i]
        for t in range(stop - start):
            weights[t, i] /= total
        most = max(most, stop - start)
    return most


@compiled
def _columns(
    plane: np.ndarray, box: tuple, tone: tuple, across: tuple, lines: np.ndarray, out: np.ndarray
) -> None:
    """Rows of a crop, clip(code * gain, low, high), resized along: `out` [height, S].

    Args:
        plane: int16 [H, W], the slice's channel.
        box: top, left, height and width of the crop.
        tone: gain, low, high.
        across: what `taps` gave: first, weights, how many count.
        lines: [ROWS, width + T], for use in here; zero beyond the crop, where weights are zero.
    """
    (y0, left, height, width), (first, weights, count) = box, across
    gain, low, high = tone
    step, size = np.uint64(1), out.shape[1]
    a, b, c, d = lines
    here, there = weights[0], weights[1]
    for top in range(0, height, ROWS):
        for k in range(ROWS):
            codes, line = plane[y0 + min(top + k, height - 1), left : left + width], lines[k]
            for x in range(width):
                line[x] = min(max(np.float32(codes[x]) * gain, low), high)
        to_a, to_b, to_c, to_d = out[top], out[top + 1], out[top + 2], out[top + 3]
        for j in range(size):
            x, one, other = first[j], here[j], there[j]
            y = x + step
            to_a[j] = a[x] * one + a[y] * other
            to_b[j] = b[x] * one + b[y] * other
            to_c[j] = c[x] * one + c[y] * other
            to_d[j] = d[x] * one + d[y] * other
        for t in range(LINEAR, count):
            skip, more = np.uint64(t), weights[t]
            for j in range(size):
                x, weight = first[j] + skip, more[j]
                to_a[j] += a[x] * weight
                to_b[j] += b[x] * weight
                to_c[j] += c[x] * weight
                to_d[j] += d[x] * weight


@compiled
def _mean(columns: np.ndarray, down: tuple, shares: np.ndarray, sums: np.ndarray) -> float:
    """The mean of the view that `_rows` makes of `columns` [height, S], without making it."""
    (first, weights, count), size = down, columns.shape[1]
    shares[:] = 0
    for t in range(count):
        for i in range(size):
            shares[first[i] + np.uint64(t)] += weights[t, i]
    sums[:] = 0
    for y in range(len(columns)):
        share, row = shares[y], columns[y]
        for j in range(size):
            sums[j] += share * row[j]
    total = 0.0
    for j in range(size):
        total += sums[j]
    return total / size**2


@compiled
def _rows(columns: np.ndarray, down: tuple, shift: float, out: np.ndarray) -> None:
    """`columns` resized down, plus `shift`: the view [S, S]."""
    (first, weights, count), size = down, len(out)
    for i in range(size):
        row = out[i]
        above, below = columns[first[i]], columns[first[i] + np.uint64(1)]
        upper, lower = weights[0, i], weights[1, i]
        for j in range(size):
            row[j] = above[j] * upper + below[j] * lower + shift
        for t in range(LINEAR, count):
            more, weight = columns[first[i] + np.uint64(t)], weights[t, i]
            for j in range(size):
                row[j] += more[j] * weight


@compiled
def resample(
    flat: np.ndarray,
    place: np.ndarray,
    box: np.ndarray,
    mirrored: np.ndarray,
    tone: np.ndarray,
    turn: np.ndarray,
    drift: np.ndarray,
    out: np.ndarray,
) -> None:
    """Views of crops: y = clip(code * gain, low, high), resized; x = y + base + pull * M.

    M = sum over channels of share * mean(y), minus drift.

    Args:
        flat: int16, the shard.
        place: int64 [B, 3]: offset of each slice in it, rows and columns of the slice.
        box: int64 [B, 4]: top, left, height and width of the crop.
        mirrored: bool [B].
        tone: float32 [B, C, 3]: gain, low, high.
        turn: float64 [B, C, 3]: base, pull, share.
        drift: float64 [B].
        out: float32 [B, C, S, S], written to.
    """
    B, C, S, _ = out.shape
    tall, broad = box[:, 2].max(), box[:, 3].max()
    spare = 2 * math.ceil(max(tall, broad) / S) + 1  # a triangle's pixels, at most
    rows, columns = np.empty(S, np.uint64), np.empty(S, np.uint64)
    row_weights, column_weights = np.empty((spare, S), np.float32), np.empty((spare, S), np.float32)
    lines = np.zeros((ROWS, broad + spare), np.float32)
    resized = np.zeros((C, tall + spare + ROWS, S), np.float32)
    shares, sums = np.empty(tall + spare, np.float32), np.empty(S, np.float32)
    for b in range(B):
        offset, H, W = place[b]
        top, left, height, width = box[b]
        down = (rows, row_weights, taps(height, S, False, rows, row_weights))
        across = (columns, column_weights, taps(width, S, mirrored[b], columns, column_weights))
        lines[:, width:] = 0
        mean = -drift[b]
        for c in range(C):
            plane = flat[offset + c * H * W : offset + (c + 1) * H * W].reshape(H, W)
            levels = (tone[b, c, 0], tone[b, c, 1], tone[b, c, 2])
            _columns(plane, (top, left, height, width), levels, across, lines, resized[c])
            resized[c, height : height + spare] = 0
            if turn[b, c, 1] != 0:
                mean += turn[b, c, 2] * _mean(resized[c, :height], down, shares, sums)
        for c in range(C):
            _rows(resized[c], down, np.float32(turn[b, c, 0] + turn[b, c, 1] * mean), out[b, c])
