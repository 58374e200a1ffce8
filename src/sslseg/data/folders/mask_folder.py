"""A folder of masks that some tool wrote for the images of a dataset."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from sslseg.config.names import DataError
from sslseg.data.folders import mask_values
from sslseg.data.readers import formats, nifti, nifti_masks, pictures
from sslseg.data.source import Description, Source

CHANNEL = re.compile(r"_0000$")  # nnU-Net's images are <case>_0000 …, its masks <case>
ENDINGS = tuple(s for s in formats.SUFFIXES if s not in pictures.LOSSY)


def mask_of(masks: Path, image: Path, root: Path) -> Path:
    """The mask of an image: at its place below the folder, or by its name alone.

    It has the image's name, with nnU-Net's channel number or without, and its ending or another one.

    Raises:
        DataError: there is none. A missing mask is no empty mask.
    """
    image, root = image.resolve(), root.resolve()
    stem = formats.stem(image.name) or image.name
    own = image.name.removeprefix(stem)
    names = [s + e for s in (stem, CHANNEL.sub("", stem)) for e in dict.fromkeys((own, *ENDINGS))]
    places = [masks / image.relative_to(root).parent] if image.is_relative_to(root) else []
    for path in (place / name for place in (*places, masks) for name in dict.fromkeys(names)):
        if path.is_file():
            return path
    raise DataError(f"{masks / image.name}: wanted a mask named as the image {image}, there is none")


def read(path: Path, source: Source, about: Description, shape: tuple[int, int, int]) -> np.ndarray:
    """A mask as the class numbers of `about`, uint8 of `shape`, sliced as `about` says.

    Its values are class numbers, or those of the dataset's own masks (`classes` of sslseg.json).

    Args:
        shape: of the label as the dataset's reader gives it.

    Raises:
        DataError: a damaged file, another shape than the image's, or a value that is no class.
    """
    axis = int(about.settings.get("axis", 0))
    native = tuple(np.moveaxis(np.empty(shape, bool), 0, axis).shape)
    if path.name.endswith(nifti_masks.SUFFIXES):
        array, _ = nifti.read_volume(path, source.index if nifti_masks.frames(path) is not None else None)
        if array.shape != native:
            raise DataError(f"{path}: wanted a mask of the image's shape {native}, got {array.shape}")
    else:
        array = formats.read_labels(path, native)
    numbers = {k: k for k in range(len(about.classes))}
    numbers = {int(v): k for k, v in enumerate(about.settings.get("values", ()))} | numbers
    return np.moveaxis(mask_values.numbered(path, array, numbers), axis, 0)
