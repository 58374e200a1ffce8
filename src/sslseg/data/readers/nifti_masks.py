"""Masks written in the geometry of the NIfTI file they belong to.

The image's own header is taken over as it stands: sform and qform with their codes, pixdim with its
time step, units and the order of the axes. The affine is never computed anew, since in ACDC's files the
sform says 1 mm and pixdim tells the truth, and a reader of the mask must meet the same pair.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from sslseg.config.files import aside
from sslseg.config.names import DataError

SUFFIXES = (".nii.gz", ".nii")
FAULTS = (
    ImageFileError, HeaderDataError, OSError, EOFError, ValueError, KeyError, OverflowError, zlib.error,
)  # fmt: skip
SHEAR = 1e-4  # cosine between two axes above which they are not perpendicular
MARK = "sslseg mask"  # begins the `descrip` of every mask written here: those may be written again


def frames(path: Path) -> int | None:
    """Number of time frames of a 4D file; None when it is 3D (or 2D). Reads the header alone.

    Raises:
        DataError: not a NIfTI file.
    """
    shape = _open(path).shape
    return shape[3] if len(shape) == 4 else None


def _open(path: Path) -> nib.Nifti1Image:
    try:
        return nib.load(path)
    except FAULTS as error:
        raise DataError(f"{path}: wanted a NIfTI file ({error})") from None


def write(path: Path, mask: np.ndarray, like: Path, note: str = "") -> None:
    """Write `mask`, uint8 [Z, Y, X] or [T, Z, Y, X], to `path` with the header of the image `like`.

    Whole or not at all: a process that is ended leaves no half file. A mask without T of a 4D file is the
    one mask of an image whose channels lie along the fourth axis.

    Args:
        note: kept in the header's `descrip` after the mark, cut to its 80 bytes.

    Raises:
        DataError: the mask is not of the image's shape, or `path` holds a file that is no mask of ours.
    """
    image = _open(like)
    shape = image.shape[:3] if mask.ndim == 3 and len(image.shape) == 4 else image.shape
    if mask.size != np.prod(shape) or mask.shape[-2:] != shape[1::-1]:
        raise DataError(f"{like}: wanted a mask of its shape {shape}, got (…, Z, Y, X) {mask.shape}")
    if path.exists() and not _ours(path):
        raise DataError(f"{path}: is there already and was not written by sslseg; choose another output")
    header = image.header.copy()
    header.set_data_dtype(np.uint8)
    header.set_slope_inter(1, 0)
    header["cal_min"] = header["cal_max"] = 0  # the image's window would show the mask as black
    header.set_intent("none")
    header.extensions.clear()  # they may name the patient
    header["descrip"] = f"{MARK} {note}".strip().encode()[:79]
    # without an affine nibabel leaves sform and qform as they are
    _save(path, type(image)(mask.reshape(shape[::-1]).T, None, header))


def write_new(
    path: Path,
    mask: np.ndarray,
    spacing: tuple[float, float, float],
    affine: np.ndarray | None,
    note: str = "",
) -> None:
    """Write `mask`, uint8 [Z, Y, X], to `path` as NIfTI, of an image in another format.

    Args:
        spacing: (z, y, x) in mm.
        affine: voxel (x, y, z) to mm, right-anterior-superior, kept as sform and, where it has no shear,
            as qform; None = the place in the scanner is unknown.

    Raises:
        DataError: `path` holds a file that is no mask of ours.
    """
    if path.exists() and not _ours(path):
        raise DataError(f"{path}: is there already and was not written by sslseg; choose another output")
    image = nib.Nifti1Image(mask.astype(np.uint8).T, affine)
    if affine is None:
        image.header.set_zooms(spacing[::-1])
    else:
        image.set_sform(affine, code=1)
        steps = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
        sheared = np.abs(steps.T @ steps - np.eye(3)).max() > SHEAR
        image.set_qform(None if sheared else affine, code=0 if sheared else 1)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = f"{MARK} {note}".strip().encode()[:79]
    _save(path, image)


def _save(path: Path, image: nib.Nifti1Image) -> None:
    with aside(path) as part:
        nib.save(image, part)


def _ours(path: Path) -> bool:
    return bytes(_open(path).header["descrip"].tobytes()).startswith(MARK.encode())
