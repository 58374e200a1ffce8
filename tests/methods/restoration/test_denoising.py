"""Denoising by its paper's formulas, written out; and that the clean view is nowhere in what the network sees."""

import pytest
import torch

from sslseg.testing import methods
from sslseg.training import losses


@pytest.mark.parametrize("sigma", [0.22, 1.5])
def test_the_loss_is_the_mean_square_of_noise_minus_its_estimate(sigma):
    """Brempong et al. 2022, eq. 2 and 4: the noise again from the seed, the network run by hand."""
    method, given = methods.create("denoising", sigma=sigma), methods.batch("denoising")
    with torch.random.fork_rng():
        torch.manual_seed(3)
        value, _ = method.loss(given)
        torch.manual_seed(3)
        noise = torch.randn_like(given.views[0])
    gamma = 1 / (1 + sigma**2)
    damaged = gamma**0.5 * given.views[0] + (1 - gamma) ** 0.5 * noise
    found = method.unet.net(damaged)
    assert value.item() == pytest.approx(((found - noise) ** 2).mean().item(), rel=1e-5)


def test_noise_keeps_the_variance_and_has_the_share_that_sigma_says():
    generator = torch.Generator().manual_seed(0)
    x, e = (torch.randn(200_000, generator=generator, dtype=torch.float64) for _ in range(2))
    damaged = losses.noised(x, e, 0.5)
    assert damaged.std().item() == pytest.approx(1.0, abs=0.01)
    assert ((damaged @ e) / (damaged @ x)).item() == pytest.approx(0.5, abs=0.02)  # noise over image
    assert torch.equal(losses.noised(x, torch.zeros_like(x), 0.0), x)
