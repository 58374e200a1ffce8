"""What CPC puts on a grid of patches: a network that sees what lies above a place, and guesses rows below it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from sslseg.models import heads

BLOCKS = 5  # residual blocks of the context network
SCALE = 0.1  # of the guesses, so that the first similarities are small


class Block(nn.Module):
    """[B,F,R,C] -> the same; a place of the output has seen its own row, from one column left to one right, and the row above."""

    def __init__(self, size: int, width: int):
        super().__init__()
        self.narrow = skip_init(nn.Conv2d, size, width, 1)
        self.across = skip_init(nn.Conv2d, width, width, (1, 3), padding=(0, 1))
        self.down = skip_init(nn.Conv2d, width, width, (2, 1))
        self.wide = skip_init(nn.Conv2d, width, size, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.across(self.narrow(x).relu())
        y = self.down(nn.functional.pad(y, (0, 0, 1, 0))).relu()
        return x + self.wide(y)


class Rows(nn.Module):
    """Guesses and targets for one direction (CPC v2, Hénaff et al. 2020, algorithms 1 and 2).

    Args:
        size: of a patch's features; width: of the context network; out: of guesses and targets.
        ahead: how many rows below a place are guessed.
    """

    def __init__(self, size: int, width: int, out: int, ahead: Sequence[int], draw: torch.Generator):
        super().__init__()
        self.context = nn.Sequential(*(Block(size, width) for _ in range(BLOCKS)), nn.ReLU())
        self.target = skip_init(nn.Conv2d, size, out, 1)
        self.guesses = nn.ModuleList(skip_init(nn.Conv2d, size, out, 1) for _ in ahead)
        heads.kaiming_uniform(self, draw)

    def forward(self, features: Tensor) -> tuple[list[Tensor], Tensor]:
        """Features [B,R,C,F] -> one [B,R,C,D] per entry of `ahead`, and targets [B,R,C,D]."""
        x = features.movedim(3, 1)
        seen = self.context(x)
        return [SCALE * guess(seen).movedim(1, 3) for guess in self.guesses], self.target(x).movedim(1, 3)
