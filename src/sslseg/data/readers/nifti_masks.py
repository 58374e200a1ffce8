"""Masks written in the geometry of the NIfTI file they belong to.

The image's own header is taken over as it stands: sform and qform with their codes, pixdim with its
time step, units and the order of the axes. The affine is never computed anew, since in ACDC's files the
sform says 1 mm and pixdim tells the truth, and a reader of the mask must meet the same pair.
"""

import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from sslseg.config.files import aside
from sslseg.config.names import DataError
from sslseg.data.files import may_write
from sslseg.data.readers import nifti_header
from sslseg.data.source import Spacing

FAULTS = ImageFileError, HeaderDataError, OSError, EOFError, ValueError, KeyError, OverflowError, zlib.error
SHEAR = 1e-4  # cosine between two axes above which they are not perpendicular
MARK = "sslseg mask"  # begins the `descrip` of every mask written here: those may be written again


def write(path: Path, mask: np.ndarray, like: Path, note: str = "") -> None:
    """Write `mask`, uint8 [Z, Y, X] or [T, Z, Y, X], to `path` with the header of the image `like`.

    Whole or not at all: a process that is ended leaves no half file. A mask without T of a 4D file is the
    one mask of an image whose channels lie along the fourth axis.

    Args:
        note: kept in the header's `descrip` after the mark, cut to its 80 bytes.

    Raises:
        DataError: the mask is not of the image's shape, or `path` holds a file that is no mask of ours.
    """
    header = nifti_header.header_of(like).copy()
    shape = header.get_data_shape()
    shape = shape[:3] if mask.ndim == 3 and len(shape) > 3 else shape
    if mask.size != np.prod(shape) or mask.shape[-2:] != shape[1::-1]:
        raise DataError(f"{like}: wanted a mask of its shape {shape}, got (…, Z, Y, X) {mask.shape}")
    header.set_data_dtype(np.uint8)
    header.set_slope_inter(1, 0)
    header["cal_min"] = header["cal_max"] = 0  # the image's window would show the mask as black
    header.set_intent("none")
    header.extensions.clear()  # they may name the patient
    # without an affine nibabel leaves sform and qform as they are
    kind = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    try:
        image = kind(mask.reshape(shape[::-1]).T, None, header)
    except FAULTS as error:
        raise DataError(f"{like}: its header cannot be kept for a mask ({error})") from None
    _save(path, image, note)


def write_new(path: Path, mask: np.ndarray, spacing: Spacing, affine: np.ndarray | None, note: str) -> None:
    """Write `mask`, uint8 [Z, Y, X], to `path` as NIfTI, of an image in another format.

    Args:
        spacing: (z, y, x) in mm.
        affine: voxel (x, y, z) to mm, right-anterior-superior, kept as sform; None = the place in the scanner is
            unknown. A qform cannot be sheared, as a tilted gantry is, and ITK opens no file without one that is not:
            beside a sheared sform it has the plane of the slices and the normal to it.

    Raises:
        DataError: `path` holds a file that is no mask of ours.
    """
    image = nib.Nifti1Image(mask.astype(np.uint8).T, affine)
    if affine is None:
        image.header.set_zooms(spacing[::-1])
    else:
        image.set_qform(_upright(affine, spacing[0]), code=1)
        image.set_sform(affine, code=1)
    image.header.set_xyzt_units("mm")
    _save(path, image, note)


def _upright(affine: np.ndarray, thickness: float) -> np.ndarray:
    """The matrix with its third axis at right angles to the others, steps of `thickness` mm apart."""
    steps = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if np.abs(steps.T @ steps - np.eye(3)).max() <= SHEAR:
        return affine
    found, normal = affine.copy(), np.cross(steps[:, 0], steps[:, 1])
    found[:3, 2] = normal / np.linalg.norm(normal) * np.sign(normal @ steps[:, 2]) * thickness
    return found


def _save(path: Path, image: nib.Nifti1Image, note: str) -> None:
    may_write(path, ours)
    image.header["descrip"] = f"{MARK} {note}".strip().encode()[:79]
    with aside(path) as part:
        nib.save(image, part)


def ours(path: Path) -> bool:
    """Whether a file is a mask that sslseg has written. Raises DataError when it is no NIfTI file."""
    return nifti_header.header_of(path)["descrip"].tobytes().startswith(MARK.encode())
