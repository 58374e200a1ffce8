"""Losses against their definitions and against smp."""

import math

import pytest
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as torch_functional

from sslseg.training import losses


@pytest.fixture
def draw():
    return torch.Generator().manual_seed(0)


def test_byol_regression_is_the_distance_of_unit_vectors(draw):
    a, b = (torch.randn(5, 7, generator=draw) for _ in range(2))
    unit = [v / v.norm(dim=1, keepdim=True) for v in (a, b)]
    wanted = (unit[0] - unit[1]).square().sum(1).mean()
    torch.testing.assert_close(losses.byol_regression(a, b), wanted)
    torch.testing.assert_close(losses.byol_regression(3 * a, b), wanted)  # length says nothing
    assert losses.byol_regression(a, a) == pytest.approx(0, abs=1e-6)


def test_no_gradient_reaches_the_target(draw):
    a, b = (torch.randn(5, 7, generator=draw, requires_grad=True) for _ in range(2))
    losses.byol_regression(a, b).backward()
    assert b.grad is None
    assert a.grad.abs().sum() > 0


def test_nt_xent_is_simclr_equation_1(draw):
    a, b = (torch.randn(3, 4, generator=draw) for _ in range(2))
    z = [v / v.norm() for v in (*a, *b)]
    total = 0.0
    for i in range(6):
        partner = (i + 3) % 6
        others = sum(math.exp(float(z[i] @ z[k]) / 0.2) for k in range(6) if k != i)
        total -= math.log(math.exp(float(z[i] @ z[partner]) / 0.2) / others)
    assert float(losses.nt_xent(a, b, 0.2)) == pytest.approx(total / 6, rel=1e-5)


def test_jaccard_is_smps_when_nothing_is_ignored(draw):
    logits = torch.randn(3, 4, 8, 9, generator=draw)
    truth = torch.randint(0, 4, (3, 8, 9), generator=draw)
    wanted = smp.losses.JaccardLoss("multiclass", from_logits=True)(logits, truth)
    assert torch.equal(losses.jaccard(logits, truth.to(torch.uint8)), wanted)


def test_ignored_pixels_are_as_good_as_cut_off(draw):
    logits = torch.randn(2, 4, 8, 12, generator=draw).requires_grad_()
    truth = torch.randint(0, 4, (2, 8, 12), generator=draw)
    wanted = smp.losses.JaccardLoss("multiclass")(logits[..., :9], truth[..., :9])
    truth[..., 9:] = 255
    loss = losses.jaccard(logits, truth)
    torch.testing.assert_close(loss, wanted)
    loss.backward()
    assert not logits.grad[..., 9:].any()
    assert logits.grad[..., :9].any()


def test_nothing_but_ignored_pixels_is_no_loss(draw):
    logits = torch.randn(1, 4, 4, 4, generator=draw).requires_grad_()
    losses.jaccard(logits, torch.full((1, 4, 4), 255)).backward()
    assert not logits.grad.any()


def test_per_slice_is_a_loop_of_single_slices(draw):
    logits = torch.randn(5, 4, 8, 8, generator=draw)
    truth = torch.randint(0, 4, (5, 8, 8), generator=draw)
    truth[0] = 0  # classes without a true pixel
    truth[1, :, 5:] = 255
    truth[2] = 255
    single = torch.stack([losses.jaccard(logits[i : i + 1], truth[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(losses.jaccard_per_slice(logits, truth.to(torch.uint8)), single)


def test_a_perfect_segmentation_loses_nothing():
    truth = torch.arange(16).reshape(1, 4, 4) % 4
    logits = 100.0 * torch_functional.one_hot(truth, 4).movedim(-1, 1)
    assert float(losses.jaccard(logits, truth)) == pytest.approx(0, abs=1e-6)
