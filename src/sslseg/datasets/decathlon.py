"""A task of the Medical Segmentation Decathlon: `TaskNN_Name/dataset.json` and the files it lists.

Images are NIfTI, 3D or 4D with the modalities along the fourth axis. The test images have no labels:
they are sources for pretraining. One case is one patient; `sslseg.json` may say otherwise.
"""

from __future__ import annotations

from pathlib import Path

from sslseg.config.names import DataError
from sslseg.data.files import check, same
from sslseg.data.folders import dataset_json, patients, settings
from sslseg.data.readers import formats
from sslseg.data.source import Description, Fault, Source, Volume, searches

DOMAIN = "medical"
LICENCE = "unknown: as its owner says"  # the Decathlon's own tasks: CC BY-SA 4.0, in their dataset.json
SPLIT = "stratified"
DESCRIPTION = "dataset.json"
VERSION = 2  # masks and channels are brought onto the grid of the image


def describe(root: Path) -> Description:
    """Classes, modalities and licence, from dataset.json.

    Raises:
        DataError: it is missing or not in the Decathlon's form.
    """
    known = dataset_json.decathlon(root / DESCRIPTION)
    licence = str(known.told.get("licence", known.told.get("license", "")))
    return settings.settings(root).describe(known.classes()[0], channels=known.channels, licence=licence)


def read(source: Source) -> Volume:
    """Modalities as channels, and the mask; raises DataError as `dataset_json.Dataset.read`."""
    return dataset_json.decathlon(source.home / DESCRIPTION).read(source)


def notes(root: Path) -> list[str]:
    """That there are fewer cases than numTraining says, as after a download that broke off."""
    held = sum(source.label is not None for source in scan(root)[0])
    return dataset_json.decathlon(root / DESCRIPTION).fewer(held)


def _walk(root: Path, fault: Fault) -> list[Source]:
    told = dataset_json.decathlon(root / DESCRIPTION).told
    found: dict[str, tuple[Path, Path | None]] = {}
    for entry in [*told["training"], *(told.get("test") or ())]:
        try:
            names = (entry["image"], entry.get("label")) if isinstance(entry, dict) else (entry, None)
            image, label = _file(root, names[0]), None if names[1] is None else _file(root, names[1])
            case = formats.split(image.name, formats.NIFTI)[0]
            if case in found:
                raise DataError(f"{root / DESCRIPTION}: case {case} is listed twice")
            found[case] = (image, label)
        except DataError as error:
            fault(root, error)
        except (KeyError, TypeError):
            wanted = "wanted entries {image, label} or a path"
            raise DataError(f"{root / DESCRIPTION}: {wanted}, got {entry!r}") from None
    dataset_json.check_shared(root / DESCRIPTION, {case: ([i], label) for case, (i, label) in found.items()})
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
