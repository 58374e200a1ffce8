"""What features say by themselves, against scikit-learn, the papers' formulas and invariances."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsRegressor

from sslseg.data.streams import stream
from sslseg.scoring import features


def drawn(*shape: int, name: str = "features") -> np.ndarray:
    return stream(0, name).standard_normal(shape).astype(np.float32)


def test_neighbours_are_scikit_learns():
    known, asked, values = drawn(60, 9), drawn(20, 9, name="asked"), stream(1, "values").random(60)
    for neighbours in (1, 5, 60):
        want = KNeighborsRegressor(neighbours, metric="cosine").fit(known, values).predict(asked)
        assert np.allclose(features.nearest_mean(known, values, asked, neighbours), want)
    assert np.allclose(features.nearest_mean(known[:3], values[:3], asked), values[:3].mean())


def test_alignment_and_uniformity_are_wang_and_isolas():
    one, other = drawn(30, 7), drawn(30, 7, name="other")
    x, y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (one, other))
    assert features.alignment(one, other) == pytest.approx(
        np.mean([np.sum((a - b) ** 2) for a, b in zip(x, y, strict=True)])
    )
    assert features.alignment(one, one * 3) == pytest.approx(0, abs=1e-6)
    assert features.alignment(one, -one) == pytest.approx(4)
    pairs = [np.exp(-2 * np.sum((x[i] - x[j]) ** 2)) for i in range(30) for j in range(i)]
    assert features.uniformity(one) == pytest.approx(np.log(np.mean(pairs)), rel=1e-5)
    assert features.uniformity(np.ones((5, 3))) == pytest.approx(0)
    poles = np.array([[1.0, 0], [-1, 0]])
    assert features.uniformity(poles) == pytest.approx(-8)
    assert features.unit(np.array([[0.0, 0], [3, 4]])).tolist() == [[0, 0], [0.6, 0.8]]


def test_cka_knows_rotations_scales_and_shifts_and_nothing_else():
    x = drawn(40, 12)
    rotation = np.linalg.qr(drawn(12, 12, name="rotation"))[0]
    assert features.cka(x, x @ rotation * 5 + 3) == pytest.approx(1)
    y = drawn(40, 20, name="y")
    a, b = (v.astype(float) - v.mean(0, dtype=float) for v in (x, y))
    want = np.linalg.norm(b.T @ a) ** 2 / (
        np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)
    )  # Kornblith, eq. 3
    assert features.cka(x, y) == features.cka(y, x) == pytest.approx(want)
    assert features.cka(x, x * np.linspace(0.01, 5, 12)) < 0.99  # no invariance to any linear map
    many = drawn(3000, 4), drawn(3000, 4, name="independent")
    assert features.cka(*many) < 0.01
    assert np.isnan(features.cka(x, np.ones((40, 3))))
