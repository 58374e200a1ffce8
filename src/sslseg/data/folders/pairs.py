"""Which mask belongs to which image."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sslseg.config.names import DataError
from sslseg.data.files import below
from sslseg.data.folders import patients, settings
from sslseg.data.folders.settings import FILE, Settings
from sslseg.data.readers import formats, itk
from sslseg.data.source import Description, Fault, Source, Volume

IMAGE_FOLDERS = {"images", "image", "imgs", "img"}
MASK_FOLDERS = {"masks", "mask", "labels", "label", "segmentations", "annotations", "gt"}
MASK_SUFFIXES = ("_mask", "-mask", "_seg", "_segmentation", "_label", "_labels", "_gt", ".seg", "-seg")
BINARY = ("background", "foreground")


@dataclass(frozen=True)
class Case:
    """An image and the mask that belongs to it. `name` is its path from the root, without extension."""

    name: str
    image: Path
    mask: Path | None

    @property
    def group(self) -> str:
        """The top folder, "" of a file that lies in the root."""
        return self.name.split("/")[0] if "/" in self.name else ""


def flat(root: Path, suffixes: tuple[str, ...], fault: Fault) -> list[Source]:
    """Every image below `root`, nested or not, with its mask if there is one.

    A mask ends in `mask_suffix` (or in one of MASK_SUFFIXES, found from the names), or lies in a folder
    called masks, labels … beside one called images. An image without a mask is not annotated.
    """
    s = settings.settings(root)
    cases = pairs(root, suffixes, s, fault)
    who = patients.people(root, {c.name: c.group for c in cases}, s)
    found = []
    for case in cases:
        patient, group, frame = who[case.name]
        more = itk.beside(case.image) + (itk.beside(case.mask) if case.mask else ())
        found.append(Source(patient, group, frame, "", case.image, case.mask, None, more, root))
    return found


def describe(root: Path, suffixes: tuple[str, ...], physical: bool) -> Description:
    """Classes of `sslseg.json`, or background and foreground where there are masks."""
    s = settings.settings(root)
    masks = any(c.mask for c in pairs(root, suffixes, s, lambda file, error: None))
    return s.describe(
        s.classes or (BINARY if masks else BINARY[:1]), physical=physical or s.spacing is not None
    )


def read(source: Source) -> Volume:
    """Image, mask and spacing under the folder's settings.

    Raises:
        DataError: a damaged file, or a mask of another shape or with other values than its classes.
    """
    s = settings.settings(source.root)
    image, spacing = formats.read(source.image)
    if s.colour == "grey" and len(image) == 3:
        weights = np.array([0.299, 0.587, 0.114])  # ITU-R 601 luma
        image = np.tensordot(weights, image, 1)[None].astype(np.float32)
    label = None
    if source.label is not None:
        values = formats.read_labels(source.label, image.shape[1:])
        numbers = s.numbers() if s.classes else _binary(source.label, values)
        label = settings.numbered(source.label, values, numbers)
    return settings.along(Volume(image, label, spacing or s.spacing or (1.0, 1.0, 1.0)), s.axis)


def _binary(path: Path, values: np.ndarray) -> dict[int, int]:
    """Masks of a folder that names no classes: 0 and 1, or 0 and 255."""
    found = set(np.unique(values).tolist())
    if not (found <= {0, 1} or found <= {0, 255}):
        raise DataError(
            f"{path}: wanted a mask of 0 and 1 or of 0 and 255, got {sorted(found)[:8]}; "
            f"name the classes and their values in {FILE}"
        )
    return {0: 0, 1: 1, 255: 1}


def pairs(root: Path, suffixes: tuple[str, ...], s: Settings, fault: Fault) -> list[Case]:
    """Images and masks that belong together, by name.

    Raises:
        DataError: there is no image, or masks cannot be told from images.
    """
    files = {}  # path from the root without extension -> files
    for path in below(root, fault):
        stem = formats.stem(path.name, suffixes)
        if stem is not None:
            files.setdefault((path.relative_to(root).parent / stem).as_posix(), []).append(path)
    suffix = s.mask_suffix or _suffix(root, set(files))
    images: dict[str, Path] = {}
    masks: dict[str, Path] = {}
    for name, paths in files.items():
        ends = bool(suffix) and name.endswith(suffix)
        if suffix and re.search(re.escape(suffix) + r"[-_ ]?\d+$", name):
            fault(paths[0], DataError(f"{paths[0]}: a second mask of one image; wanted one mask an image"))
            continue
        parts = name.removesuffix(suffix).split("/") if ends else name.split("/")
        kinds = {p.lower() for p in parts[:-1]}
        key = "/".join(p for p in parts[:-1] if p.lower() not in IMAGE_FOLDERS | MASK_FOLDERS)
        key = f"{key}/{parts[-1]}" if key else parts[-1]
        side = masks if ends or kinds & MASK_FOLDERS else images
        for path in paths:
            if key in side:
                fault(path, DataError(f"{path}: wanted one file for {key}, there is also {side[key].name}"))
            side.setdefault(key, path)
    for key in sorted(set(masks) - set(images)):
        fault(masks[key], DataError(f"{masks[key]}: wanted the image of this mask, {key} is not there"))
    if not images:
        raise DataError(f"{root}: wanted images ({', '.join(suffixes)}) here or in folders below, got none")
    return [Case(key, images[key], masks.get(key)) for key in sorted(images)]


def _suffix(root: Path, names: set[str]) -> str:
    """The one end of names that turns images' names into masks'; "" if none does."""
    found = [s for s in MASK_SUFFIXES if any(n.endswith(s) and n.removesuffix(s) in names for n in names)]
    if len(found) > 1:
        raise DataError(f"{root}: masks may end in {' or '.join(found)}; write mask_suffix into {FILE}")
    return found[0] if found else ""
