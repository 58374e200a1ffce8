"""Is a volume, or a dataset, unlike what a network was trained on? Read from fingerprints; and can it be read at all?"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sslseg.config.names import VAGUE
from sslseg.config.wanted import Wanted
from sslseg.data.slices.encode import percentiles
from sslseg.data.slices.slice_store import Rows, Slices

# [H] room around the training range: a tenth of its width, and 5 % of its larger end for sets whose
# volumes are all alike
SHARE_OF_RANGE, SHARE_OF_VALUE = 0.1, 0.05
PIXEL_FACTOR = 1.5  # [H] pixels, as the network sees them, that differ by more are far apart
Numbers = Mapping[str, Mapping[str, float]]  # part of a fingerprint -> name -> number
SHAPE = ("slices", "native_height", "native_width")
RGB = 3  # channels of a colour picture
COLOURS = ({"r", "g", "b"}, {"red", "green", "blue"})  # names that nnU-Net's folders give them
GREY_ON_COLOUR = (
    "an encoder of grey images cannot tell one colour from another, and has no weights for them. Read the pictures in "
    'grey ("colour": "grey" in the data\'s sslseg.json), or take an encoder that reads colours'
)
NO_COLOURS = "only an encoder of RGB pictures is summed, to grey. Take one for these channels; -e import_encoder has channels="


def misfit(theirs: int, channels: int, called: Sequence[str] = ()) -> str:
    """Why an encoder of `theirs` channels cannot read data of `channels`, and what to do; '' where it can.

    Args:
        called: the encoder's channels by name, where the data that it learned from name them.
    """
    rgb = theirs == RGB and (not called or {name.lower() for name in called} in COLOURS)
    if theirs == channels or (rgb and channels == 1):
        return ""
    cure = GREY_ON_COLOUR if (theirs, channels) == (1, RGB) else NO_COLOURS
    return f"its encoder reads {theirs} channels, the data has {channels}: {cure}"


def measure(image: np.ndarray, spacing: tuple[float, float, float]) -> Numbers:
    """What of a volume [C, Z, Y, X] can be compared with a fingerprint (mm, voxels, native units)."""
    p1, p99 = percentiles(image)
    bounds = {f"{name}_{c}": float(v) for name, a in (("p1", p1), ("p99", p99)) for c, v in enumerate(a)}
    return {
        "spacing": dict(zip("zyx", spacing, strict=True)),
        "shape": dict(zip(SHAPE, image.shape[1:], strict=True)),
        "intensity": {"mean": float(image.mean(dtype=float)), **bounds},
    }


def compare(measured: Numbers, fingerprint: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One entry for each number outside the training range: part, name, value, lowest, highest of training.

    Numbers that the fingerprint lacks are not compared.
    """
    found = []
    for part, numbers in measured.items():
        for key, value in numbers.items():
            if (known := fingerprint.get(part, {}).get(key)) is None:
                continue
            value, low, high = float(value), float(known["min"]), float(known["max"])
            room = SHARE_OF_RANGE * (high - low) + SHARE_OF_VALUE * max(abs(low), abs(high))
            if not low - room <= value <= high + room:
                found.append({"part": part, "name": key, "value": value, "lowest": low, "highest": high})
    return found


def said(entry: Mapping[str, Any]) -> str:
    """An entry of `compare` in words: what the volume has, and what those of training had."""
    name, _, channel = entry["name"].partition("_")
    where = f" of channel {channel}:" if channel.isdigit() and channel != "0" else ""
    form = {
        "slices": "{} slices",
        "native_height": "{} pixels high",
        "native_width": "{} pixels wide",
        "mean": "mean intensity {}",
        "p1": f"1st percentile of intensity{where} {{}}",
        "p99": f"99th percentile of intensity{where} {{}}",
    }
    words = form.get(entry["name"]) or form.get(name) or f"{{}} mm along {entry['name']}"
    value, low, high = (format(entry[key], ".4g") for key in ("value", "lowest", "highest"))
    return f"{words.format(value)} (training: {low if low == high else f'{low} to {high}'})"


def portrait(store: Slices) -> dict[str, Any]:
    """What a model keeps of the data it was trained on: parts of the fingerprint, and `pixel_mm`.

    pixel_mm: median height and width of a pixel as the network sees it, None of pictures without
    millimetres.
    """
    pixel = [float(store.index[f"spacing_{axis}"].median()) for axis in "yx"] if store.physical else None
    return {key: store.fingerprint[key] for key in ("spacing", "shape", "intensity")} | {"pixel_mm": pixel}


def apart(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], domain: str = "", their_domain: str = ""
) -> list[str]:
    """Why data are far from those an encoder was trained on; [] when they are not, or nothing is known.

    Far: another domain; pixels larger or smaller by PIXEL_FACTOR; or a typical (median) mean, p1 or p99
    of a volume outside the range of all theirs (see `compare`).

    Args:
        ours, theirs: of `portrait`; {} where unknown.
    """
    found = []
    both = {domain, their_domain}
    if len(both) == 2 and "" not in both and ("natural" in both or VAGUE not in both):
        found.append(f"{domain}, not {their_domain}")
    pixel, their_pixel = ours.get("pixel_mm"), theirs.get("pixel_mm")
    if pixel and their_pixel:
        factor = np.sqrt(np.prod(pixel) / np.prod(their_pixel))
        if max(factor, 1 / factor) > PIXEL_FACTOR:
            mm = " x ".join(f"{v:.3g}" for v in pixel), " x ".join(f"{v:.3g}" for v in their_pixel)
            found.append(f"pixels of {mm[0]} mm, not {mm[1]} mm")
    levels = ours.get("intensity", {}).items()
    typical = {key: one["median"] for key, one in levels if key == "mean" or key.startswith(("p1_", "p99_"))}
    for entry in compare({"intensity": typical}, theirs):
        name, _, channel = entry["name"].partition("_")
        where = f" of channel {channel}" if channel not in ("", "0") else ""
        value, low, high = (format(entry[key], ".4g") for key in ("value", "lowest", "highest"))
        found.append(f"typical intensity ({name}{where}) {value}, not {low} to {high}")
    return found


def unsuited(method: str, wanted: Wanted, store: Slices, rows: Rows) -> str:
    """Why a method cannot learn from these slices of a store, with its own reason; "" if it can."""
    groups = store.index["group"].iloc[list(rows)].nunique()
    if wanted.channels not in (0, store.channels):
        return f"{method} learns from images of {wanted.channels} channels, these have {store.channels}: {wanted.why}"
    if groups < wanted.groups:
        there = f"there are {groups} among those to train on"
        return f"{method} learns from slices of at least {wanted.groups} groups, {there}: {wanted.why}"
    if wanted.most_groups and (all_groups := store.index["group"].nunique()) > wanted.most_groups:
        return f"{method} tells {wanted.most_groups} groups apart, the data have {all_groups}: {wanted.why}"
    return ""
