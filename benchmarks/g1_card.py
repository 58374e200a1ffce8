"""G1 to G5: trainings of the paper on one CUDA card; without a card nothing is measured, and the page says so.

What is compared is the work of P3 and P4, whose losses are asserted equal there. This project's side is the training loop
with views made on the card and compiled networks. The peers have one batch that lies on the card, and the fast setting that
torch's performance tuning guide gives: bf16 autocast, channels-last, fused or multi-tensor optimisers. Seconds that pass,
the card waited for at the end of each call.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import p4_unet, subjects
from benchmarks.compare import Answer, PeerMissingError, Question, Times, compare, need

ROOT = Path(__file__).parents[1]
SIZE, BYOL_BATCH, UNET_BATCH, STEPS = 224, 128, 192, 20
PAPER_STEPS = 3906  # 25 epochs of 20,000 slices, batches of 128
FEW, FEW_BATCH = 210, 24  # steps of a fine-tuning as a process, slices of each
ARCHITECTURE = "resnet50"
Call = Callable[[], object]


def card() -> str:
    """The card's name.

    Raises:
        PeerMissingError: there is none.
    """
    import torch

    if not torch.cuda.is_available():
        raise PeerMissingError("not measured here: torch sees no CUDA device")
    return torch.cuda.get_device_name()


def loop_of(training: Any, batch_at: Callable[[int], Any], steps: int = STEPS) -> tuple[Call, Call]:
    """Calls for `steps` steps of a training: in its loop, and again and again on the first batch that the loop had."""
    going: Iterator[Any] = training.run(batch_at)
    fixed = batch_at(0)

    def in_the_loop() -> None:
        for _ in range(steps):
            next(going)
        _wait(training.device)

    def on_one_batch() -> None:
        for _ in range(steps):
            training.step(training.done, fixed, fetch=False)
        _wait(training.device)

    return in_the_loop, on_one_batch


def byol(
    architecture: str, size: int, batch: int, device: str, **knobs: Any
) -> tuple[Any, Callable[[int], Any]]:
    """A training by BYOL, and its batches."""
    import torch

    from sslseg.config.flags import resolve
    from sslseg.data import training_set
    from sslseg.data.slices.intensity import fit
    from sslseg.data.views import batches, render_device
    from sslseg.methods.agreement.byol import Method, Params
    from sslseg.models import encoder
    from sslseg.training import loop

    store = subjects.store()
    rows = np.arange(len(store))
    p = resolve(
        Params(preset="paper", image_size=size, batch_size=batch, steps=1_000_000, device=device, **knobs)
    )
    training = loop.pretraining(
        Method(encoder.build(architecture, store.channels, 0), p, seed=0), p, device=device
    )
    there, intensity = render_device.place(store, torch.device(device)), fit(store, rows)

    def batch_at(step: int) -> Any:
        views = training_set.view_ranges(p)
        return batches.pretrain_batch(there, rows, views, intensity, seed=0, step=step, batch_size=batch)

    return training, batch_at


def unet(
    architecture: str, size: int, batch: int, device: str, **knobs: Any
) -> tuple[Any, Callable[[int], Any]]:
    """A fine-tuning, and its batches."""
    import torch

    from sslseg.config.flags import resolve
    from sslseg.config.params import Finetune
    from sslseg.data import training_set
    from sslseg.data.slices.intensity import fit
    from sslseg.data.views import batches, render_device
    from sslseg.training import loop

    store = subjects.store()
    rows = np.flatnonzero(store.index["labelled"])
    p = resolve(Finetune(preset="paper-text", encoder="scratch", image_size=size, batch_size=batch, clip=0.0,
                         steps=1_000_000, device=device, **knobs))  # fmt: skip
    training = loop.finetuning(p4_unet.network(architecture, p.decoder), p, device=device)
    there, intensity = render_device.place(store, torch.device(device), labels=True), fit(store, rows)

    def batch_at(step: int) -> Any:
        views = training_set.view_ranges(p)
        return batches.finetune_batch(there, rows, views, intensity, seed=0, step=step, batch_size=batch)

    return training, batch_at


def lightlys(
    architecture: str,
    size: int,
    batch: int,
    device: str,
    hidden: tuple[int, int] = (4096, 8192),
    compiled: bool = False,
) -> Call:
    """lightly's example (examples/pytorch/byol.py) with the paper's heads and LARS, a step a call."""
    need("lightly")
    import copy

    import timm
    import torch
    from lightly.loss import NegativeCosineSimilarity
    from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead
    from lightly.models.utils import deactivate_requires_grad, update_momentum
    from timm.optim import Lars

    backbone = timm.create_model(architecture, num_classes=0, in_chans=1)
    projection = BYOLProjectionHead(backbone.num_features, hidden[0], 256)
    prediction = BYOLPredictionHead(256, hidden[1], 256)
    nets = [net.to(device, memory_format=torch.channels_last) for net in (backbone, projection, prediction)]
    slow = [copy.deepcopy(net) for net in nets[:2]]
    for net in slow:
        deactivate_requires_grad(net)
    for net in (*nets, *slow) if compiled else ():
        net.compile(dynamic=False)
    optimizer = Lars([p for net in nets for p in net.parameters()], lr=0.25, momentum=0.9, foreach=True)
    criterion = NegativeCosineSimilarity()
    views = torch.randn(2, batch, 1, size, size, device=device)

    def step() -> None:
        for fast, follows in zip(nets, slow, strict=False):
            update_momentum(fast, follows, m=0.99)
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            predicted = [nets[2](nets[1](nets[0](view))) for view in views]
            targets = [slow[1](slow[0](view)).detach() for view in views]
            loss = 0.5 * (criterion(predicted[0], targets[1]) + criterion(predicted[1], targets[0]))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def smps(architecture: str, size: int, batch: int, device: str, compiled: bool = False) -> Call:
    """smp's Unet with its Jaccard loss and torch's fused Adam, a step a call."""
    smp, torch = need("segmentation_models_pytorch"), need("torch")
    net = smp.Unet(f"tu-{architecture}", encoder_weights=None, in_channels=1, classes=p4_unet.CLASSES)
    net = net.train().to(device, memory_format=torch.channels_last)
    if compiled:
        net.compile(dynamic=False)
    optimizer = torch.optim.Adam(net.parameters(), lr=p4_unet.LR, fused=True)
    criterion = smp.losses.JaccardLoss("multiclass", from_logits=True)
    images, labels = (torch.from_numpy(part).to(device) for part in p4_unet.batch(size, batch))
    labels = labels.long()

    def step() -> None:
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            logits = net(images)
        loss = criterion(logits.float(), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def often(step: Call, device: str, steps: int = STEPS) -> Call:
    """A call for `steps` steps."""

    def all_of_them() -> None:
        for _ in range(steps):
            step()
        _wait(device)

    return all_of_them


def _wait(device: Any) -> None:
    import torch

    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def _side_by_side(ours: tuple[Any, Callable[[int], Any]], peer: Callable[..., Call], batch: int) -> Times:
    """The peer as its example is, and compiled, which is no line of the example but what its user could add."""
    inside, alone = loop_of(*ours)
    variants = {"ours": inside, "ours, one batch": alone} | {
        name: often(peer(ARCHITECTURE, SIZE, batch, "cuda", compiled=compiled), "cuda")
        for name, compiled in (("peer", False), ("peer, compiled", True))
    }
    return compare(variants, warm=2, clock=time.perf_counter)


def _against(times: Times, batch: int) -> Answer:
    steps = {what: f"{1e3 * times.median(what) / STEPS:.1f} ms" for what in times.seconds}
    return times.answer(per_second=batch * STEPS, card=card(), step=steps)


@cache
def _byols() -> Times:
    """Timed once for G1, G3 and G5."""
    card()
    ours = byol(ARCHITECTURE, SIZE, BYOL_BATCH, "cuda", compile="on")
    return _side_by_side(ours, lightlys, BYOL_BATCH)


def measure_byol() -> Answer:
    """G1."""
    return _against(_byols(), BYOL_BATCH)


def measure_unet() -> Answer:
    """G2."""
    card()
    ours = unet(ARCHITECTURE, SIZE, UNET_BATCH, "cuda", compile="on")
    return _against(_side_by_side(ours, smps, UNET_BATCH), UNET_BATCH)


def _plain(values: list[float], seconds: dict[str, float], name: str) -> Answer:
    return Answer(float(np.median(values)), (min(values), max(values)), len(values), seconds, {"card": name})


def measure_waiting() -> Answer:
    """G3: how much longer a step is in the loop than on a batch that is there."""
    times = _byols()
    pairs = zip(times.seconds["ours"], times.seconds["ours, one batch"], strict=True)
    shares = [100 * max(1 - alone / inside, 0.0) for inside, alone in pairs]
    return _plain(shares, {what: times.median(what) for what in ("ours", "ours, one batch")}, card())


def measure_process() -> Answer:
    """G4: from the command to its end, on the phantom; the store of slices is there after the first."""
    name, folder, taken = card(), subjects.folder(), []
    words = [
        "entrypoints/finetune.py",
        "--encoder=scratch",
        "--preset=cpu",
        f"--image_size={SIZE}",
        f"--batch_size={FEW_BATCH}",
        f"--steps={FEW}",
        f"--cache={folder / 'cache'}",
        "--seed=",
    ]
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "PYTHONPATH": os.pathsep.join((f"{ROOT}/src", str(ROOT), os.environ.get("PYTHONPATH", ""))),
    }
    for number in range(4):
        begun = time.perf_counter()
        command = [sys.executable, *words[:-1], f"{words[-1]}{number}"]  # another seed: nothing is used again
        subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
        taken.append(time.perf_counter() - begun)
    return _plain(taken[1:], {"first": taken[0], "ours": float(np.median(taken[1:]))}, name)


def measure_epochs() -> Answer:
    """G5, from the seconds of a step in the loop."""
    times = _byols()
    minutes = [PAPER_STEPS * seconds / STEPS / 60 for seconds in times.seconds["ours"]]
    return _plain(minutes, {"ours": times.median("ours")}, card())


FAST = "bf16, channels-last, eager"
QUESTIONS = (
    Question("G1", "BYOL, ResNet-50, 224 px, batch 128, in the loop", f"lightly's step, {FAST}", measure_byol, 1.25, 1.5,
             ("lightly", "timm")),
    Question("G2", "U-Net, ResNet-50, 224 px, batch 192, in the loop", f"smp, fused Adam, {FAST}", measure_unet, 1.45, 1.8,
             ("segmentation-models-pytorch",)),
    Question("G3", "percent of BYOL's loop in which the card waits for input", "the same step on one batch",
             measure_waiting, 1, 0.3, at_most=True),
    Question("G4", "seconds of a fine-tuning as a process, EfficientNet-Lite0, 210 steps", "none", measure_process, 25, 15,
             at_most=True),
    Question("G5", "minutes of BYOL, 25 epochs of 20,000 slices: 3,906 steps of G1", "none", measure_epochs, 4.6, 4.0,
             at_most=True),
)  # fmt: skip
