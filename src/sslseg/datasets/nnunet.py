"""A raw dataset of nnU-Net: `DatasetNNN_Name/{dataset.json, imagesTr, labelsTr, imagesTs}`; v1's `TaskNNN_Name` too.

All of the format; "What nnU-Net's forms mean here" in docs/reference/data.md. Regions are learned as the labels that the
files hold, since a network with one class a pixel cannot hold regions that overlap; the recipe keeps them.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from sslseg.config.names import DataError
from sslseg.config.texts import some
from sslseg.data.files import same, text
from sslseg.data.folders import dataset_json, patients, settings
from sslseg.data.readers import formats, itk, pictures
from sslseg.data.source import Description, Fault, Source, Volume, keeping, searches

DOMAIN = "medical"
LICENCE = "unknown: as its owner says"
SPLIT = "stratified"
VERSION = 4  # deep pictures keep their values
PATIENT = r"^(.+?)_frame_?\d+$"
DESCRIPTION, SPLITS = "dataset.json", "splits_final.json"


def describe(root: Path) -> Description:
    """Classes, channels, regions and sides, from dataset.json and splits_final.json.

    Raises:
        DataError: either is missing a key or contradicts itself.
    """
    known, s = dataset_json.nnunet(root / DESCRIPTION), settings.settings(root)
    names, ignore, regions = known.classes()
    sides = _sides(root)
    # of pictures, a .json beside them says the voxel size
    physical = known.ending not in pictures.SUFFIXES or any((root / "imagesTr").glob("*.json"))
    return s.describe(
        names,
        channels=known.channels,
        licence=str(known.told.get("licence", "")),
        split="file" if _splits_file(root) else "official" if sides else "",
        sides=sides,
        physical=physical or s.spacing is not None,
        settings={"regions": regions, "ignore_label": ignore, "file_ending": known.ending},
    )


def read(source: Source) -> Volume:
    """Channels in order, labels with the ignore label as 255; raises DataError as `dataset_json.Dataset.read`."""
    return dataset_json.nnunet(source.home / DESCRIPTION).read(source)


def write_splits(path: Path, assigned: dict[str, str], sources: list[Source]) -> None:
    """Write `splits_final.json` for nnU-Net: fold 0 trains and validates as `assigned` says.

    Fold 1 has the same training cases and the test cases as its val, so that `describe` reads back the
    same division. nnU-Net's fold 0 never sees a test case.

    Args:
        assigned: patient -> "train", "val" or "test".
        sources: whose images name the cases, those of `find`, of this dataset or another.

    Raises:
        DataError: two annotated images of one name.
    """
    of: dict[str, list[str]] = {side: [] for side in ("train", "val", "test")}
    case_of, annotated = _names(sources), [s for s in sources if s.label is not None]
    names = [case_of[s.image] for s in annotated]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        got = some(twice, 8)
        raise DataError(f"{path}: wanted a name of its own for each case, got {got} more than once")
    for source, name in zip(annotated, names, strict=True):
        of[assigned[source.patient]].append(name)
    folds = [{"train": sorted(of["train"]), "val": sorted(of[held])} for held in ("val", "test")]
    path.write_text(json.dumps(folds, indent=4), encoding="utf-8")


def _names(sources: list[Source]) -> dict[Path, str]:
    """Image -> name of its case."""
    named = {source.image: dataset_json.case_of(source.image) for source in sources}
    for root in {s.root for s in sources if s.root and (s.root / DESCRIPTION).is_file()}:
        listed = dataset_json.listed(root / DESCRIPTION, settings.read_json(root / DESCRIPTION))
        named |= {images[0]: case for case, (images, _) in listed.items() if images[0] in named}
    return named


def notes(root: Path) -> list[str]:
    """That there are fewer cases than dataset.json says, as after a download that broke off."""
    held = sum(s.label is not None and s.image.parent.name == "imagesTr" for s in scan(root)[0])
    return dataset_json.nnunet(root / DESCRIPTION).fewer(held)


def _walk(root: Path, fault: Fault) -> list[Source]:
    known = dataset_json.nnunet(root / DESCRIPTION)
    ending, folders = known.ending, [("imagesTr", "labelsTr"), ("imagesTs", "labelsTs")]
    faults: list[DataError] = []
    tell = keeping(faults, fault)
    found = known.complete(tell)
    if "dataset" in known.told:
        folders = folders[1:]
    elif (root / "labelsTr").is_dir() and not (root / "imagesTr").is_dir():
        raise dataset_json.nothing(root / "imagesTr", ending)
    for place, labels in folders:
        images, drawn = _images(root / place, ending), formats.stems(root / labels, (ending.lower(),))
        for case, channels in images.items():
            wanted = root / labels / (case + ending)
            try:
                found[case] = _complete(channels, drawn.get(case, ()), wanted, case in found, known.channels)
            except DataError as error:
                tell(next(iter(channels.values()))[0], error)
        for case in sorted(set(drawn) - set(images)):
            wanted, label = root / place / f"{case}_0000{ending}", drawn[case][0]
            tell(label, DataError(f"{wanted}: wanted the image of {label.name}, it is not there"))
    if not found:
        raise faults[0] if faults else dataset_json.nothing(root / "imagesTr", ending)
    who = patients.people(root, dict.fromkeys(found, ""), settings.settings(root), PATIENT)
    return [
        Source(*who[c], "", paths[0], label, None, _more(paths, label), root, parts=len(paths) - 1)
        for c, (paths, label) in sorted(found.items())
    ]


find, scan = searches(_walk)


def _images(place: Path, ending: str) -> dict[str, dict[int, list[Path]]]:
    """case -> channel -> its file; several where endings differ in case."""
    found: dict[str, dict[int, list[Path]]] = {}
    for stem, paths in formats.stems(place, (ending.lower(),)).items():
        if match := formats.CHANNEL.fullmatch(stem):
            found.setdefault(match[1], {})[int(match[2])] = paths
    return found


def _complete(
    held: dict[int, list[Path]], drawn: Sequence[Path], wanted: Path, twice: bool, names: Sequence[str]
) -> dataset_json.Case:
    """Files and label of a case, which should be at `wanted`. One picture may hold all channels (RGB)."""
    paths = [path for number in sorted(held) if (path := formats.only(held[number]))]
    colour = list(held) == [0] and formats.pictured(paths[0])
    if sorted(held) != list(range(len(names))) and not colour:
        numbers = " and ".join(f"_{n:04d}" for n in sorted(held))
        ends = f"_0000 to _{len(names) - 1:04d}" if len(names) > 1 else "_0000"
        wanted_all = f"wanted {len(names)} channels {ends}, as dataset.json names them ({', '.join(names)})"
        raise DataError(f"{paths[0]}: {wanted_all}, got {numbers}")
    if twice:
        raise DataError(f"{paths[0]}: a case of this name is in imagesTr too")
    if (label := formats.only(drawn)) is None and wanted.parent.name == "labelsTr":
        raise DataError(f"{wanted}: wanted the label of {paths[0].name}, it is not there")
    return paths, label


def _more(paths: list[Path], label: Path | None) -> tuple[Path, ...]:
    """Every further file that decides what is read: channels, detached voxels, a TIFF's spacing."""
    held = [p for path in (*paths, label) if path for p in itk.beside(path)]
    beside = paths[0].with_name(f"{dataset_json.case_of(paths[0])}.json")
    return (*paths[1:], *held, *([beside] if beside.is_file() else ()))


def _splits_file(root: Path) -> Path | None:
    beside = root.parent.parent / "nnUNet_preprocessed" / root.name / SPLITS
    return next((p for p in (root / SPLITS, beside) if p.is_file()), None)


def _sides(root: Path) -> dict[str, str]:
    """patient -> side, from labelsTs and splits_final.json; {} if neither divides anything."""
    sources = scan(root)[0]
    names = _names(sources)
    patients = {names[s.image]: s.patient for s in sources}
    test = {s.patient for s in sources if s.label is not None and s.image.parent.name == "imagesTs"}
    path = _splits_file(root)
    told = {} if path is None else _fold(path, patients, needs_test=not test)
    if both := sorted(test & set(told)):
        who = some(both, 8)
        raise DataError(f"{path or root}: patients {who} are in imagesTr and in imagesTs with labels")
    return told | dict.fromkeys(sorted(test), "test")


def _fold(path: Path, patients: dict[str, str], needs_test: bool) -> dict[str, str]:
    """patient -> side, of `splits_final.json`: fold 0, with fold 1's val as test if there is no other.

    Args:
        patients: case -> patient, of all known cases.

    Raises:
        DataError: not a list of folds, an unknown case, or a patient on two sides.
    """
    try:
        told = json.loads(text(path, "a list of folds"), object_pairs_hook=settings.once)
        if not isinstance(told, list) or len(told) < 1 + needs_test:
            raise TypeError(f"a list of {len(told)}" if type(told) is list else f"a {type(told).__name__}")
        folds = [{side: [same(str(c)) for c in f[side]] for side in ("train", "val")} for f in told]
        held = folds[1]["val"] if needs_test else []
        sides = [("train", c) for c in folds[0]["train"] if c not in set(held)]
        sides += [("val", c) for c in folds[0]["val"]] + [("test", c) for c in held]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        wanted = "two folds or more {train: [cases], val: [cases]}, the second for its val to test"
        got = f"no {error}" if isinstance(error, KeyError) else error
        raise DataError(f"{path}: wanted {wanted if needs_test else 'a list of folds'}, got {got}") from None
    found: dict[str, str] = {}
    for side, case in sides:
        if case not in patients:
            raise DataError(f"{path}: wanted cases of imagesTr, got {case!r}")
        if found.setdefault(patients[case], side) != side:
            raise DataError(f"{path}: patient {patients[case]} is in {found[patients[case]]} and in {side}")
    return found
