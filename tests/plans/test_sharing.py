"""Workers for one card, against counts that follow by hand from memory, step and cores."""

from __future__ import annotations

import pytest

from sslseg.plans.sharing import Alone, per_card

H200 = 141e9


@pytest.mark.parametrize(
    ("alone", "cores", "pretrains", "number", "why"),
    [
        # the card computes 8 of 25 ms: four fill it
        (Alone(0.025, 0.008, 2e9, H200), 16, False, 4, "a step of 25 ms keeps the card busy for 8 ms"),
        # a large network keeps it busy alone (U-Net, ResNet-50, 224 px, batch 192: 92.5 ms, 15 GiB)
        (Alone(0.0925, 0.0915, 16e9, H200), 16, False, 1, "a step of 92 ms keeps the card busy for 92 ms"),
        # 24 GB: 21.6 for 7.6 each
        (Alone(0.025, 0.005, 7e9, 24e9), 16, False, 2, "22 GB for 7.6 GB each"),
        # twice the memory where there are pretrainings: one, at the least
        (Alone(0.025, 0.005, 7e9, 24e9), 16, True, 1, "22 GB for 14.6 GB each"),
        (Alone(0.025, 0.001, 1e9, H200), 6, False, 6, "6 cores a card"),
        (Alone(0.025, 0.025, 200e9, H200), 16, False, 1, "127 GB for 200.6 GB each"),
    ],
)
def test_workers_for_a_card(alone: Alone, cores: int, pretrains: bool, number: int, why: str):
    assert per_card(alone, cores, pretrains) == (number, why)


def test_more_of_anything_never_gives_fewer():
    counts = [per_card(Alone(0.02, busy / 1000, 4e9, H200), 64)[0] for busy in range(1, 21)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == 20
    assert counts[-1] == 1
    assert [per_card(Alone(0.02, 0.0001, 4e9, card * 1e9), 64)[0] for card in (8, 16, 40, 80)] == [
        1,
        3,
        7,
        15,
    ]
