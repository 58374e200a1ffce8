"""Vital signs on features whose answer is known."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from sslseg.models import modes
from sslseg.training import vitals


@pytest.fixture
def noise():
    return torch.randn(2000, 16, generator=torch.Generator().manual_seed(0))


def test_evenly_spread_features(noise):
    assert float(vitals.representation_std(noise)) == pytest.approx(1 / math.sqrt(16), rel=0.01)
    assert float(vitals.effective_rank(noise)) == pytest.approx(16, rel=0.01)


def test_of_a_batch_the_rank_is_that_of_its_first_32_and_of_no_numbers_there_is_none(noise):
    assert float(vitals.of_batch(noise)["effective_rank"]()) == float(vitals.effective_rank(noise[:32]))
    assert math.isnan(float(vitals.effective_rank(noise.index_fill(0, torch.tensor([5]), torch.inf))))


def test_scale_of_a_feature_says_nothing(noise):
    torch.testing.assert_close(vitals.representation_std(5 * noise), vitals.representation_std(noise))
    torch.testing.assert_close(
        vitals.effective_rank(5 * noise), vitals.effective_rank(noise), rtol=1e-4, atol=0
    )


def test_rank_against_the_definition(noise):
    few = noise[:20] * torch.linspace(0.1, 3, 16)
    values = np.linalg.svd(few.double().numpy(), compute_uv=False)
    share = values / values.sum()
    length = few / few.norm(dim=1, keepdim=True)
    assert float(vitals.representation_std(few)) == pytest.approx(float(length.numpy().std(axis=0).mean()))
    assert float(vitals.effective_rank(few)) == pytest.approx(
        math.exp(-(share * np.log(share)).sum()), rel=1e-5
    )


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_rank_of_equal_directions(rank):
    features = torch.eye(16)[torch.arange(60) % rank]
    assert float(vitals.effective_rank(features)) == pytest.approx(rank, rel=1e-4)


def test_constant_features_have_no_spread_and_rank_one():
    features = torch.ones(8, 5)
    assert float(vitals.representation_std(features)) == pytest.approx(0, abs=1e-6)
    assert float(vitals.effective_rank(features)) == pytest.approx(1, abs=1e-3)
    assert float(vitals.effective_rank(torch.zeros(8, 5))) == pytest.approx(1)  # dead network


class Features(nn.Module):
    """Answers with fixed features, and remembers in which mode it was asked."""

    def __init__(self, features):
        super().__init__()
        self.features, self.dropout, self.asked = features, nn.Dropout(), None

    def forward(self, images):
        self.asked = (self.training, torch.is_inference_mode_enabled())
        return self.features


@pytest.mark.parametrize(
    ("features", "dead"),
    [
        (torch.randn(64, 32, generator=torch.Generator().manual_seed(1)), False),
        (torch.relu(torch.randn(64, 32, generator=torch.Generator().manual_seed(1)) + 2), False),
        (torch.eye(64)[torch.arange(64) % 2], True),  # two directions of equal strength
        (torch.eye(64)[torch.arange(64) % 4], False),
        (torch.diag(torch.tensor([9.0, 1, 0, 0, 0, 0, 0, 0])), False),  # of 8 images a rank of 1.4
        (1 + 1e-4 * torch.randn(64, 32, generator=torch.Generator().manual_seed(1)), True),
        (torch.ones(64, 1) * torch.linspace(1, 2, 32), True),
        (
            torch.tensor([[1.0], [-1.0]]).repeat(4, 1) * torch.linspace(1, 2, 8),
            True,
        ),  # one direction, 8 images
        (torch.zeros(64, 32), True),
        (torch.full((64, 32), torch.nan), True),
    ],
)
def test_verdict(features, dead):
    signs = vitals.of_encoder(Features(features), torch.zeros(64, 1, 2, 2))
    assert vitals.collapsed(signs) is dead
    assert signs["spread"] <= 1 or math.isnan(signs["spread"])
    assert signs["rank_share"] == pytest.approx(signs["effective_rank"] / min(features.shape), nan_ok=True)


def test_modes_are_put_back_also_after_an_error():
    net = Features(torch.ones(2, 2)).train()
    net.dropout.eval()
    vitals.of_encoder(net, torch.zeros(2, 1, 2, 2))
    assert net.asked == (False, True)
    assert net.training
    assert not net.dropout.training
    with pytest.raises(ZeroDivisionError), modes.evaluating(net):
        _ = 1 / 0
    assert net.training
