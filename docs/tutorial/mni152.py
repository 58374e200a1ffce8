"""Write a raw dataset of nnU-Net v2 from the MNI152 template and tissue maps in nilearn's wheel.

    python docs/tutorial/mni152.py FOLDER [--resolution 2]

One subject, so slabs of axial slices stand for patients: some train, one validates, one tests, and the slices
between two slabs are left out. No generalisation claim can come of it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import nibabel as nib
import numpy as np

try:
    from nilearn import datasets
except ImportError:  # an extra, which `make setup` does not install
    raise SystemExit("mni152.py: wanted nilearn, run: pip install -e '.[tutorial]'") from None

SIDES = ("train", "train", "val", "train", "train", "test", "train")  # slabs from the neck to the crown
GAP = 6  # mm between two slabs
STAMP = "one subject, no generalisation claim"
LICENCE = (
    f"ICBM 152 2009a symmetric template, (C) McConnell Brain Imaging Centre, free with its notice; {STAMP}"
)


def tissues(resolution: int) -> tuple[nib.Nifti1Image, np.ndarray]:
    """The T1 template, and uint8 labels: 1 where grey matter is likelier than not, 2 where white matter is."""
    image = datasets.load_mni152_template(resolution)
    grey = datasets.load_mni152_gm_template(resolution).get_fdata()
    white = datasets.load_mni152_wm_template(resolution).get_fdata()
    labels = np.zeros(image.shape, np.uint8)
    labels[grey > 0.5 * grey.max()] = 1
    labels[(white > 0.5 * white.max()) & (white >= grey)] = 2
    return image, labels


def slabs(slices: np.ndarray, gap: int) -> list[np.ndarray]:
    """`slices` in as many runs of one length as SIDES has, `gap` slices between them left out."""
    length = (len(slices) - gap * (len(SIDES) - 1)) // len(SIDES)
    return [slices[i * (length + gap) :][:length] for i in range(len(SIDES))]


def write(root: Path, resolution: int) -> None:
    """The folder: a case a slab, dataset.json, and splits_final.json, whose second fold holds the test slab."""
    image, labels = tissues(resolution)
    voxels = np.round(255 * image.get_fdata() / image.get_fdata().max()).astype(np.uint8)
    found = slabs(np.flatnonzero(labels.any(axis=(0, 1))), round(GAP / resolution))
    cases = [f"slab{i}" for i in range(1, len(found) + 1)]
    for case, where in zip(cases, found, strict=True):
        affine = image.affine.copy()
        affine[:3, 3] += affine[:3, 2] * where[0]  # each slab keeps its place in the head
        for folder, array, name in (("imagesTr", voxels, f"{case}_0000"), ("labelsTr", labels, case)):
            (root / folder).mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(array[..., where], affine), root / folder / f"{name}.nii.gz")
    about = {"channel_names": {"0": "T1"}, "labels": {"background": 0, "grey": 1, "white": 2},
             "numTraining": len(cases), "file_ending": ".nii.gz", "licence": LICENCE}  # fmt: skip
    (root / "dataset.json").write_text(json.dumps(about, indent=1))
    side = {s: [c for c, own in zip(cases, SIDES, strict=True) if own == s] for s in ("train", "val", "test")}
    folds = [{"train": side["train"], "val": side[held]} for held in ("val", "test")]
    (root / "splits_final.json").write_text(json.dumps(folds, indent=1))
    print(f"{root}: {len(cases)} slabs of {len(found[0])} slices, {', '.join(SIDES)}; {STAMP}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--resolution", type=int, default=2, help="whole mm; the template has 1")
    given = parser.parse_args()
    write(given.root, given.resolution)
