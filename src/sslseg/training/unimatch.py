"""UniMatch: what a network is sure of on a plain view, it shall say of shifted ones and with half of its channels gone.

Yang et al. 2023; terms, weights and amounts of its code for ACDC (github.com/LiheYoung/UniMatch, more-scenarios/medical).
Not as there: the supervised loss is this project's, on a batch of its own; crops are those of the fine-tuning; the piece
that is pasted into a view comes from the next slice of the same batch, and its labels from the same pass.
"""

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn import functional

from sslseg.config.params import Finetune
from sslseg.data.views.batches import FinetuneBatch
from sslseg.data.views.draw import ViewRanges
from sslseg.training import losses
from sslseg.training.contract import Metrics

# largest change of brightness and of contrast, and its probability (acdc.py: ColorJitter)
SHADE, SHADED = 0.5, 0.8
BLUR, BLURRED = (0.1, 2.0), 0.5  # s.d. in pixels, and probability (transform.py: blur)
PASTED, AREA, RATIO = 0.5, (0.02, 0.4), (0.3, 1 / 0.3)  # transform.py: obtain_cutmix_box
DROPPED = 0.5  # share of the channels of each map (unet.py: Dropout2d)
STRONG, FEATURES = 0.25, 0.5  # weights: of each strong view, of the dropped channels (unimatch.py)


def shades(ranges: ViewRanges) -> tuple[ViewRanges, ...]:
    """What the views of one place are drawn from: a plain one, whose grey levels stay, and two strong ones."""
    own = ranges.augmentation
    plain = dataclasses.replace(own, noise=0.0, blur=(0.0, 0.0), gamma=(1.0, 1.0))
    strong = dataclasses.replace(
        ranges, brightness=SHADE, contrast=SHADE, jitter=SHADED, jitter_mode="factor",
        augmentation=dataclasses.replace(own, blur=BLUR, blur_p=BLURRED),
    )  # fmt: skip
    return dataclasses.replace(ranges, jitter=0.0, augmentation=plain), strong, strong


def boxes(count: int, side: int) -> Tensor:
    """Where another slice is pasted in: bool [count, side, side], nowhere in one view of two; torch's CPU generator draws."""
    found = torch.zeros(count, side, side, dtype=torch.bool)
    for box in found:
        chance, area = torch.rand(2).tolist()
        size = side * side * (AREA[0] + (AREA[1] - AREA[0]) * area)
        while chance <= PASTED:
            ratio, top, left = torch.rand(3).tolist()
            ratio = RATIO[0] + (RATIO[1] - RATIO[0]) * ratio
            width, height = int((size / ratio) ** 0.5), int((size * ratio) ** 0.5)
            top, left = int(top * side), int(left * side)
            if left + width <= side and top + height <= side:
                box[top : top + height, left : left + width] = True
                break
    return found


class UniMatch:
    """A U-Net (encoder, decoder, head, as of smp) that learns from its own sure answers."""

    def __init__(self, unet: nn.Module, p: Finetune):
        self.unet, self.least = unet, p.confidence

    def loss(self, batch: FinetuneBatch) -> tuple[Tensor, Metrics]:
        """Half of the Jaccard loss, and half of a weighed sum of Dice losses on what the network is sure of."""
        supervised = losses.jaccard(self.unet(batch.images), batch.labels)
        plain, *strong = batch.unlabelled
        told, poorer = self._with_dropped_channels(plain)
        sureness, label = told.detach().float().softmax(1).max(1)
        sure = sureness >= self.least
        where = [boxes(len(plain), plain.shape[-1]).to(plain.device) for _ in strong]
        pasted = [
            torch.where(w[:, None], view.roll(1, 0), view) for view, w in zip(strong, where, strict=True)
        ]
        shifted = losses.sure_dice(poorer, label, sure) * FEATURES
        for logits, w in zip(self.unet(torch.cat(pasted)).chunk(len(strong)), where, strict=True):
            wanted, known = torch.where(w, label.roll(1, 0), label), torch.where(w, sure.roll(1, 0), sure)
            shifted = shifted + losses.sure_dice(logits, wanted, known) * STRONG
        metrics = {"supervised": supervised, "consistency": shifted, "sure": sure.float().mean()}
        return (supervised + shifted) / 2, metrics

    def _with_dropped_channels(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of views, and of their maps with some of the channels gone, in one pass of the decoder."""
        encoder, decoder, head = map(self.unet.get_submodule, ("encoder", "decoder", "segmentation_head"))
        maps = [torch.cat([m, functional.dropout2d(m, DROPPED)]) for m in encoder(views)]
        told, poorer = head(decoder(maps)).chunk(2)
        return told, poorer
