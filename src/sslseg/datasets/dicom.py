"""DICOM series anywhere below a folder, and their masks (extra `dicom`): "What is read of DICOM" in docs/reference/data.md.

Compressed transfer syntaxes need the decoders that pydicom names. The patient's ID is kept in the slice store's index:
de-identify the series first. RTSTRUCT contours are not read.
"""

from collections.abc import Sequence
from pathlib import Path

from sslseg.config.names import DataError
from sslseg.data.files import below, walk
from sslseg.data.folders import mask_values, pairs, patients, roles, series, settings, tables
from sslseg.data.folders.roles import Pairing
from sslseg.data.readers import dicom_file, dicom_masks, dicom_series, dicom_volume, formats, itk
from sslseg.data.readers.dicom_series import Frame
from sslseg.data.source import Assumption, Description, Fault, Source, Volume, ignore, searches

DOMAIN = "medical"
LICENCE = "unknown: as its owner says"
SPLIT = "stratified"
VERSION = 4  # a slice thickness in sslseg.json counts where a file says none
# what stands in PatientID when it names nobody, as `tables.fold` has it
NOBODY = tables.NOTHING | {"", "anon", "anonym", "anonymous", "anonymized", "anonymised", "deidentified", "de-identified",
          "unknown", "none", "na", "removed", "patient", "patientid", "noname", "no name", "0"}  # fmt: skip
STUDIES = 3  # of one PatientID that is everybody's: with fewer there is nothing to divide
NOTES: dict[Path, str] = {}  # root -> what `_patients` has to say of it
TAKES_ANY = True  # every folder with such files: a format that wants a description is the likelier one


def describe(root: Path) -> Description:
    """Classes from the SEG objects or the masks beside; the rest from `sslseg.json`, see docs/reference/data.md."""
    found = dicom_masks.find(walk(root).files, ignore)
    if found or not (known := _beside(root, dicom_series.frames(root, ignore), ignore)):
        return settings.settings(root).describe(dicom_masks.classes(found))
    return known.settings.describe(known.classes)


def read(source: Source) -> Volume:
    """Image [1, Z, Y, X], and its mask.

    Raises:
        DataError: a damaged or compressed file, a missing slice, an image that looks like a mask, or see
            `dicom_masks.read` and `pairs.labels`.
    """
    root, label, notes = source.home, None, list[Assumption]()
    image, spacing = dicom_volume.read(source.images, settings.settings(root).spacing)
    if source.label is None:
        mask_values.check_image(source.image, image[None], source.home)
    elif formats.stem(source.label.name) is not None or not dicom_masks.described(source.label):
        known = roles.LAST.get(root)
        if known is None or source.image not in known.cases:
            known = _beside(root, dicom_series.frames(root, ignore), ignore)
        if known is None or source.image not in known.cases:
            raise DataError(f"{source.label}: wanted the series of this mask, it is not there any more")
        label = pairs.labels(known, source.image, image.shape, None, notes.append)
    else:
        masks = [source.label, *source.more[source.parts :]]
        label = dicom_masks.read(masks, source.images, image.shape, describe(root).classes)
    return Volume(image[None], label, spacing, tuple(notes)).along(settings.settings(root).axis)


def slice_files(source: Source) -> tuple[Path, ...]:
    """The file of each slice, in the volume's order; () where `axis` slices it another way."""
    return () if settings.settings(source.home).axis else source.images


def aside(root: Path) -> dict[str, str]:
    """Path from the root -> why a file is neither image nor mask, of what `find` has met."""
    known = roles.LAST.get(root)
    held, left = (known.files, known.aside) if known else ({}, {})
    found = dicom_file.ASIDE | {path: why for name, why in left.items() for path in held.get(name, ())}
    return {p.relative_to(root).as_posix(): w for p, w in found.items() if p.is_relative_to(root)}


def notes(root: Path) -> list[str]:
    """Who counts as a patient, where PatientID does not say."""
    return [NOTES[root]] if NOTES.get(root) else []


def _beside(root: Path, frames: Sequence[Frame], fault: Fault) -> Pairing | None:
    roles.LAST.pop(root, None)
    if not frames:  # what is wrong with the series is told, not that masks have no image
        return None
    if found := series.beside(root, frames, below(root, ignore), fault):
        roles.LAST[root] = found
    return found


def _masks(known: Pairing | None, image: Path) -> list[Path]:
    """Every file of the masks beside a volume, those of detached voxels last."""
    case = known.cases.get(image) if known else None
    found = [path for name, _ in case.masks for path in known.files[name]] if known and case else []
    return [*found, *(voxels for path in found for voxels in itk.beside(path))]


def _patients(root: Path, frames: Sequence[Frame], known: Pairing | None) -> dict[Frame, str]:
    """Frame -> patient: as sslseg.json says of its series or of their folder, or a layout; else PatientID.

    De-identified series have an empty one, or one for all. Then each study counts as a patient, or else each
    folder; NOTES says so.
    """
    s = settings.settings(root)
    folder = {f: f.files[0].parent.relative_to(root).as_posix() for f in frames}
    NOTES[root] = ""
    if s.csv or s.patient_regex:
        who = patients.people(root, dict.fromkeys(folder.values(), ""), s)
        return {frame: who[folder[frame]][0] for frame in frames}
    held = {f: known.cases[f.files[0]].held for f in frames if known and f.files[0] in known.cases}
    told = {f: named for f, names in held.items() if (named := names.get("patient") or names.get("number"))}
    ids = {frame.patient for frame in frames}
    shared = len(ids) == 1 and len({frame.study for frame in frames}) >= STUDIES
    void = {who for who in ids if tables.fold(who) in NOBODY or set(who) in ({"0"}, {"X"})}
    nobody = [f for f in frames if shared or f.patient in void]
    written: dict[str, str] = {}
    spelled = {f: written.setdefault(tables.fold(f.patient), f.patient) for f in frames}
    if not nobody:
        return spelled | told
    studies, folders = {f.study for f in nobody}, {folder[f] for f in nobody}
    by_study = "" not in studies and (len(studies) > 1 or len(folders) == 1)
    what = "study" if by_study else "folder"
    NOTES[root] = (
        f"PatientID is {', '.join(sorted(repr(f) for f in {f.patient for f in nobody}))} in {len(nobody)} of "
        f"{len(frames)} volumes: each {what} counts as a patient; patient_regex or csv in {settings.FILE} of the "
        "folders of the series says otherwise"
    )
    return {f: (f.study if by_study else folder[f]) if f in nobody else spelled[f] for f in frames} | told


def _walk(root: Path, fault: Fault) -> list[Source]:
    found: list[Source] = []
    numbers: dict[str, int] = {}
    used: set[Path | None] = set()
    masks = dicom_masks.find(below(root, ignore), fault)
    frames = dicom_series.frames(root, fault)
    known = _beside(root, frames, fault)
    who = _patients(root, frames, known)
    drawn_beside = {path for image in (known.cases if known else ()) for path in _masks(known, image)}
    for frame in frames:
        placed = not known or not known.settings.pairs or frame.files[0] in known.cases
        if not placed or frame.files[0] in drawn_beside:
            continue  # neither `pairs` nor the layout has a place for it, or it is a mask
        patient = who[frame]
        number = numbers[patient] = numbers.get(patient, 0) + 1  # one count over all series
        shown = {dicom_file.tag(p, dicom_masks.INSTANCE) for p in frame.files} if masks else set()
        drawn = [one.file for one in masks if one.instances & shown]
        used |= set(drawn)
        first, *rest = frame.files
        beside = _masks(known, first)
        if masks and beside:
            both = f"masks in {masks[0].file.name} and in {beside[0].name}: wanted SEG objects or other files, not both"
            fault(beside[0], DataError(f"{root}: {both}"))
            continue
        label, *others = drawn or beside or (None,)
        more = (*rest, *others)
        found.append(Source(patient, "", number, "", first, label, None, more, root, parts=len(rest)))
    for one in masks:
        if one.file not in used:
            fault(one.file, DataError(f"{one.file}: a SEG of images that are not below {root}"))
    return found


find, scan = searches(_walk)
