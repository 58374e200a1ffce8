r"""DINO (Caron et al. 2021) on a CNN: small and large views tell what a slow teacher says of the large ones.

    view -> student -> head -> softmax at 0.1                    \
                                                                  cross entropy, views of one slice
    large view -> teacher -> head -> minus centre, softmax at 0.04 /   (no gradient)

Teacher weights are a moving average; the centre, that of its outputs, keeps it from saying the same of every slice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sslseg.config.flags import knob
from sslseg.config.params import Pretrain, again, per_preset
from sslseg.methods.agreement import _multicrop

if TYPE_CHECKING:
    from sslseg.training.contract import Batch, Encoder, Metrics, Tensor

# as the centre moves, the teacher's entropy and with it the loss rise at first: not so in the contract's few steps
SMALL = {"small_size": 32, "small_views": 2, "outputs": 64, "centre_momentum": 0.999}


@dataclass(frozen=True, kw_only=True)
class Params(Pretrain):
    """Self-supervised pretraining by DINO."""

    hidden_size: int = knob(help="hidden width of the head", low=1, presets=per_preset(2048, 512, 256),
                            source="DINO A, appendix C: 2,048; cpu, demo: [H]")  # fmt: skip
    bottleneck: int = knob(256, "width before the outputs", low=1, source="DINO 3.1: 256")
    outputs: int = knob(help="outputs of the head", low=2, presets=per_preset(65536, 1024, 256),
                        source="DINO C: 65,536; cpu, demo: [H] slices show less than ImageNet")  # fmt: skip
    temperature: float = knob(0.1, "temperature of the student", low=0.001, source="DINO 3.1: 0.1")
    teacher_temperature: float = knob(0.04, "temperature of the teacher", low=0.001, source="DINO D: 0.04")
    centre_momentum: float = knob(0.9, "momentum of the centre", low=0.0, high=1.0, source="DINO D: 0.9")
    tau: float = knob(0.996, "momentum of the teacher at the first step; 1 at the last", low=0.0, high=1.0,
                      source="DINO 3.1 and its code: 0.996 to 1")  # fmt: skip
    small_views: int = knob(help="small views of each slice", low=0, presets=per_preset(8, 4, 2),
                            source="DINO's code: 8; cpu, demo: [H]")  # fmt: skip
    small_size: int = knob(help="side of a small view, pixels", low=16, presets=per_preset(96, 32),
                           source="DINO 3.1: 96 of 224; cpu, demo: [H]")  # fmt: skip
    small_scale: tuple[float, float] = knob((0.05, 0.14), "area of a small view, share of the slice", low=0.001, high=1.0,
                                          source="DINO's recipe for ResNet-50: 0.05 to 0.14")  # fmt: skip
    crop_scale: tuple[float, float] = knob((0.14, 1.0), "area of a large view, share of the slice", low=0.001, high=1.0,
                                         source="DINO's recipe for ResNet-50: 0.14 to 1")  # fmt: skip
    optimizer: str = again("optimizer", "sgd", source="DINO's recipe for ResNet-50")
    lr: float = again("lr", presets=per_preset(0.015, 0.03),
                      source="DINO's recipe for ResNet-50: 0.03 at batch 256; cpu, demo: [H]")  # fmt: skip
    weight_decay: float = again("weight_decay", 1e-4, source="DINO's recipe for ResNet-50: 1e-4")


class Method:
    """A student and a teacher, with their heads, and the centre."""

    DEFAULT_ROLE = "target"

    wanted = staticmethod(_multicrop.wanted)

    def __init__(self, encoder: Encoder, p: Params, *, seed: int):
        """Take over `encoder` (headless timm network, [B,C,S,S] -> [B,F]) as the student's; the teacher's is a copy."""
        from torch import nn

        from sslseg.models import heads
        from sslseg.training import optim

        hidden = (p.hidden_size, p.hidden_size, p.bottleneck)
        self.constants, self.temperatures = p, (p.temperature, p.teacher_temperature)
        nets = heads.beside(
            encoder,
            seed,
            head=lambda size, draw: heads.stack((size, *hidden), draw, norm=False, between=nn.GELU),
            last=lambda _, draw: heads.linear(p.bottleneck, p.outputs, draw, bias=False),
            centre=lambda *_: heads.Centre(p.outputs),
        )
        self.modules = nets | heads.targets(nets, "head", "last")
        self.after_step = lambda progress: optim.follow(self.modules, optim.tau_at(progress, p.tau))

    def told(self, features: Tensor, prefix: str = "") -> Tensor:
        """Features [N,F] -> outputs [N,K]: cosines with the last layer's rows (DINO appendix C)."""
        from torch.nn import functional

        z = functional.normalize(self.modules[f"{prefix}head"](features).float(), dim=1)
        return (
            z @ functional.normalize(self.modules[f"{prefix}last"].get_parameter("weight").float(), dim=1).T
        )

    def loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """Cross entropy of the teacher's outputs as told by the student (DINO eq. 3); then the centre moves."""
        import torch

        from sslseg.training import agreement, vitals

        size = len(batch.views[0])
        features = _multicrop.features(self.modules["online"], batch.views)
        student = self.told(features).split(size)
        with torch.no_grad():
            teacher = self.told(self.modules["target"](torch.cat(batch.views[: _multicrop.LARGE])), "target_")
        centre = self.modules["centre"](teacher, self.constants.centre_momentum)
        value = agreement.distilled(list(student), list(teacher.split(size)), centre, self.temperatures)
        return value, vitals.of_batch(features[:size])
