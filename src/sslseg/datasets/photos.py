"""Natural photographs as grey slices: those that scikit-image and scikit-learn ship, or a folder.

A picture is one patient and one volume: its z axis counts tiles, cut at full and at halved
resolutions, half overlapping. The 14 bundled pictures give 368 slices.
"""

import importlib.util
import shutil
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from sslseg.config.files import aside
from sslseg.config.names import DataError
from sslseg.data.files import below, instead, walk
from sslseg.data.folders import mask_values
from sslseg.data.folders.pairing import words
from sslseg.data.folders.roles import Pairing
from sslseg.data.folders.settings import Settings
from sslseg.data.readers import pictures
from sslseg.data.source import Assumption, Fault, Source, Volume, searches

CLASSES = ("background",)
DOMAIN = "natural"
LICENCE = "scikit-image sample data: public domain, CC0 or CC BY (see skimage.data); china, flower: CC BY 2.0"
SPLIT = "stratified"
VERSION = 2  # a picture is turned as its camera noted it
PHYSICAL = False  # a photograph has no millimetres and is never resampled to any
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")

# Photographs inside the wheels: no drawings, text or masks, nothing medical, of the stereo pair only
# the left half, and not the Hubble field, whose size would make a quarter of all tiles stars.
# Nothing is downloaded.
BUNDLED = {
    "skimage": (
        "data",
        "astronaut.png brick.png camera.png chelsea.png clock_motion.png coffee.png coins.png "
        "grass.png gravel.png moon.png motorcycle_left.png rocket.jpg",
    ),
    "sklearn": ("datasets/images", "china.jpg flower.jpg"),
}

TILE = 192  # side of a tile, pixels [H]: twice the `cpu` preset's view
STEP = TILE // 2  # largest distance between the starts of two tiles


def default_root(cache: Path) -> Path:
    """Folder of the bundled pictures, copied there from the installed packages if absent.

    Raises:
        DataError: an installed package lacks one of its pictures.
    """
    return bundled(BUNDLED, Path(cache) / "data" / "photos")


def bundled(packages: Mapping[str, tuple[str, str]], root: Path) -> Path:
    """`root` with a copy of every picture: package -> (folder in it, names). Raises DataError: see `default_root`."""
    root.mkdir(parents=True, exist_ok=True)
    for package, (folder, names) in packages.items():
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise DataError(f"photos: wanted the package {package} for its pictures, it is not installed")
        for name in names.split():
            _copy(Path(spec.origin).parent / folder / name, root / name)
    return root


def _walk(root: Path, fault: Fault) -> list[Source]:
    paths = [p for p in below(root, fault) if p.suffix.lower() in SUFFIXES]
    paths = [p for p in paths if not words.is_mask(p.relative_to(root).as_posix())]
    if not paths:
        wanted = f"wanted pictures ({', '.join(SUFFIXES)}) here or in folders below"
        raise DataError(f"{root}: {wanted}, got {instead(root)}")
    found = []
    for path in paths:
        inside = path.relative_to(root)
        group = inside.parts[0] if len(inside.parts) > 1 else ""
        found.append(Source(inside.as_posix(), group, 1, "", path, None, None))
    return found


find, scan = searches(_walk)


def pairing(root: Path) -> Pairing:
    """The pictures that are left out, since their names say that they are masks."""
    files = [p.relative_to(root).as_posix() for p in walk(root).files if p.suffix.lower() in SUFFIXES]
    aside = {file: "a mask by its name" for file in files if words.is_mask(file)}
    return Pairing(root, Settings(), "", False, {}, aside)


def read(source: Source) -> Volume:
    """Tiles [1, Z, TILE, TILE] of a picture, or [1, 1, H, W] if it is not larger than one tile.

    Raises:
        DataError: the file is damaged, is not a picture, or looks like a mask.
    """
    image, notes = decoded(source.image)
    if mask_values.like_mask(image.transpose(2, 0, 1)[:, None]):
        raise DataError(f"{source.image}: looks like a mask (a few values in areas), not like a photograph")
    grey = image if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return Volume(tiles(grey), None, (1.0, 1.0, 1.0), notes)


def decoded(path: Path) -> tuple[np.ndarray, tuple[Assumption, ...]]:
    """[H, W, C], C = 1 or 3 (red first), and notes on what is lost of it.

    Raises:
        DataError: the file is damaged, is no picture, or has several pages.
    """
    notes: list[Assumption] = []
    image = pictures.read(path, notes.append)
    if image.shape[1] > 1:
        raise DataError(f"{path}: wanted a picture of one page, got {image.shape[1]}")
    return np.ascontiguousarray(image[:, 0].transpose(1, 2, 0)), tuple(notes)


def tiles(image: np.ndarray) -> np.ndarray:
    """[H, W] or [H, W, C] -> [C, Z, TILE, TILE]: evenly placed, half overlapping, at resolutions 1, 1/2, 1/4 and so on."""
    if min(image.shape[:2]) < TILE or image.shape[:2] == (TILE, TILE):
        return _stacked([image])
    found = []
    while min(image.shape[:2]) >= TILE:
        tops, lefts = (_starts(n) for n in image.shape[:2])
        found += [image[t : t + TILE, left : left + TILE] for t in tops for left in lefts]
        height, width = image.shape[:2]
        image = cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return _stacked(found)


def _stacked(tiles: list[np.ndarray]) -> np.ndarray:
    """[H, W] or [H, W, C] each -> [C, Z, H, W]."""
    return np.moveaxis(np.stack([tile if tile.ndim == 3 else tile[..., None] for tile in tiles]), 3, 0)


def _starts(length: int) -> list[int]:
    return np.linspace(0, length - TILE, 1 + -(-(length - TILE) // STEP)).round().astype(int).tolist()


def _copy(source: Path, target: Path) -> None:
    if not source.is_file():
        raise DataError(f"{source}: wanted this picture of the installed package, it is not there")
    if target.is_file() and target.stat().st_size == source.stat().st_size:
        return
    with aside(target) as part:  # two processes at once: each puts a whole file in place
        shutil.copyfile(source, part)
