"""A folder of masks that some tool wrote for the images of a dataset."""

import contextlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from sslseg.config.names import DataError
from sslseg.config.texts import some
from sslseg.data import files
from sslseg.data.files import same
from sslseg.data.folders import mask_values
from sslseg.data.readers import dicom_file, dicom_series, formats, pictures, stacks
from sslseg.data.source import Description, Source, stop

CHANNEL = re.compile(r"_0000$")  # nnU-Net's images are <case>_0000 …, its masks <case>

Key = tuple[tuple[str, ...], str]  # folders below the root, and a name without its ending


class Masks:
    """Which file of the folder `masks` is the mask of which image of a dataset.

    A mask lies at its image's place below the folder, or without the first folders of that place, or without any,
    as long as no other image of the dataset could mean the same file. It has the image's name (of a DICOM series,
    its SeriesInstanceUID), with nnU-Net's channel number or without, and its ending or another one. Links are
    taken by their own names, not by those of what they lead to.
    """

    def __init__(self, masks: Path, sources: Iterable[Source], root: Path) -> None:
        """`sources`: all of the dataset, not only those that are to be scored."""
        self.folder, self.root = masks, root
        self._images = list(dict.fromkeys(s.image for s in sorted(sources, key=lambda s: s.frame)))
        self._series = _series_names(self._images)
        self._files: dict[Key, list[Path]] = defaultdict(list)
        # images that could mean it, and whether it is their own place
        self._owners: dict[Key, list[tuple[Path, bool]]] = defaultdict(list)
        for path in files.below(masks, stop):
            stem = formats.stem(path.name)
            if stem is not None and not path.name.lower().endswith(pictures.LOSSY):
                self._files[(_parts(path.parent, masks), same(stem))].append(path)
        for image in self._images:
            for key, own in self._keys(image):
                self._owners[key].append((image, own))

    def of(self, image: Path) -> Path:
        """The mask of an image.

        Raises:
            DataError: there is none, several, or one that could be another image's. A missing mask is no empty
                mask.
        """
        for key, own in self._keys(image):
            if found := self._files.get(key):
                if len(owners := [one for one, at in self._owners[key] if at or not own]) > 1:
                    raise self._shared(found[0], owners)
                return _one(found, image)
        wanted = self.folder / image.name
        raise DataError(f"{wanted}: wanted a mask named as the image {image}, there is none")

    def unused(self) -> list[Path]:
        """Masks that are of no image of the dataset."""
        return sorted(f for key, held in self._files.items() if key not in self._owners for f in held)

    def passed_over(self) -> list[Path]:
        """Masks that could be an image's and are not taken, because one lies nearer or has the image's own ending."""
        taken = set()
        for image in self._images:
            with contextlib.suppress(DataError):  # said when that image is scored
                taken.add(self.of(image))
        return sorted({f for key, held in self._files.items() if key in self._owners for f in held} - taken)

    def _keys(self, image: Path) -> Iterator[tuple[Key, bool]]:
        """Where its mask may lie, the nearest first, and whether that is the image's own place."""
        stem = self._series.get(image) or formats.split(image.name)[0]
        names = list(dict.fromkeys(same(s) for s in (stem, CHANNEL.sub("", stem))))
        parts = _parts(image.parent, self.root)
        for start in range(len(parts) + 1):
            yield from (((parts[start:], name), start == 0) for name in names)

    def _shared(self, file: Path, owners: Sequence[Path]) -> DataError:
        parts = _parts(owners[0].parent, self.root)
        wanted = "/".join(("…", *parts, file.name)) if parts else file.name
        return DataError(
            f"{file}: wanted a mask of one image, got one that could be of {len(owners)}: {some(owners)}; "
            f"put each mask at its image's place, {wanted}"
        )


def _parts(folder: Path, root: Path) -> tuple[str, ...]:
    """Folders from `root` down; () of what lies elsewhere. Compared as written: links are not followed."""
    return tuple(same(p) for p in folder.relative_to(root).parts) if folder.is_relative_to(root) else ()


def _one(found: Sequence[Path], image: Path) -> Path:
    """The file with the image's own ending, or else the only one."""
    own = formats.split(image.name)[1].lower()
    chosen = [f for f in found if own and f.name.lower().endswith(own)] or found
    if len(chosen) > 1:
        names = " and ".join(f.name for f in chosen)
        raise DataError(f"{chosen[0].parent}: wanted one mask of {image.name}, got {names}")
    return chosen[0]


def _series_names(images: Sequence[Path]) -> dict[Path, str]:
    """DICOM image -> name of its mask as -e predict writes it."""
    held: dict[str, list[Path]] = defaultdict(list)
    for image in images:
        if formats.stem(image.name) is None:
            held[dicom_file.tag(image, "SeriesInstanceUID")].append(image)
    return {
        image: dicom_series.mask_name(uid, number if len(several) > 1 else None)
        for uid, several in held.items()
        for number, image in enumerate(several, 1)
    }


def read(path: Path, source: Source, about: Description, shape: tuple[int, int, int]) -> np.ndarray:
    """A mask as the class numbers of `about`, uint8 of `shape`, on the image's grid and sliced as `about` says.

    Its values are class numbers, or those of the dataset's own masks (`classes` of sslseg.json).

    Args:
        shape: of the label as the dataset's reader gives it.

    Raises:
        DataError: a damaged file, another shape or grid than the image's, or a value that is no class.
    """
    axis = int(about.settings.get("axis", 0))
    native = tuple(np.moveaxis(np.empty(shape, bool), 0, axis).shape)
    placed = about.settings.get("geometry") != "ignore"
    like = stacks.grid(source.images, about.settings.get("spacing")) if placed else None
    timed = formats.count_frames(path) > 1
    if source.index is not None and not timed:
        each = f"each frame of {source.image}, one after the other along the fourth axis"
        raise DataError(f"{path}: wanted a mask for {each}, got one volume")
    index = source.index if timed else None
    numbers = {k: k for k in range(len(about.classes))}
    own = {int(v): k for k, v in enumerate(about.settings.get("values", ()))}
    own |= {int(v): k for v, k in about.settings.get("also", ())}
    array = formats.read_labels(path, native, False, own | numbers, like, index, source.image)
    found = set(np.unique(array).tolist())
    theirs = found <= set(own) and not found <= set(numbers)  # more than class numbers, all the data's own
    return np.moveaxis(mask_values.numbered(path, array, own if theirs else own | numbers), axis, 0)
