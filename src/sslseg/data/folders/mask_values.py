"""Values in masks into class numbers: of one mask, of several that are united, of one a class."""

import functools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sslseg.config.names import DataError
from sslseg.config.texts import some
from sslseg.data.folders.settings import FILE, Settings
from sslseg.data.readers import formats
from sslseg.data.readers.pictures import COLOUR
from sslseg.data.source import BACKGROUND, IGNORE

BINARY = (BACKGROUND, "foreground")
FOREGROUND = {0: 0, 1: 1, 255: 1, 65535: 1}  # masks that name no class, with 65535 in 16 bit
MOST = 32  # different values that an image has to have more of, not to look like a mask …
SMALL = 64  # … all of them below this one, or
FEWEST = 4  # no more than so many of any size
PIXELS = 16  # … and fewer pixels for each of them
MOST_STRUCTURES = 1024  # of an atlas in a volume: FreeSurfer's has some 200
LOOKED_AT = 5  # masks at most that tell whether a folder is the data set that its names are known from
ALIKE = 0.8  # … or fewer neighbours in a row that are alike: masks are made of areas, noise is not


def numbered(path: Path, array: np.ndarray, numbers: dict[int, int]) -> np.ndarray:
    """Values of a mask into class numbers, uint8. Raises DataError: a value that `numbers` does not know."""
    found = _held(array)
    if strange := [v for v in found if v not in numbers]:
        wanted, got = ", ".join(map(shown, sorted(numbers))), some(map(shown, strange), 8)
        hint = '; 0 is of no class, as {"background": 0} in sslseg.json would make it' if 0 in strange else ""
        raise DataError(f"{path}: wanted mask values {wanted}, got also {got}{hint}")
    out = np.zeros(array.shape, np.uint8)
    for value in found:
        out[array == value] = numbers[value]
    return out


def _held(array: np.ndarray) -> list[int]:
    """The values of a mask, in order."""
    counted = array.dtype == np.uint8  # sorting takes as long as unpacking
    return (np.flatnonzero(np.bincount(array.ravel())) if counted else np.unique(array)).tolist()


def told(s: Settings) -> set[int]:
    """The values of masks that stand for a class, or for the unknown, because somebody has said so."""
    if not s.classes:
        return set(FOREGROUND)
    return {*s.values, *dict(s.also), *(() if s.ignore is None else (s.ignore,))}


def shown(value: int) -> str:
    """A value as sslseg.json has it."""
    return f"#{int(value) - COLOUR:06x}" if value >= COLOUR else f"{value:g}"


def one(path: Path, array: np.ndarray, s: Settings) -> np.ndarray:
    """The class numbers of a mask that holds all classes, or of a part of one that is united.

    Raises:
        DataError: a value that is no class, or 255 where it may mean a class or the unknown.
    """
    if s.threshold is not None:
        out = (array > s.threshold).astype(np.uint8)
        if s.ignore is not None:
            out[array == s.ignore] = IGNORE
        return out
    if not s.classes:
        return _foreground(path, array)
    if s.ignore is None and s.values == (0, 1) and IGNORE not in dict(s.also):
        _check_unknown(path, array, s.classes[1])
    return numbered(path, array, s.numbers())


def contradict(masks: Sequence[Path], s: Settings) -> bool:
    """Whether no mask of a few holds what those of a data set do, so that only the names are alike.

    Those that are blank or cannot be read say nothing.

    Args:
        s: with the classes of the data set.
    """
    chosen = masks[:: len(masks) // LOOKED_AT + 1] if s.classes else ()
    seen = [_fits(path, path.stat().st_mtime_ns, s) for path in chosen]
    return False in seen and True not in seen


@functools.lru_cache(maxsize=256)
def _fits(path: Path, changed: int, s: Settings) -> bool | None:
    """Of one mask; None of one that says nothing. Folders are paired several times before they are read."""
    try:
        array = formats.read_labels(path, None, s.threshold is not None, told(s))
    except DataError:
        return None
    if not array.any():
        return None
    if s.threshold is not None:
        return bool(array.max() > s.threshold)
    found = set(_held(array))
    # where 0 is a class and not the background, masks of 0 and another value may mean the opposite
    return found <= told(s) and (s.values[0] == 0 or found >= set(s.values))


def _foreground(path: Path, array: np.ndarray) -> np.ndarray:
    """Masks of a folder that names no classes: 0 and 1, or 0 and 255."""
    found = set(_held(array))
    if not any(found <= {0, value} for value in FOREGROUND):
        values = sorted(found - {0})
        named = {f"name of {shown(v)}": shown(v) if v >= COLOUR else v for v in values[:4]}
        unknown = f"; without a name, {IGNORE} is what nobody knows" if IGNORE in values else ""
        raise DataError(
            f"{path}: wanted a mask of 0 and 1 or of 0 and 255, got [{some(map(shown, sorted(found)), 8)}]; "
            f"name the classes and their values in a file {FILE} of the data folder, "
            f'{json.dumps({"classes": named})}{unknown}, or say "threshold": 0 where any value above 0 is foreground'
        )
    return numbered(path, array, FOREGROUND)


def inverted(label: np.ndarray) -> bool:
    """Whether the foreground of a mask of two classes reaches all corners, as that of a dark object on white does."""
    return bool((label[:, [0, 0, -1, -1], [0, -1, 0, -1]] == 1).all() and (label == 0).any())


def _check_unknown(path: Path, array: np.ndarray, name: str) -> None:
    """Classes were listed without values: 255 is unknown then, unless it plainly is the class."""
    planes = array.reshape(len(array), -1)
    mixed = (planes == IGNORE).any(axis=1) & (planes == 0).any(axis=1)
    if mixed.any() and not (planes == 1).any():
        write = f'{{"classes": {{"{name}": 255}}}} into {FILE}, or {{"ignore": 255}} if 255 means that nobody knows'
        raise DataError(f"{path}: wanted 0 and 1, got 0 and 255: write {write}")


def laid(parts: Sequence[np.ndarray], paths: Sequence[Path], clashes: Sequence[str]) -> np.ndarray:
    """Class numbers of several masks of one image, each laid over those before it.

    Args:
        clashes: of each mask, what is wrong where a voxel has another class already; () where the later lies on top.

    Raises:
        DataError: a voxel has two classes, of which nobody has said which lies on top.
    """
    out = parts[0].copy()
    for k in range(1, len(parts)):
        known, held = ((array > 0) & (array != IGNORE) for array in (parts[k], out))
        if clashes and (known & held & (parts[k] != out)).any():
            raise DataError(f"{paths[k]}: {clashes[k]}")
        out[known] = parts[k][known]
        out[(parts[k] == IGNORE) & ~held] = IGNORE
    return out


def check_image(path: Path, image: np.ndarray, root: Path) -> None:
    """Raises DataError of an image [C, Z, Y, X] without a mask, in a data folder, that looks like one itself."""
    if found := like_mask(image, MOST if formats.pictured(path) else MOST_STRUCTURES):
        inner = path.parent.relative_to(root).as_posix()
        paired = "{id} -> {id}_MASK" if inner == "." else f"IMAGES/{{id}} -> {inner}/{{id}}"
        raise DataError(
            f"{path}: looks like a mask (it holds only {some(map(shown, found), 8)}) and no image is known to be its own: say "
            f'which in pairs of {FILE}, as {{"pairs": "{paired}"}} with your own words in capitals; move it away or leave it out '
            f'by on_bad_file=skip; or write {{"pairs": "{paired.partition(" ->")[0]}"}} where all are images'
        )


def like_mask(image: np.ndarray, most: int = MOST) -> list[int]:
    """The whole values of an image [C, Z, Y, X] that looks like a mask; [] of one that does not.

    Nearly every voxel is as its neighbour, and the values are few. Or there are up to `most`, as in an atlas: then
    that holds of those voxels alone that differ from the commonest value.
    """
    if len(image) == 3 and image.dtype.kind in "iu" and image.max() <= 255:  # a colour mask: few colours
        red, green, blue = image.astype(np.int64)
        values = COLOUR | (red << 16) | (green << 8) | blue
    elif len(image) == 1:
        values = image[0]
    else:
        return []
    if len(np.unique(values[:, ::4, ::4])) > most:  # most images show here already that they are none
        return []
    found, times = np.unique(values, return_counts=True)
    if not 2 <= len(found) <= most or (found != np.rint(found)).any() or values.size < PIXELS * len(found):
        return []
    alike, inside = values[..., 1:] == values[..., :-1], values != found[times.argmax()]
    few = len(found) <= FEWEST or len(image) == 3 or (found.min() >= 0 and found.max() < SMALL)
    if not (few and len(found) <= MOST and alike.mean() >= ALIKE):
        alike = alike[inside[..., 1:] | inside[..., :-1]]
        if len(image) == 3 or alike.size < PIXELS * len(found) or alike.mean() < ALIKE:
            return []
    return found.astype(np.int64).tolist()
