"""Relative position (Doersch et al. 2015): in which of eight directions from the middle tile does this tile lie?

Constants were checked against the authors' code, github.com/cdoersch/deepcontext, files train.py and
solver_mko.prototxt. Not as there: one pair of each view instead of all neighbours of a grid, tiles are standardised
one by one, and neither are colours dropped nor some tiles made coarse.
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

SHOWN = (0.41, 1.0)  # area of the view over that of the image: Doersch 3.1, 432² of 150,000 to 450,000 pixels
MIDDLE, AROUND = 4, 8  # the middle of a grid of three by three, and how many places lie around it
SMALL = {"tile": 16, "gap": 8, "offset": 2}


@dataclass(frozen=True, kw_only=True)
class Params(Pretrain):
    """Self-supervised pretraining by relative positions of tiles."""

    tile: int = knob(help="side of a tile, pixels", low=8, presets=per_preset(96, 32),
                     source="Doersch 3: 96; cpu, demo: [H]")  # fmt: skip
    gap: int = knob(help="pixels between tiles", low=0, presets=per_preset(48, 16),
                    source="Doersch 3.1: half a tile")  # fmt: skip
    offset: int = knob(help="largest shift of a tile from its place, pixels", low=0, presets=per_preset(7, 3),
                       source="Doersch 3.1: 7; cpu, demo: [H]")  # fmt: skip
    hidden_size: int = knob(help="width of the head's two hidden layers", low=1, presets=per_preset(4096, 512, 256),
                            source="Doersch fig. 3, fc7 and fc8: 4,096; cpu, demo: [H]")  # fmt: skip
    optimizer: str = again("optimizer", "sgd", source="Doersch 3.2: SGD")
    lr: float = again("lr", presets=per_preset(0.025, 0.02),
                      source="deepcontext: 1e-5 of the sum over some 2,500 pairs; cpu, demo: [H]")  # fmt: skip
    momentum: float = again("momentum", presets=per_preset(0.0, 0.9), source="deepcontext: none; cpu, demo: [H]")  # fmt: skip
    weight_decay: float = again("weight_decay", 0.0, source="deepcontext: 0")


class Method:
    """An encoder that sees two tiles, and a head over both."""

    @staticmethod
    def wanted(p: Params) -> Wanted:
        """One view of each slice, as large as nine tiles and their gaps, never mirrored."""
        return Wanted((Crops(1, size=_tiles.GRID * (p.tile + p.gap), scale=SHOWN, flip=False),))

    def __init__(self, encoder: Encoder, p: Params, *, seed: int):
        """Take over `encoder` (headless timm network, [B,C,S,S] -> [B,F]); the head is fresh.

        Raises:
            ParamError: tiles would leave their cells.
        """
        from sslseg.config.names import ParamError
        from sslseg.models import heads

        if 2 * p.offset > p.gap:
            raise ParamError(
                f"offset: must be at most half of gap ({p.gap // 2}), or tiles overlap; not {p.offset}"
            )
        self.tile, self.low, self.high = p.tile, p.gap // 2 - p.offset, p.gap // 2 + p.offset
        behind = (p.hidden_size, p.hidden_size, AROUND)  # fc7, fc8, fc9
        self.modules = heads.beside(encoder, seed, head=lambda size, draw: heads.stack((2 * size, *behind), draw))  # fmt: skip

    def pairs(self, view: Tensor) -> tuple[Tensor, Tensor]:
        """Middle tile and another, [B,2,C,t,t], and the number [B] of its direction, drawn from torch's generator."""
        import torch

        tiles = _tiles.cut(view, self.tile, self.low, self.high)
        which = torch.randint(AROUND, (len(view),), device=view.device)
        other = tiles[torch.arange(len(view), device=view.device), which + (which >= MIDDLE)]
        return torch.stack([tiles[:, MIDDLE], other], 1), which

    def loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """Cross entropy of the direction."""
        return _tiles.told(self.modules, *self.pairs(batch.views[0]))
