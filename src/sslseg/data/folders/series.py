"""DICOM series and the masks that lie beside them in other formats: which is whose, and their voxels.

A series stands for its folder, and so do the pictures of a folder that are masks of its slices; then what holds for
images and masks in files holds for them, too: `pairs` of sslseg.json, layouts that are known, words in names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from sslseg.data.files import same
from sslseg.data.folders import mask_values, pairs, roles, settings
from sslseg.data.folders.pairing import layouts, words
from sslseg.data.folders.pairing.matching import Case
from sslseg.data.folders.roles import Pairing
from sslseg.data.readers import dicom_series, dicom_volume, formats, itk, mask_stack
from sslseg.data.readers.dicom_series import Frame
from sslseg.data.source import Fault

Held = dict[str, tuple[Path, ...]]  # name, as a path from the root -> its files


@dataclass(frozen=True)
class Beside:
    """What is known of a folder whose series have masks beside them.

    Attributes:
        cases: first slice of a volume -> its case.
        files: of every mask and every series.
    """

    pairing: Pairing
    cases: dict[Path, Case]
    files: Held

    def masks(self, image: Path) -> list[Path]:
        """Every file of the masks of a volume, those of detached voxels last."""
        case = self.cases.get(image)
        found = [path for name, _ in case.masks for path in self.files[name]] if case else []
        return [*found, *(voxels for path in found for voxels in itk.beside(path))]

    def patients(self, frames: Sequence[Frame]) -> dict[Frame, str]:
        """Those that `pairs` or the layout names, where sslseg.json says nothing else of them."""
        s = self.pairing.settings
        if s.csv or s.patient_regex:
            return {}
        held = {f: self.cases[f.files[0]].held for f in frames if f.files[0] in self.cases}
        return {f: who for f, h in held.items() if (who := h.get("patient") or h.get("number"))}

    def aside(self) -> dict[Path, str]:
        """Files that have no part in any case, and why."""
        return {path: why for name, why in self.pairing.aside.items() for path in self.files.get(name, ())}

    def label(self, images: Sequence[Path], shape: tuple[int, int, int]) -> np.ndarray:
        """The masks of a volume as class numbers, uint8 of `shape`.

        Raises:
            DataError: see `mask_stack.read` and `pairs.drawn`.
        """
        s, case = self.pairing.settings, self.cases[images[0]]
        files = [self.files[name] for name, _ in case.masks]
        soft = s.threshold is not None
        grid = dicom_volume.grid(tuple(images), s.spacing) if s.placed else None
        arrays = [mask_stack.read(held, images, shape, soft, mask_values.told(s), grid) for held in files]
        return pairs.drawn(self.pairing, case, [held[0] for held in files], arrays)


def beside(root: Path, frames: Sequence[Frame], files: Iterable[Path], fault: Fault) -> Beside | None:
    """The masks of series; None where there are none.

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
    own = {same(name): name for name in sorted(series | masks)}
    pairing = roles.paired(root, own, dicom_series.SUFFIXES, fault, shared=True)
    of = {case.images[0]: case for case in pairing.cases.values()}
    return Beside(pairing, {held[0]: of[name] for name, held in series.items() if name in of}, series | masks)


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
