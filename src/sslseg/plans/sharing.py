"""How many workers share one card: as many as keep it busy, and fit. Pure."""

import math
from dataclasses import dataclass

ROOM = 0.9  # share of a card's memory that is given out [H]
CONTEXT = 0.6e9  # bytes that a process takes for CUDA itself, beside its tensors [H]
PRETRAINING = 2.0  # times the memory of the measured fine-tuning that one is given, unmeasured [H]
WORTH = 0.05  # share of a step that a card has to idle before another worker is worth its place [H]


@dataclass(frozen=True)
class Alone:
    """One training alone on a card."""

    step: float  # seconds of a step
    busy: float  # seconds of it in which the card computes
    memory: float  # bytes of its tensors, at most
    card: float  # bytes of the card

    @property
    def idle(self) -> float:
        """Share of a step in which the card waits."""
        return max(0.0, 1 - self.busy / self.step)


def per_card(alone: Alone, cores: int, pretrains: bool = False) -> tuple[int, str]:
    """Workers for one card, and why as many.

    While one worker's Python prepares a step the card is free for the others: step / busy of them fill it, and more
    only wait. None of them may run out of memory, and each has a core.

    Args:
        cores: of the machine, for each card.
        pretrains: whether pretrainings are among the cells, which have not been measured.
    """
    need = alone.memory * (PRETRAINING if pretrains else 1.0) + CONTEXT
    filling = 1 if alone.idle < WORTH else math.ceil(alone.step / max(alone.busy, 1e-6))
    bounds = {
        f"{alone.card * ROOM / 1e9:.0f} GB for {need / 1e9:.1f} GB each": int(alone.card * ROOM // need),
        f"a step of {1e3 * alone.step:.0f} ms keeps the card busy for {1e3 * alone.busy:.0f} ms": filling,
        f"{cores} cores a card": cores,
    }
    why, fewest = min(bounds.items(), key=lambda item: item[1])
    return max(1, fewest), why
