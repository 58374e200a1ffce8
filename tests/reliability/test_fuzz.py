"""The bounded part of `make fuzz`: every format and class of mutation, and bugs planted on purpose."""

from __future__ import annotations

import importlib
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.utils import validation

from sslseg.config import flags, params
from sslseg.config.names import DataError, ParamError
from sslseg.data.readers import nifti, nifti_header, pictures
from sslseg.datasets import decathlon
from sslseg.datasets.hearts import acdc, mnms
from sslseg.models.importers import checkpoint, torchfile
from sslseg.tracking import runs
from sslseg.tracking.registry import register
from tests.fixtures import foreign_trees, trees
from tests.reliability.fuzz import EXTRAS, FORMATS, runner

# cases; others have one a class
EACH = {"nifti": 42, "parameters": 60, "names": 45, "NRRD": 12, "MetaImage": 12, "DICOM": 12}


def _report(name: str, cases: int, folder: Path) -> runner.Report:
    mutations = importlib.import_module(FORMATS[name]).mutations(name)
    return runner.run(name, mutations, cases or len(mutations), folder, seed=7)


@pytest.mark.parametrize("name", FORMATS)
def test_the_right_result_or_one_clear_error(name: str, tmp_path: Path):
    if name in EXTRAS:
        pytest.importorskip(EXTRAS[name], reason=f"{EXTRAS[name]}, an extra, is not installed")
    report = _report(name, EACH.get(name, 0), tmp_path)
    assert report.cases >= 1
    assert not report.failures, "\n".join(report.failures)


# ---------------------------------------------------------------- bugs planted on purpose
def _any_value(path, raw, slope, intercept):
    return np.array(raw if raw.ndim > 2 else raw[None]).astype(np.float32)


def _this_machine_s_bytes(path, raw, slope, intercept):
    array = np.array(raw if raw.ndim > 2 else raw[None])
    return array.view(array.dtype.newbyteorder("="))


def _greedy(file, wanted, begun=b""):
    return bytearray(begun + file.read(1 << 33))[:wanted]


def _trusting(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


PLANTED = {
    "NaN let through": ("nifti", nifti, "_scaled", _any_value, "WRONG a voxel that is not finite"),
    "byte order": ("nifti", nifti, "_scaled", _this_machine_s_bytes, "WRONG other voxels than nibabel's"),
    "zlib's error": ("nifti", nifti_header, "DAMAGED", (MemoryError,), "FOREIGN"),
    "all at once": ("nifti", nifti_header, "exactly", _greedy, "MEMORY"),
    "text trusted": ("Info.cfg", acdc, "_info", _trusting, "FOREIGN"),
    "damage trusted": ("checkpoint timm", torchfile, "DAMAGE", (MemoryError,), "FOREIGN"),
    "types not held": ("checkpoint timm", checkpoint, "_own", lambda n, like, t, p: t, "WRONG"),
    "pages not held": ("picture", pictures, "FAULTS", (MemoryError,), "FOREIGN"),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_caught(bug: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    name, module, attribute, wrong, said = PLANTED[bug]
    monkeypatch.setattr(module, attribute, wrong)
    report = _report(name, 56 if name != "checkpoint timm" else 40, tmp_path)
    assert any(said in line for line in report.failures), report.failures[:5]


def test_what_hangs_is_stopped():
    def endless() -> str:
        while True:
            pass

    assert _short(endless) == ("HANG", False)


def _short(call):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "bounded", lambda real=runner.bounded: real(0.2))
        return runner.outcome(call)


# ---------------------------------------------------------------- what was found
def test_a_reader_does_not_set_aside_what_a_file_could_hold(tmp_path: Path):
    """`read(8 GiB)` failed on any file where memory is limited."""
    path = trees.nifti(tmp_path / "a.nii.gz", np.ones((4, 4, 2), np.int16))
    with runner.bounded(memory=128 << 20):
        assert nifti.read_volume(path)[0].sum() == 32


@pytest.mark.parametrize("text", ["²", "٣", "9" * 25, "9" * 5000, "1001", "-1", "1.0", ""])
def test_frame_numbers_of_info_cfg(tmp_path: Path, text: str):
    """isdigit() takes what int() does not; a cine of 10^25 frames was a list of as many."""
    trees.acdc(tmp_path, patients=1)
    file = tmp_path / "patient001" / "Info.cfg"
    file.write_text(file.read_text().replace("NbFrame: 4", f"NbFrame: {text}"))
    with pytest.raises(DataError, match="wanted a line 'NbFrame: <frame number"):
        acdc.find(tmp_path)


@pytest.mark.parametrize("text", ["²", "9" * 5000])
def test_frame_numbers_of_a_table(tmp_path: Path, text: str):
    foreign_trees.mnms(tmp_path, cases=3, unlabelled=0)
    (file,) = tmp_path.glob("*.csv")
    file.write_text(file.read_text().replace(",0,2,50", f",{text},2,50", 1))
    with pytest.raises(DataError, match="ED: wanted a frame of 0 to 3"):
        mnms.find(tmp_path)


@pytest.mark.parametrize(
    ("test", "sentence"),
    [
        (3, "test: wanted a list"),
        ([None], "wanted entries"),
        ([{"image": None}], "wanted entries"),
        (["x" * 5000], "dataset: x.* not there"),
    ],
)
def test_entries_of_the_decathlon(tmp_path: Path, test: object, sentence: str):
    import json

    file = foreign_trees.decathlon(tmp_path, cases=1) / "dataset.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"test": test}))
    with pytest.raises(DataError, match=sentence) as caught:
        decathlon.find(tmp_path)
    assert len(str(caught.value)) < 2000


def test_an_error_quotes_no_whole_file():
    assert len(str(DataError("x" * 100_000))) < 2000
    assert str(DataError("short")) == "short"


@pytest.mark.parametrize("text", ["9" * 5000, "x" * 5000])
def test_an_error_quotes_no_whole_parameter(text: str):
    for name in ("threads", "verify", "preset"):
        with pytest.raises(ParamError) as caught:
            flags.resolve(flags.parse(params.Finetune, [f"--{name}={text}", "--encoder=scratch"]))
        assert len(str(caught.value)) < 700


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e400", "9" * 5000])
def test_a_parameter_is_a_finite_number(text: str):
    with pytest.raises(ParamError, match="lr: wanted a finite number"):
        flags.resolve(flags.parse(params.Finetune, [f"--lr={text}", "--encoder=scratch"]))


def test_a_long_lineage_has_an_alias_of_its_own():
    one, other = (register.alias_of("byol-" + "心" * 300 + end) for end in "ab")
    assert one != other
    validation._validate_model_alias_name(one)


def test_room_is_not_set_aside_for_what_a_png_cannot_hold(tmp_path: Path):
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    path = tmp_path / "a.png"
    head = struct.pack(">IIBBBBB", 9000, 9000, 16, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(99)))
        + chunk(b"IEND", b"")
    )
    with runner.bounded(memory=64 << 20), pytest.raises(DataError, match="9000 x 9000 pixels in"):
        pictures.read(path)


def test_a_torn_tiff_is_not_only_warned_of(tmp_path: Path):
    import cv2

    ok, data = cv2.imencode(".tiff", np.arange(120, dtype=np.uint8).reshape(10, 12))
    path = tmp_path / "a.tiff"
    for cut in range(1, 12, 3):
        path.write_bytes(io.BytesIO(data).getvalue()[:-cut])
        with pytest.raises(DataError, match="cannot be read as a picture"):
            pictures.read(path)


# ---------------------------------------------------------------- properties
@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60))
def test_any_text_makes_a_name_of_a_metric(text: str):
    try:
        validation._validate_metric_name(runs.metric_name(text))
    except MlflowException as error:
        pytest.fail(f"{text!r} became {runs.metric_name(text)!r}: {error}")


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 10**6),
    st.floats(1e-6, 1.0, allow_nan=False),
    st.sampled_from(["paper-text", "paper-code", "cpu", "demo"]),
)
def test_parameters_survive_their_text(steps: int, lr: float, preset: str):
    texts = {"encoder": "scratch", "steps": str(steps), "lr": repr(lr), "preset": preset}
    p = flags.resolve(flags.from_mapping(params.Finetune, texts))
    assert (p.steps, p.lr) == (steps, lr)
    assert flags.resolve(flags.from_mapping(params.Finetune, flags.texts(p))) == p
