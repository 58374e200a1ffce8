"""Names of the classes in masks of Pascal VOC's form, from the file that a tool wrote beside them."""

from __future__ import annotations

import re
from pathlib import Path

from sslseg.config.names import DataError
from sslseg.data.files import text
from sslseg.data.source import BACKGROUND

# VOC 2007 to 2012, in the order of their numbers
OWN = ("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
       "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor")  # fmt: skip
LABELMAP = "labelmap.txt"  # CVAT, Datumaro: name:red,green,blue:parts:actions
NAMES = "class_names.txt"  # labelme: __ignore__, _background_, then a name a line
HOME = re.compile(r"VOCdevkit|VOC20\d\d", re.IGNORECASE)
VOID = 255  # number of what nobody knows; its colour is that of the number 255


def colour(number: int) -> str:
    """Colour of a class number in VOC's palette, as hex."""
    bits = [sum((number >> (3 * k + c) & 1) << (7 - k) for k in range(3)) for c in range(3)]
    return "#{:02x}{:02x}{:02x}".format(*bits)


def classes(root: Path, above: str) -> dict[str, list[int | str]]:
    """Class -> its number and its colour in masks; {} where nobody says what the numbers mean.

    Args:
        above: folder of JPEGImages, from the root.

    Raises:
        DataError: a file of names that is none.
    """
    for folder in (root / above, root):
        if (path := folder / LABELMAP).is_file():
            return _labelmap(path)
        if (path := folder / NAMES).is_file():
            names = [line for line in _lines(path) if line != "__ignore__"]
            return _numbered([BACKGROUND, *names[1:]])
    return _numbered([BACKGROUND, *OWN]) if HOME.search((root / above).as_posix()) else {}


def _numbered(names: list[str]) -> dict[str, list[int | str]]:
    return {name: [k, colour(k)] if k else [k] for k, name in enumerate(names)}


def _lines(path: Path) -> list[str]:
    return [line for one in text(path, "a text file of names").splitlines() if (line := one.strip())]


def _labelmap(path: Path) -> dict[str, list[int | str]]:
    found: dict[str, list[int | str]] = {BACKGROUND: [0]}
    for line in _lines(path):
        if line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        try:
            red, green, blue = (int(v) for v in rest.split(":")[0].split(","))
        except ValueError:
            raise DataError(f"{path}: wanted lines like 'lesion:128,0,0::', got {line!r}") from None
        if name.lower() != BACKGROUND:  # black, and the number 0
            grey = red == green == blue
            found[name] = [red] if grey else [f"#{red:02x}{green:02x}{blue:02x}"]
    return found
