"""What surrounds a phantom's heart: chest wall, lungs, liver, vessels.

Painted back to front as closed contours at twice the resolution. A patient's body is one
arrangement that changes steadily from slice to slice and is shared by all frames.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from sslseg.data.phantom.heart import Heart
from sslseg.data.phantom.scanner import Scanner, smooth

_TURN = np.linspace(0, 2 * np.pi, 72, endpoint=False)
_FINE = 2  # painting resolution
_BITS = 4  # sub-pixel bits of the painter
LUNG, AIR = 0.11, 0.015


class _Canvas:
    """A float image in mm coordinates, origin at its centre, turned by `angle`."""

    def __init__(self, scanner: Scanner, angle: float, value: float) -> None:
        self.shape = tuple(_FINE * n for n in scanner.shape)
        self.scale = _FINE / scanner.pixel
        self.turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        self.image = np.full(self.shape, value, np.float32)
        self.fat = np.zeros(self.shape, np.float32)

    def paint(self, points: np.ndarray, value: float, fat: float = 0.0) -> None:
        """Fill the closed contour `points` [N, 2] (x, y)."""
        middle = np.array(self.shape[::-1]) / 2
        pixels = (points @ self.turn) * self.scale + middle
        contour = [np.rint(pixels * 2**_BITS).astype(np.int32)]
        cv2.fillPoly(self.image, contour, value, shift=_BITS)
        cv2.fillPoly(self.fat, contour, fat, shift=_BITS)

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Signal and share of fat, [Y, X] each."""
        how: dict[str, Any] = {"fx": 1 / _FINE, "fy": 1 / _FINE, "interpolation": cv2.INTER_AREA}
        return cv2.resize(self.image, None, **how), cv2.resize(self.fat, None, **how)


def _blob(
    x: float, y: float, a: float, b: float, waves: np.ndarray | None = None, power: float = 1.0
) -> np.ndarray:
    """A closed contour about (x, y) with half axes a, b; `waves` [K, 2] bend it; power < 1 squares it."""
    radius = np.ones_like(_TURN)
    if waves is not None:
        for k, (amplitude, phase) in enumerate(waves, start=2):
            radius = radius + amplitude * np.cos(k * _TURN + phase)
    c, s = np.cos(_TURN), np.sin(_TURN)
    c, s = np.sign(c) * np.abs(c) ** power, np.sign(s) * np.abs(s) ** power
    return np.stack([x + a * radius * c, y + b * radius * s], 1)


def _waves(rng: np.random.Generator, size: float) -> np.ndarray:
    return np.stack([rng.normal(0, size, 4) / np.arange(1, 5), rng.uniform(-np.pi, np.pi, 4)], 1)


@dataclass(frozen=True)
class Body:
    """What surrounds one heart. Lengths mm, axes turned by `angle` against the image."""

    angle: float
    rim: float  # fat under the skin
    muscle: float  # between fat and lung
    front: float  # distance of the inner chest wall from the heart's centre
    depth: float  # half depth of the chest cavity
    dome: float  # height of the diaphragm below the heart's centre
    waves: np.ndarray  # [5, 4, 2] of skin, fat, cavity, diaphragm, fat about the heart
    organs: list[tuple]
    ribs: np.ndarray  # [N, 3] position on the wall, half size, signal
    vessels: np.ndarray  # [N, 7] of the lung: x, y, half axes, direction, signal, level


def _organs(rng: np.random.Generator) -> list[tuple]:
    """(x, y, a, b, waves, signal, first level, last level, drift x, drift y), back to front."""
    found = []

    def add(
        x: float, y: float, a: float, b: float, value: float, wave: float = 0.06,
        levels: tuple[float, float] = (-1.0, 2.0), drift: tuple[float, float] = (0.0, 0.0),
    ) -> None:  # fmt: skip
        jitter, size = rng.normal(0, 5, 2), np.exp(rng.normal(0, 0.12, 2))
        found.append((x + jitter[0], y + jitter[1], a * size[0], b * size[1], _waves(rng, wave),
                      value * np.exp(rng.normal(0, 0.1)), *levels, *drift))  # fmt: skip

    for _ in range(int(rng.integers(8, 14))):  # bowel, vessels
        add(rng.uniform(-70, 110), rng.uniform(70, 175), rng.uniform(7, 18), rng.uniform(6, 14),
            rng.choice([0.15, 0.3, 0.45, 0.8]), 0.15,
            (rng.uniform(-1, 0.5), rng.uniform(0.7, 2)))  # fmt: skip
    add(-45, 88, 75, 46, 0.34, levels=(-1.2, 1.1), drift=(-20, 6))  # liver
    add(42, 74, 33, 24, 0.5, levels=(-0.2, 1.8), drift=(-12, 0))  # stomach
    add(84, 92, 20, 30, 0.42, levels=(-0.8, 1.3))  # spleen
    add(62, 132, 25, 19, 0.5, levels=(-0.5, 1.6))  # kidney
    return found


def _reach(heart: Heart, z: int) -> tuple[float, float]:
    """About how far muscle and RV of slice `z` extend from the LV centre, mm, at ED."""
    outer = np.sqrt((heart.lv[0, z] + heart.myo[0, z]) / np.pi)
    return outer, np.sqrt(outer**2 + heart.rv[0, z] / (0.6 * heart.rv_half_angle))


def draw(rng: np.random.Generator, heart: Heart, scanner: Scanner) -> Body:
    """Draw the surroundings of `heart`, large enough for it."""
    n, m = int(rng.integers(10, 15)), 90
    outer, far = np.max([_reach(heart, z) for z in range(len(heart.level))], axis=0)
    far *= max(0.3, -np.cos(heart.septum))
    return Body(
        angle=rng.normal(0, 0.1), rim=rng.uniform(8, 24), muscle=rng.uniform(7, 15),
        front=max(far, outer) + rng.uniform(5, 14), depth=rng.uniform(92, 112),
        dome=outer + rng.uniform(0, 8),
        waves=np.stack([_waves(rng, size) for size in (0.04, 0.03, 0.04, 0.03, 0.12)]),
        organs=_organs(rng),
        ribs=np.stack([np.arange(n) / n + rng.normal(0, 0.012, n), rng.uniform(3, 6, n),
                       rng.choice([0.2, 0.5, 0.75], n)], 1),
        vessels=np.stack([rng.normal(40, 36, m), rng.normal(-40, 42, m), rng.gamma(2.5, 0.7, m) + 0.4,
                          rng.gamma(2.0, 1.2, m) + 1.0, rng.uniform(0, np.pi, m), rng.uniform(0.25, 0.95, m),
                          rng.uniform(-0.4, 1.3, m)], 1),
    )  # fmt: skip


def _abdomen(canvas: _Canvas, body: Body, level: float, fat: float) -> None:
    """What lies below the diaphragm, which rises towards the apex."""
    top = body.dome - 22 * max(level, 0.0) ** 2
    canvas.paint(_blob(15, top + 155, 165, 155, body.waves[3], 0.8), 0.3)
    canvas.paint(_blob(15, top + 157, 163, 153, body.waves[3], 0.8), 0.8 * fat, 1.0)
    for x, y, a, b, waves, value, low, high, dx, dy in body.organs:
        size = 1 - ((level - (low + high) / 2) / ((high - low) / 2)) ** 2
        if size > 0.02:
            root = np.sqrt(size)
            y = max(y + dy * level + top - 42, top + 2 + b * root)
            canvas.paint(_blob(x + dx * level, y, a * root, b * root, waves), value)


def _above_base(canvas: _Canvas, x: float, y: float, septum: float, scanner: Scanner) -> None:
    """Atria and aorta, where the ventricles have ended."""
    ux, uy = np.cos(septum), np.sin(septum)
    for far, side, a, b, value in ((38, 6, 30, 33, scanner.rv), (-2, 4, 25, 23, 0.9), (20, -16, 14, 14, 1.0)):
        cx, cy = x + far * ux - side * uy, y + far * uy + side * ux
        canvas.paint(_blob(cx, cy, a + 2.5, b + 2.5), 0.35)
        canvas.paint(_blob(cx, cy, a, b), value)


def _cavity(body: Body, heart: Heart, scanner: Scanner, z: int) -> _Canvas:
    """Lungs, abdomen, great vessels and the fat in which the heart lies."""
    level, fat, turn = float(heart.level[z]), scanner.fat, heart.septum - body.angle
    canvas = _Canvas(scanner, body.angle, LUNG)
    for x, y, a, b, direction, value, near in body.vessels:
        if abs(near - level) < 0.3:
            c, s = np.cos(direction), np.sin(direction)
            vessel = _blob(0, 0, b, a) @ np.array([[c, s], [-s, c]])
            canvas.paint(vessel + (x + 12 * (level - near), y), value)
    _abdomen(canvas, body, level, fat)
    x, y = heart.centre[z] @ canvas.turn.T  # in the axes of the contours
    canvas.paint(_blob(x + 60, y + 40, 11.5, 11), 0.3)
    canvas.paint(_blob(x + 60, y + 40, 10, 9.5), 1.0)  # descending aorta
    outer, far = _reach(heart, z)
    if outer < 12:  # beyond the apex only its fat is left
        outer, far = 12.0, 24.0
    along = (far - outer) / 2
    fat_about = _blob(0, 0, (far + outer) / 2 + 4, 0.93 * outer + 4, body.waves[4] * [0.6, 1])
    c, s = np.cos(turn), np.sin(turn)
    fat_about = fat_about @ np.array([[c, s], [-s, c]]) + (x + along * c, y + along * s + 3)
    canvas.paint(fat_about, 0.8 * fat, 1.0)
    if z <= heart.first:
        _above_base(canvas, x, y, turn, scanner)
    return canvas


def _wall(body: Body, scanner: Scanner, level: float) -> tuple[_Canvas, np.ndarray]:
    """Skin, fat, muscle and ribs; and the contour of the cavity, which narrows towards the apex."""
    narrow = 1.0 - 0.18 * max(level, 0.0)
    middle, half, height = body.depth - body.front, body.depth, 165 * narrow
    thick = body.muscle * (1 + 0.8 * max(level, 0.0))
    canvas = _Canvas(scanner, body.angle, AIR)
    lean = middle + 10 * level
    skin = _blob(lean, 10, half + thick + body.rim, 195 + body.rim, body.waves[0], 0.8)
    canvas.paint(skin, scanner.fat, 1.0)
    canvas.paint(_blob(lean, 10, half + thick, 185, body.waves[1], 0.8), 0.3)
    canvas.paint(_blob(lean, 10, half + 0.45 * thick, 175, body.waves[1], 0.8), 0.7 * scanner.fat, 1.0)
    canvas.paint(_blob(lean, 10, half + 0.3 * thick, 172, body.waves[2], 0.8), 0.25)
    cavity = _blob(middle + 4 * level, 8, half, height, body.waves[2], 0.85)
    for place, size, value in body.ribs:
        x, y = cavity[int(place * len(cavity)) % len(cavity)] * 1.03
        canvas.paint(_blob(x, y, size + 2, size), 0.08)
        canvas.paint(_blob(x, y, size, size - 2), value)
    return canvas, cavity


def backdrop(rng: np.random.Generator, heart: Heart, scanner: Scanner) -> np.ndarray:
    """Tissue signal [Z, Y, X], float32, of everything but the ventricles."""
    body = draw(rng, heart, scanner)
    out = np.empty((len(heart.level), *scanner.shape), np.float32)
    for z, level in enumerate(heart.level):
        wall, cavity = _wall(body, scanner, float(level))
        mask = _Canvas(scanner, body.angle, 0.0)
        mask.paint(cavity, 1.0)
        (rim, rim_fat), (inner, inner_fat) = wall.read(), _cavity(body, heart, scanner, z).read()
        share, _ = mask.read()
        image, fat = rim + share * (inner - rim), rim_fat + share * (inner_fat - rim_fat)
        fat = cv2.GaussianBlur(fat, (0, 0), 0.7)
        grain = smooth(rng, scanner.shape, 70) * 0.10 + smooth(rng, scanner.shape, 14) * 0.08
        ink = 1.0 - 2.4 * fat * (1.0 - fat)  # fat and water cancel in a voxel that holds both
        out[z] = image * ink * np.clip(1 + grain * (1 - 0.6 * fat), 0.4, 1.6)
    return out
