"""The probe against closed forms and known answers: ridge by scikit-learn, shares by counting, an easy image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import nn

from sslseg.annotation import labelprobe
from sslseg.annotation.labelprobe import GRID, RIDGE
from sslseg.config.names import EncoderError
from sslseg.data.streams import stream
from sslseg.models import encoder


def test_the_regression_is_scikit_learns_with_equal_classes() -> None:
    rng = stream(0, "test")
    x = rng.normal(size=(5, 40, 6)).astype(np.float32)
    x = np.concatenate([x, np.ones((5, 40, 1), np.float32)], axis=2)
    y = rng.dirichlet([8, 1, 1], size=(5, 40)).astype(np.float32)
    flat = y.reshape(-1, 3)
    weight = (flat / flat.mean(axis=0)).sum(axis=1)
    own = Ridge(alpha=RIDGE).fit(x.reshape(-1, 7)[:, :6], flat, sample_weight=weight / weight.mean())
    found = labelprobe.fit(x, y)
    np.testing.assert_allclose(found[:6].T, own.coef_, rtol=2e-2, atol=1e-7)
    np.testing.assert_allclose(found[6], own.intercept_, rtol=1e-3)


def test_shares_are_counted_and_unknown_pixels_are_in_none() -> None:
    labels = np.zeros((1, 2 * GRID, 2 * GRID), np.uint8)
    labels[0, :2, :2] = [[1, 2], [255, 255]]
    found = labelprobe.shares(labels, 3)
    assert found.shape == (1, GRID**2, 3)
    assert found[0, 0].tolist() == [0, 0.25, 0.25]
    assert found[0, 1].tolist() == [1, 0, 0]


def squares(n: int) -> tuple[torch.Tensor, np.ndarray]:
    """A bright square at another place of each image, and its mask."""
    rng, labels = stream(1, "test"), np.zeros((n, 96, 96), np.uint8)
    for image, (y, x) in zip(labels, rng.integers(8, 56, (n, 2)), strict=True):
        image[y : y + 32, x : x + 32] = 1
    noise = rng.normal(0, 0.1, (n, 1, 96, 96)).astype(np.float32)
    return torch.from_numpy(labels[:, None] + noise), labels


def test_more_slices_of_an_easy_thing_are_worth_more() -> None:
    images, labels = squares(40)
    net = encoder.build("test_resnet", 1, seed=0).eval()
    with torch.inference_mode():
        seen = labelprobe.see(net, images)
    deep = sum(stage["num_chs"] for stage in net.feature_info if stage["reduction"] >= 4)
    assert seen.shape == (40, GRID**2, deep)
    law = labelprobe.projection(seen)
    x, y = law(seen), labelprobe.shares(labels, 2)
    assert np.ptp(x[..., -1]) == 0
    scores = [labelprobe.score(labelprobe.fit(x[:n], y[:n]), x[30:], labels[30:]) for n in (1, 30)]
    assert scores[0] < scores[1]
    assert scores[1] > 0.5


def test_where_a_cell_lies_is_told_by_gaussians_on_a_grid_of_five_by_five() -> None:
    """Standardised, each of 25 is a straight line of exp(-d² / 2·0.35²), d from its centre in half sides of the slice."""
    found, ones = np.split(labelprobe._where().astype(float), [25], axis=1)
    assert (found.shape, ones.tolist()) == ((GRID**2, 25), [[1.0]] * GRID**2)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(found.std(axis=0), 1, rtol=1e-5)
    line = np.array([2 * k / (GRID - 1) - 1 for k in range(GRID)])
    for k, (a, b) in enumerate((a, b) for a in (-1, -0.5, 0, 0.5, 1) for b in (-1, -0.5, 0, 0.5, 1)):
        bump = np.array(
            [[np.exp(-((y - a) ** 2 + (x - b) ** 2) / 0.245) for x in line] for y in line]
        ).ravel()
        np.testing.assert_allclose(found[:, k], (bump - bump.mean()) / bump.std(), atol=1e-5)


def test_a_network_without_stages_is_said() -> None:
    with pytest.raises(EncoderError, match="simulate_with=finetune"):
        labelprobe.see(nn.Identity(), torch.zeros(1, 1, 32, 32))
