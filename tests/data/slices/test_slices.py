"""The slice store: codes against voxels, geometry, warm starts, faults."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sslseg.config.names import DataError, ParamError
from sslseg.data.slices import encode
from sslseg.data.slices import prepare as slices
from sslseg.data.source import IGNORE, Volume
from sslseg.datasets.hearts import acdc
from tests.fixtures import trees
from tests.fixtures.acdc_stores import prepare


def physical(codes, scale, intercept):
    return codes * scale[:, None, None] + intercept[:, None, None]


# ---------------------------------------------------------------- codes
@given(hnp.arrays(np.int32, (2, 3, 4), elements=st.integers(-1000, 64_535)), st.integers(-(2**30), 2**30))
def test_integers_whose_range_fits_are_lossless(values, shift):
    codes, scale, intercept = encode.quantise(values + shift)
    np.testing.assert_array_equal(physical(codes, scale, intercept), values + shift)


@given(hnp.arrays(np.float32, (1, 3, 4), elements=st.floats(-1e6, 1e6, width=32)))
@example(np.full((1, 3, 4), 2.0**-52, np.float32))  # was stored as 0
def test_floats_are_within_1e_4_of_the_range(values):
    codes, scale, intercept = encode.quantise(values)
    error = np.abs(physical(codes, scale, intercept) - values).max()
    assert error <= 1e-4 * float(np.ptp(values))


def test_store_holds_the_voxels_of_every_file(tree, tmp_path):
    store = prepare(tree, tmp_path / "cache")
    for source, (v, rows) in zip(acdc.find(tree), store.index.groupby("volume"), strict=True):
        image = acdc.read(source).image[0]
        unit, zero = store.volumes["scale"][v], store.volumes["intercept"][v]
        for z, i in enumerate(rows.index):
            np.testing.assert_array_equal(physical(store.codes(i), unit, zero)[0], image[z])
        assert store.volumes["p99"][v, 0] == np.percentile(image, 99)
        assert store.volume_table[encode.XXH3][v] == encode.voxel_digest(image[None].astype(np.float32))


def test_resampled_floats_are_within_1e_4_of_the_range(tree, tmp_path):
    store = prepare(tree, tmp_path / "cache", spacing=2.0)
    image = acdc.read(acdc.find(tree)[0]).image
    wanted = encode.resample_image(image, (18, 15))
    got = physical(store.codes(0), store.volumes["scale"][0], store.volumes["intercept"][0])
    assert np.abs(got - wanted[:, 0]).max() <= 1e-4 * np.ptp(wanted)


# ---------------------------------------------------------------- geometry
def test_new_size_and_exact_spacing():
    e = encode.encode(Volume(np.zeros((1, 2, 101, 50), np.int16), None, (8.0, 1.3, 1.7)), 1.5, 1)
    assert e.codes.shape == (2, 1, round(101 * 1.3 / 1.5), round(50 * 1.7 / 1.5))
    assert e.spacing == pytest.approx((8.0, 101 * 1.3 / 88, 50 * 1.7 / 57))


def test_halving_is_the_mean_of_four_voxels_and_keeps_the_majority_label():
    image = np.random.default_rng(0).integers(0, 999, (1, 1, 8, 6))
    np.testing.assert_allclose(
        encode.resample_image(image, (4, 3))[0, 0], image.reshape(4, 2, 3, 2).mean(axis=(1, 3)), rtol=1e-12
    )
    label = np.array([[[0, 1, IGNORE, IGNORE], [1, 1, 3, 3]]], np.uint8)
    assert encode.resample_label(label, (1, 2)).tolist() == [[[1, IGNORE]]]


@pytest.mark.parametrize("size", [(7, 5), (31, 40)])
def test_labels_never_become_other_labels(size):
    label = np.random.default_rng(1).choice([0, 3, IGNORE], (2, 17, 19)).astype(np.uint8)
    assert set(np.unique(encode.resample_label(label, size))) <= {0, 3, IGNORE}


# ---------------------------------------------------------------- finding it again
def test_second_start_opens_no_image(tree, tmp_path, monkeypatch):
    first = prepare(tree, tmp_path / "cache", spacing=2.0)

    def fail(*_):
        raise AssertionError("an image was opened")

    monkeypatch.setattr(acdc, "read", fail)
    monkeypatch.setattr(acdc.nifti, "read_volume", fail)
    monkeypatch.setattr("sslseg.data.slices.prepare.file_digests", fail)
    again = prepare(tree, tmp_path / "cache", spacing=2.0)
    assert (again.path, again.digest) == (first.path, first.digest)
    with pytest.raises(AssertionError):
        prepare(tree, tmp_path / "cache", spacing=2.0, verify=True)


def test_store_is_named_after_content_not_after_time_or_place(tree, tmp_path, monkeypatch):
    first = prepare(tree, tmp_path / "cache")
    file = tree / "patient001" / "patient001_frame01.nii.gz"
    tree.rename(tmp_path / "moved")
    file = tmp_path / "moved" / file.relative_to(tree)
    os.utime(file, (1, 1))
    assert prepare(tmp_path / "moved", tmp_path / "cache").path == first.path
    assert prepare(tmp_path / "moved", tmp_path / "cache", spacing=2.0).path != first.path
    trees.nifti(file, np.ones((20, 24, 3), np.int16))
    assert prepare(tmp_path / "moved", tmp_path / "cache").digest != first.digest


def test_the_first_of_several_bad_files_is_the_one_that_is_named(tree, tmp_path):
    """Also where what is wrong shows in encoding, while the next file is read already."""
    trees.nifti(tree / "patient001" / "patient001_frame01.nii.gz", np.full((20, 24, 3), np.nan, np.float32))
    _mask_label(tree)
    _corrupt(tree)
    with pytest.raises(DataError, match=r"patient001_frame01\.nii\.gz"):
        prepare(tree, tmp_path / "cache")
    skipped = prepare(tree, tmp_path / "cache", on_bad_file="skip").skipped
    assert [Path(one["file"]).name for one in skipped] == [
        "patient001_frame01.nii.gz",
        "patient002_frame03.nii.gz",
    ]


def test_two_processes_at_once_make_one_store(tree, tmp_path):
    code = (
        "import sys; from pathlib import Path; from sslseg.data.slices.prepare import prepare\n"
        "print(prepare('acdc', Path(sys.argv[1]), Path(sys.argv[2]), spacing=2.0, progress=False).digest)"
    )
    command = [sys.executable, "-c", code, str(tree), str(tmp_path / "cache")]
    env = os.environ | {"PYTHONPATH": "src"}
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) for _ in range(2)]
    digests = {p.communicate()[0] for p in both}
    assert [p.returncode for p in both] == [0, 0]
    assert len(digests) == 1
    assert len(list((tmp_path / "cache" / "slices").glob("acdc-*/meta.json"))) == 1
    assert not [p for p in (tmp_path / "cache" / "slices").glob(".acdc*") if p.is_dir()]


def test_format_is_raised_when_the_codes_change():
    # Another value here means that equal files give other stores: raise encode.FORMAT with it.
    # By hand: means of 2 × 2 run from 10,500 to 130,500, neighbours are 6,000 = 3,276.75 codes apart.
    values = np.arange(48, dtype=np.int32).reshape(1, 2, 4, 6) * 3000
    e = encode.encode(Volume(values, None, (5.0, 1.0, 1.0)), 2.0, 1)
    assert encode.FORMAT == 1
    assert e.codes.shape == (2, 1, 2, 3)
    assert (e.codes[0, 0, 0, 0], e.codes[0, 0, 0, 1], e.codes[-1, 0, -1, -1]) == (-32768, -29491, 32767)
    assert e.scale[0] == pytest.approx(120_000 / 65_535, rel=1e-12)
    assert e.p99[0] == pytest.approx(3000 * 0.99 * 47)


# ---------------------------------------------------------------- faults
def _corrupt(tree):
    path = tree / "patient002" / "patient002_frame03.nii.gz"
    path.write_bytes(path.read_bytes()[:-30])


def _mask_shape(tree):
    trees.nifti(tree / "patient002" / "patient002_frame03_gt.nii.gz", np.zeros((20, 24, 2), np.uint8))


def _mask_label(tree):
    trees.nifti(tree / "patient002" / "patient002_frame03_gt.nii.gz", np.full((20, 24, 3), 4, np.uint8))


def _info(tree):
    (tree / "patient002" / "Info.cfg").write_text("ED: 1\nGroup: DCM\n")


@pytest.mark.parametrize(
    ("damage", "file", "left"),
    [
        (_corrupt, "_frame03.nii.gz", 21),
        (_mask_shape, "_gt", 21),
        (_mask_label, "_gt", 21),
        (_info, "Info.cfg", 20),
    ],
)
def test_a_bad_file_stops_or_is_listed(tree, tmp_path, damage, file, left):
    damage(tree)
    with pytest.raises(DataError, match=file):
        prepare(tree, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("slices/*/meta.json"))
    for _ in range(2):  # cold and warm
        store = prepare(tree, tmp_path / "cache", on_bad_file="skip")
        assert len(store.volume_table) == left
        assert [file in s["reason"] and "patient002" in s["file"] for s in store.skipped] == [True]
    with pytest.raises(DataError, match=file):
        prepare(tree, tmp_path / "cache")


def test_lookups_that_fail(tree, tmp_path):
    store = prepare(tree, tmp_path / "cache")
    unlabelled = store.index.index[~store.index["labelled"]][0]
    with pytest.raises(DataError, match="has no label"):
        store.label(unlabelled)
    with pytest.raises(ParamError, match="data_root"):
        slices.locate("acdc", "", tmp_path)
    with pytest.raises(DataError, match="not there"):
        slices.locate("acdc", str(tmp_path / "nowhere"), tmp_path)
    assert (store.path / slices.SHEET).stat().st_size > 0
    assert store.fingerprint["class_voxels"]["LV"] == sum(
        (store.label(i) == 3).sum() for i in store.index.index[store.index["labelled"]]
    )


@pytest.mark.parametrize("odd", [0, 3, 5])
def test_a_picture_of_other_channels_is_the_one_left_out(tmp_path, odd):
    """Also where it comes first: the others are not judged by it."""
    for n in range(6):
        shape = (8, 9, 3) if n == odd else (8, 9)
        (tmp_path / "raw").mkdir(exist_ok=True)
        picture = np.random.default_rng(n).integers(0, 255, shape).astype(np.uint8)
        cv2.imwrite(str(tmp_path / "raw" / f"{n}.png"), picture)
    how = {"spacing": 0, "progress": False}
    with pytest.raises(DataError, match=r"\.png: wanted \d channels as 0.png and others have, got \d"):
        slices.prepare("images", tmp_path / "raw", tmp_path / "stop", **how)
    store = slices.prepare("images", tmp_path / "raw", tmp_path / "skip", on_bad_file="skip", **how)
    assert (store.channels, len(store)) == (1, 5)
    assert [Path(s["file"]).name for s in store.skipped] == [f"{odd}.png"]
    np.testing.assert_array_equal(
        store.codes(0)[0], cv2.imread(str(tmp_path / "raw" / f"{int(odd == 0)}.png"), -1)
    )
