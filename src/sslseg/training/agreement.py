"""What methods minimise whose views shall agree. In float32, whatever the networks compute in."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def info_nce(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Cross entropy of each query's own key against all keys of the queue (MoCo eq. 1), mean over the batch.

    Args:
        query, key: [B, D]; no gradient flows into the keys.
        queue: [K, D], of unit length.
    """
    q, k = functional.normalize(query.float(), dim=1), functional.normalize(key.detach().float(), dim=1)
    logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.T], dim=1) / temperature
    return functional.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long, device=q.device))


@torch.no_grad()
def sinkhorn(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Soft assignment [B, K] of scores [B, K]: every prototype equally often, every row a distribution (SwAV eq. 3-5)."""
    scores = scores.float() / epsilon
    q = (scores - scores.max()).exp().T
    q = q / q.sum()
    for _ in range(iterations):
        q = q / q.sum(dim=1, keepdim=True) / len(q)
        q = q / q.sum(dim=0, keepdim=True) / q.shape[1]
    return (q * q.shape[1]).T


def swapped(
    scores: list[Tensor], *, temperature: float, epsilon: float, iterations: int, targets: int = 2
) -> Tensor:
    """Cross entropy of the assignment of each of the first `targets` views, as told by every other view (SwAV eq. 2, 6).

    Args:
        scores: per view [B, K], similarities to the prototypes.
    """
    parts = []
    for i in range(targets):
        q = sinkhorn(scores[i], epsilon, iterations)
        others = [s for j, s in enumerate(scores) if j != i]
        told = [-(q * (s.float() / temperature).log_softmax(1)).sum(1).mean() for s in others]
        parts.append(sum(told[1:], told[0]) / len(others))
    return sum(parts[1:], parts[0]) / targets


def barlow(one: Tensor, other: Tensor, trade: float) -> Tensor:
    """Cross-correlation towards the identity: diagonal by 1, the rest weighed by `trade` (Barlow Twins eq. 1).

    Args:
        one, other: [B, D], of two views; standardised over the batch here.
    """
    a, b = (functional.batch_norm(z.float(), None, None, training=True) for z in (one, other))
    c = a.T @ b / len(a)
    diagonal = c.diagonal()
    return (diagonal - 1).square().sum() + trade * (c.square().sum() - diagonal.square().sum())


def vicreg(one: Tensor, other: Tensor, similar: float, vary: float, decorrelate: float) -> Tensor:
    """Invariance, variance and covariance terms, weighed (VICReg eq. 1-6; means over dimensions and views as in its listing).

    Args:
        one, other: [B, D], of two views.
    """
    a, b = one.float(), other.float()
    value = similar * functional.mse_loss(a, b)
    for z in (a, b):
        z = z - z.mean(0)
        spread = (z.var(0) + 1e-4).sqrt()
        covariance = z.T @ z / (len(z) - 1)
        rest = covariance.square().sum() - covariance.diagonal().square().sum()
        value = value + vary * functional.relu(1 - spread).mean() / 2 + decorrelate * rest / z.shape[1]
    return value


def distilled(
    student: list[Tensor], teacher: list[Tensor], centre: Tensor, temperatures: tuple[float, float]
) -> Tensor:
    """Cross entropy of every teacher view, as told by every other student view (DINO eq. 2-3).

    Args:
        student: per view [B, K], the teacher's views first; teacher: likewise, of the global views alone.
        centre: [K] that the teacher's outputs are counted from.
        temperatures: the student's, the teacher's.
    """
    sharp, parts = temperatures[1], []
    for i, out in enumerate(teacher):
        q = ((out.detach().float() - centre) / sharp).softmax(1)
        parts += [
            -(q * (s.float() / temperatures[0]).log_softmax(1)).sum(1).mean()
            for j, s in enumerate(student)
            if j != i
        ]
    return sum(parts[1:], parts[0]) / len(parts)


def positives(z: Tensor, same: Tensor, temperature: float) -> Tensor:
    """Each row attracts the rows that are `same`: mean over rows and their positives (SupCon eq. 2, L_out).

    Args:
        z: [N, D].
        same: bool [N, N]; the diagonal is not looked at; every row has at least one.
    """
    z = functional.normalize(z.float(), dim=1)
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    logits = (z @ z.T / temperature).masked_fill(itself, -torch.inf)
    log = logits.log_softmax(1).masked_fill(itself, 0.0)
    wanted = (same & ~itself).float()
    return -((wanted * log).sum(1) / wanted.sum(1)).mean()


def rows_below(guesses: Sequence[Tensor], targets: Tensor, ahead: Sequence[int]) -> Tensor:
    """Cross entropy of the target so many rows below a place among all of the batch's, summed over `ahead`.

    Args:
        guesses: per entry of `ahead` [B, R, C, D]; targets: [B, R, C, D].

    Source: CPC v2 algorithm 2.
    """
    flat = targets.float().flatten(0, 2)
    place = torch.arange(len(flat), device=flat.device).view(targets.shape[:3])
    value = flat.new_zeros(())
    for guess, rows in zip(guesses, ahead, strict=True):
        logits = guess[:, :-rows].float().flatten(0, 2) @ flat.T
        value = value + functional.cross_entropy(logits, place[:, rows:].flatten())
    return value
