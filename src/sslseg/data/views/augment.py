"""What a fine-tuning may change in a view beyond crop, flip, brightness and contrast: drawn here, applied elsewhere.

Rotation, scale and elastic displacement are geometry: `warp.py` resamples image and mask once, by the same map.
Noise, blur and gamma change the grey levels of the finished view: `texture.py`.
"""

from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np

from sslseg.config.names import ParamError

NODES = 3  # a side: displacements are drawn on a coarse grid (U-Net, Ronneberger et al. 2015, section 3.1)


@dataclass(frozen=True)
class Augmentation:
    """How much may change, and for which share of the views: the knobs of `params.Augment`, which says their units."""

    rotation: float = 0.0
    rotation_p: float = 0.0
    scale: tuple[float, ...] = (1.0, 1.0)
    scale_p: float = 0.0
    elastic: float = 0.0
    elastic_p: float = 0.0
    noise: float = 0.0
    noise_p: float = 0.0
    blur: tuple[float, ...] = (0.0, 0.0)
    blur_p: float = 0.0
    gamma: tuple[float, ...] = (1.0, 1.0)
    gamma_p: float = 0.0

    def __post_init__(self) -> None:
        for name, nothing in NOTHING.items():
            ends = getattr(self, name)
            if isinstance(nothing, tuple) and not (len(ends) == 2 and 0 <= ends[0] <= ends[1]):
                raise ParamError(f"{name}: must be two numbers, smaller first; not {ends!r}")

    @property
    def off(self) -> bool:
        """Whether no view is ever changed."""
        return all(getattr(self, n) == none or not getattr(self, f"{n}_p") for n, none in NOTHING.items())


NOTHING = {f.name: f.default for f in fields(Augmentation) if not f.name.endswith("_p")}


@dataclass(frozen=True, eq=False)
class Changes:
    """The choices for B views."""

    angle: np.ndarray  # radians [B], 0 = not turned
    zoom: np.ndarray  # side of what is shown, in sides of the crop [B], 1 = the crop
    nodes: np.ndarray  # displacement down and right of N x N nodes, in sides of the view: [B, 2, N, N]
    noise: np.ndarray  # s.d. [B], 0 = none
    noise_seed: np.ndarray  # int64 [B], what its field is made from
    blur: np.ndarray  # s.d. in pixels [B], 0 = none
    gamma: np.ndarray  # exponent [B], 1 = unchanged

    @property
    def moved(self) -> np.ndarray:
        """Whether a view's geometry is not its crop's: bool [B]."""
        return (self.angle != 0) | (self.zoom != 1) | self.nodes.any((1, 2, 3))

    def at(self, places: np.ndarray) -> Self:
        """Those of some of the views."""
        return replace(self, **{f.name: getattr(self, f.name)[places] for f in fields(self)})

    def placed(self, other: Self) -> Self:
        """The geometry of `other`, with the noise, blur and gamma of these."""
        return replace(self, angle=other.angle, zoom=other.zoom, nodes=other.nodes)


def draw(a: Augmentation, count: int, rng: np.random.Generator) -> Changes:
    """Draw the changes of `count` views.

    Everything is drawn for every view, so that one knob does not change what the others draw.
    """

    def chosen(share: float) -> np.ndarray:
        return rng.random(count) < share

    angle = chosen(a.rotation_p) * rng.uniform(-1, 1, count) * np.deg2rad(a.rotation)
    zoom = np.where(chosen(a.scale_p), _factor(a.scale, count, rng), 1.0)
    nodes = rng.standard_normal((count, 2, NODES, NODES)) * a.elastic
    nodes *= chosen(a.elastic_p)[:, None, None, None]
    noise = chosen(a.noise_p) * rng.uniform(0, 1, count) * a.noise
    blur = chosen(a.blur_p) * rng.uniform(a.blur[0], a.blur[1], count)
    gamma = np.where(chosen(a.gamma_p), _factor(a.gamma, count, rng), 1.0)
    return Changes(angle, zoom, nodes, noise, rng.integers(0, 2**63, count), blur, gamma)


def _factor(ends: tuple[float, ...], count: int, rng: np.random.Generator) -> np.ndarray:
    """Half below 1 and half above, where the range allows it: batchgeneratorsv2, BGContrast."""
    low, high = ends
    below, share = rng.random(count) < 0.5, rng.random(count)
    small, large = low + share * (min(high, 1.0) - low), max(low, 1.0) + share * (high - max(low, 1.0))
    return np.where(below & (low < 1) | (high <= 1), small, large)
