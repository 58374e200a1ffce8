"""What DICOM files leave unsaid, and where series of few slices lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sslseg.data.readers import dicom_file, dicom_series, dicom_volume
from sslseg.data.source import stop
from sslseg.datasets import dicom
from tests.fixtures.foreign_trees import dicom_slice

PLANE = np.arange(20, dtype=np.uint16).reshape(4, 5)


def without(path: Path, *tags: str) -> None:
    pydicom = pytest.importorskip("pydicom", reason="pydicom, an extra, is not installed")
    data = pydicom.dcmread(path)
    for tag in tags:
        delattr(data, tag)
    data.save_as(path)


def test_numbers_that_a_file_leaves_out(tmp_path):
    path = dicom_slice(tmp_path / "a.dcm", PLANE)
    without(path, "RescaleIntercept", "SliceThickness")
    (source,) = dicom.find(tmp_path)
    np.testing.assert_array_equal(dicom.read(source).image[0, 0], 2 * PLANE.astype(int))
    assert dicom.read(source).spacing == (1.0, 0.9, 0.8)
    without(path, "RescaleSlope")
    np.testing.assert_array_equal(dicom.read(source).image[0, 0], PLANE)


def test_a_thickness_in_sslseg_json_counts_where_the_file_says_none(tmp_path):
    path = dicom_slice(tmp_path / "a.dcm", PLANE)
    (tmp_path / "sslseg.json").write_text('{"spacing": [5, 0.4, 0.3]}')
    (source,) = dicom.find(tmp_path)
    assert dicom.read(source).spacing == (4.0, 0.9, 0.8)
    without(path, "SliceThickness")
    assert dicom.read(source).spacing == (5.0, 0.9, 0.8)
    without(path, "PixelSpacing")
    assert dicom.read(source).spacing == (5.0, 0.4, 0.3)


def test_where_series_of_one_slice_and_of_more_lie(tmp_path):
    files = [dicom_slice(tmp_path / f"{z}.dcm", PLANE, 5.0 * z) for z in range(3)]
    for count, step in ((1, 4.0), (2, 5.0), (3, 5.0)):  # one slice has its thickness alone
        axes = np.array([[0.8, 0, 0], [0, 0.8 * 0.9, 0.6 * 0.9], [0, -0.6 * step, 0.8 * step], [7, 8, 9]])
        found = dicom_volume.affine(tuple(files[:count]), None)
        np.testing.assert_allclose(found[:3], (axes * [-1, -1, 1]).T, atol=1e-9)
    without(files[0], "ImagePositionPatient")
    assert dicom_volume.affine(tuple(files), None) is None
    assert dicom_volume.affine(tuple(files[::-1]), None) is None


def test_frames_of_a_series_are_counted_from_1(tmp_path):
    files = [
        dicom_slice(tmp_path / f"{t}{z}", PLANE + 7 * t + z, 4.0 * z, InstanceNumber=1 + z + 2 * t)
        for t in range(2)
        for z in range(2)
    ]
    found = dicom_series.volumes(files, stop)
    assert [(frame.number, [file.name for file in frame.files]) for frame in found] == [
        (1, ["00", "01"]), (2, ["10", "11"]),
    ]  # fmt: skip
    assert dicom_series.mask_name(found[1].series, found[1].number) == "1.2.3_frame02"


def test_names_errors_and_files_of_a_few_bytes(tmp_path):
    assert [dicom_series.stem(Path(n)) for n in ("IM1.DCM", "1.2.840.5", "IM1")] == [
        "IM1",
        "1.2.840.5",
        "IM1",
    ]
    assert dicom_file.line(ValueError("one\ntwo")) == "one"
    assert dicom_file.line(EOFError()) == "EOFError"
    for content in (b"", b"ab", b"\x08\x00\x05\x00CS"):
        (tmp_path / "tiny").write_bytes(content)
        assert not dicom_series.looks_like(tmp_path / "tiny")
