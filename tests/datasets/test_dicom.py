"""DICOM series: order along the normal, rescaled values, spacing, cines, and what is refused."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from sslseg.config.names import DataError
from sslseg.data.folders import scans
from sslseg.data.readers import dicom_volume, stacks
from sslseg.data.slices import prepare
from sslseg.datasets import dicom
from tests.fixtures import foreign_trees
from tests.fixtures.foreign_trees import dicom_slice
from tests.reliability.fuzz import runner

PLANE = np.arange(20, dtype=np.uint16).reshape(4, 5)


def test_without_the_extra_it_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.dcm").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(DataError, match=r"pip install -e '.\[dicom\]'"):
        dicom.find(tmp_path)


def test_slices_lie_along_the_normal_in_hounsfield_units(tmp_path):
    root = foreign_trees.dicom(tmp_path / "own")
    sources = dicom.find(root)
    assert [(s.patient, s.label, len(s.more)) for s in sources][:2] == [("p0", None, 2), ("p1", None, 2)]
    volume = dicom.read(sources[2])
    np.testing.assert_array_equal(volume.image[0], foreign_trees.scene(2)[0].T.astype(np.int32) * 2 - 1024)
    np.testing.assert_allclose(volume.spacing, (5.0, 0.9, 0.8), rtol=1e-5)
    store = prepare.prepare("dicom", root, tmp_path / "cache", spacing=0, progress=False)
    assert store.classes == ("background",)
    assert not store.index["labelled"].any()
    other = root / "p2" / "9.dcm"  # a file of a series that is not its first decides too
    dicom_slice(other, foreign_trees.scene(7)[0][..., 0].T, 0.0, PatientID="p2", SeriesInstanceUID="1.2.2")
    assert (
        prepare.prepare("dicom", root, tmp_path / "cache", spacing=0, progress=False).digest != store.digest
    )


def test_series_of_one_patient_and_cines(tmp_path):
    for series in ("1.1", "1.2"):
        for t in range(2):
            for z in range(3):
                place = tmp_path / f"{series}-{t}-{z}"  # no extension
                dicom_slice(
                    place,
                    PLANE + 100 * t + z,
                    4.0 * z,
                    SeriesInstanceUID=series,
                    InstanceNumber=1 + z + 3 * t,
                )
    (tmp_path / "notes.txt").write_text("no image")
    sources = dicom.find(tmp_path)
    assert [(s.patient, s.frame) for s in sources] == [("anna", n) for n in (1, 2, 3, 4)]
    for t in range(2):
        wanted = np.stack([PLANE + 100 * t + z for z in range(3)]).astype(int) * 2 - 1024
        np.testing.assert_array_equal(dicom.read(sources[t]).image[0], wanted)


def test_fractions_inverted_values_and_single_pictures(tmp_path):
    pydicom = pytest.importorskip("pydicom", reason="pydicom, an extra, is not installed")
    path = dicom_slice(tmp_path / "a.dcm", PLANE, RescaleSlope=0.5, PhotometricInterpretation="MONOCHROME1")
    volume = dicom.read(dicom.find(tmp_path)[0])
    assert volume.image.dtype == np.float32
    np.testing.assert_array_equal(volume.image[0, 0], 1024 - PLANE * 0.5)
    assert volume.spacing == (4.0, 0.9, 0.8)
    data = pydicom.dcmread(path)
    del data.ImagePositionPatient, data.PixelSpacing
    data.ImagerPixelSpacing = [0.2, 0.2]
    data.save_as(path)
    assert dicom.read(dicom.find(tmp_path)[0]).spacing == (4.0, 0.2, 0.2)
    del data.ImagerPixelSpacing
    data.save_as(path)
    with pytest.raises(DataError, match=r"a.dcm: wanted PixelSpacing.* spacing in sslseg.json"):
        dicom.read(dicom.find(tmp_path)[0])
    (tmp_path / "sslseg.json").write_text('{"spacing": [0.4, 0.3]}')
    (source,) = dicom.find(tmp_path)
    assert dicom.read(source).spacing == (4.0, 0.4, 0.3)
    assert stacks.grid(source.images, dicom.describe(tmp_path).settings["spacing"]).spacing == (
        0.3,
        0.4,
        1.0,
    )
    (scan,) = scans.find(tmp_path, tmp_path.with_name("out"))
    assert [told for *_, told in scans.volumes(scan, 1)] == [(4.0, 0.4, 0.3)]


def test_a_missing_slice_is_noticed(tmp_path):
    for z in (0, 1, 2, 4):
        dicom_slice(tmp_path / f"{z}.dcm", PLANE, 4.0 * z)
    with pytest.raises(DataError, match=r"4.dcm: wanted slices 4 mm apart, got 8 mm; is a slice missing"):
        dicom.read(dicom.find(tmp_path)[0])


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"SeriesInstanceUID": ""}, r"b.dcm: wanted a SeriesInstanceUID"),
        ({"NumberOfFrames": 3}, r"b.dcm: wanted one grey slice a file, got 3 frames"),
        ({"SamplesPerPixel": 3}, r"b.dcm: wanted one grey slice a file"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}, r"b.dcm: wanted the orientation of a.dcm"),
        ({"Rows": 2, "PixelData": PLANE[:2].tobytes()}, r"b.dcm: wanted 4 x 5 as a.dcm"),
        ({"ImagePositionPatient": [7, 8, 9]}, r"a.dcm: wanted every slice position as often"),
    ],
)
def test_what_makes_no_volume(tmp_path, tags, message):
    dicom_slice(tmp_path / "a.dcm", PLANE, 0)
    dicom_slice(tmp_path / "c.dcm", PLANE, 8)
    dicom_slice(tmp_path / "b.dcm", PLANE, 4, **tags)
    with pytest.raises(DataError, match=message):
        dicom.find(tmp_path)
    assert len(dicom.scan(tmp_path)[1]) == 1


def test_damaged_and_compressed_files(tmp_path):
    pydicom = pytest.importorskip("pydicom", reason="pydicom, an extra, is not installed")
    path = dicom_slice(tmp_path / "a.dcm", PLANE)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(DataError, match=r"a.dcm: damaged DICOM file"):
        dicom.read(dicom.find(tmp_path)[0])
    data = pydicom.dcmread(dicom_slice(path, PLANE))
    data.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000Lossless
    data.PixelData = pydicom.encaps.encapsulate([b"\x00\x01"])
    data["PixelData"].is_undefined_length = True
    data.save_as(path)
    with pytest.raises(DataError, match=r"a.dcm: cannot be decoded"):
        dicom_volume.read((path,))
    path.write_bytes(b"x" * 300)
    with pytest.raises(DataError, match=r"a.dcm: wanted a DICOM file"):
        dicom.find(tmp_path)
    path.unlink()
    with pytest.raises(DataError, match="wanted DICOM images here"):
        dicom.find(tmp_path)


@pytest.mark.parametrize(
    ("tag", "raw", "message"),
    [
        ("ImagePositionPatient", b"x\\2\\3 ", "ImagePositionPatient cannot be read|of 3 finite numbers"),
        ("ImagePositionPatient", b"1 ", "wanted ImagePositionPatient of 3 finite numbers"),
        ("ImageOrientationPatient", b"0\\0\\0\\0\\0\\0 ", "wanted a place and two directions"),
        ("InstanceNumber", b"1\\2 ", "wanted InstanceNumber of 1 finite numbers"),
        ("RescaleSlope", b"nan ", "RescaleSlope"),
        ("RescaleSlope", b"1e99", "wanted a plane of finite grey values"),
        ("PixelSpacing", b"1 ", "wanted PixelSpacing of 2 finite numbers"),
    ],
)
def test_a_tag_that_holds_something_else(tmp_path, tag: str, raw: bytes, message: str):
    """pydicom decodes a tag when it is asked for, and only then raises what it raises."""
    pydicom = pytest.importorskip("pydicom", reason="pydicom, an extra, is not installed")
    path = dicom_slice(tmp_path / "a.dcm", PLANE, InstanceNumber=1)
    data = pydicom.dcmread(path)
    known = data[tag]
    data[known.tag] = pydicom.dataelem.RawDataElement(known.tag, known.VR, len(raw), raw, 0, False, True)
    data.save_as(path)
    with pytest.raises(DataError, match=message):
        _all(tmp_path)


def test_a_length_is_not_believed(tmp_path):
    """Voxels of 2 GiB, says a file of 1 KiB: what there is of them is read, and 2 GiB are not set aside."""
    path = dicom_slice(tmp_path / "a.dcm", PLANE)
    data = path.read_bytes()
    at = data.index(b"OW") + 4  # the voxels have a length of four bytes
    path.write_bytes(data[:at] + (2**31).to_bytes(4, "little") + data[at + 4 :])
    with runner.bounded(memory=256 << 20):
        (volume,) = _all(tmp_path)
    np.testing.assert_array_equal(volume.image[0, 0], PLANE.astype(int) * 2 - 1024)


def _all(root):
    return [dicom.read(source) for source in dicom.find(root)]
