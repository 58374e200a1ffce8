"""Each loss against its paper's formula, written out term by term in double precision."""

from __future__ import annotations

import math

import pytest
import torch

from sslseg.training import agreement

B, D, K = 7, 5, 11


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def unit(z: torch.Tensor) -> torch.Tensor:
    return z / z.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("temperature", [0.07, 0.2])
def test_info_nce_is_moco_s_equation_1(temperature):
    query, key, queue = random(B, D), random(B, D, seed=1), unit(random(K, D, seed=2))
    q, k, others = unit(query.double()), unit(key.double()), queue.double()
    total = 0.0
    for i in range(B):
        own = math.exp(float(q[i] @ k[i]) / temperature)
        rest = sum(math.exp(float(q[i] @ others[j]) / temperature) for j in range(K))
        total -= math.log(own / (own + rest))
    assert agreement.info_nce(query, key, queue, temperature).item() == pytest.approx(total / B, rel=1e-5)


def test_no_gradient_flows_into_the_keys():
    query, key = random(B, D).requires_grad_(), random(B, D, seed=1).requires_grad_()
    agreement.info_nce(query, key, unit(random(K, D)), 0.2).backward()
    assert query.grad.abs().sum() > 0
    assert key.grad is None
    student, teacher = ([random(B, D, seed=s).requires_grad_() for s in seeds] for seeds in ((2, 3), (4, 5)))
    agreement.distilled(student, teacher, torch.zeros(D), (0.1, 0.04)).backward()
    assert [view.grad is None for view in (*student, *teacher)] == [False, False, True, True]
    scores = random(B, K, seed=6).requires_grad_()
    assert not agreement.sinkhorn(scores, 0.05, 3).requires_grad  # SwAV's clusters are targets


def by_the_definition(scores: torch.Tensor, epsilon: float, iterations: int) -> torch.Tensor:
    """SwAV's listing in its appendix A.1: Q = exp(scores / eps).T, rows then columns, in double precision."""
    q = torch.exp(scores.double() / epsilon).T
    q /= q.sum()
    r, c = torch.ones(q.shape[0]).double() / q.shape[0], torch.ones(q.shape[1]).double() / q.shape[1]
    for _ in range(iterations):
        q *= (r / q.sum(1)).unsqueeze(1)
        q *= (c / q.sum(0)).unsqueeze(0)
    return (q / q.sum(0, keepdim=True)).T


def test_sinkhorn_is_the_listing_of_swav():
    scores = unit(random(B, D)) @ unit(random(D, K, seed=1).T).T
    found = agreement.sinkhorn(scores, 0.05, 3)
    torch.testing.assert_close(found.double(), by_the_definition(scores, 0.05, 3), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.sum(1), torch.ones(B))
    shifted = agreement.sinkhorn(scores + 50, 0.05, 3)  # a power of 1,000 is no number
    torch.testing.assert_close(shifted, found, rtol=1e-3, atol=1e-4)
    many = agreement.sinkhorn(scores, 0.5, 200)
    torch.testing.assert_close(many.sum(0), torch.full((K,), B / K), rtol=1e-3, atol=1e-4)  # equally often


def test_swapped_prediction_is_swav_s_equation_2_over_all_views():
    scores = [random(B, K, seed=s) / 3 for s in range(4)]
    total = 0.0
    for i in range(2):
        q = by_the_definition(scores[i], 0.05, 3)
        for j in range(4):
            if j != i:
                p = torch.softmax(scores[j].double() / 0.1, 1)
                total -= float((q * p.log()).sum(1).mean()) / 3
    found = agreement.swapped(scores, temperature=0.1, epsilon=0.05, iterations=3)
    assert found.item() == pytest.approx(total / 2, rel=1e-5)


def test_barlow_is_its_equation_1():
    one, other, trade = random(32, D), random(32, D, seed=1), 0.005
    a, b = ((z - z.mean(0)) / (z.var(0, correction=0) + 1e-5).sqrt() for z in (one.double(), other.double()))
    total = 0.0
    for i in range(D):
        for j in range(D):
            c = float((a[:, i] * b[:, j]).sum()) / 32
            total += (1 - c) ** 2 if i == j else trade * c**2
    assert agreement.barlow(one, other, trade).item() == pytest.approx(total, rel=1e-5)
    assert agreement.barlow(one, one, 0.0).item() == pytest.approx(0.0, abs=1e-6)


def test_vicreg_is_its_listing():
    """VICReg, algorithm 1: invariance, hinge on the s.d., squared covariances over the width."""
    x, y = random(16, D).double(), 0.3 * random(16, D, seed=1).double()
    invariance = ((x - y) ** 2).sum() / (16 * D)
    variance = covariance = 0.0
    for z in (x, y):
        for i in range(D):
            std = math.sqrt(float(((z[:, i] - z[:, i].mean()) ** 2).sum()) / 15 + 1e-4)
            variance += max(0.0, 1 - std) / D / 2
            for j in range(D):
                if i != j:
                    c = float(((z[:, i] - z[:, i].mean()) * (z[:, j] - z[:, j].mean())).sum()) / 15
                    covariance += c**2 / D
    expected = 25 * float(invariance) + 25 * variance + covariance
    assert agreement.vicreg(x.float(), y.float(), 25, 25, 1).item() == pytest.approx(expected, rel=1e-5)


def test_distillation_is_dino_s_equation_over_all_pairs_of_different_views():
    student = [random(B, K, seed=s) for s in range(4)]
    teacher, centre = [random(B, K, seed=s + 9) for s in range(2)], random(K, seed=20)
    total, count = 0.0, 0
    for i, t in enumerate(teacher):
        for j, s in enumerate(student):
            if i != j:
                q = torch.softmax((t.double() - centre.double()) / 0.04, 1)
                total -= float((q * torch.log_softmax(s.double() / 0.1, 1)).sum(1).mean())
                count += 1
    assert count == 6
    found = agreement.distilled(student, teacher, centre, (0.1, 0.04))
    assert found.item() == pytest.approx(total / count, rel=1e-5)


def test_positives_are_supcon_s_equation_2():
    z = random(8, D)
    label = torch.tensor([0, 0, 1, 1, 2, 2, 0, 1])
    same, u, total = label[:, None] == label, unit(z.double()), 0.0
    for i in range(8):
        rest = sum(math.exp(float(u[i] @ u[a]) / 0.1) for a in range(8) if a != i)
        mates = [p for p in range(8) if p != i and label[p] == label[i]]
        total -= sum(math.log(math.exp(float(u[i] @ u[p]) / 0.1) / rest) for p in mates) / len(mates)
    assert agreement.positives(z, same, 0.1).item() == pytest.approx(total / 8, rel=1e-5)


def test_losses_are_computed_in_float32_whatever_the_networks_give():
    one, other = random(16, D), random(16, D, seed=1)
    half = agreement.vicreg(one.bfloat16(), other.bfloat16(), 25, 25, 1)
    assert half.dtype == torch.float32
    assert agreement.barlow(one.bfloat16(), other.bfloat16(), 0.005).dtype == torch.float32
