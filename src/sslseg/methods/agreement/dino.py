r"""DINO (Caron et al. 2021) on a CNN: small and large views tell what a slow teacher says of the large ones.

    view -> student -> head -> softmax at 0.1                    \
                                                                  cross entropy, views of one slice
    large view -> teacher -> head -> minus centre, softmax at 0.04 /   (no gradient)

Teacher weights are a moving average; the centre, that of its outputs, keeps it from saying the same of every slice.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sslseg.config import params
from sslseg.config.flags import knob
from sslseg.config.wanted import Crops, Wanted

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sslseg.data.views.batches import PretrainBatch

LARGE = 2  # views that the teacher sees
# as the centre moves, the teacher's entropy and with it the loss rise at first: not so in the contract's few steps
SMALL = {"small_size": 32, "small_views": 2, "outputs": 64, "centre_momentum": 0.999}


@dataclass(frozen=True, kw_only=True)
class Params(params.Pretrain):
    """Self-supervised pretraining by DINO."""

    hidden_size: int = knob(help="hidden width of the head", low=1,
                            presets={"paper": 2048, "paper-400": 2048, "cpu": 512, "demo": 256},
                            source="DINO A, appendix C: 2,048; cpu, demo: [H]")  # fmt: skip
    bottleneck: int = knob(256, "width before the outputs", low=1, source="DINO 3.1: 256")
    outputs: int = knob(help="outputs of the head", low=2,
                        presets={"paper": 65536, "paper-400": 65536, "cpu": 1024, "demo": 256},
                        source="DINO C: 65,536; cpu, demo: [H] slices show less than ImageNet")  # fmt: skip
    temperature: float = knob(0.1, "temperature of the student", low=0.001, source="DINO 3.1: 0.1")
    teacher_temperature: float = knob(0.04, "temperature of the teacher", low=0.001, source="DINO D: 0.04")
    centre_momentum: float = knob(0.9, "momentum of the centre", low=0.0, high=1.0, source="DINO D: 0.9")
    tau: float = knob(0.996, "momentum of the teacher at the first step; 1 at the last", low=0.0, high=1.0,
                      source="DINO 3.1: 0.996 to 1")  # fmt: skip
    small_views: int = knob(help="small views of each slice", low=0,
                            presets={"paper": 6, "paper-400": 6, "cpu": 4, "demo": 2},
                            source="DINO 4: 6 on ResNet-50; cpu, demo: [H]")  # fmt: skip
    small_size: int = knob(help="side of a small view, pixels", low=16,
                           presets={"paper": 96, "paper-400": 96, "cpu": 32, "demo": 32},
                           source="DINO 3.1: 96 of 224; cpu, demo: [H]")  # fmt: skip
    small_scale: tuple[float, ...] = knob((0.05, 0.14), "area of a small view, share of the slice", low=0.001, high=1.0,
                                          source="DINO's recipe for ResNet-50: 0.05 to 0.14")  # fmt: skip
    crop_scale: tuple[float, ...] = knob((0.14, 1.0), "area of a large view, share of the slice", low=0.001, high=1.0,
                                         source="DINO's recipe for ResNet-50: 0.14 to 1")  # fmt: skip
    optimizer: str = knob(
        "sgd", "what moves the weights", choices=params.OPTIMIZERS, source="DINO's recipe for ResNet-50"
    )
    lr: float = knob(help="peak learning rate", low=0.0,
                     presets={"paper": 0.015, "paper-400": 0.015, "cpu": 0.03, "demo": 0.03},
                     source="DINO's recipe for ResNet-50: 0.03 at batch 256; cpu, demo: [H]")  # fmt: skip
    weight_decay: float = knob(1e-4, "weight decay; biases and norms are excluded", low=0.0,
                               source="DINO's recipe for ResNet-50: 1e-4")  # fmt: skip


class Method:
    """A student and a teacher, with their heads, and the centre."""

    DEFAULT_ROLE = "target"

    @staticmethod
    def wanted(p: Params) -> Wanted:
        """Two large views and some small ones of each slice."""
        return Wanted((Crops(LARGE), Crops(p.small_views, size=p.small_size, scale=tuple(p.small_scale))))

    def __init__(self, encoder: nn.Module, p: Params, *, seed: int):
        """Take over `encoder` (headless timm network, [B,C,S,S] -> [B,F]) as the student's; the teacher's is a copy."""
        from sslseg.data import streams
        from sslseg.models import heads
        from sslseg.models.encoder import feature_size

        draws = [streams.torch_generator(seed, "initialisation", step) for step in (1, 2)]
        head = heads.stack(
            (feature_size(encoder), p.hidden_size, p.hidden_size, p.bottleneck), draws[0], norm=False
        )
        last = heads.linear(p.bottleneck, p.outputs, draws[1], bias=False)
        self.constants, self.temperatures = p, (p.temperature, p.teacher_temperature)
        self.modules: dict[str, nn.Module] = {
            "online": encoder,
            "head": head,
            "last": last,
            "target": copy.deepcopy(encoder),
            "target_head": copy.deepcopy(head),
            "target_last": copy.deepcopy(last),
            "centre": heads.Centre(p.outputs),
        }
        for name, module in self.modules.items():
            module.train().requires_grad_(not name.startswith("target"))

    def trainable(self) -> list[tuple[str, nn.Parameter]]:
        """Named parameters that the optimiser moves: the student's."""
        from sslseg.models import heads

        return heads.named(self.modules, "online", "head", "last")

    def told(self, features: Tensor, prefix: str = "") -> Tensor:
        """Features [N,F] -> outputs [N,K]: cosines with the last layer's rows (DINO appendix C)."""
        from torch.nn import functional

        z = functional.normalize(self.modules[f"{prefix}head"](features).float(), dim=1)
        return z @ functional.normalize(self.modules[f"{prefix}last"].weight.float(), dim=1).T

    def loss(self, batch: PretrainBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross entropy of the teacher's outputs as told by the student (DINO eq. 3); then the centre moves.

        Args:
            batch: large views, then small ones, [B,C,S,S] each.

        Returns:
            the loss, and signs of life of the first view's features.
        """
        import torch

        from sslseg.training import agreement, vitals

        size = len(batch.views[0])
        groups = [batch.views[:LARGE], batch.views[LARGE:]]
        features = torch.cat([self.modules["online"](torch.cat(views)) for views in groups if views])
        student = self.told(features).split(size)
        with torch.no_grad():
            teacher = self.told(self.modules["target"](torch.cat(batch.views[:LARGE])), "target_")
        centre = self.modules["centre"]
        value = agreement.distilled(
            list(student), list(teacher.split(size)), centre.value.clone(), self.temperatures
        )
        centre.follow(teacher, self.constants.centre_momentum)
        return value, vitals.of_batch(features[:size])

    def after_step(self, progress: float) -> dict[str, float]:
        """Move the teacher towards the student; `progress` is 0 at the first step, 1 at the last."""
        from sslseg.training import optim

        tau = optim.tau_at(progress, self.constants.tau)
        for name, online in (("target", "online"), ("target_head", "head"), ("target_last", "last")):
            optim.ema(self.modules[name], self.modules[online], tau)
        return {"tau": tau}

    def exports(self) -> dict[str, nn.Module]:
        """role -> encoder."""
        return {"target": self.modules["target"], "online": self.modules["online"]}
