"""The heart of a phantom: first drawn as numbers, then rasterised.

Each patient has asked-for clinical numbers (volumes, ejection fractions, mass). The area of every
structure in every slice follows from them, and a slice takes exactly that many pixels, so what is
measured on the masks is what was asked for, up to half a voxel per structure.
"""

from dataclasses import dataclass

import numpy as np

from sslseg.data.phantom import population

RV, MYO, LV = 1, 2, 3
_BINS = 720  # half a degree: every function of the angle is a table of this length
_ANGLES = ((np.arange(_BINS) + 0.5) * (2 * np.pi / _BINS) - np.pi).astype(np.float32)


@dataclass(frozen=True)
class Heart:
    """What one patient's heart is: asked-for numbers and shape. Lengths mm, areas mm2, angles rad."""

    group: str
    clinical: dict[str, float]
    step: float  # between slices
    first: int  # slices above the base, which hold no ventricle
    lv: np.ndarray  # [2, Z] area at ED, ES
    myo: np.ndarray  # [2, Z]
    rv: np.ndarray  # [2, Z]
    level: np.ndarray  # [Z] 0 at the base, 1 at the apex (ED)
    centre: np.ndarray  # [Z, 2] of the LV, (x, y) from the image centre: long axis and breath-hold shift
    septum: float  # direction in which the RV lies; pi is -x
    ovals: np.ndarray  # [2, 2] amplitude and phase of the second and third harmonic
    bump: tuple[float, float, float, float]  # centre, width, at ED, at ES: relative change of the wall
    rv_half_angle: float  # of the crescent at the base
    rv_skew: float
    papillary: np.ndarray  # [5, 3] angle, distance from the centre (share of radius), size mm


@dataclass(frozen=True)
class Layer:
    """One rasterised slice: label [Y, X] and signed distances in mm (negative inside) in a box."""

    label: np.ndarray
    box: tuple[slice, slice]
    lv: np.ndarray | None
    epi: np.ndarray | None
    rv: np.ndarray | None
    papillary: np.ndarray | None


def _rings(volume_ml: float, lv: np.ndarray, level: np.ndarray, step: float) -> np.ndarray:
    """Areas of the muscle ring around cavities of area `lv`, for a wall slightly thinner at the apex."""
    radius, shape = np.sqrt(lv / np.pi), np.where(lv > 0, 1.0 - 0.15 * level**2, 0.0)
    low, high = 0.0, 60.0
    for _ in range(40):  # the wall thickness that gives the volume
        wall = (low + high) / 2
        rings = np.pi * ((radius + wall * shape) ** 2 - radius**2)
        low, high = (wall, high) if rings.sum() * step < volume_ml * 1000 else (low, wall)
    return rings


def draw(rng: np.random.Generator, group: str, slices: int | None = None) -> Heart:
    """Draw one patient. `slices` fixes their number (thicker ones cover the same heart)."""
    c = population.draw_clinical(rng, group)
    length, shortening, ratio = population.LENGTH[group]
    length *= (c["lv_edv_ml"] / population.MEAN_EDV[group]) ** (1 / 3) * rng.normal(1.0, 0.03)
    above, below = int(rng.random() < 0.35), int(rng.random() < 0.25)
    if slices is None:
        labelled, step = int(np.clip(round(length / 10), 6, 10)), 10.0
    else:
        above, below = above * (slices > 2), below * (slices > 3)
        labelled = slices - above - below
        step = round(length / labelled, 1)
    z = (np.arange(above + labelled + below) - above + 0.5) / labelled
    inside = (z > 0) & (z < 1)
    levels = np.stack([z, (z - shortening) / (1 - shortening)])  # the base descends, the apex stays
    lv, rv = np.zeros((2, len(z))), np.zeros((2, len(z)))
    points = np.linspace(0, 1, 11)
    for phase, key in enumerate(("edv", "esv")):
        there = inside & (levels[phase] > -0.06)
        for areas, name in ((lv, "LV"), (rv, "RV")):
            weights = np.where(there, np.interp(levels[phase], points, population.PROFILE[name, phase]), 0.0)
            areas[phase] = c[f"{name.lower()}_{key}_ml"] * 1000.0 / step * weights / weights.sum()
    if slices is None:  # the valve plane leaves the first ES slice without RV in part of the patients
        first = int(np.flatnonzero(lv[1])[0])
        if rng.random() < 0.5:
            rest = rv[1].sum()
            rv[1, first] = 0.0
            rv[1] *= rest / rv[1].sum()
    muscle = c["lv_mass_g"] / population.DENSITY
    myo = np.stack([_rings(muscle * (1.0, ratio)[p], lv[p], levels[p].clip(0, 1), step) for p in (0, 1)])
    septum = np.pi + rng.normal(0, 0.3)
    drift, tilt = rng.normal(0, 6, 2), rng.normal(0, 9, 2)
    bump = _draw_bump(rng, group, septum, lv[0], myo[0])
    return Heart(
        group=group, clinical=c, step=step, first=above, lv=lv, myo=myo, rv=rv, level=z,
        centre=drift + np.outer(z - 0.5, tilt) + rng.normal(0, 1.2, (len(z), 2)),
        septum=septum, bump=bump,
        ovals=np.stack([rng.uniform(0.01, (0.08, 0.04)), rng.uniform(-np.pi, np.pi, 2)], 1),
        rv_half_angle=rng.uniform(1.15, 1.4) + 0.1 * (group == "RV"), rv_skew=rng.normal(0.15, 0.12),
        papillary=np.stack([septum + np.pi + np.array([0.9, -0.9, 0.7, -1.1, 2.2]) + rng.normal(0, 0.2, 5),
                            rng.uniform(0.62, 0.85, 5), rng.uniform(3.5, (7.0, 7.0, 5.5, 5.5, 4.5))], 1),
    )  # fmt: skip


def _turned(centre: float) -> np.ndarray:
    """Angle of every table entry from `centre`, between -pi and pi."""
    return np.mod(_ANGLES - np.float32(centre) + np.float32(np.pi), np.float32(2 * np.pi)) - np.float32(np.pi)


def _draw_bump(
    rng: np.random.Generator, group: str, septum: float, lv: np.ndarray, myo: np.ndarray
) -> tuple[float, float, float, float]:
    """Where the wall is unlike the rest: thick septum of HCM, thin scar of MINF, little in the others."""
    if group == "MINF":
        return (rng.uniform(-3, 3), rng.uniform(0.5, 0.9), -rng.uniform(0.1, 0.3), -rng.uniform(0.5, 0.65))
    if group != "HCM":
        return (rng.uniform(-3, 3), 1.2, rng.uniform(0.0, 0.25), rng.uniform(0.0, 0.25))
    middle, width = np.flatnonzero(lv)[np.count_nonzero(lv) // 2], rng.uniform(0.55, 0.7)
    mean = np.sqrt((lv[middle] + myo[middle]) / np.pi) - np.sqrt(lv[middle] / np.pi)
    thickest, share = rng.uniform(17.0, 22.0), width / np.sqrt(2 * np.pi)  # share of the bell in the mean
    gain = max(0.5, (thickest - mean) / max(mean - share * thickest, 1.0))
    return (septum + rng.normal(0, 0.4), width, gain, 0.35 * gain)


def counts(areas: np.ndarray, pixel: float) -> np.ndarray:
    """Whole pixels [Z] whose running sum is that of `areas` (mm2), to half a pixel."""
    return np.diff(np.rint(np.concatenate([[0.0], np.cumsum(areas)]) / pixel**2).astype(int))


def _take(field: np.ndarray, n: int) -> tuple[np.ndarray, float]:
    """Mask of the `n` smallest values, and the level between them and the rest."""
    order = np.argpartition(field, (n - 1, n), axis=None)
    mask = np.zeros(field.size, bool)
    mask[order[:n]] = True
    flat = field.ravel()
    edge = 0.5 * (flat[order[n - 1]] + flat[order[n]])
    return mask.reshape(field.shape), float(edge if np.isfinite(edge) else flat[order[n - 1]])


def _distance(field: np.ndarray, level: float, pixel: float) -> np.ndarray:
    """First-order signed distance (mm) to the contour `field == level`."""
    finite = np.minimum(field, level + 1e3)
    gy, gx = np.gradient(finite, pixel)
    return ((finite - level) / np.maximum(np.hypot(gx, gy), 0.05)).astype(np.float32)


def rasterise(heart: Heart, z: int, contraction: float, shape: tuple[int, int], pixel: float) -> Layer:
    """Slice `z` at `contraction` (0 = ED, 1 = ES) on a grid of `shape` (Y, X) and `pixel` mm."""
    s = contraction
    areas = ((1 - s) * a[0] + s * a[1] for a in (heart.lv, heart.myo, heart.rv))
    n_lv, n_myo, n_rv = (int(counts(area, pixel)[z]) for area in areas)
    label = np.zeros(shape, np.uint8)
    cx, cy = heart.centre[z] + 0.5 * pixel * np.array([shape[1] - 1, shape[0] - 1])
    reach = 115.0
    y0, x0 = (max(0, int((c - reach) / pixel)) for c in (cy, cx))
    y1, x1 = (min(n, int((c + reach) / pixel) + 2) for c, n in zip((cy, cx), shape, strict=True))
    box = (slice(y0, y1), slice(x0, x1))
    if n_lv < 1 or n_myo < 1:
        return Layer(label, box, None, None, None, None)
    dx = (np.arange(x0, x1) * pixel - cx).astype(np.float32)
    dy = (np.arange(y0, y1)[:, None] * pixel - cy).astype(np.float32)
    rho, theta = np.hypot(dx, dy), np.arctan2(dy, dx)
    at = np.minimum((theta + np.pi) * (_BINS / (2 * np.pi)), _BINS - 1).astype(np.int16)
    twist = 0.14 * s
    bell = np.exp(-0.5 * (_turned(heart.bump[0]) / heart.bump[1]) ** 2)
    waves = zip((2, 3), heart.ovals, strict=True)
    radial = 1.0 + sum(a * np.cos(k * (_ANGLES - p - twist)) for k, (a, p) in waves)
    change = (1 - s) * heart.bump[2] + s * heart.bump[3]
    wall = 1.0 + change * bell
    radial = radial * (1.0 - 0.18 * min(change, 0.0) * bell)  # a thinned scar bulges
    inner = rho / radial[at]
    in_lv, radius = _take(inner, n_lv)
    outer = (rho - radius * radial[at]) / wall[at]
    outer[in_lv] = np.minimum(outer[in_lv], -1e-6)  # ties at the border stay in the cavity
    in_epi, thickness = _take(outer, n_lv + n_myo)
    part = label[box]
    part[in_epi], part[in_lv] = MYO, LV
    rv_distance = None
    if n_rv > 0:
        half = heart.rv_half_angle * (1.0 - 0.3 * np.clip(heart.level[z], 0, 1))
        away = _turned(heart.septum)
        lobe = np.cos(np.clip(away / half, -1, 1) * (np.pi / 2)) ** 0.7 * (1.0 + heart.rv_skew * np.sin(away))
        epi = radius * radial + thickness * wall
        crescent = (rho - epi[at]) / np.maximum(lobe, 0.02)[at]
        in_rv, depth = _take(np.where(in_epi, np.inf, crescent), n_rv)
        part[in_rv] = RV
        rv_distance = _distance(crescent, depth, pixel)
    blobs = np.full(rho.shape, 1e3, np.float32)
    if 0.15 < heart.level[z] < 0.8:
        for angle, far, size in heart.papillary:
            x, y = far * radius * np.cos(angle + twist), far * radius * np.sin(angle + twist)
            blobs = np.minimum(blobs, np.hypot(dx - x, dy - y) - size * min(1.0, radius / 20.0))
    lv_distance, epi_distance = _distance(inner, radius, pixel), _distance(outer, thickness, pixel)
    return Layer(label, box, lv_distance, epi_distance, rv_distance, blobs)
