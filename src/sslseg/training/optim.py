"""Optimisers, schedules and the moving average of weights; where epochs become steps."""

import math
from collections.abc import Iterable, Mapping

import torch
from timm.optim import Lars
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from sslseg.config.names import ParamError
from sslseg.config.params import Pretrain
from sslseg.models import cpu, heads

Named = Iterable[tuple[str, nn.Parameter]]


# ---------------------------------------------------------------- optimisers
def lars(named: Named, *, lr: float, momentum: float, weight_decay: float, trust: float) -> Lars:
    """LARS as the original trained with it: SGD with momentum and a trust ratio per weight.

    timm's multi-tensor step: every norm and ratio stays on the device. The ratio
    `trust * |w| / (|g| + weight_decay * |w|)` is divided by the learning rate and clipped at 1
    (solo-learn's `clip_lr`, original yaml `lars: clip_lr: True`). Tensors of at most one
    dimension (biases, norms) get plain SGD: no decay, no ratio (`exclude_bias_n_norm: True`).
    """
    groups = [
        group | {"always_adapt": group["params"][0].ndim > 1} for group in _decayed(named, weight_decay)
    ]
    return Lars(groups, lr=lr, momentum=momentum, trust_coeff=trust, trust_clip=True, foreach=True)


def of(p: Pretrain, named: Named) -> torch.optim.Optimizer:
    """The optimiser that a pretraining asks for.

    SGD and AdamW leave biases and norms undecayed, as LARS does; AdamW's betas are (`momentum`, 0.999).
    """
    if p.optimizer == "lars":
        return lars(named, lr=p.lr, momentum=p.momentum, weight_decay=p.weight_decay, trust=p.trust)
    groups = _decayed(named, p.weight_decay)
    if p.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=p.lr, momentum=p.momentum, foreach=True)
    return torch.optim.AdamW(groups, lr=p.lr, betas=(p.momentum, 0.999), foreach=True)


def _decayed(named: Named, weight_decay: float) -> list[dict]:
    """Parameter groups: tensors of more than one dimension with weight decay, the others without."""
    named = list(named)
    groups = [
        {"params": [p for _, p in named if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for _, p in named if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def adam(named: Named, *, lr: float) -> torch.optim.Adam:
    """Adam in one fused kernel; no weight decay, betas (0.9, 0.999) (original fine-tuning)."""
    return cpu.fused_adam([p for _, p in named], lr)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every parameter group this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr


# ---------------------------------------------------------------- schedules
def _half_cosine(progress: float) -> float:
    """1 at progress 0, 0 at progress 1."""
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def lr_at(
    schedule: str,
    step: int,
    steps: int,
    peak: float,
    warmup: float = 0.0,
    warmup_lr: float = 0.0,
    period: int = 1,
) -> float:
    """Learning rate of the step with number `step`, 0 being the first of `steps`.

    Args:
        schedule: "constant"; "cosine", from `peak` to 0 at `steps`; "warmup-cosine", linear from
            `warmup_lr` to `peak` over the share `warmup` of the steps, then cosine to 0 (the
            original's LinearWarmupCosineAnnealingLR, by step instead of by epoch);
            "cosine-restarts", a cosine to 0 every `period` steps (paper section 4).
        warmup, warmup_lr: read by "warmup-cosine" only.
        period: steps, read by "cosine-restarts" only.
    """
    rise = round(warmup * steps)
    if schedule == "warmup-cosine" and step < rise:
        return warmup_lr + (peak - warmup_lr) * step / rise
    fallen = {
        "constant": 0.0,
        "cosine": step / steps,
        "cosine-restarts": step % period / period,
        "warmup-cosine": (step - rise) / max(steps - rise, 1),
    }
    return peak * _half_cosine(fallen[schedule])


def tau_at(progress: float, tau: float) -> float:
    """BYOL's target momentum: `tau` at progress 0, 1 at progress 1, half a cosine between."""
    return 1.0 - (1.0 - tau) * _half_cosine(progress)


# ---------------------------------------------------------------- moving average
@torch.no_grad()
def ema(target: nn.Module, online: nn.Module, tau: float) -> None:
    """target <- tau * target + (1 - tau) * online, in one multi-tensor call.

    Float buffers (BatchNorm statistics) are averaged too, integer ones copied. BYOL's references leave them to the
    target's own forward passes (flaw F8 of the original: it never initialises them either).

    Raises:
        ValueError: networks of different structure.
    """
    average = get_ema_multi_avg_fn(tau)
    buffers = list(zip(target.buffers(), online.buffers(), strict=True))
    averaged: list[tuple[Tensor, Tensor]] = [*zip(target.parameters(), online.parameters(), strict=True)]
    averaged += [pair for pair in buffers if pair[0].is_floating_point()]
    copied = [pair for pair in buffers if not pair[0].is_floating_point()]
    average(*map(list, zip(*averaged, strict=True)), None)
    if copied:
        torch._foreach_copy_([pair[0] for pair in copied], [pair[1] for pair in copied])


def follow(modules: Mapping[str, nn.Module], tau: float) -> dict[str, float]:
    """Move every `target` of `heads.targets` towards the network that it follows; returns tau as a metric."""
    for part in modules:
        if heads.target_of(part) in modules:
            ema(modules[heads.target_of(part)], modules[part], tau)
    return {"tau": tau}


# ---------------------------------------------------------------- epochs and steps
def steps_of_epochs(epochs: int, slices: int, batch_size: int) -> int:
    """Optimiser steps after which `epochs` epochs are over.

    One epoch is as many slices as the training set has, wherever the batches begin. Rounded down,
    as in the paper's 25 epochs of 20,000 slices in batches of 128 = 3,906 steps; at least 1,
    except for 0 epochs.
    """
    return 0 if epochs == 0 else max(1, epochs * slices // batch_size)


def epochs_of_steps(steps: int, slices: int, batch_size: int) -> float:
    """Epochs (fractional) that are over after `steps` optimiser steps."""
    return steps * batch_size / slices


def kept_steps(p: Pretrain, slices: int) -> dict[int, int | None]:
    """step -> epoch at which an encoder is kept; the last step always is.

    Raises:
        ParamError: an epoch or a step lies beyond the end of the run.
    """
    kept: dict[int, int | None] = dict.fromkeys(p.save_steps)
    kept |= {steps_of_epochs(e, slices, p.batch_size): e for e in p.save_epochs}
    late = [str(kept[s] if kept[s] is not None else s) for s in sorted(kept) if s > p.steps]
    if late:
        total = epochs_of_steps(p.steps, slices, p.batch_size)
        raise ParamError(
            f"save_epochs/save_steps: {', '.join(late)} lie beyond the end of the run ({p.steps} steps, {total:.2f} epochs)"
        )
    kept.setdefault(p.steps, None)
    return kept
