"""CPC v2 (Hénaff et al. 2020): from the patches above, which of all patches of the batch lies so many rows below?

    view -> overlapping patches -> encoder, one by one -> grid of features -> context: what lies above
                                                                           -> guess of the patch rows below

From above, from below and from both sides, each with a context network of its own. The paper's encoder has layer
norms; timm's networks have batch norms, by which patches of one batch know of each other.

The authors published no code. The context network, the scale of the guesses, their 64 numbers and the three rows are
those of the paper's algorithms 1 and 2. Not as there: patches are mirrored, but their colours are not dropped; the
weights that are handed on are not averaged over the steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sslseg.config.flags import knob
from sslseg.config.names import ParamError
from sslseg.config.params import Pretrain, again, per_preset
from sslseg.config.wanted import Crops, Wanted

if TYPE_CHECKING:
    from sslseg.training.contract import Batch, Encoder, Metrics, Tensor

DIRECTIONS = 4
SMALL = {"patch": 16, "stride": 8, "grid": 3, "ahead": (1, 2), "context": 8, "out": 8}


@dataclass(frozen=True, kw_only=True)
class Params(Pretrain):
    """Self-supervised pretraining by contrastive predictive coding."""

    patch: int = knob(help="side of a patch, pixels", low=8, presets=per_preset(80, 32),
                      source="CPC v2 A: 80 of 260; cpu, demo: [H]")  # fmt: skip
    stride: int = knob(help="pixels from a patch to the next", low=1, presets=per_preset(36, 16),
                       source="CPC v2 A: six patches of 80 in 260; cpu, demo: [H]")  # fmt: skip
    grid: int = knob(help="patches in a row, and rows", low=2, presets=per_preset(6, 4),
                     source="CPC v2 A: 6; cpu, demo: [H]")  # fmt: skip
    ahead: tuple[int, ...] = knob(help="how many rows below the guessed patches lie", low=1,
                                  presets=per_preset((3,), (2, 3), (2,)),
                                  source="CPC v2 algorithm 2: 3; cpu, demo: [H] from where patches overlap no more")  # fmt: skip
    directions: int = knob(help="from above, from below, and from both sides: the first so many", low=1, high=DIRECTIONS,
                           presets=per_preset(4, 2, 1),
                           source="CPC v2 3.1: 4; cpu, demo: [H]")  # fmt: skip
    context: int = knob(help="width of the context network", low=1, presets=per_preset(256, 64),
                        source="CPC v2 algorithm 1: 256; cpu, demo: [H]")  # fmt: skip
    out: int = knob(64, "width of guesses and targets", low=1, source="CPC v2 algorithm 2: 64")
    patch_flip: float = knob(0.5, "probability that a patch is mirrored", low=0.0, high=1.0,
                             source="CPC v2 3.1: horizontal flips of single patches; 0.5 is [H]")  # fmt: skip
    optimizer: str = again("optimizer", "adamw", source="CPC v2 A: Adam")
    momentum: float = again("momentum", 0.8, source="CPC v2 A: 0.8")
    lr: float = again("lr", presets=per_preset(4e-4, 1e-3),
                      source="CPC v2 A: 4e-4; cpu, demo: [H] few steps need a higher one")  # fmt: skip


class Method:
    """An encoder of patches, and a context network with its guesses for each direction."""

    @staticmethod
    def wanted(p: Params) -> Wanted:
        """One view of each slice, as large as the grid of patches."""
        return Wanted((Crops(1, size=p.patch + p.stride * (p.grid - 1)),))

    def __init__(self, encoder: Encoder, p: Params, *, seed: int):
        """Take over `encoder` (headless timm network, [B,C,S,S] -> [B,F]); the rest is fresh.

        Raises:
            ParamError: a guess would lie below the last row.
        """
        from sslseg.methods.pretext._rows import Rows
        from sslseg.models import heads

        if not p.ahead or max(p.ahead) >= p.grid:
            raise ParamError(f"ahead: wanted numbers of rows below grid={p.grid}; got {p.ahead}")
        self.constants = p
        rows = lambda size, draw: Rows(size, p.context, p.out, p.ahead, draw)  # noqa: E731
        self.modules = heads.beside(encoder, seed, **{f"direction_{k}": rows for k in range(p.directions)})

    def patches(self, view: Tensor) -> Tensor:
        """[B,C,S,S] -> [B,grid²,C,p,p], row by row, some of them mirrored, as torch's generator says."""
        import torch

        side = self.constants.patch
        cut = view.unfold(2, side, self.constants.stride).unfold(3, side, self.constants.stride)
        found = cut.movedim(1, 3).flatten(1, 2)
        mirrored = torch.rand(found.shape[:2], device=view.device) < self.constants.patch_flip
        return torch.where(mirrored[:, :, None, None, None], found.flip(4), found)

    def loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """InfoNCE of the patches below, summed over rows ahead and directions (CPC v2 algorithm 2)."""
        import torch

        from sslseg.training import agreement, vitals

        (view,) = batch.views
        features = self.modules["online"](self.patches(view).flatten(0, 1))
        grid = features.unflatten(0, (len(view), self.constants.grid, self.constants.grid))
        value = torch.zeros((), device=view.device)
        for k in range(self.constants.directions):
            turned = torch.rot90(grid, (0, 2, 1, 3)[k], (1, 2))
            guesses, targets = self.modules[f"direction_{k}"](turned)
            value = value + agreement.rows_below(guesses, targets, self.constants.ahead)
        return value, vitals.of_batch(features)
