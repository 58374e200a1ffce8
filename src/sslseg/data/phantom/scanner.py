"""Image formation of a phantom: tissue to signal to magnitude image.

Signal is in units of LV blood. Ratios of tissues, noise and brightness limits are those measured
on ACDC (5-95 %: muscle .33-.68, RV blood .70-1.07, noise .007-.042 of LV blood); strength of the
coil's flare and of the bands is judged by eye.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import scipy.fft

from sslseg.data.phantom.heart import RV, Layer

# per scanner: (low, high) of what a patient's image draws
_RANGES = {
    "1.5T": {"pixel": (1.37, 1.75), "noise": (0.012, 0.035), "flare": (0.3, 0.8), "bands": (0.0, 0.25),
             "myo": (0.34, 0.52), "rv": (0.72, 0.98), "fat": (1.0, 1.35), "sharp": (0.62, 0.85)},
    "3T": {"pixel": (1.25, 1.5), "noise": (0.006, 0.016), "flare": (0.9, 1.9), "bands": (0.4, 0.8),
           "myo": (0.28, 0.42), "rv": (0.62, 0.92), "fat": (0.8, 1.15), "sharp": (0.8, 1.0)},
}  # fmt: skip
_SHAPES = {  # (Y, X)
    "1.5T": ((216, 192), (216, 176), (192, 216), (224, 208), (192, 192)),
    "3T": ((208, 208), (192, 160), (224, 192), (176, 208)),
}
_FIELD_OF_VIEW = {"1.5T": 320.0, "3T": 270.0}  # mm, of square slices of a given size


@dataclass(frozen=True)
class Scanner:
    """How one patient is imaged. Lengths mm, noise and tissues in units of LV blood."""

    kind: str
    shape: tuple[int, int]
    pixel: float
    noise: float
    flare: float  # brightness gained at the near coil
    bands: float  # depth of off-resonance bands
    myo: float
    rv: float
    fat: float
    sharp: float  # share of k-space kept
    white: int  # largest code
    dtype: type


def draw(rng: np.random.Generator, kind: str, size: int | None = None) -> Scanner:
    """Draw the scanner of one patient; `size` asks for square slices of that many pixels."""
    drawn = {name: float(rng.uniform(*limits)) for name, limits in _RANGES[kind].items()}
    shape = _SHAPES[kind][int(rng.integers(len(_SHAPES[kind])))]
    if size is not None:
        drawn["pixel"] *= _FIELD_OF_VIEW[kind] / size / float(np.mean(_RANGES[kind]["pixel"]))
        shape = (size, size)
    drawn["pixel"] = round(drawn["pixel"], 4)
    wide = rng.random() < 0.3
    white = int(rng.uniform(300, 1600)) if wide else 255
    return Scanner(kind=kind, shape=shape, white=white, dtype=np.int16 if wide else np.float32, **drawn)


def smooth(rng: np.random.Generator, shape: tuple[int, int], cells: int) -> np.ndarray:
    """Smooth noise [Y, X], about unit variance, of `cells` cells along the longer side."""
    n = [max(3, round(cells * side / max(shape))) for side in shape]
    coarse = rng.standard_normal(n, dtype=np.float32)
    return cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)


def _cover(distance: np.ndarray, pixel: float) -> np.ndarray:
    """Share of a pixel that lies inside a contour at signed `distance`."""
    return np.clip(0.5 - distance / pixel, 0.0, 1.0)


def _blend(below: np.ndarray, above: np.ndarray | float, share: np.ndarray) -> np.ndarray:
    return below + share * (above - below)


def compose(
    layer: Layer, backdrop: np.ndarray, scanner: Scanner, flow: np.ndarray, grain: np.ndarray
) -> np.ndarray:
    """Put one heart slice on its backdrop: tissue signal [Y, X]; `flow`, `grain` are smooth noise."""
    image = backdrop.copy()
    if layer.lv is None or layer.epi is None or layer.papillary is None:
        return image
    px, box = scanner.pixel, layer.box
    part, swirl, fine = image[box], flow[box], grain[box]
    if layer.rv is not None:
        outside = cv2.distanceTransform((layer.label[box] != RV).astype(np.uint8), cv2.DIST_L2, 5)
        part = _blend(part, scanner.myo * 0.8, _cover((outside - 0.5) * px - 2.5, px))  # wall, not labelled
        trabeculae = np.clip(fine - 0.6, 0, 1) * np.exp(-0.5 * (layer.rv / 7.0) ** 2)
        blood = scanner.rv * (1 + 0.09 * swirl) - 0.4 * trabeculae
        part = _blend(part, blood, _cover(layer.rv, px))
    part = _blend(part, scanner.myo * (1 + 0.13 * fine), _cover(layer.epi, px))
    blood = 1.0 + 0.12 * swirl - 0.45 * np.clip(fine - 0.5, 0, 1) * np.exp(-0.5 * (layer.lv / 5.0) ** 2)
    blood = _blend(blood, scanner.myo * 1.1, _cover(layer.papillary, px))
    image[box] = _blend(part, blood, _cover(layer.lv, px))
    return image


def _sensitivity(scanner: Scanner, rng: np.random.Generator) -> np.ndarray:
    """Coil brightness [Y, X]: one coil at the chest (-x), a weaker one at the back (+x)."""
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in scanner.shape)
    y = y[:, None]
    cy = rng.uniform(-0.3, 0.3, 2)
    front = np.exp(-(((x + 1.0) / 0.55) ** 2) - ((y - cy[0]) / 0.9) ** 2)
    back = np.exp(-(((x - 1.0) / 0.5) ** 2) - ((y - cy[1]) / 1.0) ** 2)
    return 1.0 + scanner.flare * (front + 0.7 * back) + 0.12 * x * rng.normal() + 0.12 * y * rng.normal()


def _bands(scanner: Scanner, rng: np.random.Generator) -> np.ndarray:
    """Factor [Y, X] of off-resonance bands, which gather where the field is least even: far out."""
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in scanner.shape)
    tilt, bend = rng.normal(0, 0.3, 2), rng.uniform(6, 11)
    phase = bend * ((x - tilt[0]) ** 2 + (y[:, None] - tilt[1]) ** 2) ** 1.5 + rng.uniform(0, 1)
    return 1.0 - scanner.bands * np.exp(-(((np.mod(phase, 2 * np.pi) - np.pi) / 0.45) ** 2))


def _window(scanner: Scanner) -> np.ndarray:
    """k-space window (real-input layout): what lies outside is not measured, hence blur and ringing."""
    ky, kx = np.fft.fftfreq(scanner.shape[0])[:, None], np.fft.rfftfreq(scanner.shape[1])
    soft = [np.clip((0.5 * scanner.sharp - np.abs(k)) / 0.06 + 0.5, 0, 1) for k in (ky, kx)]
    return (soft[0] * soft[1]).astype(np.float32)


def _frame(scanner: Scanner, rng: np.random.Generator) -> np.ndarray:
    """Black corners [Y, X], where the correction of the gradients left nothing."""
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in scanner.shape)
    tilt, bow, edge = rng.normal(0, 0.12), rng.uniform(0.0, 0.12), rng.uniform(0.92, 1.05)
    return np.clip((edge - bow * x**2 - tilt * x + y[:, None]) * 40, 0, 1)


def shading(rng: np.random.Generator, scanner: Scanner) -> np.ndarray:
    """Brightness [Y, X] that coil and field give one patient, the same in all slices and frames."""
    return _sensitivity(scanner, rng) * _bands(scanner, rng) * _frame(scanner, rng)


def acquire(
    layers: list[Layer], backdrop: np.ndarray, shade: np.ndarray, scanner: Scanner, rng: np.random.Generator
) -> np.ndarray:
    """Magnitude image [Z, Y, X], float32, of a heart on its `backdrop` [Z, Y, X] under `shade` [Y, X]."""
    window, (ny, nx) = _window(scanner), scanner.shape
    out = np.empty(backdrop.shape, np.float32)
    for z, layer in enumerate(layers):
        flow, grain = smooth(rng, scanner.shape, 24), smooth(rng, scanner.shape, 70)
        tissue = compose(layer, backdrop[z], scanner, flow, grain) * shade
        spectrum = scipy.fft.rfft2(tissue.astype(np.float32)) * window
        real = scipy.fft.irfft2(spectrum, s=(ny, nx))
        noise = rng.standard_normal((2, ny, nx), dtype=np.float32) * np.float32(scanner.noise)
        out[z] = np.hypot(real + noise[0], noise[1])
    return out
