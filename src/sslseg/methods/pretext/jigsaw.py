"""Jigsaw (Noroozi and Favaro 2016): nine tiles of a view in another order; which one of some permutations was it?

Constants were checked against the authors' code, github.com/MehdiNoroozi/JigsawPuzzleSolver, files
solver_cfn_jps.prototxt and train_val_cfn_jps.prototxt. Not as there: the rate falls along this project's schedule
instead of tenfold every 100,000 steps, the encoder's own last features stand for the 1,024 of fc6, and colours
are not jittered channel by channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sslseg.config.flags import knob
from sslseg.config.params import Pretrain, again, per_preset
from sslseg.config.wanted import Crops, Wanted
from sslseg.methods.pretext import _tiles

if TYPE_CHECKING:
    from sslseg.training.contract import Batch, Encoder, Metrics, Tensor

CELL = 75 / 64  # side of a cell over that of its tile
SHOWN = (225 / 256) ** 2  # area of the view over that of the image (Noroozi 3.2: 225 of 256 pixels)
SMALL = {"tile": 16, "permutations": 8}


@dataclass(frozen=True, kw_only=True)
class Params(Pretrain):
    """Self-supervised pretraining by jigsaw puzzles."""

    tile: int = knob(help="side of a tile, pixels", low=8, presets=per_preset(64, 32),
                     source="Noroozi 3.2: 64 of 75; cpu, demo: [H]")  # fmt: skip
    permutations: int = knob(help="orders that there are", low=2, high=1000, presets=per_preset(1000, 100, 24),
                             source="Noroozi table 4: 1,000; cpu, demo: [H]")  # fmt: skip
    hidden_size: int = knob(help="hidden width of the head", low=1, presets=per_preset(4096, 512, 256),
                            source="Noroozi 3.1: 4,096; cpu, demo: [H]")  # fmt: skip
    optimizer: str = again("optimizer", "sgd", source="Noroozi 3.3: SGD")
    lr: float = again("lr", presets=per_preset(0.01, 0.02), source="Noroozi 3.3: 0.01; cpu, demo: [H]")
    weight_decay: float = again("weight_decay", 5e-4, source="Noroozi's solver: 0.0005")


class Method:
    """An encoder that sees tile by tile, and a head over all nine."""

    @staticmethod
    def wanted(p: Params) -> Wanted:
        """One view of each slice, as large as nine cells, never mirrored."""
        size = _tiles.GRID * round(CELL * p.tile)
        return Wanted((Crops(1, size=size, scale=(SHOWN, SHOWN), flip=False),))

    def __init__(self, encoder: Encoder, p: Params, *, seed: int):
        """Take over `encoder` (headless timm network, [B,C,S,S] -> [B,F]); the head is fresh."""
        from sslseg.models import heads

        behind = (p.hidden_size, p.permutations)
        self.tile, self.count = p.tile, p.permutations
        self.modules = heads.beside(
            encoder, seed, head=lambda size, draw: heads.stack((_tiles.GRID**2 * size, *behind), draw)
        )

    def puzzle(self, view: Tensor) -> tuple[Tensor, Tensor]:
        """Shuffled tiles [B,9,C,t,t] and the number [B] of each one's permutation, drawn from torch's generator."""
        import torch

        tiles = _tiles.cut(view, self.tile, 0, view.shape[-1] // _tiles.GRID - self.tile)
        which = torch.randint(self.count, (len(view),), device=view.device)
        orders = torch.from_numpy(_tiles.permutations(self.count)).to(view.device)[which]
        return tiles[torch.arange(len(view), device=view.device)[:, None], orders], which

    def loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """Cross entropy of the permutation."""
        return _tiles.told(self.modules, *self.puzzle(batch.views[0]))
