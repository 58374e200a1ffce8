"""Write a phantom cohort as a real ACDC tree.

Same keys, names, types and header faults as the real one: the sform says diag(-1, -1, 1), only
pixdim holds the spacing. `phantom.json` beside the patients holds the asked-for numbers.
"""

import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from sslseg.config.files import aside, read_json
from sslseg.config.names import DataError
from sslseg.data import files, streams
from sslseg.data.phantom import body
from sslseg.data.phantom import heart as phantom_heart
from sslseg.data.phantom import population as phantom_population
from sslseg.data.phantom import scanner as phantom_scanner
from sslseg.data.streams import stream

FORMAT = 1
MANIFEST = "phantom.json"
ED_FRAME = 1  # 149 of ACDC's 150 patients


@dataclass(frozen=True)
class Settings:
    """What determines every voxel of a cohort."""

    patients: int  # how many; groups alternate DCM, HCM, MINF, NOR, RV
    seed: int
    scanner: str = "1.5T"  # or "3T"
    first: int = 1  # number of the first patient, in patientNNN
    size: int | None = None  # pixels a side, square, of an unchanged field of view; None = as drawn (160-256)
    slices: int | None = None  # of every volume, thick enough to cover the heart; None = 10 mm ones, 6-12
    cine: int = 0  # so many patients, the first ones, also get a 4D file
    format: int = FORMAT


def folder(cache: Path, name: str, **population: object) -> Path:
    """Where a built-in cohort lives under `cache`: its name changes with what would be written."""
    digest = hashlib.sha256(repr(sorted(population.items())).encode())
    for module in (body, phantom_heart, phantom_population, phantom_scanner, streams, sys.modules[__name__]):
        digest.update(Path(module.__file__ or "").read_bytes())
    return Path(cache) / "data" / f"{name}-{digest.hexdigest()[:12]}"


def contraction(frame: int, es: int, frames: int) -> float:
    """0 at ED, 1 at ES, smooth between; `frame` and `es` count from 1."""
    t, peak = frame - 1, es - 1
    if t <= peak:
        return float(np.sin(np.pi / 2 * t / peak) ** 2)
    return float(np.cos(np.pi / 2 * (t - peak) / (frames - peak)) ** 2)


def _save(path: Path, array: np.ndarray, zooms: tuple[float, ...]) -> None:
    """`array` [Z, Y, X] or [T, Z, Y, X], stored with x fastest."""
    image = nib.Nifti1Image(array.T, None)
    image.header.set_zooms(zooms)
    image.set_sform(np.diag([-1.0, -1.0, 1.0, 1.0]), code=2)
    image.set_qform(None, code=0)
    level, nib.openers.Opener.default_compresslevel = nib.openers.Opener.default_compresslevel, 1
    try:
        nib.save(image, path)
    finally:
        nib.openers.Opener.default_compresslevel = level


def _patient(home: Path, number: int, settings: Settings, cine: bool) -> dict:
    """Write one patient, return its manifest entry."""
    seed, name = settings.seed, home.name
    group = phantom_population.GROUPS[(number - settings.first) % len(phantom_population.GROUPS)]
    heart = phantom_heart.draw(stream(seed, "heart", number), group, settings.slices)
    scanner = phantom_scanner.draw(stream(seed, "scanner", number), settings.scanner, settings.size)
    backdrop = body.backdrop(stream(seed, "body", number), heart, scanner)
    shade = phantom_scanner.shading(stream(seed, "shading", number), scanner)
    rng = stream(seed, "frames", number)
    frames = int(rng.integers(12, 31))
    es = max(3, round(frames * rng.uniform(0.33, 0.47)))
    zooms = (scanner.pixel, scanner.pixel, heart.step)
    levels, gain, movie = range(len(heart.level)), 0.0, []
    home.mkdir()
    for frame in range(1, frames + 1):
        if not cine and frame not in (ED_FRAME, es):
            continue
        s = contraction(frame, es, frames)
        layers = [phantom_heart.rasterise(heart, z, s, scanner.shape, scanner.pixel) for z in levels]
        noise = stream(seed, f"noise-{number}", frame)
        signal = phantom_scanner.acquire(layers, backdrop, shade, scanner, noise)
        gain = gain or scanner.white / float(np.percentile(signal, 99.9))
        codes: np.ndarray = np.clip(np.rint(signal * gain), 0, scanner.white).astype(scanner.dtype)
        if frame in (ED_FRAME, es):
            stem = f"{name}_frame{frame:02d}"
            _save(home / f"{stem}.nii.gz", codes, zooms)
            _save(home / f"{stem}_gt.nii.gz", np.stack([layer.label for layer in layers]), zooms)
        if cine:
            movie.append(codes)
    if cine:
        _save(home / f"{name}_4d.nii.gz", np.stack(movie), (*zooms, 1.0))
    asked = heart.clinical
    info = {"ED": ED_FRAME, "ES": es, "Group": group, "Height": asked["height_cm"], "NbFrame": frames,
            "Weight": asked["weight_kg"]}  # fmt: skip
    (home / "Info.cfg").write_text("".join(f"{k}: {v}\n" for k, v in info.items()), encoding="utf-8")
    return {"group": group, "ed_frame": ED_FRAME, "es_frame": es, "frames": frames, "spacing_mm": zooms[::-1],
            "shape": (len(heart.level), *scanner.shape), **asked}  # fmt: skip


def write(root: Path, **population: Any) -> Path:
    """Write a cohort of `Settings(**population)` to `root`, whole or not at all; one that is there already is kept.

    Returns:
        `root`.

    Raises:
        DataError: `root` holds something else.
    """
    settings = Settings(**population)
    root = Path(root)
    if _holds(root, settings):
        return root
    if root.exists() and any(root.iterdir()):
        raise DataError(f"{root}: wanted a new or empty folder for a phantom cohort, it holds something else")
    try:
        with aside(root) as part:
            part.mkdir()
            entries = {}
            for n in range(settings.patients):
                number, name = settings.first + n, f"patient{settings.first + n:03d}"
                entries[name] = _patient(part / name, number, settings, n < settings.cine)
            told = json.dumps({"settings": asdict(settings), "patients": entries}, indent=1)
            (part / MANIFEST).write_text(told, encoding="utf-8")
    except OSError:
        if not _holds(root, settings):  # else another process was faster
            raise
    return root


def _holds(root: Path, settings: Settings) -> bool:
    path = root / MANIFEST
    files.TEXTS.add(path)  # known, where the files of the folder are accounted for
    return path.is_file() and read_json(path)["settings"] == asdict(settings)
