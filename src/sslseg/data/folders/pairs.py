"""Folders of images and masks as sources, with their classes, and their voxels."""

import contextlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sslseg.config.names import DataError
from sslseg.data.files import same, walk
from sslseg.data.folders import mask_values, patients, roles
from sslseg.data.folders.pairing import layouts, patterns, words
from sslseg.data.folders.pairing.matching import Case
from sslseg.data.folders.roles import Pairing
from sslseg.data.folders.settings import FILE, Settings
from sslseg.data.readers import formats, itk, nifti, pictures, stacks
from sslseg.data.source import IGNORE, Assumption, Description, Fault, Note, Source, Volume, ignore

TIME = "time"  # of the key `frames`
MOST_CHANNELS = 8  # that are believed unasked
SUBJECT = r"(?:^|/)sub-([A-Za-z0-9]+)(?=[_/]|$)"  # BIDS
SIDES = {"train", "val", "test"}


@dataclass(frozen=True)
class Format:
    """What a dataset module offers of folders of images and masks."""

    suffixes: tuple[str, ...]  # of its files, whether image or mask
    layout: str = ""  # the one that a folder has to have; "" takes any

    def pairing(self, root: Path, fault: Fault = ignore) -> Pairing:
        """The role of every file. Raises DataError: see `roles.pairing`."""
        return roles.pairing(root, self.suffixes, fault, self.layout)

    def walk(self, root: Path, fault: Fault) -> list[Source]:
        """Every image below `root`, with its masks if there are any; opens none.

        Raises:
            DataError: by `fault` where one file is wrong: a mask without an image, a patient that cannot be told.
        """
        known = self.pairing(root, fault)
        who = people(known)
        found: list[Source] = []
        numbers: dict[str, int] = {}
        files = Counter(who[case.name][0] for case in known.cases.values())
        for image, case in known.cases.items():
            try:
                count = formats.count_frames(image) if known.settings.frames == TIME else 1
                phases = patients.phases(root, case.name, known.settings, count) if count > 1 else {}
            except DataError as error:
                fault(image, error)
                continue
            patient, group, frame = who[case.name]
            visit = case.name if phases and files[patient] > 1 else ""
            for k in range(1, count + 1):
                if known.settings.frames == TIME:
                    frame = numbers[patient] = numbers.get(patient, 0) + 1
                one = _source(known, image, case, (patient, group, frame), k - 1 if count > 1 else None)
                found.append(replace(one, phase=phases.get(k, one.phase), visit=visit or one.visit))
        return found

    def notes(self, root: Path) -> list[str]:
        """Of settings that lie elsewhere, a fourth axis read as channels, and sides that folders are named for in vain."""
        strays = [path for path in walk(root).files if path.name == FILE and path.parent != root]
        notes = [f"{path}: is not read, wanted {FILE} in {root} itself" for path in strays]
        known = self.pairing(root)
        cases = known.cases.values()
        if not known.settings.frames:
            notes += [
                f"{file}: the {many} volumes along its fourth axis are read as channels of one image, and so of others; "
                f'{{"frames": "time"}} in {FILE} reads them as moments, {{"frames": "channels"}} ends this note'
                for file in known.cases
                if (many := _volumes(file)) > 1
            ][:1]
        told = {side for c in cases if (side := _side(c))}
        named = {side for c in cases for side in words.name(c.images[0]).sides}
        if told == SIDES or not {"train", "test"} <= named | told:
            return notes
        return [
            *notes,
            f"{root}: patients are divided anew, not as the folders named {' and '.join(sorted(named | told))} have it; "
            f"where there are train, val and test, {{side}} in pairs of {FILE} follows them",
        ]

    def describe(self, root: Path, **more: Any) -> Description:
        """Classes, and what else sslseg.json or the layout says; in millimetres unless files are pictures.

        Raises:
            DataError: see `roles.pairing`.
        """
        known = self.pairing(root)
        s, who = known.settings, people(known)
        told = {(who[c.name][0], side) for c in known.cases.values() if (side := _side(c))}
        if {side for _, side in told} == SIDES:
            sides = dict(sorted(told))
            if torn := sorted(sides.items() ^ told):
                both = " and ".join(side for patient, side in sorted(told) if patient == torn[0][0])
                raise DataError(f"{root}: patient {torn[0][0]} is in {both}: wanted each patient on one side")
            more = {"sides": sides, "split": "official"} | more
        pictured = any(formats.pictured(image) for image in known.cases)
        return s.describe(known.classes, physical=not pictured or s.spacing is not None, **more)


def _volumes(image: Path) -> int:
    """As `formats.count_frames`; 1 of damaged files, which are told when they are read."""
    with contextlib.suppress(DataError):
        return formats.count_frames(image)
    return 1


def _side(case: Case) -> str:
    """Train, val or test, where a pattern says it; "" of others."""
    return patterns.SIDES[case.held["side"].casefold()] if "side" in case.held else ""


def _source(known: Pairing, image: Path, case: Case, who: tuple[str, str, int], index: int | None) -> Source:
    patient, group, frame = who
    more = [known.root / file for file in (*case.images[1:], *(mask for mask, _ in case.masks[1:]))]
    label = known.root / case.masks[0][0] if case.masks else None
    beside = [p for path in (image, label, *more) if path for p in itk.beside(path)]
    phase = case.held.get("phase", "").upper()
    visit = (case.held.get("visit") or case.held.get("view", "")).upper()
    of, parts = (patient, group, frame, phase, image, label, index), len(case.images) - 1
    return Source(*of, (*more, *beside), known.root, visit, parts)


def people(known: Pairing) -> dict[str, tuple[str, str, int]]:
    """case -> patient, group, frame; see `patients.people`. {patient}, {group} and {frame} say it first."""
    groups, given = {}, {}
    for case in known.cases.values():
        top = case.held.get("path", "").split("/")
        own = "" if known.settings.pairs or len(top) < 2 or words.subject(case.images[0]) else top[0]
        groups[case.name] = case.held.get("group", own)
        if known.layout == "CVC-ClinicDB":
            given[case.name] = layouts.video(case.held["number"])
        elif "patient" in case.held:
            given[case.name] = case.held["patient"]
    found = patients.people(known.root, groups, known.settings, SUBJECT, given)
    told = {c.name: int(c.held["frame"]) for c in known.cases.values() if "frame" in c.held}
    taken = Counter((found[name][0], frame) for name, frame in told.items())
    single = {name for name, frame in told.items() if taken[found[name][0], frame] == 1}
    return {n: (who, group, told[n] if single == set(found) else k) for n, (who, group, k) in found.items()}


def read(source: Source) -> Volume:
    """Image, mask and spacing under the folder's settings.

    Raises:
        DataError: a damaged file, channels or a mask of another shape, a mask with other values than its
            classes, or an image that looks like a mask.
    """
    known = roles.LAST.get(source.home)
    if known is None or source.image not in known.cases:
        known = roles.pairing(source.home, formats.SUFFIXES, ignore)
    s, case = known.settings, known.cases[source.image]
    label, notes = None, list[Assumption]()
    image, spacing = _image(source, s, notes.append)
    if source.label is not None:
        label = labels(known, source.image, image.shape[1:], source.index, notes.append)
    elif not (known.told and _alone(known, case)):
        mask_values.check_image(source.image, image, source.home)
    spacing = spacing or s.spacing or (1.0, 1.0, 1.0)
    return Volume(image, label, spacing, tuple(notes)).along(s.axis)


def _alone(known: Pairing, case: Case) -> bool:
    """Whether a pattern without a mask names the image."""
    file, rules = same(case.images[0]), [patterns.rule(same(text)) for text in known.settings.pairs]
    return any(not rule.masks and patterns.match(rule.images[0], file) is not None for rule in rules)


def _image(source: Source, s: Settings, note: Note) -> formats.Decoded:
    if source.index is not None:
        array, step = nifti.read_volume(source.image, source.index)
        return array[None], step
    image, spacing = formats.read_channels(source.images, s.placed, note)
    if len(image) > MOST_CHANNELS and not source.parts and not s.frames:
        write = f'Write {{"frames": "time"}} into {FILE}, or {{"frames": "channels"}}'
        many = f"the {len(image)} volumes along its fourth axis"
        raise DataError(f"{source.image}: are {many} moments or channels? {write}")
    return pictures.as_grey(image) if s.colour == "grey" else image, spacing


def labels(known: Pairing, image: Path, shape: tuple[int, ...], index: int | None, note: Note) -> np.ndarray:
    """The masks of an image as class numbers, uint8 [Z, Y, X].

    Args:
        image: its first file.
        index: frame of a 4D file.
        note: told of what is assumed.

    Raises:
        DataError: see `stacks.read_labels`; a value that is no class, or two classes in a voxel of which nobody says
            what lies on top.
    """
    s, case = known.settings, known.cases[image]
    images, masks = known.files[case.images[0]], [known.files[name] for name, _ in case.masks]
    paths, soft = [files[0] for files in masks], s.threshold is not None
    grid = stacks.grid(images, s.spacing) if s.placed else None
    how = (images, shape, soft, mask_values.told(s), grid, index)
    arrays = [stacks.read_labels(files, *how) for files in masks]
    label = _drawn(known, case, paths, arrays)
    if known.classes == mask_values.BINARY and s.threshold is None and mask_values.inverted(label):
        turned = json.dumps({"classes": {"background": int(arrays[0].max()), "foreground": 0}})
        asked = f"foreground in all corners: is white the background? {turned} in {FILE} says so"
        note(Assumption(paths[0], asked))
    if index is not None and not label.any():
        label[:] = IGNORE  # a frame of a cine whose mask is empty is not annotated
    return label


def _drawn(known: Pairing, case: Case, paths: Sequence[Path], arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Class numbers, uint8, of the masks of a case as they were read."""
    s, classes = known.settings, list(known.classes)
    if not any(name for _, name in case.masks):
        parts = [mask_values.one(path, array, s) for path, array in zip(paths, arrays, strict=True)]
        agree = f"wanted masks that agree, a voxel has another class in {paths[0]}"
        return mask_values.laid(parts, paths, [agree] * len(parts))
    plain = replace(s, classes=(), values=(), also=())
    each = sorted((classes.index(name), k) for k, (_, name) in enumerate(case.masks))
    parts = [mask_values.one(paths[k], arrays[k], plain) for _, k in each]
    parts = [np.where(one == IGNORE, one, one * number) for (number, _), one in zip(each, parts, strict=True)]
    ordered = s.classes or all(mask.name for text in s.pairs for mask in patterns.rule(text).masks)
    order = json.dumps({"classes": classes})
    clashes = [
        f"{classes[number]} and another class share voxels; the order of classes in {FILE} says "
        f"which lies on top, the last one does: {order}"
        for number, _ in each
    ]
    return mask_values.laid(parts, [paths[k] for _, k in each], () if ordered else clashes)
