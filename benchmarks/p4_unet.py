"""P4: a training step of the U-Net with optimiser and metrics.

The reference is smp's own recipe with the same weights: its Unet as it comes, smp's Jaccard loss, torch's Adam, IoU and
F1 per class of torchmetrics, all of it updated in the step. Its fast setting is Adam's fused kernel (torch's
performance tuning guide and `torch.optim.Adam`, `fused`); the default, one tensor after the other, runs along. Neither
clips gradients.
"""

import copy
from collections.abc import Callable

import numpy as np

from benchmarks import roofline
from benchmarks.compare import Answer, Question, compare, need, one_thread

ARCHITECTURE, SIZE, BATCH, CLASSES = "resnet18", 96, 8, 4
DECODER = (256, 128, 64, 32, 16)
LR, STEPS = 1e-4, 3
EQUAL = 1e-5
Step = Callable[[], tuple[float, np.ndarray]]


def batch(size: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Images [B, 1, S, S] and blobs of labels [B, S, S]."""
    from sslseg.data.streams import stream

    rng = stream(0, "benchmark")
    labels = rng.integers(0, CLASSES, (number, size // 8, size // 8)).repeat(8, 1).repeat(8, 2)
    noise = rng.standard_normal((number, size, size), np.float32)
    return (labels[:, None] + noise[:, None]).astype(np.float32), labels.astype(np.uint8)


def ours(net, images: np.ndarray, labels: np.ndarray) -> Step:
    """A call that does the training loop's step, and one confusion matrix; returns loss and IoU per class."""
    import torch

    from sslseg.config.flags import resolve
    from sslseg.config.params import Finetune
    from sslseg.data.views.batches import FinetuneBatch
    from sslseg.scoring import pixels
    from sslseg.training import loop

    p = resolve(
        Finetune(preset="paper-text", encoder="scratch", lr=LR, schedule="constant", clip=0.0, steps=10_000)
    )
    net = copy.deepcopy(net)
    training = loop.finetuning(net, p)
    truth, seen = torch.from_numpy(labels), []
    net.register_forward_hook(lambda module, given, logits: seen.append(logits.detach()))
    numbers = iter(range(10_000))

    def step() -> tuple[float, np.ndarray]:
        metrics = training.step(next(numbers), FinetuneBatch(images, labels, np.arange(len(images))))
        counts = pixels.confusion(truth, seen.pop().argmax(1), CLASSES).sum(0).numpy()
        pixels.dice(counts)
        return metrics["train/loss"], pixels.iou(counts)

    return step


def reference(net, images: np.ndarray, labels: np.ndarray, *, fused: bool) -> Step:
    """The same by smp, torch and torchmetrics."""
    smp, torch = need("segmentation_models_pytorch"), need("torch")
    classification = need("torchmetrics.classification")
    plain = smp.Unet(
        f"tu-{net.encoder.name}", encoder_weights=None, in_channels=1, classes=CLASSES,
        decoder_channels=[block.conv2[0].out_channels for block in net.decoder.blocks],
        decoder_interpolation="nearest",
    )  # fmt: skip
    plain.load_state_dict(net.state_dict())
    net = plain.train()
    optimizer = torch.optim.Adam(net.parameters(), lr=LR, fused=fused or None)
    criterion = smp.losses.JaccardLoss("multiclass", from_logits=True)
    iou = classification.MulticlassJaccardIndex(CLASSES, average="none")
    dice = classification.MulticlassF1Score(CLASSES, average="none")
    x, y = torch.from_numpy(images), torch.from_numpy(labels).long()

    def step() -> tuple[float, np.ndarray]:
        logits = net(x)
        loss = criterion(logits, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found = logits.detach().argmax(1)
        dice(found, y)
        return loss.item(), iou(found, y).numpy()

    return step


def network(architecture: str = ARCHITECTURE, decoder: tuple[int, ...] = DECODER):
    """A fresh U-Net of one channel."""
    from sslseg.models import unet

    return unet.scratch(architecture, 1, CLASSES, decoder, 0)[0]


def check(mine: Step, theirs: Step, steps: int = STEPS) -> float:
    """Losses and IoU of both over their first steps, asserted equal; the largest difference of the losses."""
    one_thread()
    pairs = [(mine(), theirs()) for _ in range(steps)]
    worst = max(abs(a[0] - b[0]) for a, b in pairs)
    assert worst < EQUAL, f"losses differ by {worst:.2e} within {steps} steps"
    assert np.allclose(pairs[0][0][1], pairs[0][1][1], atol=1e-6), pairs[0]  # torchmetrics is in float32
    return worst


def measure() -> Answer:
    """U-Net around ResNet-18 at 96 px, batch 8."""
    net, (images, labels) = network(), batch(SIZE, BATCH)
    mine, theirs = ours(net, images, labels), reference(net, images, labels, fused=True)
    worst = check(mine, theirs)
    operations = roofline.flops(mine)
    times = compare(
        {
            "ours": mine,
            "peer": theirs,
            "default Adam": reference(net, images, labels, fused=False),
            "product": roofline.product(),
        },
        rounds=15,
    )
    return times.answer(
        per_second=BATCH,
        largest_difference=worst,
        gflop=operations / 1e9,
        ours_percent_of_gemm=roofline.share(times, "ours", operations),
        peer_percent_of_gemm=roofline.share(times, "peer", operations),
        ratio_to_default_adam=times.median("default Adam") / times.median("ours"),
    )


QUESTIONS = (
    Question("P4", "U-Net step, ResNet-18, 96 px, batch 8", "smp, fused Adam, torchmetrics", measure, 1.1, 1.3,
             ("segmentation-models-pytorch", "torchmetrics")),
)  # fmt: skip
