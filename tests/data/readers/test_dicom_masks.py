"""Masks from DICOM SEG objects that highdicom wrote, against the arrays they were written from."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from sslseg.config.names import DataError
from sslseg.data.files import walk
from sslseg.data.readers import dicom_file, dicom_masks, dicom_series
from sslseg.data.slices import prepare
from sslseg.datasets import dicom
from tests.fixtures import foreign_trees
from tests.fixtures.foreign_trees import dicom_slice

pytest.importorskip("pydicom", reason="pydicom, an extra, is not installed")
highdicom = pytest.importorskip("highdicom", reason="highdicom, an extra, is not installed")


def series(root: Path, patient: str, uid: str, slices: int = 4) -> list[Path]:
    """Written last slice first: the order of names is not that of places."""
    more = {"PatientID": patient, "SeriesInstanceUID": uid, "StudyInstanceUID": f"{uid}.9", "PatientName": "",
            "FrameOfReferenceUID": f"{uid}.8", "PatientBirthDate": "", "PatientSex": "", "AccessionNumber": "",
            "StudyID": "1", "StudyDate": "20200101", "StudyTime": "000000"}  # fmt: skip
    plane = np.arange(120, dtype=np.uint16).reshape(10, 12)
    return [
        dicom_slice(root / f"{patient}-{slices - z}.dcm", plane + z, 5.0 * z, InstanceNumber=z + 1, **more)
        for z in range(slices)
    ]


def seg(
    path: Path, images: list[Path], mask: np.ndarray, labels: dict[int, str], kind: str = "BINARY"
) -> Path:
    """A SEG of `mask` uint8 [Z, Y, X] whose planes are `images`."""
    import pydicom

    code = highdicom.sr.CodedConcept("85756007", "SCT", "Tissue")
    described = [
        highdicom.seg.SegmentDescription(n, name, code, code, "MANUAL") for n, name in labels.items()
    ]
    pixels = np.stack([mask == n for n in labels], axis=-1)
    pixels = pixels.astype(float) * 0.5 if kind == "FRACTIONAL" else pixels.astype(np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # highdicom's, of the tags that the images have not
        made = highdicom.seg.Segmentation(
            [pydicom.dcmread(p) for p in images], pixels, kind, described,
            series_instance_uid=pydicom.uid.generate_uid(), series_number=9, instance_number=1,
            sop_instance_uid=pydicom.uid.generate_uid(), manufacturer="t", manufacturer_model_name="t",
            software_versions="1", device_serial_number="1",
        )  # fmt: skip
        made.save_as(path)
    return path


def drawn(slices: int = 4) -> np.ndarray:
    """Two classes; the last slice shows nothing, and has no frame in the file."""
    mask = np.zeros((slices, 10, 12), np.uint8)
    mask[:-1, 2:6, 3:9] = 1
    mask[1, 3:5, 4:6] = 2
    return mask


def test_masks_lie_on_their_slices(tmp_path: Path) -> None:
    images = series(tmp_path, "anna", "1.1")
    series(tmp_path, "bert", "1.2")
    seg(tmp_path / "0-masks.dcm", images, drawn(), {1: "liver", 2: "tumour, left"})
    assert dicom.describe(tmp_path).classes == ("background", "liver", "tumour- left")
    first, second = dicom.find(tmp_path)
    assert (first.patient, first.label, second.label) == ("anna", tmp_path / "0-masks.dcm", None)
    volume = dicom.read(first)
    np.testing.assert_array_equal(volume.label, drawn())
    assert volume.image[0, :, 0, 0].tolist() == [2 * z - 1024 for z in range(4)]
    assert dicom.read(second).label is None
    store = prepare.prepare("dicom", tmp_path, tmp_path / "cache", spacing=0, progress=False)
    assert store.index["labelled"].tolist() == [True] * 4 + [False] * 4
    (tmp_path / "sslseg.json").write_text('{"axis": 2}')
    np.testing.assert_array_equal(dicom.read(dicom.find(tmp_path)[0]).label, np.moveaxis(drawn(), 2, 0))


def test_a_seg_for_each_structure_makes_one_mask(tmp_path: Path) -> None:
    images, mask = series(tmp_path, "anna", "1.1"), drawn()
    seg(tmp_path / "x.dcm", images, np.where(mask == 2, 1, 0), {1: "tumour"})
    seg(tmp_path / "y.dcm", images, np.where(mask == 1, 1, 0), {1: "liver"})
    (source,) = dicom.find(tmp_path)
    assert dicom.describe(tmp_path).classes == ("background", "liver", "tumour")
    np.testing.assert_array_equal(dicom.read(source).label, mask)
    seg(tmp_path / "z.dcm", images, np.where(mask == 2, 1, 0), {1: "spleen"})
    with pytest.raises(DataError, match=r"z.dcm: overlaps another SEG"):
        dicom.read(dicom.find(tmp_path)[0])


def test_a_volume_more_costs_no_second_look_at_the_headers_of_the_others(tmp_path: Path, monkeypatch) -> None:
    for n, patient in enumerate(("anna", "bert", "carl")):
        seg(tmp_path / f"{patient}-mask.dcm", series(tmp_path, patient, f"1.{n}"), drawn(), {1: "a", 2: "b"})
    sources, looked = dicom.find(tmp_path), []
    real = dicom_file.opened

    def opened(path: Path, **how):
        looked.extend([path] * (how.get("specific_tags") == dicom_masks.TAGS))
        return real(path, **how)

    monkeypatch.setattr(dicom_file, "opened", opened)
    assert all(dicom.read(source).label.any() for source in sources)
    assert looked == []
    seg(tmp_path / "bert-mask.dcm", sorted(tmp_path.glob("bert-?.dcm")), drawn(), {1: "a", 2: "c"})
    assert dicom.describe(tmp_path).classes == (
        "background",
        "a",
        "b",
        "c",
    )  # a file written anew is read anew
    assert looked == [tmp_path / "bert-mask.dcm"]


def test_what_cannot_be_used_is_said(tmp_path: Path, monkeypatch) -> None:
    images = series(tmp_path / "in", "anna", "1.1")
    shares = seg(tmp_path / "in" / "f.dcm", images, drawn(), {1: "a", 2: "b"}, kind="FRACTIONAL")
    with pytest.raises(DataError, match=r"f.dcm: wanted a SEG of type BINARY or LABELMAP, got FRACTIONAL"):
        dicom.find(tmp_path / "in")
    shares.unlink()
    others = series(tmp_path / "elsewhere", "carl", "1.3")
    strange = seg(tmp_path / "in" / "s.dcm", others, drawn(), {1: "a", 2: "b"})
    with pytest.raises(DataError, match=r"s.dcm: a SEG of images that are not below"):
        dicom.find(tmp_path / "in")
    assert len(dicom.scan(tmp_path / "in")[1]) == 1
    strange.unlink()
    seg(tmp_path / "in" / "g.dcm", images, drawn(), {1: "a", 2: "b"})
    (source,) = dicom.find(tmp_path / "in")
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(DataError, match=r"g.dcm: wanted highdicom .*pip install -e '.\[dicom\]'"):
        dicom.read(source)


def test_masks_are_no_input_of_predict(tmp_path: Path) -> None:
    images = series(tmp_path, "anna", "1.1")
    seg(tmp_path / "m.dcm", images, drawn(), {1: "a", 2: "b"})
    (frame,) = dicom_series.volumes(walk(tmp_path).files, lambda file, error: pytest.fail(str(error)))
    assert set(frame.files) == set(images)


def test_a_damaged_seg_is_a_data_error(tmp_path: Path) -> None:
    images = series(tmp_path, "anna", "1.1")
    path = seg(tmp_path / "m.dcm", images, drawn(), {1: "a", 2: "b"})
    (source,), whole = dicom.find(tmp_path), path.read_bytes()
    path.write_bytes(whole[: len(whole) - 40])
    with pytest.raises(DataError, match=r"m.dcm: "):
        dicom.read(source)


def test_without_masks_it_is_for_pretraining(tmp_path: Path) -> None:
    root = foreign_trees.dicom(tmp_path / "own")
    assert dicom.describe(root).classes == ("background",)
    assert {s.label for s in dicom.find(root)} == {None}
