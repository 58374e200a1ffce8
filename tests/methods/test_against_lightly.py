"""Losses against those of lightly: its 1.6.0's numbers are kept here, and asked for again where it is installed.

`python -m tests.methods.test_against_lightly` prints them anew, in an environment with `pip install lightly`.
"""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from sslseg.training import agreement, losses

B, D = 16, 12
NUMBERS = {
    "simclr": 6.317349433898926,
    "byol": 1.9582457542419434,
    "moco": 4.3273396492004395,
    "swav": 5.330039024353027,
    "barlow": 11.948929786682129,
    "vicreg": 54.57345962524414,
    "dino": 17.077756881713867,
}


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


ONE, OTHER = random(B, D, seed=0), random(B, D, seed=1)
QUEUE = functional.normalize(random(32, D, seed=2), dim=1)
SCORES = [functional.normalize(random(B, D, seed=k), dim=1) for k in range(5)]
STUDENT, TEACHER = [random(B, D, seed=k) for k in range(4)], [random(B, D, seed=9 + k) for k in range(2)]

OURS = {
    "simclr": lambda: losses.nt_xent(ONE, OTHER, 0.1),
    "byol": lambda: losses.byol_regression(ONE, OTHER),
    "moco": lambda: agreement.info_nce(ONE, OTHER, QUEUE, 0.2),
    "swav": lambda: agreement.swapped(SCORES, temperature=0.1, epsilon=0.05, iterations=3),
    "barlow": lambda: agreement.barlow(ONE, OTHER, 0.005),
    "vicreg": lambda: agreement.vicreg(ONE, OTHER, 25.0, 25.0, 1.0),
    "dino": lambda: agreement.distilled(STUDENT, TEACHER, torch.zeros(D), (0.1, 0.04)),
}


def theirs() -> dict[str, float]:
    """What lightly computes from the same tensors."""
    loss = pytest.importorskip("lightly.loss")
    moco = loss.NTXentLoss(temperature=0.2, memory_bank_size=(32, D))
    moco.memory_bank.bank, moco.memory_bank.bank_ptr = QUEUE.clone(), torch.zeros(1, dtype=torch.long)
    swav = loss.SwaVLoss(temperature=0.1, sinkhorn_iterations=3, sinkhorn_epsilon=0.05)
    vicreg = loss.VICRegLoss(lambda_param=25.0, mu_param=25.0, nu_param=1.0)
    dino = loss.DINOLoss(output_dim=D, teacher_temp=0.04, warmup_teacher_temp=0.04, student_temp=0.1)
    found = {
        "simclr": loss.NTXentLoss(temperature=0.1)(ONE, OTHER),
        "byol": 2 + 2 * loss.NegativeCosineSimilarity()(ONE, OTHER),
        "moco": moco(ONE, functional.normalize(OTHER, dim=1)),
        "swav": swav(SCORES[:2], SCORES[2:]),
        "barlow": loss.BarlowTwinsLoss(lambda_param=0.005)(ONE, OTHER),
        "vicreg": vicreg(ONE, OTHER),
        "dino": dino(TEACHER, STUDENT, epoch=0),
    }
    return {name: value.item() for name, value in found.items()}


@pytest.mark.parametrize("name", OURS)
def test_a_loss_is_lightly_s(name: str):
    assert OURS[name]().item() == pytest.approx(NUMBERS[name], rel=1e-5)


def test_the_numbers_are_lightly_s():
    assert theirs() == pytest.approx(NUMBERS, rel=1e-5)


if __name__ == "__main__":
    print(*(f'    "{name}": {value!r},' for name, value in theirs().items()), sep="\n")
