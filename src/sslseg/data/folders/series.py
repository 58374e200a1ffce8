"""DICOM series and the masks that lie beside them in other formats: which is whose.

A series stands for its folder, and so do the pictures of a folder that are masks of its slices; then what holds for
images and masks in files holds for them, too: `pairs` of sslseg.json, layouts that are known, words in names.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from sslseg.data.folders import roles, settings
from sslseg.data.folders.pairing import layouts, words
from sslseg.data.folders.roles import Pairing
from sslseg.data.readers import dicom_series, formats
from sslseg.data.readers.dicom_series import Frame
from sslseg.data.source import Fault

Held = dict[str, tuple[Path, ...]]  # name, as a path from the root -> its files


def beside(root: Path, frames: Sequence[Frame], files: Iterable[Path], fault: Fault) -> Pairing | None:
    """Series and their masks; None where there are none.

    Args:
        files: below the root.

    Raises:
        DataError: see `roles.paired`.
    """
    s, series, masks = settings.settings(root), *named(root, frames, files)
    if not s.pairs and not layouts.fitting(sorted(series | masks)):
        series, masks = named(root, frames, files, by_name=True)
        if not masks:
            return None
    found = roles.paired(root, series | masks, dicom_series.SUFFIXES, fault, shared=True)
    firsts = {held[0] for held in series.values()}
    return replace(found, cases={first: case for first, case in found.cases.items() if first in firsts})


def named(
    root: Path, frames: Sequence[Frame], files: Iterable[Path], by_name: bool = False
) -> tuple[Held, Held]:
    """Names of series, and of what may be their masks; `by_name` where names alone say what is a mask."""
    single = all(len(frame.files) == 1 for frame in frames)  # each with a picture of its own
    masks: dict[str, list[Path]] = {}
    for path in files:
        if formats.stem(path.name) is None:
            continue
        name = path.relative_to(root).as_posix()
        if by_name and not words.is_mask(name):
            continue
        if not single and formats.pictured(path):
            folder = name.rpartition("/")[0]
            own = by_name and not words.is_mask(f"{folder}/x")  # the pictures say it, not their folder
            name = f"{folder}/mask".lstrip("/") if own else folder or name
        masks.setdefault(name, []).append(path)
    above = {str(folder) for name in masks for folder in PurePosixPath(name).parents}
    many = Counter(frame.files[0].parent for frame in frames)
    series = {_name(root, frame, above, many): frame.files for frame in frames}
    return series, {name: tuple(sorted(held)) for name, held in masks.items()}


def _name(root: Path, frame: Frame, above: set[str], many: Counter[Path]) -> str:
    """The path of a series of one file, or else its folder; of several in a folder, with the series' own name."""
    first = frame.files[0]
    place = first.parent.relative_to(root).as_posix()
    if len(frame.files) == 1:
        return f"{place}/{dicom_series.stem(first)}".removeprefix("./")
    if many[first.parent] > 1:
        return f"{place}/{dicom_series.mask_name(frame.series, frame.number)}".removeprefix("./")
    return f"{place}/dicom".removeprefix("./") if place in above else place
