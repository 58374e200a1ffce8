"""A dataset.json of nnU-Net v2, of v1 or of the Decathlon in one form: its labels, its cases and their voxels."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sslseg.config.names import DataError, quoted
from sslseg.config.texts import some
from sslseg.data.files import check, same
from sslseg.data.folders import mask_values, settings
from sslseg.data.readers import formats
from sslseg.data.source import IGNORE, Assumption, Fault, Source, Volume, class_name

UNKNOWN = "ignore"  # nnU-Net's name of the label of unknown voxels
Case = tuple[list[Path], Path | None]  # files of its channels, and its label


@dataclass(frozen=True)
class Dataset:
    """A dataset.json in the words of nnU-Net v2, its keys checked."""

    path: Path
    channels: tuple[str, ...]  # their names
    labels: Mapping[str, Any]  # name -> label, or list of labels for a region; see `classes`
    ending: str  # of its files
    told: Mapping[str, Any]  # all of it
    listed: bool  # it is the Decathlon's, which lists its files; their channels lie along a fourth axis

    def classes(self) -> tuple[tuple[str, ...], int | None, dict[str, list[int]]]:
        """Names of the labels 0, 1 …, the ignore label, and the regions ({} when every label is one class).

        Raises:
            DataError: labels are not 0, 1, 2 …, background is not 0, or ignore is not the highest.
        """
        labels, where = self.labels, f"{self.path}: labels"
        listed = {str(name): k if isinstance(k, list) else [k] for name, k in labels.items()}
        try:
            told = {name: [_label(v) for v in region] for name, region in listed.items()}
        except (TypeError, ValueError):
            raise DataError(f"{where}: wanted name: number or name: [numbers], got {labels}") from None
        unknown = told.pop(UNKNOWN, None)
        numbers = sorted({v for region in told.values() for v in region})
        if told.get("background") != [0] or numbers != list(range(len(numbers))) or len(numbers) > IGNORE:
            raise DataError(f"{where}: wanted background 0 and then 1, 2 … without a gap, got {labels}")
        if unknown is not None and unknown != [len(numbers)]:
            raise DataError(f"{where}: wanted ignore to be the highest, {len(numbers)}, got {unknown}")
        parts = {k: [name for name, region in told.items() if k in region] for k in numbers}
        try:
            names = ["-and-".join(class_name(n) for n in parts[k]) for k in numbers]
        except ValueError as error:
            raise DataError(f"{where}: {error}") from None
        names = [f"{name} {k}" if names.count(name) > 1 else name for k, name in enumerate(names)]
        overlap = any(len(region) > 1 for region in told.values())
        return tuple(names), unknown[0] if unknown else None, told if overlap else {}

    def read(self, source: Source) -> Volume:
        """Channels in order, labels with the ignore label as 255.

        Raises:
            DataError: a damaged file, channels or mask of another shape, or a label that dataset.json lacks.
        """
        s, notes, label = settings.settings(source.home), list[Assumption](), None
        image, spacing = formats.read_channels(source.images, s.placed, notes.append)
        if (wanted := len(self.channels)) != len(image):
            kind = "modalities" if self.listed else "channels"
            raise DataError(f"{source.image}: wanted {wanted} {kind}, as dataset.json, got {len(image)}")
        if source.label is not None:
            names, unknown, _ = self.classes()
            numbers = {k: k for k in range(len(names))} | ({} if unknown is None else {unknown: IGNORE})
            grid = formats.grid(source.image) if s.placed else None
            shape, own = image.shape[1:], source.image
            values = formats.read_labels(source.label, shape, known=numbers, like=grid, image=own)
            label = mask_values.numbered(source.label, values, numbers)
        spacing = spacing or settings.sidecar(source.image, case_of(source.image)) or s.spacing
        return Volume(image, label, spacing or (1.0, 1.0, 1.0), tuple(notes)).along(s.axis)

    def fewer(self, held: int) -> list[str]:
        """The sentence that cases are missing, as after a download that broke off, where `numTraining` is not met."""
        wanted = self.told.get("numTraining")
        if not isinstance(wanted, int) or wanted <= held:
            return []
        said = f"numTraining says {wanted} annotated cases, {held} are here"
        return [f"{self.path}: {said}: is a part of the data missing?"]

    def complete(self, fault: Fault) -> dict[str, Case]:
        """`listed`, without the cases that lack a file or a channel; one picture may hold all channels."""
        found: dict[str, Case] = {}
        wanted = 1 if self.listed else len(self.channels)
        for case, (images, label) in listed(self.path, self.told).items():
            try:
                images, label = [_there(file) for file in images], label and _there(label)
                missing = [str(file) for file in (*images, label) if file and not os.path.isfile(file)]
                many = f"{wanted} images, got {len(images)}"
                what = f"{', '.join(missing)}, not there" if missing else many
                colour = len(images) == 1 and formats.pictured(images[0])
                if missing or not (colour or len(images) == wanted):
                    raise DataError(f"{self.path}: dataset: {case}: wanted {what}")
                found[case] = images, label
            except DataError as error:
                fault(images[0], error)
        return found


def _there(file: Path) -> Path:
    """A file, or the one in its place whose name has other forms of the same letters: of an accent, or capitals at its end."""
    if os.path.lexists(file):
        check(file)
        return file
    return formats.only(formats.stems(file.parent).get(same(formats.split(file.name)[0]), ())) or file


def _label(told: object) -> int:
    if type(told) is int or isinstance(told, str):
        return int(told)
    raise TypeError


def check_shared(path: Path, cases: Mapping[str, Case]) -> None:
    """Raises DataError where one file is of two cases: of one image, who trains would be tested, too."""
    owners: dict[Path, str] = {}
    for case, (images, label) in cases.items():
        for file in (*images, *([label] if label else [])):
            if (other := owners.setdefault(file, case)) != case:
                raise DataError(f"{path}: wanted files of one case each, {file} is of {other} and of {case}")


def case_of(image: Path) -> str:
    """The name of the case that an image's file is a channel of."""
    return re.sub(r"_\d{4}$", "", same(formats.split(image.name)[0]))


def decathlon(path: Path) -> Dataset:
    """A dataset.json of the Medical Segmentation Decathlon. Raises DataError: it is in another form, or lacks a key."""
    told = settings.read_json(path)
    if "channel_names" in told:
        raise DataError(f"{path}: this is nnU-Net v2's form, use dataset=nnunet")
    if first_version(path.parent, told):
        raise DataError(f"{path}: this is nnU-Net v1's form, whose images end in _0000, use dataset=nnunet")
    if not isinstance(told.get("test", []), list):
        raise DataError(f"{path}: test: wanted a list of paths, got {told['test']!r}")
    for key, kind in (("modality", dict), ("labels", dict), ("training", list)):
        if not isinstance(told.get(key), kind) or not told[key]:
            got = f"got {quoted(told.get(key))}; its keys are {', '.join(map(str, told)) or 'none'}"
            raise DataError(f"{path}: wanted the key {key} (Medical Segmentation Decathlon), {got}")
    return _checked(path, _renewed(path, told) | {"dataset": _entries(path, told)}, listed=True)


def _entries(path: Path, told: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The Decathlon's `training` and `test` as nnU-Net's `dataset`."""
    found: dict[str, dict[str, Any]] = {}
    for entry in [*told["training"], *(told.get("test") or ())]:
        given = entry if isinstance(entry, dict) else {"image": entry}
        image, label = given.get("image"), given.get("label")
        for name in (image, "" if label is None else label):
            if not isinstance(name, str) or Path(name).is_absolute() or ".." in Path(name).parts:
                wanted = "wanted entries {image, label} or a path, of files in the folder"
                raise DataError(f"{path}: {wanted}, got {entry!r}")
        case = formats.split(Path(str(image)).name, formats.NIFTI)[0]
        if case in found:
            raise DataError(f"{path}: case {case} is listed twice")
        found[case] = {"images": [image], "label": label}
    return found


def nnunet(path: Path) -> Dataset:
    """A dataset.json of nnU-Net v2, or of v1. Raises DataError: it is in another form, or lacks a key."""
    told = settings.read_json(path)
    if "modality" in told and "channel_names" not in told:
        if not first_version(path.parent, told):
            raise DataError(f"{path}: this is the Decathlon's form, use dataset=decathlon")
        told = _renewed(path, told)
    return _checked(path, told, listed=False)


def _checked(path: Path, told: dict[str, Any], listed: bool) -> Dataset:
    for key, kind in (("channel_names", dict), ("labels", dict), ("file_ending", str)):
        if not isinstance(told.get(key), kind) or not told[key]:
            raise DataError(f"{path}: wanted the key {key} (nnU-Net v2), got {quoted(told.get(key))}")
    if told["file_ending"].lower() not in formats.SUFFIXES:
        raise DataError(f"{path}: file_ending: wanted one of {', '.join(formats.SUFFIXES)}")
    channels = tuple(str(name) for name in told["channel_names"].values())
    return Dataset(path, channels, told["labels"], told["file_ending"], told, listed)


def listed(path: Path, told: Mapping[str, Any]) -> dict[str, Case]:
    """Cases of the key `dataset`: {case: {images: […], label: …}}, null of none; {} where it is not there.

    Paths are relative to the dataset's folder or absolute, with $VARIABLES, as nnU-Net expands them.

    Raises:
        DataError: another form.
    """
    if "dataset" not in told:
        return {}
    cases = told["dataset"]
    wanted = '{"case": {"images": ["imagesTr/case_0000.nii.gz"], "label": "labelsTr/case.nii.gz"}}'

    def place(text: object) -> Path:
        if not isinstance(text, str) or not text or "\0" in text:
            raise DataError(f"{path}: dataset: wanted {wanted}, got {text!r} as a file")
        return Path(os.path.normpath(path.parent / os.path.expandvars(text)))

    found: dict[str, Case] = {}
    for case, files in cases.items() if isinstance(cases, dict) else ():
        if not (isinstance(files, dict) and isinstance(files.get("images"), list) and files["images"]):
            raise DataError(f"{path}: dataset: wanted {wanted}, got {case!r}: {files!r}")
        label = None if files.get("label", "") is None else place(files.get("label"))
        found[case] = [place(file) for file in files["images"]], label
    if not found:
        raise DataError(f"{path}: dataset: wanted {wanted}, got {cases!r}")
    check_shared(path, found)
    return found


def first_version(root: Path, told: Mapping[str, Any]) -> bool:
    """Whether a dataset.json of the Decathlon's form lists cases of nnU-Net v1, whose files end in _0000."""
    match told.get("training"):
        case [{"image": str(image)}, *_] if "\0" not in image:
            path = root / image
            stem, ending = formats.split(path.name)
            return ending != "" and not path.exists() and path.with_name(f"{stem}_0000{ending}").exists()
    return False


def _renewed(path: Path, told: dict[str, Any]) -> dict[str, Any]:
    """A dataset.json of the Decathlon, whose form nnU-Net v1 has, in the words of v2."""
    labels = told.get("labels")
    numbers = sorted(labels, key=lambda k: (len(k), k)) if isinstance(labels, dict) else []
    names = ["background", *(str(labels[k]) for k in numbers[1:])] if isinstance(labels, dict) else []
    if not numbers or numbers != [str(k) for k in range(len(numbers))] or len(set(names)) < len(names):
        wanted = "wanted keys 0, 1, 2 … and a name of its own for each, {'0': 'background', '1': …}"
        raise DataError(f"{path}: labels: {wanted}, got {quoted(labels)}")
    ours = {name: number for number, name in enumerate(names)}
    return told | {"channel_names": told.get("modality"), "labels": ours, "file_ending": ".nii.gz"}


def nothing(place: Path, ending: str) -> DataError:
    """That no file of a folder is a case, with what lies there instead."""
    if not place.is_dir():
        beside = ", ".join(p.name for p in sorted(place.parent.iterdir()) if p.is_dir()) or "no folder"
        wanted = f"wanted this folder of files <case>_0000{ending}"
        return DataError(f"{place}: {wanted}, there is {beside} in its place")
    held = [p.name for p in sorted(place.iterdir()) if not p.name.startswith(".")]
    got = f"{len(held)} others: {some(held, 3)}" if held else "none"
    return DataError(f"{place}: wanted files <case>_0000{ending}, as dataset.json says, got {got}")
