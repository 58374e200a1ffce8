"""A task of the Medical Segmentation Decathlon: `TaskNN_Name/dataset.json` and the files it lists.

Images are NIfTI, 3D or 4D with the modalities along the fourth axis. The test images have no labels:
they are sources for pretraining. One case is one patient; `sslseg.json` may say otherwise.
"""

from pathlib import Path

from sslseg.data.folders import dataset_json, patients, settings
from sslseg.data.source import Description, Fault, Source, Volume, searches

DOMAIN = "medical"
LICENCE = "unknown: as its owner says"  # the Decathlon's own tasks: CC BY-SA 4.0, in their dataset.json
SPLIT = "stratified"
DESCRIPTION = "dataset.json"
VERSION = 2  # masks and channels are brought onto the grid of the image


def describe(root: Path) -> Description:
    """Classes, modalities and licence, from dataset.json. Raises DataError: it is missing or not in the Decathlon's form."""
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
    found = dataset_json.decathlon(root / DESCRIPTION).complete(fault)
    who = patients.people(root, dict.fromkeys(found, ""), settings.settings(root))
    return [Source(*who[c], "", image, mask, None, (), root) for c, ([image], mask) in sorted(found.items())]


find, scan = searches(_walk)
