"""Floor 1b: what surrounds a phantom's heart: chest wall, lungs, liver, vessels.

Painted back to front as closed contours at twice the resolution. A patient's body is one
arrangement that changes steadily from slice to slice and is shared by all frames.
"""

from __future__ import annotations

import cv2
import numpy as np

from sslseg.data.phantom_heart import Heart
from sslseg.data.phantom_scanner import Scanner, smooth

_TURN = np.linspace(0, 2 * np.pi, 72, endpoint=False)
_FINE = 2  # painting resolution
_BITS = 4  # sub-pixel bits of the painter
LUNG, AIR = 0.07, 0.015


class _Canvas:
    """A float image in mm coordinates, origin at its centre, turned by `angle`."""

    def __init__(self, scanner: Scanner, angle: float, value: float) -> None:
        self.shape = tuple(_FINE * n for n in scanner.shape)
        self.scale = _FINE / scanner.pixel
        self.turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        self.image = np.full(self.shape, value, np.float32)

    def paint(self, points: np.ndarray, value: float) -> None:
        """Fill the closed contour `points` [N, 2] (x, y)."""
        middle = np.array(self.shape[::-1]) / 2
        pixels = (points @ self.turn) * self.scale + middle
        cv2.fillPoly(self.image, [np.rint(pixels * 2**_BITS).astype(np.int32)], value, shift=_BITS)

    def read(self) -> np.ndarray:
        return cv2.resize(self.image, None, fx=1 / _FINE, fy=1 / _FINE, interpolation=cv2.INTER_AREA)


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


def _waves(rng: np.random.Generator, size: float, n: int = 4) -> np.ndarray:
    return np.stack([rng.normal(0, size, n) / np.arange(1, n + 1), rng.uniform(-np.pi, np.pi, n)], 1)


def _organs(rng: np.random.Generator, fat: float) -> list[tuple]:
    """(x, y, a, b, waves, value, first level, last level, drift x, drift y), back to front."""
    found = []

    def add(x, y, a, b, value, wave=0.08, levels=(-1.0, 2.0), drift=(0.0, 0.0)):
        jitter = rng.normal(0, 5, 2)
        size = np.exp(rng.normal(0, 0.12, 2))
        found.append((x + jitter[0], y + jitter[1], a * size[0], b * size[1], _waves(rng, wave),
                      value * np.exp(rng.normal(0, 0.1)), *levels, *drift))  # fmt: skip

    add(-45, 95, 70, 38, 0.34, levels=(-0.5, 0.9), drift=(-10, 5))  # liver
    add(45, 85, 34, 26, 0.55, levels=(0.0, 1.6), drift=(-15, -5))  # stomach
    add(85, 100, 22, 32, 0.42, levels=(-0.6, 1.2))  # spleen
    add(60, 135, 26, 20, 0.5, levels=(-0.3, 1.5))  # kidney
    for _ in range(int(rng.integers(5, 10))):  # bowel, vessels and fat planes
        add(rng.uniform(-60, 100), rng.uniform(95, 175), rng.uniform(7, 17), rng.uniform(6, 14),
            rng.choice([0.2, 0.35, 0.6, fat]), 0.15, (rng.uniform(-1, 0.3), rng.uniform(0.7, 2)))  # fmt: skip
    return found


def _ribs(rng: np.random.Generator) -> np.ndarray:
    """[N, 3] angle on the chest wall, half size mm, value."""
    n = int(rng.integers(9, 14))
    angles = np.linspace(0, 2 * np.pi, n, endpoint=False) + rng.normal(0, 0.08, n)
    return np.stack([angles, rng.uniform(3, 6, n), rng.choice([0.2, 0.55, 0.8], n)], 1)


def _above_base(canvas: _Canvas, x: float, y: float, septum: float, scanner: Scanner) -> None:
    """Atria and aorta, where the ventricles have ended."""
    ux, uy = np.cos(septum), np.sin(septum)
    for far, side, a, b, value in (
        (38, 6, 30, 33, scanner.rv),
        (-2, 4, 25, 23, 0.95),
        (20, -16, 14, 14, 1.05),
    ):
        cx, cy = x + far * ux - side * uy, y + far * uy + side * ux
        canvas.paint(_blob(cx, cy, a + 2.5, b + 2.5), 0.4)
        canvas.paint(_blob(cx, cy, a, b), value)


def backdrop(rng: np.random.Generator, heart: Heart, scanner: Scanner) -> np.ndarray:
    """Tissue signal [Z, Y, X], float32, of everything but the ventricles."""
    angle = rng.normal(0, 0.1)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    outline, inner_waves = _waves(rng, 0.04), _waves(rng, 0.03)
    chest, rim = rng.uniform(118, 140), rng.uniform(9, 24)  # half depth of the body, fat
    shift = chest - rng.uniform(88, 104)  # the heart lies near the front wall
    organs, ribs = _organs(rng, scanner.fat), _ribs(rng)
    dome = rng.uniform(36, 48) + 0.12 * (heart.lv[0].max() ** 0.5 - 42)
    vessels = np.stack([rng.normal(45, 35, 40), rng.normal(-35, 42, 40), rng.gamma(2.0, 0.8, 40),
                        rng.uniform(0.3, 0.9, 40), rng.uniform(-0.4, 1.3, 40)], 1)  # fmt: skip
    patch = _waves(rng, 0.12)
    out = np.empty((len(heart.level), *scanner.shape), np.float32)
    for z, level in enumerate(heart.level):
        x, y = heart.centre[z] @ turn.T
        body = _Canvas(scanner, angle, AIR)
        lean, depth = 14 * level, chest * (1.0 - 0.06 * level)
        body.paint(_blob(shift + lean, 15, depth, 205, outline, 0.8), scanner.fat)
        body.paint(_blob(shift + lean * 1.2, 15, depth - rim, 192, inner_waves, 0.8), 0.32)
        inside = _Canvas(scanner, angle, LUNG)
        wall = _blob(shift + lean * 1.3, 12, depth - rim - 12, 178, inner_waves, 0.85)
        mask = _Canvas(scanner, angle, 0.0)
        mask.paint(wall, 1.0)
        for vx, vy, size, value, near in vessels:
            if abs(near - level) < 0.35:
                inside.paint(_blob(vx + 12 * (level - near), vy, size, size), value)
        top = dome - 26 * max(level, 0.0) ** 2
        inside.paint(
            _blob(15, top + 155, 170, 155, patch * 0.2, 0.8), 0.3 + 0.5 * scanner.fat * (level > 0.3)
        )
        for ox, oy, a, b, waves, value, low, high, dx, dy in organs:
            size = 1 - ((level - (low + high) / 2) / ((high - low) / 2)) ** 2
            if size > 0.02:
                ox, oy = ox + dx * level, oy + dy * level + top - dome
                root = np.sqrt(size)
                inside.paint(_blob(ox, oy, a * root + 1.5, b * root + 1.5, waves), 0.15)
                inside.paint(_blob(ox, oy, a * root, b * root, waves), value)
        inside.paint(_blob(x + 58, y + 38, 11, 11), 0.3)
        inside.paint(_blob(x + 58, y + 38, 9.5, 9.5), 1.05)  # descending aorta
        size = 30 + 0.55 * np.sqrt((heart.lv[0, z] + heart.myo[0, z] + heart.rv[0, z]) / np.pi)
        sx, sy = np.cos(heart.septum), np.sin(heart.septum)
        inside.paint(
            _blob(x + 30 * sx, y + 30 * sy + 6, size + 6, size, patch), scanner.fat * 0.85
        )  # about the heart
        if z <= heart.first:
            _above_base(inside, x, y, heart.septum, scanner)
        for turned, half, value in ribs:
            at = wall[int(turned / (2 * np.pi) * len(wall)) % len(wall)]
            body.paint(_blob(*at, half + 2, half), 0.12)
            body.paint(_blob(*at, half, half - 2), value)
        share = mask.read()
        image = body.read() * (1 - share) + inside.read() * share
        fat = np.clip((image - 0.8) / (scanner.fat * 0.9 - 0.8), 0, 1) if scanner.fat > 1 else 0 * image
        grain = smooth(rng, scanner.shape, 60) * 0.10 + smooth(rng, scanner.shape, 14) * 0.08
        out[z] = image * (1 - 0.5 * 4 * fat * (1 - fat)) * np.clip(1 + grain, 0.4, 1.6)
    return out
