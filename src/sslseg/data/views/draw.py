"""Random views, drawn first and applied afterwards.

`draw` makes every random choice of a batch at once; `render` (CPU) and `render_device` (matrix
products) apply the same choices to pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self, TypeVar

import numpy as np

from sslseg.config.names import ParamError
from sslseg.config.wanted import Crops
from sslseg.data.views import augment
from sslseg.data.views.augment import Augmentation, Changes

T = TypeVar("T")
TRIES = 10  # torchvision RandomResizedCrop.get_params: attempts before the centre fallback


@dataclass(frozen=True)
class ViewRanges:
    """How views are drawn: the knobs of `params.Views`, which says their units."""

    size: int  # side of a view, pixels
    crop_scale: tuple[float, float]
    flip: float
    brightness: float
    contrast: float
    jitter: float
    jitter_mode: str = "factor"
    ratio: tuple[float, float] = (3 / 4, 4 / 3)  # of a crop's width to its height; torchvision's default
    augmentation: Augmentation = Augmentation()  # what else is changed

    def __post_init__(self) -> None:
        if len(self.crop_scale) != 2 or not 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1:
            raise ParamError(f"crop_scale: must be two shares, smaller first; not {self.crop_scale!r}")
        if self.jitter_mode not in ("factor", "uint16"):
            raise ParamError(f"jitter_mode: must be factor or uint16; not {self.jitter_mode!r}")

    def of_kind(self, kind: Crops) -> Self:
        """The ranges of one of the kinds of views that a method wants."""
        return replace(
            self,
            size=kind.size or self.size,
            crop_scale=kind.scale or self.crop_scale,
            flip=self.flip if kind.flip else 0.0,
            jitter=self.jitter if kind.jitter else 0.0,
        )


@dataclass(frozen=True, eq=False)
class ViewParams:
    """The choices for B views; arrays are [B]."""

    top: np.ndarray  # of the crop in pixels of the slice, int64, as the next three
    left: np.ndarray
    height: np.ndarray
    width: np.ndarray
    flip: np.ndarray  # mirror left-right after the crop, bool
    brightness: np.ndarray  # "factor": b, 1 = unchanged; "uint16": share of 65,535 added, 0 = unchanged
    contrast: np.ndarray  # c, 1 = unchanged
    size: int  # side of the rendered view, pixels
    jitter_mode: str = "factor"  # as in ViewRanges
    changes: Changes | None = None  # what else is changed

    def __len__(self) -> int:
        return len(self.top)

    def placed(self, other: Self) -> Self:
        """The crop, flip and geometry of `other`, with the grey levels and the size of these.

        Where `other` has no changes at all, these have moved nothing either.
        """
        place = {name: getattr(other, name) for name in ("top", "left", "height", "width", "flip")}
        changes = self.changes
        if changes and other.changes:
            changes = changes.placed(other.changes)
        return replace(self, **place, changes=changes)

    def at(self, places: np.ndarray) -> Self:
        """Those of some of the views."""
        arrays = {name: value[places] for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return replace(self, **arrays, changes=self.changes and self.changes.at(places))

    @property
    def moved(self) -> np.ndarray:
        """Whether a view is more than an upright crop: bool [B]."""
        return np.zeros(len(self), bool) if self.changes is None else self.changes.moved

    def parts(self, upright: T, moved: T) -> Iterator[tuple[np.ndarray, Self, T]]:
        """The upright crops, then the moved views, where there are any: which they are, and what makes them."""
        for places, made in ((~self.moved, upright), (self.moved, moved)):
            if places.any():
                yield places, self if places.all() else self.at(places), made


def _crops(
    ranges: ViewRanges, heights: np.ndarray, widths: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Height, width, found [B]: the first of TRIES that fits, else (not found) the largest of legal ratio."""
    shape = (TRIES, len(heights))
    area = heights * widths * rng.uniform(*ranges.crop_scale, shape)
    flat, tall = np.log(ranges.ratio)
    ratio = np.exp(rng.uniform(flat, tall, shape))
    w, h = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
    fits = (w > 0) & (w <= widths) & (h > 0) & (h <= heights)
    first = fits.argmax(0)
    w, h = (np.take_along_axis(v, first[None], 0)[0] for v in (w, h))
    low, high = min(ranges.ratio), max(ranges.ratio)
    h_else = np.where(widths / heights < low, np.rint(widths / low), heights)
    w_else = np.where(widths / heights > high, np.rint(heights * high), widths)
    found = fits.any(0)
    return np.where(found, h, h_else).astype(np.int64), np.where(found, w, w_else).astype(np.int64), found


def draw(ranges: ViewRanges, heights: np.ndarray, widths: np.ndarray, rng: np.random.Generator) -> ViewParams:
    """Draw one view of each of B slices of `heights` x `widths` pixels ([B] each).

    Crops follow torchvision's RandomResizedCrop (area uniform, ratio log-uniform, ten tries, then the
    centre), brightness and contrast its ColorJitter. "uint16": albumentations 1.1.0
    RandomBrightnessContrast on uint16, where brightness is an addend in units of 65,535 (flaw F2).
    """
    heights, widths = np.asarray(heights, np.int64), np.asarray(widths, np.int64)
    B = len(heights)
    h, w, found = _crops(ranges, heights, widths, rng)
    top = np.where(found, rng.integers(0, heights - h + 1), (heights - h) // 2)
    left = np.where(found, rng.integers(0, widths - w + 1), (widths - w) // 2)
    flip = rng.random(B) < ranges.flip
    jittered = rng.random(B) < ranges.jitter
    brightness = rng.uniform(-ranges.brightness, ranges.brightness, B) * jittered
    contrast = 1 + rng.uniform(-ranges.contrast, ranges.contrast, B) * jittered
    if ranges.jitter_mode == "factor":
        brightness = 1 + brightness
    changes = None if ranges.augmentation.off else augment.draw(ranges.augmentation, B, rng)
    return ViewParams(top, left, h, w, flip, brightness, contrast, ranges.size, ranges.jitter_mode, changes)
