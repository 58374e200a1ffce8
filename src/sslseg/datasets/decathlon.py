"""A task of the Medical Segmentation Decathlon: `TaskNN_Name/dataset.json` and the files it lists.

Images are NIfTI, 3D or 4D with the modalities along the fourth axis. The test images have no labels:
they are sources for pretraining. One case is one patient; `sslseg.json` may say otherwise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sslseg.config.names import DataError, quoted
from sslseg.data.files import check, same
from sslseg.data.folders import mask_values, nnunet_labels, patients, settings
from sslseg.data.readers import formats, nifti
from sslseg.data.source import Description, Fault, Source, Volume, class_name, searches

DOMAIN = "medical"
LICENCE = "unknown: as its owner says"  # the Decathlon's own tasks: CC BY-SA 4.0, in their dataset.json
SPLIT = "stratified"
VERSION = 2  # masks and channels are brought onto the grid of the image


def describe(root: Path) -> Description:
    """Classes, modalities and licence, from dataset.json.

    Raises:
        DataError: it is missing or not in the Decathlon's form.
    """
    told = _dataset(root)
    numbers = sorted(told["labels"], key=lambda k: (len(k), k))
    if numbers != [str(k) for k in range(len(numbers))]:
        raise DataError(f"{root / 'dataset.json'}: labels: wanted keys 0, 1, 2 …, got {numbers}")
    try:
        names = ("background", *(class_name(told["labels"][k]) for k in numbers[1:]))
    except ValueError as error:
        raise DataError(f"{root / 'dataset.json'}: labels: {error}") from None
    licence = str(told.get("licence", told.get("license", "")))
    channels = tuple(str(v) for v in told["modality"].values())
    return settings.settings(root).describe(names, channels=channels, licence=licence)


def read(source: Source) -> Volume:
    """Modalities as channels, and the mask.

    Raises:
        DataError: a damaged file, another number of modalities or labels than dataset.json says.
    """
    about, s = describe(source.home), settings.settings(source.home)
    image, spacing = nifti.read_channels(source.image)
    if (wanted := len(about.channels)) != len(image):
        raise DataError(f"{source.image}: wanted {wanted} modalities, as dataset.json, got {len(image)}")
    label = None
    if source.label is not None:
        grid = formats.grid(source.image) if s.placed else None
        values = formats.read_labels(source.label, image.shape[1:], like=grid)
        label = mask_values.numbered(source.label, values, {k: k for k in range(len(about.classes))})
    return Volume(image, label, spacing).along(s.axis)


def _dataset(root: Path) -> dict[str, Any]:
    path = root / "dataset.json"
    told = settings.read_json(path)
    if "channel_names" in told:
        raise DataError(f"{path}: this is nnU-Net v2's form, use dataset=nnunet")
    if nnunet_labels.first_version(root, told):
        raise DataError(f"{path}: this is nnU-Net v1's form, whose images end in _0000, use dataset=nnunet")
    if not isinstance(told.get("test", []), list):
        raise DataError(f"{path}: test: wanted a list of paths, got {told['test']!r}")
    for key, kind in (("modality", dict), ("labels", dict), ("training", list)):
        if not isinstance(told.get(key), kind) or not told[key]:
            raise DataError(
                f"{path}: wanted the key {key} (Medical Segmentation Decathlon), got {quoted(told.get(key))}; "
                f"its keys are {', '.join(map(str, told)) or 'none'}"
            )
    return told


def notes(root: Path) -> list[str]:
    """That there are fewer cases than numTraining says, as after a download that broke off."""
    held = sum(source.label is not None for source in scan(root)[0])
    return nnunet_labels.fewer(root / "dataset.json", _dataset(root), held)


def _walk(root: Path, fault: Fault) -> list[Source]:
    told = _dataset(root)
    found: dict[str, tuple[Path, Path | None]] = {}
    for entry in [*told["training"], *(told.get("test") or ())]:
        try:
            names = (entry["image"], entry.get("label")) if isinstance(entry, dict) else (entry, None)
            image, label = _file(root, names[0]), None if names[1] is None else _file(root, names[1])
            case = formats.split(image.name, formats.NIFTI)[0]
            if case in found:
                raise DataError(f"{root / 'dataset.json'}: case {case} is listed twice")
            found[case] = (image, label)
        except DataError as error:
            fault(root, error)
        except (KeyError, TypeError):
            wanted = "wanted entries {image, label} or a path"
            raise DataError(f"{root / 'dataset.json'}: {wanted}, got {entry!r}") from None
    who = patients.people(root, dict.fromkeys(found, ""), settings.settings(root))
    return [Source(*who[c], "", *found[c], None, (), root) for c in sorted(found)]


find, scan = searches(_walk)


def _file(root: Path, name: str) -> Path:
    path = root / name
    try:
        check(path)
        outside = ".." in Path(name).parts or Path(name).is_absolute()
        found = None if outside else path if path.is_file() else _twin(path)
    except (OSError, ValueError):  # a name that no file can have
        found = None
    if found is None:
        raise DataError(f"{path}: wanted this file in the folder, as dataset.json lists it; it is not there")
    return found


def _twin(path: Path) -> Path | None:
    """The file whose name is another form of the same letters: of an accent, or with its ending in capitals."""
    stem = formats.stem(path.name)
    return formats.only(formats.stems(path.parent).get(same(stem), ())) if stem else None
