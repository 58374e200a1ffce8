"""Mean teacher: a slow copy of the U-Net says what unlabelled slices show, and the U-Net learns to agree.

Tarvainen and Valpola 2017; perturbations and constants of Yu et al. 2019 (UA-MT) and of Luo's SSL4MIS, without the
uncertainty of the former. Not as there: labelled and unlabelled slices pass in two batches, so that the supervised
loss is what it is without unlabelled slices; and batch-norm statistics are averaged with the weights.
"""

import copy
import math

import torch
from torch import Tensor, nn

from sslseg.config.params import Finetune
from sslseg.data.views.batches import FinetuneBatch
from sslseg.training import losses, optim
from sslseg.training.contract import Metrics

# s.d. of what the teacher's view is disturbed by, and where it is cut (UA-MT, SSL4MIS)
NOISE, MOST = 0.1, 0.2


def ramp(progress: float, share: float) -> float:
    """exp(-5 (1 - x)²), x rising from 0 to 1 over a `share` of the steps; 1 afterwards.

    Source: Laine and Aila 2017, section 2.2; SSL4MIS ramps.sigmoid_rampup.
    """
    x = min(progress / share, 1.0) if share else 1.0
    return math.exp(-5 * (1 - x) ** 2)


def decay_at(step: int, decay: float) -> float:
    """The plain average over the first steps, until it is as slow as `decay`; `step` 0 is the first.

    Source: SSL4MIS update_ema_variables.
    """
    return min(1 - 1 / (step + 1), decay)


class MeanTeacher:
    """A student, which is trained, and its teacher, which is validated, tested and handed on.

    Attributes:
        teacher: no gradient ever flows into it.
    """

    def __init__(self, student: nn.Module, p: Finetune):
        self.student, self.p = student, p
        self.teacher = copy.deepcopy(student).requires_grad_(False)

    def loss(self, batch: FinetuneBatch[Tensor]) -> tuple[Tensor, Metrics]:
        """The Jaccard loss, plus weight times the mean squared difference of both networks' probabilities."""
        supervised = losses.jaccard(self.student(batch.images), batch.labels)
        seen, shown = batch.unlabelled
        with torch.no_grad():
            noise = (torch.randn_like(shown) * NOISE).clamp(-MOST, MOST)
            wanted = self.teacher(shown + noise).float().softmax(1)
        apart = (self.student(seen).float().softmax(1) - wanted).square().mean()
        weight = self.p.consistency * ramp(batch.progress, self.p.consistency_ramp)
        metrics = {"supervised": supervised, "consistency": apart, "consistency_weight": weight}
        return supervised + weight * apart, metrics

    def after_step(self, progress: float) -> dict[str, float]:
        """The teacher follows; `progress` is the share of the steps before this one."""
        decay = decay_at(round(progress * self.p.steps), self.p.ema)
        optim.ema(self.teacher, self.student, decay)
        return {"ema": decay}
