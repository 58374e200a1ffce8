"""Colourisation against Zhang et al.'s formulas, and CIE Lab against scikit-image's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab

from sslseg.data.views import colour
from sslseg.methods.restoration import colourisation
from sslseg.testing import methods
from sslseg.training import losses


def pictures(batch: int = 2, side: int = 8) -> torch.Tensor:
    return torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_lab_is_that_of_scikit_image():
    rgb = pictures()
    rgb[0, :, 0] = 0.02  # below the straight parts of both curves
    wanted = rgb2lab(rgb.movedim(1, 3).double().numpy())
    np.testing.assert_allclose(colour.lab(rgb).movedim(1, 3).numpy(), wanted, atol=2e-3)


def test_every_colour_has_its_bin_and_every_bin_a_colour():
    middles = colourisation.bins(10)
    assert len(middles) == 261
    axis = np.linspace(0, 1, 40)
    rgb = np.stack(np.meshgrid(axis, axis, axis), -1).reshape(-1, 1, 3)
    ab = rgb2lab(rgb)[:, 0, 1:]
    nearest = torch.cdist(torch.from_numpy(ab).float(), middles).min(1)
    assert nearest.values.max() < 10 / np.sqrt(2) + 0.1
    assert len(nearest.indices.unique()) >= 250  # this grid misses a few bins of few colours


def test_a_colour_is_told_by_its_five_nearest_bins():
    """Zhang et al. 2.1: a Gaussian of the distance, of sum 1."""
    middles, ab = colourisation.bins(20), torch.tensor([[3.0, -4.0], [61.0, 37.0]])
    codes = losses.colour_codes(ab, middles, 5.0).double()
    for code, point in zip(codes, ab.double(), strict=True):
        distance = (middles.double() - point).norm(dim=1)
        near = distance.argsort()[:5]
        weight = torch.exp(-distance[near].square() / (2 * 25))
        wanted = torch.zeros(len(middles), dtype=torch.float64)
        wanted[near] = weight / weight.sum()
        torch.testing.assert_close(code, wanted, rtol=1e-5, atol=1e-7)


def test_rare_colours_weigh_more_and_all_together_as_much_as_none():
    """Zhang et al. eq. 4: w is inverse to (1 - l) p + l / Q, and its expectation is 1."""
    p = torch.tensor([0.7, 0.2, 0.1, 0.0])
    found = losses.rebalancing(p, 0.5)
    raw = [1 / (0.5 * q + 0.5 / 4) for q in p.tolist()]
    scale = sum(w * q for w, q in zip(raw, p.tolist(), strict=True))
    torch.testing.assert_close(found, torch.tensor(raw) / scale, rtol=1e-5, atol=0)
    torch.testing.assert_close(losses.rebalancing(p, 1.0), torch.ones(4))


def test_the_loss_is_equation_2():
    g = torch.Generator().manual_seed(0)
    logits, codes = torch.randn(9, 6, generator=g), torch.rand(9, 6, generator=g).softmax(1)
    weights, total = torch.rand(6, generator=g), 0.0
    for logit, code in zip(logits.double(), codes.double(), strict=True):
        log = logit - logit.exp().sum().log()
        total -= float(weights[code.argmax()] * (code * log).sum()) / 9
    assert losses.coloured(logits, codes, weights).item() == pytest.approx(total, rel=1e-5)


def test_the_encoder_sees_no_colour_and_the_colours_are_counted():
    method, given = methods.create("colourisation", memory=0.9), methods.batch("colourisation")
    (view,) = given.views
    assert view.min() >= -1e-6
    assert view.max() <= 1 + 1e-6
    before, codes = method.modules["occurs"].value.clone(), method.codes(view)
    method.loss(given)
    wanted = 0.9 * before + 0.1 * codes.mean(0)
    torch.testing.assert_close(method.modules["occurs"].value, wanted, rtol=1e-4, atol=1e-7)
    seen: list[torch.Tensor] = []
    method.modules["online"].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    method.loss(given)
    grey = (torch.from_numpy(rgb2lab(view.movedim(1, 3).numpy())[..., 0]) / 100 - 0.5) / 0.25
    torch.testing.assert_close(seen[0][:, 0], grey.float(), rtol=1e-3, atol=1e-3)
