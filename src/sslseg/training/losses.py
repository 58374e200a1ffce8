"""What is minimised."""

import segmentation_models_pytorch as smp
import torch
from torch import Tensor
from torch.nn import functional

from sslseg.data.source import IGNORE

NEAREST = 5  # bins that a colour is told by

_jaccard = smp.losses.JaccardLoss("multiclass", from_logits=True, ignore_index=IGNORE)


def byol_regression(prediction: Tensor, target: Tensor) -> Tensor:
    """2 - 2 cos(prediction, target), mean over the batch; no gradient flows into the target.

    Args:
        prediction, target: [B, D].

    Source: BYOL eq. 2, one direction; the method adds the other.
    """
    return 2.0 - 2.0 * functional.cosine_similarity(prediction.float(), target.detach().float(), dim=1).mean()


def nt_xent(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    """SimCLR's normalised temperature-scaled cross entropy (its eq. 1), mean over both views.

    Args:
        one, other: [B, D], row i of both being views of one slice; all other rows are negatives.
    """
    batch = len(one)
    z = functional.normalize(torch.cat([one, other]).float(), dim=1)
    similarity = (z @ z.T / temperature).fill_diagonal_(-torch.inf)  # a view is not its own negative
    partner = torch.arange(2 * batch, device=z.device).roll(batch)
    return functional.cross_entropy(similarity, partner)


def noised(image: Tensor, noise: Tensor, sigma: float) -> Tensor:
    """sqrt(g) x + sqrt(1 - g) e with g = 1 / (1 + sigma^2): noise of s.d. sigma, the variance as it was.

    Source: Brempong et al. 2022, eq. 4.
    """
    share = 1 / (1 + sigma**2)
    return share**0.5 * image + (1 - share) ** 0.5 * noise


def hidden_patches(found: Tensor, image: Tensor, mask: Tensor, patch: int) -> Tensor:
    """Mean squared error over the hidden patches, each of the image's standardised by its own mean and s.d.

    Args:
        found, image: [B, C, S, S]; mask: [B, 1, S, S], 1 where visible, whole patches.
        patch: side of a patch, pixels.

    Source: MAE (He et al. 2022) 4.1, SparK 3.4.
    """

    def patches(x: Tensor) -> Tensor:
        """[B, patches, pixels and channels of one]."""
        return functional.unfold(x.float(), patch, stride=patch).mT

    wanted, shown = patches(image), patches(mask)[..., 0]
    spread = (wanted.var(-1, keepdim=True) + 1e-6).sqrt()
    wanted = (wanted - wanted.mean(-1, keepdim=True)) / spread
    error = (patches(found) - wanted).square().mean(-1)
    return (error * (1 - shown)).sum() / (1 - shown).sum()


def colour_codes(ab: Tensor, centres: Tensor, sigma: float) -> Tensor:
    """Colours [N,2] as shares [N,Q] of the five nearest bins, by a Gaussian of their distance.

    Args:
        centres: [Q,2]; sigma: in units of a and b.

    Source: Zhang et al. 2016, 2.1 and footnote 2.
    """
    near, which = torch.cdist(ab, centres).topk(NEAREST, largest=False)
    share = (-near.square() / (2 * sigma**2)).softmax(1)
    return torch.zeros(len(ab), len(centres), device=ab.device).scatter_(1, which, share)


def rebalancing(frequency: Tensor, mixed: float) -> Tensor:
    """Weights [Q] of bins that occur so often: rare ones more, 1 on average over what occurs (Zhang et al. eq. 4).

    Args:
        frequency: [Q], of sum 1; mixed: share of the uniform distribution that is mixed in.
    """
    weights = 1 / ((1 - mixed) * frequency + mixed / len(frequency))
    return weights / (weights * frequency).sum()


def coloured(logits: Tensor, codes: Tensor, weights: Tensor) -> Tensor:
    """Cross entropy of codes [N,Q] as told by logits [N,Q], each weighed by its likeliest bin's; mean (Zhang et al. eq. 2-3)."""
    told = -(codes * logits.float().log_softmax(1)).sum(1)
    return (weights[codes.argmax(1)] * told).mean()


def sure_dice(logits: Tensor, labels: Tensor, sure: Tensor) -> Tensor:
    """Dice loss of the pixels that are `sure`, batch as a whole, mean over the classes; 0 where there are none.

    Args:
        logits: [B, K, H, W]; labels: integer [B, H, W]; sure: bool [B, H, W].

    Source: UniMatch's DiceLoss for ACDC (squares in the denominator, 1e-5 above and below).
    """
    told = logits.float().softmax(1) * sure[:, None]
    hot = functional.one_hot(labels, logits.shape[1]).movedim(-1, 1) * sure[:, None]
    overlap, size = ((told * hot).sum((0, 2, 3)), (told.square() + hot).sum((0, 2, 3)))
    return (1 - (2 * overlap + 1e-5) / (size + 1e-5)).mean()


def jaccard(logits: Tensor, truth: Tensor) -> Tensor:
    """smp's soft Jaccard loss of the batch as a whole (paper 3.4), background included.

    A class without a true pixel adds 0 but stays in the mean's denominator, as in smp. Pixels of
    label 255 are left out of every sum.

    Args:
        logits: [B, K, H, W]; truth: integer [B, H, W].
    """
    return _jaccard(logits.float(), truth.long())


def jaccard_per_slice(logits: Tensor, truth: Tensor) -> Tensor:
    """`jaccard` of every slice by itself: [B]; equal to B calls, without the loop.

    Args:
        logits: [B, K, H, W]; truth: integer [B, H, W].
    """
    valid = (truth != IGNORE).unsqueeze(1)
    hot = (
        functional.one_hot(truth.long().masked_fill(~valid[:, 0], 0), logits.shape[1]).movedim(-1, 1) * valid
    )
    soft = logits.float().log_softmax(dim=1).exp() * valid
    overlap, size = (soft * hot).sum((2, 3)), (soft + hot).sum((2, 3))
    loss = 1.0 - overlap / (size - overlap).clamp_min(_jaccard.eps)
    return (loss * (hot.sum((2, 3)) > 0)).mean(dim=1)
