"""Intensity laws against the same arithmetic on the physical voxels."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sslseg.config.names import DataError
from sslseg.data.slices import prepare
from sslseg.data.slices.intensity import Intensity, fit
from sslseg.datasets.hearts import acdc
from tests.fixtures import trees


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("intensity")
    tree = trees.acdc(root / "acdc", patients=4)
    flat = tree / "patient004" / "patient004_frame01.nii.gz"
    trees.nifti(flat, np.full((20, 24, 3), 7, np.int16))  # a volume of one value
    wide = tree / "patient003" / "patient003_frame01.nii.gz"
    trees.nifti(wide, np.random.default_rng(3).normal(1e4, 1e5, (20, 24, 3)).astype(np.float32))
    return prepare.prepare("acdc", tree, root / "cache", spacing=0.0, progress=False), tree


def seen(store, law, rows):
    parts = law.affine(store, rows)
    assert [p.dtype for p in parts] == [np.float32] * 4
    assert {p.shape for p in parts} == {(len(rows), 1)}
    low, high, scale, offset = (p[:, :, None, None] for p in parts)
    codes = np.stack([store.codes(i) for i in rows]).astype(np.float32)
    return np.clip(codes, low, high) * scale + offset


def mapped(store, tree, rows):
    """[0, 1] by the 1st and 99th percentile of the whole file, from the files themselves."""
    images = [acdc.read(s).image[0].astype(float) for s in acdc.find(tree)]
    out = []
    for i in rows:
        volume = images[store.index["volume"][i]]
        low, high = np.percentile(volume, [1, 99])
        plane = volume[store.index["z"][i]]
        out.append((np.clip(plane, low, high) - low) / (high - low) if high > low else 0 * plane)
    return np.stack(out)[:, None]


def test_dataset_law_is_a_z_score_of_the_clipped_train_pixels(store):
    store, tree = store
    rows = store.index.index.to_numpy()
    law, wanted = fit(store, rows), mapped(store, tree, rows)
    assert law.mean[0] == pytest.approx(wanted.mean(), abs=2e-5)  # one volume is float: 16-bit codes
    assert law.std[0] == pytest.approx(wanted.std(), abs=2e-5)
    np.testing.assert_allclose(seen(store, law, rows), (wanted - law.mean[0]) / law.std[0], atol=2e-4)


def test_only_the_given_rows_are_fitted(store):
    store, tree = store
    rows = store.index.index[store.index["patient"] == "patient001"].to_numpy()
    assert fit(store, rows).mean[0] == pytest.approx(mapped(store, tree, rows).mean(), abs=1e-6)


def test_encoder_law(store):
    store, tree = store
    rows = np.array([0, 4, 9])
    law = Intensity("encoder", 0.5, 0.25)
    np.testing.assert_allclose(seen(store, law, rows), (mapped(store, tree, rows) - 0.5) / 0.25, atol=2e-4)


def test_paper_code_law_is_double_scaled_and_not_clipped(store):
    store, tree = store
    image = acdc.read(acdc.find(tree)[0]).image[0, 0].astype(float)
    got = seen(store, Intensity("paper-code"), np.array([0]))[0, 0]
    wanted = (image - 67.27297657740893 * 255) / (84.6606962344396 * 255)
    np.testing.assert_allclose(got, wanted, atol=1e-6)
    assert got.std() < 0.01  # flaw F1


def test_a_constant_volume_maps_to_one_finite_value(store):
    store, _ = store
    table = store.volume_table
    volume = table.index[(table["patient"] == "patient004") & (table["frame"] == 1)][0]
    row = store.index.index[store.index["volume"] == volume].to_numpy()[:1]
    np.testing.assert_allclose(seen(store, Intensity("dataset", 0.3, 0.2), row), -1.5, rtol=1e-6)
    with pytest.raises(DataError, match="one single value"):
        fit(store, row)
    with pytest.raises(DataError, match="got none"):
        fit(store, [])


def test_law_survives_json_and_refuses_nonsense(store):
    law = fit(store[0], [0, 1])
    assert Intensity.from_json(json.loads(json.dumps(law.to_json()))) == law
    with pytest.raises(DataError, match="positive"):
        Intensity("dataset", 0.0, 0.0)
    with pytest.raises(DataError, match="wanted dataset, encoder"):
        Intensity("zscore")
    with pytest.raises(DataError, match="1 or 1 values"):
        Intensity("encoder", (0.4, 0.5, 0.6), (0.2, 0.2, 0.2)).affine(store[0], [0])
