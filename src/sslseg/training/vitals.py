"""Is the encoder alive? Two numbers and a verdict, from features alone.

Collapse (all slices get one feature) makes BYOL's loss small, so the loss cannot tell.
"""

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from sslseg.models.modes import evaluating

# Measured on 64 ACDC slices: fresh ResNet-18, ResNet-50 and EfficientNet-lite0 spread 0.13 to 0.15 and have ranks of
# 11 to 19, encoders of fourteen methods after 60 steps ranks of 17 to 58, that of Barlow Twins, whose fine-tunings ended at
# random weights' scores, 1.0 (docs/results/methods-acdc.md). So what falls below these is far poorer than no training
# at all. RankMe (Garrido et al. 2023) compares ranks of equal numbers of images; hence the share.
LEAST_SPREAD = 0.01  # all features within about half a degree of one direction
LEAST_RANK = 1.2  # 1 = one direction only, 2 = two of equal strength
LEAST_SHARE = 0.05  # of the largest rank that so many features can have: 3.2 of 64 images
ROWS = 32  # of a batch that its rank is read from: a bounded cost, comparable across batch sizes


@torch.no_grad()
def representation_std(features: Tensor) -> Tensor:
    """Mean over the dimensions of the std over the batch of L2-normalised features.

    Args:
        features: [N, F].

    Returns:
        scalar on the device; 1/sqrt(F) when directions are spread evenly, 0 at collapse
        (SimSiam, section 4.1).
    """
    return functional.normalize(features.float(), dim=1).std(dim=0, correction=0).mean()


@torch.no_grad()
def effective_rank(features: Tensor) -> Tensor:
    """exp of the entropy of the normalised singular values: 1 .. min(N, F).

    Features are not centred (RankMe, eq. 1): with the mean removed, the noise around one
    constant feature would pass for full rank.

    Args:
        features: [N, F].

    Returns:
        scalar on the device; NaN when a feature is not finite.
    """
    values = torch.linalg.svdvals(features.float().nan_to_num(0.0, 0.0, 0.0))
    share = values / values.sum().clamp_min(torch.finfo(values.dtype).tiny)
    rank = torch.special.entr(share).sum().exp()
    return torch.where(features.isfinite().all(), rank, torch.nan)


def of_batch(features: Tensor) -> dict[str, Tensor | Callable[[], Tensor]]:
    """Signs of life of a training's features [B, F]: metrics of a method's loss. The rank is computed where logged."""
    seen = features.detach()
    return {
        "representation_std": representation_std(seen),
        "effective_rank": functools.partial(effective_rank, seen[:ROWS]),
    }


def of_encoder(encoder: nn.Module, images: Tensor) -> dict[str, float]:
    """Vital signs of an encoder on images [N, C, H, W] it is given; its modes are left as they were.

    Returns:
        `representation_std`, `effective_rank`, `rank_share`, which is the rank over the largest that there can be,
        min(N, F), and `spread`, which is the std over its ideal 1/sqrt(F): comparable between architectures, 0 at
        collapse, at most 1.
    """
    with evaluating(encoder):
        features = encoder(images)
    std = float(representation_std(features))
    rank = float(effective_rank(features))
    return {
        "representation_std": std,
        "spread": std * features.shape[1] ** 0.5,
        "effective_rank": rank,
        "rank_share": rank / min(features.shape),
    }


def collapsed(signs: dict[str, float]) -> bool:
    """Whether `of_encoder`'s signs say that the encoder tells slices apart no more, or by next to no feature; NaN says so too."""
    return not (
        signs["spread"] > LEAST_SPREAD
        and signs["effective_rank"] > LEAST_RANK
        and signs["rank_share"] > LEAST_SHARE
    )
