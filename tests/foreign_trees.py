"""Tiny data trees in the formats of others; written from numbers, no file of a real set."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests import trees

HEART = {"background": 0, "RV": 1, "MYO": 2, "LV": 3}


def scene(n: int, shape: tuple[int, ...] = (20, 24, 3), classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """int16 image and uint8 mask [X, Y, Z] of case n: nested boxes, none on the last slice."""
    image = np.random.default_rng(n).integers(0, 600, shape).astype(np.int16)
    mask = np.zeros(shape, np.uint8)
    for k in range(1, classes):
        mask[2 + 2 * k : 14, 2 + 2 * k : 16, : shape[2] - 1] = k
    return image, mask


def dataset_json(root: Path, **keys) -> None:
    told = {"channel_names": {"0": "cineMRI"}, "labels": HEART, "numTraining": 0, "file_ending": ".nii.gz"}
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset.json").write_text(json.dumps(told | keys))


def nnunet_copy(acdc: Path, root: Path) -> Path:
    """An ACDC tree in nnU-Net's form: byte-equal files under other names."""
    for mask in sorted(acdc.glob("patient*/*_gt.nii.gz")):
        case = mask.name.removesuffix("_gt.nii.gz")
        for folder, name, source in (
            ("imagesTr", f"{case}_0000.nii.gz", mask.with_name(f"{case}.nii.gz")),
            ("labelsTr", f"{case}.nii.gz", mask),
        ):
            (root / folder).mkdir(parents=True, exist_ok=True)
            shutil.copy(source, root / folder / name)
    dataset_json(root)
    return root


def nnunet(root: Path, cases: int = 8, channels: int = 1, **keys) -> Path:
    for n in range(cases):
        image, mask = scene(n)
        for c in range(channels):
            trees.nifti(root / "imagesTr" / f"case{n}_{c:04d}.nii.gz", image + c)
        trees.nifti(root / "labelsTr" / f"case{n}.nii.gz", mask)
    dataset_json(root, **{"channel_names": {str(c): f"m{c}" for c in range(channels)}} | keys)
    return root


def decathlon(root: Path, cases: int = 6) -> Path:
    """Two modalities on the fourth axis; the last two cases are the test images."""
    entries = []
    for n in range(cases + 2):
        image, mask = scene(n, classes=3)
        side = "Tr" if n < cases else "Ts"
        name = f"brain_{n:03d}.nii.gz"
        trees.nifti(root / f"images{side}" / name, np.stack([image, 2 * image], -1))
        entries.append(f"./imagesTs/{name}")
        if n < cases:
            trees.nifti(root / "labelsTr" / name, mask)
            entries[-1] = {"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"}
    told = {"modality": {"0": "FLAIR", "1": "T1w"}, "licence": "CC-BY-SA 4.0", "numTraining": cases,
            "labels": {"0": "background", "1": "edema", "2": "enhancing/tumour"},
            "training": entries[:cases], "test": entries[cases:]}  # fmt: skip
    (root / "dataset.json").write_text(json.dumps(told))
    return root


def mnms(root: Path, cases: int = 6, unlabelled: int = 1) -> Path:
    """Masks say LV 1, MYO 2, RV 3, at ED = 0 and ES = 2 of 4 frames; one fifth each validates and tests."""
    rows = ["External code,VendorName,Vendor,Centre,ED,ES,Age"]
    for n in range(cases + unlabelled):
        code = f"A{n}B{n}C{n}"
        side = ("Training/Labeled", "Validation", "Testing")[max(0, n - cases + 3)] if n < cases else ""
        image = np.random.default_rng(n).integers(0, 600, (20, 24, 3, 4)).astype(np.int16)
        mask = np.zeros(image.shape, np.uint8)
        if side:
            mask[..., 0], mask[..., 2] = scene(n)[1], scene(n)[1]
        folder = root / "OpenDataset" / (side or "Training/Unlabeled") / code
        trees.nifti(folder / f"{code}_sa.nii.gz", image)
        trees.nifti(folder / f"{code}_sa_gt.nii.gz", mask)
        rows.append(f"{code},Siemens,{'AB'[n % 2]},1,0,2,50")
    (root / "211230_M&Ms_Dataset_information_diagnosis_opendataset.csv").write_text("\n".join(rows) + "\n")
    return root


def images(root: Path, cases: int = 6, value: int = 255) -> Path:
    """16-bit PNGs with masks of 0 and `value`, and one without a mask."""
    root.mkdir(parents=True, exist_ok=True)
    for n in range(cases + 1):
        image, mask = scene(n, classes=2)
        cv2.imwrite(str(root / f"p{n // 2}_{n}.png"), image[..., 0].astype(np.uint16) * 100)
        if n < cases:
            cv2.imwrite(str(root / f"p{n // 2}_{n}_mask.png"), mask[..., 0] * value)
    return root


def nrrd(root: Path, cases: int = 4) -> Path:
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK, an extra, is not installed")
    root.mkdir(parents=True, exist_ok=True)
    for n in range(cases):
        image, mask = scene(n, classes=2)
        for array, name in ((image, f"c{n}.nrrd"), (mask, f"c{n}_seg.nrrd")):
            written = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
            written.SetSpacing((0.8, 0.9, 5.0))
            sitk.WriteImage(written, str(root / name), useCompression=True)
    return root


def dicom_slice(path: Path, plane: np.ndarray, place: float = 0.0, **tags) -> Path:
    """One CT slice of codes [Y, X], `place` mm along an oblique normal."""
    pydicom = pytest.importorskip("pydicom", reason="pydicom, an extra, is not installed")
    normal = np.array([0.0, -0.6, 0.8])
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    data.PatientID, data.SeriesInstanceUID, data.Modality = "anna", "1.2.3", "CT"
    data.ImageOrientationPatient = [1, 0, 0, 0, 0.8, 0.6]
    data.ImagePositionPatient = [float(v) for v in np.round(place * normal + [7, 8, 9], 6)]
    data.PixelSpacing, data.SliceThickness = [0.9, 0.8], 4.0
    data.RescaleSlope, data.RescaleIntercept = 2, -1024
    data.PhotometricInterpretation, data.SamplesPerPixel, data.PixelRepresentation = "MONOCHROME2", 1, 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
    data.Rows, data.Columns = plane.shape
    data.PixelData = plane.astype("<u2").tobytes()
    for key, value in tags.items():
        setattr(data, key, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def dicom(root: Path, patients: int = 4) -> Path:
    """Series of three slices whose file names run against their order."""
    for n in range(patients):
        image, _ = scene(n)
        for z in range(3):
            dicom_slice(root / f"p{n}" / f"{9 - z}.dcm", image[..., z].T, 5.0 * z, PatientID=f"p{n}",
                        SeriesInstanceUID=f"1.2.{n}")  # fmt: skip
    return root
