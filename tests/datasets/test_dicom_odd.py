"""DICOM as archives and hospitals hand it out: copied, de-identified, rounded, packed, without a preamble."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from sslseg.config.names import DataError
from sslseg.data.readers import dicom_file, dicom_series, dicom_volume
from sslseg.data.slices import prepare
from sslseg.data.source import ignore, stop
from sslseg.datasets import dicom
from tests.data.readers.test_dicom_masks import drawn, seg, series
from tests.fixtures import foreign_trees, trees
from tests.fixtures.foreign_trees import dicom_slice

pydicom = pytest.importorskip("pydicom", reason="pydicom, an extra, is not installed")
PLANE = np.arange(20, dtype=np.uint16).reshape(4, 5)


def stack(folder: Path, slices: int = 3, **tags) -> list[Path]:
    return [
        dicom_slice(folder / f"{z}.dcm", PLANE + z, 4.0 * z, InstanceNumber=z + 1, **tags)
        for z in range(slices)
    ]


# ---------------------------------------------------------------- copies
def test_a_series_copied_beside_itself_is_one_volume(tmp_path):
    stack(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "copy of a")
    (source,) = dicom.find(tmp_path)
    assert dicom.read(source).image.shape == (1, 3, 4, 5)
    assert dicom.aside(tmp_path) == {
        f"copy of a/{z}.dcm": f"a copy of {z}.dcm: one SOPInstanceUID, the same pixels" for z in range(3)
    }


def test_two_images_of_one_name_that_differ_are_refused(tmp_path):
    first = stack(tmp_path / "a")[0]
    data = pydicom.dcmread(first)
    data.PixelData = (PLANE + 9).tobytes()
    data.save_as(tmp_path / "a" / "x.dcm")
    with pytest.raises(
        DataError, match=r"x.dcm: wanted an image of its own, got the SOPInstanceUID of .*0.dcm"
    ):
        dicom.find(tmp_path)


def test_images_that_share_one_name_by_mistake_stay_apart(tmp_path):
    """Some anonymisers write one SOPInstanceUID into every slice."""
    stack(tmp_path, SOPInstanceUID="1.2.3.4")
    assert [len(frame.files) for frame in dicom_series.frames(tmp_path, stop)] == [3]


def test_a_mask_copied_beside_itself_is_one_mask(tmp_path):
    images = series(tmp_path, "anna", "1.1")
    seg(tmp_path / "m.dcm", images, drawn(), {1: "liver", 2: "tumour"})
    shutil.copy(tmp_path / "m.dcm", tmp_path / "n.dcm")
    (source,) = dicom.find(tmp_path)
    np.testing.assert_array_equal(dicom.read(source).label, drawn())
    assert dicom.aside(tmp_path) == {"n.dcm": "a copy of m.dcm, byte by byte"}


def test_segments_that_differ_in_case_are_one_class(tmp_path):
    for n, (patient, names) in enumerate(
        (("anna", ("Liver", "tumour")), ("bert", ("liver", "Tumour")), ("carl", ("LIVER ", "TUMOUR")))
    ):
        images = series(tmp_path, patient, f"1.{n}")
        seg(tmp_path / f"{patient}-m.dcm", images, drawn(), dict(enumerate(names, 1)))
    assert dicom.describe(tmp_path).classes == ("background", "LIVER", "TUMOUR")
    for source in dicom.find(tmp_path):
        np.testing.assert_array_equal(dicom.read(source).label, drawn())


# ---------------------------------------------------------------- who is a patient
def test_de_identified_series_are_patients_by_study_or_folder(tmp_path):
    def made(name: str, ids: list[str], studies: list[str]) -> Path:
        for n, (patient, study) in enumerate(zip(ids, studies, strict=True)):
            stack(
                tmp_path / name / f"f{n}",
                PatientID=patient,
                SeriesInstanceUID=f"1.{n}",
                StudyInstanceUID=study,
            )
        return tmp_path / name

    def who(root: Path) -> list[str]:
        return [source.patient for source in dicom.find(root)]

    studies = ["9.1", "9.2", "9.3", "9.4"]
    for ids in ([""] * 4, ["ANONYMOUS"] * 4, ["12345"] * 4):
        root = made(f"by study {ids[0]}", ids, studies)
        assert who(root) == studies
        (note,) = dicom.notes(root)
        assert f"PatientID is {ids[0]!r} in 4 of 4 volumes: each study counts as a patient" in note
    root = made("by folder", [""] * 4, ["9.1"] * 4)
    assert who(root) == ["f0", "f1", "f2", "f3"]
    assert "each folder counts" in dicom.notes(root)[0]
    root = made("one", ["a", "a", "", "b"], studies)
    assert sorted(who(root)) == ["9.3", "a", "a", "b"]
    root = made("sound", ["a", "a", "b", "b"], studies)
    assert (who(root), dicom.notes(root)) == (["a", "a", "b", "b"], [])
    root = made("told", ["x"] * 4, studies)
    (root / "sslseg.json").write_text('{"patient_regex": "f([01])?"}')
    assert sorted(set(who(root))) == ["0", "1", "f2", "f3"]
    (root / "sslseg.json").write_text('{"csv": "who.csv"}')
    (root / "who.csv").write_text("case,patient\nf0,A\nf1,A\nf2,B\nf3,B\n")
    assert who(root) == ["A", "A", "B", "B"]


# ---------------------------------------------------------------- rounding
def test_the_seventh_digit_is_rounding(tmp_path):
    for z, mm in enumerate((0.7812500, 0.7812501, 0.78125)):
        dicom_slice(tmp_path / f"{z}.dcm", PLANE + z, 4.0 * z, PixelSpacing=[mm, mm])
    (source,) = dicom.find(tmp_path)
    assert dicom.read(source).spacing == pytest.approx((4.0, 0.78125, 0.78125), rel=1e-6)
    dicom_slice(tmp_path / "2.dcm", PLANE, 8.0, PixelSpacing=[0.79, 0.79])
    with pytest.raises(DataError, match="wanted slices of one size and PixelSpacing"):
        dicom.read(source)


def test_frames_of_a_cine_at_nearly_one_place(tmp_path):
    """Places that differ by less than rounding are one, wherever the boundary of rounding lies."""
    for t in range(3):
        for z in range(3):
            dicom_slice(
                tmp_path / f"{t}{z}.dcm", PLANE + t, 4.0005 * z + 0.0004 * t, InstanceNumber=3 * t + z
            )
    assert [len(frame.files) for frame in dicom_series.frames(tmp_path, stop)] == [3, 3, 3]


# ---------------------------------------------------------------- how files are packed
@pytest.mark.parametrize("implicit", [True, False])
@pytest.mark.parametrize("ending", [".dcm", ""])
def test_slices_without_a_preamble(tmp_path, implicit, ending):
    wanted = [dicom_file.image(path)[1] for path in stack(tmp_path / "whole")]
    for path in sorted((tmp_path / "whole").iterdir()):
        data = pydicom.dcmread(path)
        data.file_meta, data.preamble = pydicom.dataset.FileMetaDataset(), None
        bare = tmp_path / "bare" / (path.stem + ending)
        bare.parent.mkdir(exist_ok=True)
        data.save_as(bare, implicit_vr=implicit, little_endian=True, enforce_file_format=False)
        assert bare.read_bytes()[:2] == b"\x08\x00"
        assert dicom_series.looks_like(bare)
    (frame,) = dicom_series.frames(tmp_path / "bare", stop)
    np.testing.assert_array_equal(dicom_volume.read(frame.files)[0], wanted)
    (tmp_path / "bare" / "notes.txt").write_bytes(b"\x08\x00 is how it begins" * 20)
    assert len(dicom_series.frames(tmp_path / "bare", ignore)) == 1


@pytest.mark.parametrize("look", [dicom_file.image, lambda path: dicom_file.tag(path, "PatientID")])
def test_a_deflated_file_is_refused(tmp_path, look):
    (path,) = stack(tmp_path, 1)
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    data.save_as(path, enforce_file_format=True)
    with pytest.raises(DataError, match=r"it is deflated as a whole, which is not read; dcmconv \+te"):
        look(path)


def test_sides_beyond_all_detectors_are_refused(tmp_path):
    path = dicom_slice(tmp_path / "0.dcm", PLANE, 0.0, Rows=9000)
    with pytest.raises(DataError, match="wanted at most 8192 pixels a side, got 5 x 9000"):
        dicom_file.image(path)


def test_other_objects_are_aside(tmp_path):
    stack(tmp_path)
    dicom_slice(tmp_path / "rt.dcm", PLANE, 0.0, Modality="RTSTRUCT")
    data = pydicom.dcmread(tmp_path / "rt.dcm")
    for tag in ("Rows", "Columns", "PixelData"):
        delattr(data, tag)
    data.save_as(tmp_path / "rt.dcm")
    assert len(dicom.find(tmp_path)) == 1
    assert dicom.aside(tmp_path) == {"rt.dcm": "DICOM without an image (RTSTRUCT)"}


def test_patients_whose_names_differ_in_case_are_one(tmp_path):
    for n, name in enumerate(("Anna^K", "ANNA^K", "anna^k ")):
        dicom_slice(tmp_path / f"{n}.dcm", PLANE + n, PatientID=name, SeriesInstanceUID=f"1.{n}")
    assert len({s.patient for s in dicom.find(tmp_path)}) == 1


def test_a_number_of_zeros_names_nobody(tmp_path):
    for n in range(3):
        tags = {"StudyInstanceUID": f"9.{n}", "SeriesInstanceUID": f"1.{n}"}
        dicom_slice(tmp_path / f"{n}.dcm", PLANE + n, PatientID="0000" if n else "real", **tags)
    assert sorted(s.patient for s in dicom.find(tmp_path)) == ["9.1", "9.2", "real"]


def test_a_series_copied_under_new_names_of_its_images_is_read_once(tmp_path):
    for z in range(3):
        for copy in "ab":
            dicom_slice(tmp_path / f"{copy}{z}.dcm", PLANE + z, 4.0 * z, InstanceNumber=z)
    (source,) = dicom.find(tmp_path)
    assert [p.name for p in (source.image, *source.more)] == ["a0.dcm", "a1.dcm", "a2.dcm"]
    assert dicom.aside(tmp_path)["b1.dcm"] == "the same pixels as a1.dcm"


def test_metres_are_refused_and_uneven_steps_have_their_mean(tmp_path):
    dicom_slice(tmp_path / "m" / "a.dcm", PLANE, PixelSpacing=[0.0007, 0.0007])
    with pytest.raises(DataError, match="wanted PixelSpacing and SliceThickness in mm"):
        dicom.read(dicom.find(tmp_path / "m")[0])
    for z, place in enumerate((0.0, 5.2, 10.0, 15.2, 20.0, 25.2)):
        dicom_slice(tmp_path / "s" / f"{z}.dcm", PLANE, place)
    assert dicom.read(dicom.find(tmp_path / "s")[0]).spacing[0] == pytest.approx(25.2 / 5)


def test_series_without_places_are_named_and_not_the_masks_beside_them(tmp_path, tmp_cache):
    """Where no series can be read, its fault is told: not that masks have no image, nor that nothing is there."""
    for z in range(2):
        dicom_slice(tmp_path / "p" / "dicom" / f"{z}.dcm", PLANE, ImagePositionPatient=None)
    trees.nifti(tmp_path / "p" / "mask.nii.gz", np.ones((5, 4, 2), np.uint8))
    told = "0.dcm: wanted ImagePositionPatient and ImageOrientationPatient in a series"
    for skip, words in (("stop", told), ("skip", f"found none; 1 files were left out, the first: .*{told}")):
        with pytest.raises(DataError, match=words):
            prepare.prepare("dicom", tmp_path / "p", tmp_cache, spacing=0, on_bad_file=skip)


def test_a_palette_is_no_grey_value(tmp_path):
    dicom_slice(tmp_path / "a.dcm", PLANE, PhotometricInterpretation="PALETTE COLOR")
    with pytest.raises(DataError, match="a.dcm: wanted grey values .*, got PALETTE COLOR"):
        dicom.read(dicom.find(tmp_path)[0])


def test_a_slice_that_lies_the_other_way_up_is_refused(tmp_path):
    for z, sign in enumerate((1, -1, 1)):  # turned by half a circle in its plane: of the same normal
        along = [sign * v for v in (1, 0, 0, 0, 0.8, 0.6)]
        dicom_slice(tmp_path / f"{z}.dcm", PLANE + z, 4.0 * z, ImageOrientationPatient=along)
    with pytest.raises(DataError, match=r"1.dcm: wanted the orientation of 0.dcm"):
        dicom.find(tmp_path)


def test_detached_voxels_of_a_mask_beside_a_series_are_among_its_files(tmp_path):
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK, an extra, is not installed")
    root = foreign_trees.dicom(tmp_path, patients=1)
    mask = np.zeros((3, 24, 20), np.uint8)
    mask[1, 3:8, 3:8] = 1
    sitk.WriteImage(sitk.GetImageFromArray(mask), str(root / "p0" / "mask.mhd"))
    (root / "sslseg.json").write_text('{"geometry": "ignore"}')
    (source,) = dicom.find(root)
    assert source.more[-1] == root / "p0" / "mask.raw"  # so that the store is made anew when it changes
    np.testing.assert_array_equal(dicom.read(source).label, mask)
