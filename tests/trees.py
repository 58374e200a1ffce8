"""Tiny data trees that the tests read back; written from numbers, no file of a real set."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

GROUPS = ("DCM", "HCM", "MINF", "NOR", "RV")
REAL_ACDC = Path("../shared/data/acdc/training")


def nifti(path: Path, array: np.ndarray, spacing: tuple[float, ...] = (1.5, 1.5, 10.0)) -> Path:
    """Write [X, Y, Z] (or with T) with ACDC's fault: the sform says 1 mm, only pixdim tells the spacing."""
    image = nib.Nifti1Image(array, None)
    zooms = spacing + (1.0,) * (array.ndim - 3)
    image.header.set_zooms(zooms[: array.ndim])
    image.header["sform_code"] = 2
    for row, sign in zip(("srow_x", "srow_y", "srow_z"), (-1, -1, 1), strict=True):
        image.header[row] = [sign * (row == name) for name in ("srow_x", "srow_y", "srow_z")] + [0]
    path.parent.mkdir(parents=True, exist_ok=True)
    with_header = nib.Nifti1Image(array, None, image.header)
    with_header.header.set_zooms(zooms[: array.ndim])
    nib.save(with_header, path)
    return path


def acdc(root: Path, patients: int = 10, cine: tuple[int, ...] = (1,), spacing: float = 1.5) -> Path:
    """An ACDC tree: ED = frame 1, ES = 3 of 4 frames; 3 slices of 24 × 20, the last without foreground."""
    for n in range(1, patients + 1):
        rng, name = np.random.default_rng(n), f"patient{n:03d}"
        folder = root / name
        frames = rng.integers(0, 600, (20, 24, 3, 4)).astype(np.int16)
        mask = np.zeros((20, 24, 3), np.uint8)
        for k, edge in ((1, 4), (2, 6), (3, 8)):
            mask[edge:14, edge:16, :2] = k
        for t in (0, 2):
            nifti(folder / f"{name}_frame{t + 1:02d}.nii.gz", frames[..., t], (spacing, spacing, 10.0))
            nifti(folder / f"{name}_frame{t + 1:02d}_gt.nii.gz", mask, (spacing, spacing, 10.0))
        if n in cine:
            nifti(folder / f"{name}_4d.nii.gz", frames, (spacing, spacing, 10.0))
        group = GROUPS[(n - 1) * len(GROUPS) // patients]
        (folder / "Info.cfg").write_text(
            f"ED: 1\nES: 3\nGroup: {group}\nHeight: 170.0\nNbFrame: 4\nWeight: 70.0\n"
        )
    return root
