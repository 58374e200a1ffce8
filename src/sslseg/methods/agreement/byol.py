r"""BYOL (Grill et al. 2020): the online network learns to predict what the target network says.

    view a -> online encoder -> projector -> predictor --\
                                                          2 - 2 cos, both ways round
    view b -> target encoder -> target projector --------/   (no gradient)

Target weights are a moving average of the online ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sslseg.config.flags import knob
from sslseg.config.params import Pretrain, per_preset
from sslseg.config.wanted import pair

if TYPE_CHECKING:
    from sslseg.training.contract import Batch, Encoder, Metrics, Tensor


@dataclass(frozen=True, kw_only=True)
class Params(Pretrain):
    """Self-supervised pretraining by BYOL."""

    projector_hidden: int = knob(
        help="hidden width of the projector", low=1,
        presets=per_preset(4096, 1024, 512),
        source="BYOL 3.3; [C] solo-learn proj_hidden_dim 4096; cpu, demo: [H] steps dominated by the encoder",
    )  # fmt: skip
    projection_size: int = knob(help="width of the projection", low=1, presets=per_preset(256, 256, 128),
                                source="BYOL 3.3; [C] proj_output_dim 256")  # fmt: skip
    predictor_hidden: int = knob(help="hidden width of the predictor", low=1, presets=per_preset(8192, 1024, 512),
                                 source="[C] pred_hidden_dim 8192")  # fmt: skip
    tau: float = knob(0.99, "momentum of the target at the first step; 1 at the last", low=0.0, high=1.0,
                      source="[C] base_tau_momentum 0.99, final 1.0")  # fmt: skip


class Method:
    """The five networks of BYOL, and one step of them."""

    DEFAULT_ROLE = "target"  # what a later stage starts from; [C] mostly the momentum encoder, flaw F7

    wanted = staticmethod(pair)

    def __init__(self, encoder: Encoder, p: Params, *, seed: int):
        """Take over `encoder` (headless timm network, [B,C,S,S] -> [B,F]) as the online one.

        Projector and predictor are fresh. The target starts as a copy with all of its buffers: the
        original copies parameters only, so its batch norms start from other statistics (flaw F8).
        """
        from sslseg.models import heads
        from sslseg.training import optim

        nets = heads.beside(
            encoder,
            seed,
            projector=lambda size, draw: heads.stack((size, p.projector_hidden, p.projection_size), draw),
            predictor=lambda _, draw: heads.stack(
                (p.projection_size, p.predictor_hidden, p.projection_size), draw
            ),
        )
        self.modules = nets | heads.targets(nets, "projector")
        self.after_step = lambda progress: optim.follow(self.modules, optim.tau_at(progress, p.tau))

    def loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """Sum of both directions of 2 - 2 cos, mean over the batch: 0 to 8 (BYOL eq. 2 and below).

        Views go through the networks one by one, so that each has its own batch statistics, as in [C].
        """
        import torch

        from sslseg.training import losses, vitals

        nets = self.modules
        features = [nets["online"](view) for view in batch.views]
        predictions = [nets["predictor"](nets["projector"](feature)) for feature in features]
        with torch.no_grad():  # not inference_mode: backward has to read these
            targets = [nets["target_projector"](nets["target"](view)) for view in batch.views]
        loss = losses.byol_regression(predictions[0], targets[1]) + losses.byol_regression(
            predictions[1], targets[0]
        )
        return loss, vitals.of_batch(features[0])
