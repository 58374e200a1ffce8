"""Floor 1b: NRRD and MetaImage through SimpleITK, which is an extra."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sslseg.names import DataError

SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")
DETACHED = (".raw", ".zraw", ".raw.gz")  # voxels beside a .nhdr or .mhd


def read(path: Path) -> tuple[np.ndarray, tuple[float, float, float]]:
    """[C, Z, Y, X] in the file's number type, or float32; spacing (z, y, x) in mm.

    Raises:
        DataError: SimpleITK is not installed, the file is damaged, or not one 2D or 3D image.
    """
    try:
        import SimpleITK as sitk  # noqa: N813 its own documentation's name
    except ImportError:
        raise DataError(
            f"{path}: SimpleITK reads this format, install it: pip install 'sslseg[itk]'"
        ) from None
    try:
        sitk.ProcessObject.SetGlobalWarningDisplay(False)
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise DataError(f"{path}: cannot be read as NRRD or MetaImage ({reason})") from None
    if image.GetDimension() not in (2, 3):
        raise DataError(f"{path}: wanted a 2D or 3D image, got {image.GetDimension()}D {image.GetSize()}")
    array = sitk.GetArrayFromImage(image)
    if array.dtype.kind not in "iuf":
        raise DataError(f"{path}: wanted grey voxels (integer or float), got {array.dtype}")
    array = np.moveaxis(array, -1, 0) if image.GetNumberOfComponentsPerPixel() > 1 else array[None]
    array = array if image.GetDimension() == 3 else array[:, None]
    spacing = (*image.GetSpacing(), 1.0)[2::-1]
    if array.dtype.kind == "f":
        array = array.astype(np.float32, copy=False)
        if not np.isfinite(array).all():
            raise DataError(f"{path}: wanted finite voxels, got NaN or infinite ones")
    if not all(1e-4 < v < 1e3 for v in spacing):
        raise DataError(f"{path}: wanted a voxel size in mm, got (z, y, x) {spacing}")
    return array, spacing


def beside(path: Path) -> tuple[Path, ...]:
    """The file of a header's voxels, where they are kept apart under the header's name."""
    if path.suffix.lower() not in (".nhdr", ".mhd"):
        return ()
    return tuple(p for s in DETACHED if (p := path.with_suffix(s)).is_file())
