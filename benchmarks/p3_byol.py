"""P3: a step of BYOL as the method has it: each view by itself, batch statistics of its own, a moving target.

The reference is lightly's example (examples/pytorch/byol.py: its heads, its loss, its `update_momentum`, the order
of its forward passes) around the same ResNet-18, with the optimiser of the original in the place of its SGD:
LARS, one tensor after the other. Its loss is 0.5 (c + c') with c = -cos; ours 4 + 2 (c + c'), so it is minimised as
4 + 4 x its own. A linear layer before a batch norm has no bias there; it has no effect on ours.

The losses of five steps are compared in double precision, at the size and batch of the row and a rate at which they
move: equal there, so both do the same. In float32, in which both are timed, the sums are taken in another order
(channels-last, multi-tensor calls) and the steps drift apart by rounding; how far is in the row (`float32_difference`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np

from benchmarks import roofline
from benchmarks.compare import Answer, Question, compare, need, one_thread

SIZE, BATCH, STEPS = 96, 16, 5
RATE = 0.1  # of the comparison
EQUAL = 1e-5
SETTINGS = {"image_size": SIZE, "batch_size": BATCH, "lr": 5e-4, "warmup": 0.0, "steps": 1000}


def views(number: int, batch: int, size: int, kind: type = np.float32) -> list[tuple[np.ndarray, ...]]:
    """Batches of two views each; the same numbers, rounded to float32, in every `kind`."""
    from sslseg.data.streams import stream

    rng = stream(0, "benchmark")
    return [
        tuple(rng.standard_normal((batch, 1, size, size), np.float32).astype(kind) for _ in range(2))
        for _ in range(number)
    ]


def ours(
    architecture: str, *, double: bool = False, **knobs: float
) -> Callable[[int, tuple[np.ndarray, ...]], float]:
    """number of a step, views -> loss: the training loop's own step, fetched."""
    from sslseg.config.flags import resolve
    from sslseg.data.views.batches import PretrainBatch
    from sslseg.methods.agreement import byol
    from sslseg.models import encoder
    from sslseg.training import loop

    p = resolve(byol.Params(preset="paper", **SETTINGS | knobs))
    training = loop.pretraining(byol.Method(encoder.build(architecture, 1, 0), p, seed=0), p)
    for net in training.modules.values():
        net.double() if double else net.float()

    def step(number: int, views: tuple[np.ndarray, ...], fetch: bool = True) -> float:
        batch = PretrainBatch(views, np.arange(len(views[0])))
        return training.step(number, batch, fetch=fetch).get("train/loss", float("nan"))

    step.training, step.architecture = training, architecture
    return step


def reference(like, **knobs: float) -> Callable[[int, tuple[np.ndarray, ...]], float]:
    """The same from lightly's parts; weights are copied from `like`, a fresh `ours`."""
    need("lightly")
    import timm
    import torch
    from lightly.loss import NegativeCosineSimilarity
    from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead
    from lightly.models.utils import deactivate_requires_grad, update_momentum
    from timm.optim import Lars

    from sslseg.training import optim

    settings, nets = SETTINGS | knobs, like.training.modules
    backbone = timm.create_model(like.architecture, num_classes=0, in_chans=1)
    backbone.to(next(nets["online"].parameters()).dtype)
    backbone.load_state_dict(nets["online"].state_dict())
    heads = [
        kind(head[0].in_features, head[0].out_features, head[3].out_features)
        for kind, head in ((BYOLProjectionHead, nets["projector"]), (BYOLPredictionHead, nets["predictor"]))
    ]
    for head, source in zip(heads, (nets["projector"], nets["predictor"]), strict=True):
        state = {k: v for k, v in source.state_dict().items() if k != "0.bias"}
        head.layers.to(source[0].weight.dtype).load_state_dict(state)
    projection, prediction = heads
    backbone_momentum, projection_momentum = copy.deepcopy(backbone), copy.deepcopy(projection)
    for net in (backbone_momentum, projection_momentum):
        deactivate_requires_grad(net)
    parameters = [p for net in (backbone, projection, prediction) for p in net.parameters()]
    optimizer = Lars(
        [
            {"params": [p for p in parameters if p.ndim > 1], "always_adapt": True},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=settings["lr"], momentum=0.9, weight_decay=1e-5, trust_coeff=0.02, trust_clip=True, foreach=False,
    )  # fmt: skip
    criterion = NegativeCosineSimilarity()

    def online(view: torch.Tensor) -> torch.Tensor:
        return prediction(projection(backbone(view).flatten(start_dim=1)))

    def momentum(view: torch.Tensor) -> torch.Tensor:
        return projection_momentum(backbone_momentum(view).flatten(start_dim=1)).detach()

    def step(number: int, views: tuple[np.ndarray, ...]) -> float:
        if number:
            tau = optim.tau_at((number - 1) / settings["steps"], 0.99)
            update_momentum(backbone, backbone_momentum, m=tau)
            update_momentum(projection, projection_momentum, m=tau)
        optim.set_lr(optimizer, optim.lr_at("warmup-cosine", number, settings["steps"], settings["lr"]))
        x0, x1 = map(torch.from_numpy, views)
        p0, z0 = online(x0), momentum(x0)
        p1, z1 = online(x1), momentum(x1)
        loss = 4 + 4 * 0.5 * (criterion(p0, z1) + criterion(p1, z0))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


def difference(mine, theirs, batch: int, size: int, kind: type = np.float32, steps: int = STEPS) -> float:
    """Largest difference between the losses of both over their first steps."""
    one_thread()
    pairs = [(mine(n, v), theirs(n, v)) for n, v in enumerate(views(steps, batch, size, kind))]
    assert len({round(a, 3) for a, _ in pairs}) > 1, "the loss does not move"
    return max(abs(a - b) for a, b in pairs)


def check(architecture: str, batch: int, size: int, **knobs: float) -> float:
    """The same in double precision, asserted to be none that counts."""
    mine = ours(architecture, double=True, lr=RATE, **knobs)
    worst = difference(mine, reference(mine, lr=RATE, **knobs), batch, size, np.float64)
    assert worst < EQUAL, f"losses differ by {worst:.2e} within {STEPS} steps"
    return worst


def measure() -> Answer:
    """ResNet-18 at 96 px, batch 16, heads of the paper."""
    worst = check("resnet18", BATCH, SIZE)
    mine = ours("resnet18", lr=RATE)
    theirs = reference(mine, lr=RATE)
    rounding = difference(mine, theirs, BATCH, SIZE)
    (batch,) = views(1, BATCH, SIZE)
    operations = roofline.flops(lambda: mine(STEPS, batch))
    times = compare(
        {
            "ours": lambda: mine(STEPS, batch, fetch=False),
            "peer": lambda: theirs(STEPS, batch),
            "product": roofline.product(),
        },
        warm=0,  # five steps are behind both
    )
    gemm = {f"{name}_percent_of_gemm": roofline.share(times, name, operations) for name in ("ours", "peer")}
    return times.answer(
        per_second=BATCH,
        largest_difference=worst,
        float32_difference=rounding,
        gflop=operations / 1e9,
        **gemm,
    )


QUESTIONS = (
    Question("P3", "BYOL step, ResNet-18, 96 px, batch 16", "lightly's reference step", measure, 1.1, 1.3,
             ("lightly", "timm")),
)  # fmt: skip
