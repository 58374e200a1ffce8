"""Losses against those of lightly 1.6, where it is installed: `pip install 'lightly>=1.6'`."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from sslseg.training import agreement, losses

loss = pytest.importorskip("lightly.loss")
B, D = 16, 12


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


ONE, OTHER = random(B, D, seed=0), random(B, D, seed=1)


def same(found: torch.Tensor, wanted: torch.Tensor) -> None:
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5, abs=1e-6)


def test_simclr():
    same(losses.nt_xent(ONE, OTHER, 0.1), loss.NTXentLoss(temperature=0.1)(ONE, OTHER))


def test_byol():
    same(losses.byol_regression(ONE, OTHER), 2 + 2 * loss.NegativeCosineSimilarity()(ONE, OTHER))


def test_moco():
    criterion = loss.NTXentLoss(temperature=0.2, memory_bank_size=(32, D))
    queue = functional.normalize(random(32, D, seed=2), dim=1)
    criterion.memory_bank.bank, criterion.memory_bank.bank_ptr = (
        queue.clone(),
        torch.zeros(1, dtype=torch.long),
    )
    wanted = criterion(ONE, functional.normalize(OTHER, dim=1))
    same(agreement.info_nce(ONE, OTHER, queue, 0.2), wanted)


def test_swav():
    scores = [functional.normalize(random(B, D, seed=k), dim=1) for k in range(5)]
    criterion = loss.SwaVLoss(temperature=0.1, sinkhorn_iterations=3, sinkhorn_epsilon=0.05)
    found = agreement.swapped(scores, temperature=0.1, epsilon=0.05, iterations=3)
    same(found, criterion(scores[:2], scores[2:]))


def test_barlow():
    same(agreement.barlow(ONE, OTHER, 0.005), loss.BarlowTwinsLoss(lambda_param=0.005)(ONE, OTHER))


def test_vicreg():
    criterion = loss.VICRegLoss(lambda_param=25.0, mu_param=25.0, nu_param=1.0)
    same(agreement.vicreg(ONE, OTHER, 25.0, 25.0, 1.0), criterion(ONE, OTHER))


def test_dino():
    criterion = loss.DINOLoss(output_dim=D, teacher_temp=0.04, warmup_teacher_temp=0.04, student_temp=0.1)
    student, teacher = [random(B, D, seed=k) for k in range(4)], [random(B, D, seed=9 + k) for k in range(2)]
    same(
        agreement.distilled(student, teacher, torch.zeros(D), (0.1, 0.04)),
        criterion(teacher, student, epoch=0),
    )
