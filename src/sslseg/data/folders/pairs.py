"""Folders of images and masks: which is whose, what the classes are, and their voxels.

Pairs come from `pairs` in sslseg.json; else from a layout that is known (pairing/layouts.py); else from the words
in names (pairing/words.py). What they leave over is in `Pairing.aside`, each file with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sslseg.config.names import DataError
from sslseg.data.files import below
from sslseg.data.folders import mask_values, patients, settings
from sslseg.data.folders.mask_values import BINARY
from sslseg.data.folders.pairing import layouts, matching, patterns, words
from sslseg.data.folders.pairing.matching import Case
from sslseg.data.folders.settings import FILE, Settings
from sslseg.data.readers import formats, itk, nifti
from sslseg.data.source import BACKGROUND, IGNORE, Description, Fault, Source, Volume

TIME = "time"  # of the key `frames`
SUBJECT = r"(?:^|/)sub-([A-Za-z0-9]+)(?=[_/]|$)"  # BIDS
LEAST = 0.2  # share of the images that a layout has to explain
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R 601
SIDES = {"train", "val", "test"}


@dataclass(frozen=True)
class Pairing:
    """What is known of a folder.

    Attributes:
        settings: of sslseg.json, with what the layout adds.
        layout: its name; "" if no layout is known.
        told: `pairs` is of the user's own.
        cases: image -> its case.
        aside: path from the root -> why it is not read.
    """

    root: Path
    settings: Settings
    layout: str
    told: bool
    cases: dict[Path, Case]
    aside: dict[str, str]

    @property
    def classes(self) -> tuple[str, ...]:
        """Of the settings; else the names of masks that hold one each; else background and foreground."""
        masks = [mask for case in self.cases.values() for mask in case.masks]
        named = sorted({name for _, name in masks if name})
        return self.settings.classes or (
            (BACKGROUND, *self._in_order(named)) if named else BINARY if masks else BINARY[:1]
        )

    def _in_order(self, named: list[str]) -> list[str]:
        """As the rules name them; classes that stand in file names by the alphabet."""
        rules = [patterns.rule(text) for text in self.settings.pairs]
        order = [mask.name for rule in rules for mask in rule.masks if mask.name]
        return sorted(named, key=lambda name: (order.index(name) if name in order else len(order), name))


_LAST: dict[Path, Pairing] = {}  # root -> what `pairing` found last: `read` has to know the roles of files


def pairing(root: Path, suffixes: tuple[str, ...], fault: Fault, layout: str = "") -> Pairing:
    """Images and masks that belong together.

    Args:
        layout: the one that the folder has to have.

    Raises:
        DataError: there is no image, several layouts fit, or masks cannot be told from images.
    """
    s = settings.settings(root)
    told = bool(s.pairs)
    files = _files(root, formats.SUFFIXES if told else suffixes, fault)
    known = [layout] if layout else [] if told or s.mask_suffix else layouts.fitting(files)
    known = [name for name in known if layout or _explains(name, files)]
    if len(known) > 1:
        raise DataError(
            f"{root}: files of {' and of '.join(known)} lie here: wanted a folder for each, or pairs in {FILE}"
        )
    aside: dict[str, str] = {}

    def note(file: str, words_: str) -> None:
        aside[file] = words_
        fault(root / file, DataError(f"{root / file}: {words_}"))

    name = known[0] if known else ""
    if name:
        s = _with(s, name)
    if s.pairs:
        found = matching.cases([patterns.rule(t) for t in s.pairs], files, note, shared=told)
    else:
        found = words.cases(files, note, s.mask_suffix)
    if not found:
        wanted = (
            f"images like {s.pairs[0]!r}"
            if s.pairs
            else f"images ({', '.join(suffixes)}) here or in folders below"
        )
        raise DataError(f"{root}: wanted {wanted}, got none")
    used = {file for case in found for file in (*case.images, *(mask for mask, _ in case.masks))}
    left = f"not of the layout {name}" if name else "fits no pattern of pairs"
    aside |= {file: aside.get(file, left) for file in files if file not in used}
    _LAST[root] = Pairing(root, s, name, told, {root / case.images[0]: case for case in found}, aside)
    return _LAST[root]


def _files(root: Path, suffixes: tuple[str, ...], fault: Fault) -> list[str]:
    """Paths from the root of what may be an image or a mask, sorted."""
    found = [path for path in below(root, fault) if formats.stem(path.name, suffixes) is not None]
    return sorted(path.relative_to(root).as_posix() for path in found)


def _explains(name: str, files: Sequence[str]) -> bool:
    """Whether a layout is that of the folder, and not of a few files in it."""
    found = matching.cases(layouts.rules(name), files, lambda file, fault: None)
    held = sum(len(case.images) for case in found)
    return held >= LEAST * sum(not words.is_mask(file) for file in files)


def _with(s: Settings, name: str) -> Settings:
    """The settings of a folder, and what its layout says where they say nothing."""
    known = settings.parsed(layouts.LAYOUTS[name], f"layout {name}")
    own = s.classes and s.values != tuple(
        range(len(s.classes))
    )  # values were told: those of the layout are void
    values = {} if own else {"threshold": known.threshold, "values": known.values, "also": known.also}
    if not s.classes:
        values |= {"classes": known.classes}
    elif len(s.classes) != len(known.classes):
        values = {}
    return replace(s, pairs=known.pairs, domain=s.domain or known.domain, **values)


# ---------------------------------------------------------------- what datasets offer
def flat(root: Path, suffixes: tuple[str, ...], fault: Fault, layout: str = "") -> list[Source]:
    """Every image below `root`, with its masks if there are any.

    Raises:
        DataError: see `pairing`, and `patients.people`.
    """
    known = pairing(root, suffixes, fault, layout)
    who = _people(known)
    found: list[Source] = []
    numbers: dict[str, int] = {}
    for image, case in known.cases.items():
        patient, group, frame = who[case.name]
        files = [root / file for file in (*case.images[1:], *(mask for mask, _ in case.masks[1:]))]
        label = root / case.masks[0][0] if case.masks else None
        beside = [p for path in (image, label, *files) if path for p in itk.beside(path)]
        phase, visit = case.held.get("phase", "").upper(), case.held.get("visit") or case.held.get("view", "")
        try:
            count = nifti.count_frames(image) if known.settings.frames == TIME and _is_nifti(image) else 1
        except DataError as error:
            fault(image, error)
            continue
        for index in range(count) if count > 1 else (None,):
            if known.settings.frames == TIME:
                frame = numbers[patient] = numbers.get(patient, 0) + 1
            found.append(
                Source(
                    patient, group, frame, phase, image, label, index, (*files, *beside), root, visit.upper()
                )
            )
    return found


def _is_nifti(path: Path) -> bool:
    return formats.stem(path.name, formats.NIFTI) is not None


def _people(known: Pairing) -> dict[str, tuple[str, str, int]]:
    """case -> patient, group, frame; see `patients.people`."""
    groups, given = {}, {}
    for case in known.cases.values():
        top = case.held.get("path", "").split("/")
        own = "" if known.settings.pairs or len(top) < 2 or words.subject(case.images[0]) else top[0]
        groups[case.name] = case.held.get("group", own)
        if known.layout == "CVC-ClinicDB":
            given[case.name] = layouts.video(case.held["number"])
        elif "patient" in case.held:
            given[case.name] = case.held["patient"]
    return patients.people(known.root, groups, known.settings, SUBJECT, given)


def describe(root: Path, suffixes: tuple[str, ...], physical: bool, layout: str = "", **more) -> Description:
    """Classes, and what else sslseg.json or the layout says.

    Raises:
        DataError: see `pairing`; or classes that do not fit the masks.
    """
    known = pairing(root, suffixes, lambda file, error: None, layout)
    s, who = known.settings, _people(known)
    sides = {
        who[case.name][0]: patterns.SIDES[case.held["side"].casefold()]
        for case in known.cases.values()
        if "side" in case.held
    }
    if sides and set(sides.values()) == SIDES and "split" not in more:
        more |= {"sides": sides, "split": "official"}
    return s.describe(known.classes, physical=physical or s.spacing is not None, **more)


def read(source: Source) -> Volume:
    """Image, mask and spacing under the folder's settings.

    Raises:
        DataError: a damaged file, channels or a mask of another shape, a mask with other values than its
            classes, or an image that looks like a mask.
    """
    known = _LAST.get(source.root)
    if known is None or source.image not in known.cases:
        known = pairing(source.root, formats.SUFFIXES, lambda file, error: None)
    s, case = known.settings, known.cases[source.image]
    image, spacing = _image(source, case, s)
    label = None
    if source.label is not None:
        label = _label(source, known, case, image.shape[1:])
    elif not known.told and (found := mask_values.like_mask(image)):
        values = ", ".join(mask_values.shown(v) for v in found[:8])
        raise DataError(
            f"{source.image}: looks like a mask (it holds only {values}) and no image is known to be its own: say "
            f'which in pairs of {FILE}, move it away, or write {{"pairs": "…"}} with the names of images alone'
        )
    return settings.along(Volume(image, label, spacing or s.spacing or (1.0, 1.0, 1.0)), s.axis)


def _image(source: Source, case: Case, s: Settings) -> tuple[np.ndarray, tuple[float, float, float] | None]:
    if source.index is not None:
        array, spacing = nifti.read_volume(source.image, source.index)
        return array[None], spacing
    parts = [formats.read(source.root / file) for file in case.images]
    if len({(image.shape[1:], spacing) for image, spacing in parts}) > 1:
        got = ", ".join(f"{image.shape[1:]} {spacing}" for image, spacing in parts)
        raise DataError(f"{source.image}: wanted channels of one shape and spacing, got {got}")
    image = np.concatenate([image for image, _ in parts])
    if s.colour == "grey" and len(image) == 3:
        image = np.tensordot(LUMA, image, 1)[None].astype(np.float32)
    return image, parts[0][1]


def _label(source: Source, known: Pairing, case: Case, shape: tuple[int, ...]) -> np.ndarray:
    """The masks of a case as class numbers, uint8 [Z, Y, X]."""
    s, classes = known.settings, known.classes
    paths = [source.root / file for file, _ in case.masks]
    arrays = [_values(path, shape, source.index, s.threshold is not None) for path in paths]
    if any(name for _, name in case.masks):
        plain = replace(s, classes=(), values=(), also=())
        parts = [mask_values.one(path, a, plain) for path, a in zip(paths, arrays, strict=True)]
        named = [(name, part) for (_, name), part in zip(case.masks, parts, strict=True)]
        ordered = bool(s.classes) or all(m.name for t in s.pairs for m in patterns.rule(t).masks)
        label = mask_values.layered(named, classes, paths, ordered)
    else:
        parts = [mask_values.one(path, a, s) for path, a in zip(paths, arrays, strict=True)]
        label = mask_values.united(parts, paths)
    if source.index is not None and not label.any():
        label[:] = IGNORE  # a frame of a cine whose mask is empty is not annotated
    return label


def _values(path: Path, shape: tuple[int, ...], index: int | None, soft: bool) -> np.ndarray:
    if index is None:
        return formats.read_labels(path, shape, soft=soft)
    array, _ = nifti.read_volume(path, index)
    if array.shape != shape:
        raise DataError(f"{path}: wanted a mask of the image's shape (Z, Y, X) {shape}, got {array.shape}")
    return array
