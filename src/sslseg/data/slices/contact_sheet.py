"""One picture of many slices with their masks: the first look at a dataset."""

import itertools
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from sslseg.data.slices.slice_store import Rows, Slices

TILE, COLUMNS, ROWS = 160, 8, 5  # of the contact sheet
WHITE = 191  # greys are 0 to 191, colours of the classes after them: 61 of them at most, see `sources.MOST_CLASSES`
FALLBACK = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")  # of classes without a colour


def contact_sheet(slices: Slices, path: Path, rows: Rows | None = None) -> None:
    """Write a PNG: slices from all over the dataset, [p1, p99] as black to white, classes outlined.

    Every channel of a slice has a tile of its own, one beside the other.

    Args:
        rows: show these, in their order and without outlines.
    """
    most = max(1, COLUMNS * ROWS // slices.channels)
    shown = list(_chosen(slices.index, most) if rows is None else rows)
    table = slices.index.iloc[shown].to_dict("records")
    each = itertools.product(zip(shown, table, strict=True), range(slices.channels))
    tiles = [_tile(slices, i, row, channel, rows is None) for (i, row), channel in each]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % COLUMNS)
    sheet = np.vstack([np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)])
    palette = np.linspace(0, 255, WHITE + 1).round().astype(int).repeat(3).tolist()
    for k in range(1, len(slices.classes)):
        palette += bgr_of(slices.colours, k)[::-1]
    image = Image.fromarray(sheet)
    image.putpalette(palette)
    image.save(path, "png", compress_level=0)  # to compress would take longer than to draw


def _chosen(index: pd.DataFrame, most: int) -> list[int]:
    """Up to `most` slices: groups in turn, evenly spread, annotated ones with foreground if any."""
    pool = index[index["foreground"] > 0]
    pool = index if pool.empty else pool
    groups = [g.index.to_numpy() for _, g in pool.groupby("group", sort=True)]
    each = max(1, most // len(groups))
    picks = [g[np.linspace(0, len(g) - 1, min(each, len(g))).round().astype(int)] for g in groups]
    return np.concatenate(picks)[:most].tolist()


def _tile(slices: Slices, i: int, row: dict[Hashable, Any], channel: int, outlined: bool) -> np.ndarray:
    """uint8 [TILE, TILE] of places in the palette: one channel of slice i, its aspect kept, named at the bottom."""
    levels, place = slices.volumes, (row["volume"], channel)
    low, high, zero, step = (levels[k][place] for k in ("p1", "p99", "intercept", "scale"))
    codes = slices.codes(i)[channel]
    factor = TILE / max(codes.shape)
    size = tuple(max(1, round(n * factor)) for n in codes.shape[::-1])
    small = cv2.resize(codes, size, interpolation=cv2.INTER_AREA)
    gain = WHITE / ((high - low) or 1.0)
    tile = np.zeros((TILE, TILE), np.uint8)
    tile[: size[1], : size[0]] = np.clip(small * (step * gain) + (zero - low) * gain, 0, WHITE)
    names = slices.channel_names if len(slices.channel_names) == slices.channels else range(slices.channels)
    text = " ".join(str(v) for v in (row["group"], row["patient"], row["phase"], f"z{row['z']}") if v)
    text += f" {names[channel]}" if slices.channels > 1 else ""
    cv2.putText(tile, text, (2, TILE - 4), cv2.FONT_HERSHEY_PLAIN, 0.7, WHITE, 1, cv2.LINE_AA)
    if outlined and row["labelled"]:
        label = cv2.resize(slices.label(i), size, interpolation=cv2.INTER_NEAREST)
        for k in range(1, len(slices.classes)):
            inside = (label == k).astype(np.uint8)
            outlines, _ = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(tile, outlines, -1, WHITE + k, 1)
    return tile


def bgr_of(colours: tuple[str, ...], k: int) -> tuple[int, int, int]:
    """Class `k` as OpenCV takes it, 0 to 255: the data's own, else of colours that colour-blind people can tell apart."""
    text = colours[k] if k < len(colours) else FALLBACK[(k - 1) % len(FALLBACK)]
    red, green, blue = bytes.fromhex(text.lstrip("#")[:6])
    return blue, green, red
