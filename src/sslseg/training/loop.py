"""The two training loops. They yield metrics and log nothing.

All randomness of a step comes from streams keyed by its number, so weights, optimiser slots and the
number of the step are the whole state of a training.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from sslseg.config import switches
from sslseg.config.names import NonFiniteLoss
from sslseg.config.params import Finetune, Pretrain
from sslseg.config.texts import some
from sslseg.data import streams
from sslseg.data.views.batches import FinetuneBatch, PretrainBatch, prefetch
from sslseg.models import modes
from sslseg.training import checkpoint, contract, devices, losses, optim, replay
from sslseg.training.contract import Metrics
from sslseg.training.mean_teacher import MeanTeacher
from sslseg.training.unimatch import UniMatch

Batch = PretrainBatch[Any] | FinetuneBatch[Any]  # of arrays or tensors
Loss = Callable[[Any], tuple[Tensor, Metrics]]
LOG_EVERY = 10  # steps between two readings of the loss; each waits for the device
MODULES, DONE = "modules.", "done"


class Step(NamedTuple):
    """`step`: optimiser steps done so far, 1 after the first; `metrics`: empty if not fetched."""

    step: int
    metrics: dict[str, float]


class Training:
    """A training that goes on from any of its states; made by `pretraining` and `finetuning`.

    Attributes:
        modules: name -> network, all that has weights or buffers.
        steps: how many steps the whole training has.
        done: how many are over.
    """

    def __init__(
        self,
        modules: dict[str, nn.Module],
        named: list[tuple[str, nn.Parameter]],
        optimizer: torch.optim.Optimizer,
        p: Pretrain | Finetune,
        *,
        loss: Loss,
        after: Callable[[float], Metrics],
        device: torch.device,
    ):
        self.modules, self.named, self.optimizer = modules, named, optimizer
        self.steps, self.seed, self.device, self.done = p.steps, p.seed, device, 0
        self._loss, self._after, self._p = loss, after, p
        self._unseen: list[tuple[int, np.ndarray, Tensor]] = []  # losses still on the device
        self._gradients: replay.Pass = self._plain
        if device.type == "cuda" and switches.on(replay.SWITCH):
            self._gradients = replay.Replayed(self._plain, [weight for _, weight in named], modules.values())

    def lr(self, step: int) -> float:
        """Learning rate of step number `step`."""
        p, period = self._p, getattr(self._p, "period", 1)
        return optim.lr_at(p.schedule, step, p.steps, p.lr, p.warmup, p.warmup_lr, period)

    def run(self, batch_at: Callable[[int], Batch], *, log_every: int = LOG_EVERY) -> Generator[Step]:
        """Go on to the last step; one `Step` after each, metrics with every `log_every`-th and the last.

        Batches are made ahead by one thread. The networks may be read between two steps.

        Args:
            batch_at: number of a step, 0 being the first -> PretrainBatch or FinetuneBatch.

        Raises:
            NonFiniteLoss: see `step`.
        """
        for step, batch in prefetch((n, batch_at(n)) for n in range(self.done, self.steps)):
            fetch = (step + 1) % log_every == 0 or step + 1 == self.steps
            yield Step(step + 1, self.step(step, batch, fetch=fetch))

    def step(self, step: int, batch: Batch, *, fetch: bool = True) -> dict[str, float]:
        """Do step number `step` (0 is the first) and return its `train/…` metrics, if `fetch`.

        Nothing waits for the device unless `fetch`; a loss that is not finite is found then, or by
        `state`, and reported with the step it first occurred at.

        Raises:
            NonFiniteLoss: with step and batch; attributes `step` (number as here) and `rows`.
        """
        lr = self.lr(step)
        optim.set_lr(self.optimizer, lr)
        with seeded(streams.torch_seed(self.seed, "step", step), self.device):  # dropout, drop path
            loss, metrics = self._gradients(on(batch, self.device))
        if self._p.clip:
            weights = [weight for _, weight in self.named]
            metrics = {**metrics, "gradient_norm": nn.utils.clip_grad_norm_(weights, self._p.clip)}
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        metrics = {"loss": loss, "lr": lr, **metrics, **self._after(step / self.steps)}
        self.done = step + 1
        self._unseen.append((step, batch.rows, loss))
        if not fetch:
            return {}
        self._look()
        return {f"train/{name}": value for name, value in _fetched(metrics).items()}

    def _plain(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """Loss and metrics of a batch on the device; the gradients are with their parameters."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            loss, metrics = self._loss(batch)
        loss.backward()
        return loss.detach(), metrics

    def state(self) -> dict[str, Tensor]:
        """All that `restore` needs: weights, buffers, optimiser slots and the steps done.

        Raises:
            NonFiniteLoss: the weights are spoilt; nothing should be saved.
        """
        self._look()
        weights = {
            f"{MODULES}{name}.{key}": tensor
            for name, module in self.modules.items()
            for key, tensor in module.state_dict().items()
        }
        slots = checkpoint.optimizer_tensors(self.optimizer, self.named)
        return weights | slots | {DONE: torch.tensor(self.done)}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Become the training whose `state` was `tensors`; nothing else may be among them.

        Raises:
            KeyError, RuntimeError, ValueError: a tensor is missing, left over or of another shape.
        """
        left = dict(tensors)
        done = int(left.pop(DONE))
        for name, module in self.modules.items():
            prefix = f"{MODULES}{name}."
            module.load_state_dict(
                {k.removeprefix(prefix): left.pop(k) for k in tensors if k.startswith(prefix)}, strict=True
            )
        checkpoint.restore_optimizer(self.optimizer, self.named, left)
        if strange := [key for key in left if not key.startswith(checkpoint.OPTIMIZER)]:
            raise ValueError(f"checkpoint holds tensors of no module: {some(strange, 3)}")
        self.done = done

    def _look(self) -> None:
        """Fetch the losses of all steps since the last look, in one transfer."""
        if not self._unseen:
            return
        unseen, self._unseen = self._unseen, []
        for (step, rows, _), value in zip(unseen, torch.stack([u[2] for u in unseen]).tolist(), strict=True):
            if not math.isfinite(value):
                error = NonFiniteLoss(
                    f"the loss is {value} at step {step + 1} of {self.steps}, lr {self.lr(step):.3g}. "
                    "Lower lr, or look at the slices of that batch; the last checkpoint is from before. "
                    f"Rows: {', '.join(map(str, rows))}"
                )
                error.step, error.rows = step, rows.tolist()
                raise error


def pretraining(method: contract.Method, p: Pretrain, *, device: torch.device | str = "cpu") -> Training:
    """Any method of `sslseg.methods` under its optimiser and schedule; moves its networks to `device`.

    Convolutions run channels-last. Batches are `PretrainBatch`.
    """
    device = _placed(method.modules.values(), device)
    if devices.compiles(p):
        modes.compiled(method.modules.values(), devices.BACKEND)
    named = contract.trainable(method)
    after = functools.partial(contract.after_step, method)
    return Training(
        method.modules, named, optim.of(p, named), p, loss=method.loss, after=after, device=device
    )


def finetuning(unet: nn.Module, p: Finetune, *, device: torch.device | str = "cpu") -> Training:
    """A U-Net under Adam and the Jaccard loss (paper section 4): all of it, or all but a frozen encoder.

    Convolutions run channels-last: with the decoder of `models/cpu/decoder.py` a tenth to a fifth faster on a CPU
    (`python -m benchmarks P4`). Batches are `FinetuneBatch`. The network to be used is the module `unet`, or
    `teacher` where there is one.
    """
    device = _placed([unet], device)
    if p.freeze == "encoder":
        unet.get_submodule("encoder").requires_grad_(False).eval()  # in eval mode batch-norm statistics stay
    named = [(name, tensor) for name, tensor in unet.named_parameters() if tensor.requires_grad]
    modules = {"unet": unet}
    loss: Loss = lambda batch: (losses.jaccard(unet(batch.images), batch.labels), {})  # noqa: E731
    after: Callable[[float], Metrics] = lambda progress: {}  # noqa: E731
    if p.semi == "mean_teacher":
        pair = MeanTeacher(unet, p)
        modules, loss, after = modules | {"teacher": pair.teacher}, pair.loss, pair.after_step
    if p.semi == "unimatch":
        loss = UniMatch(unet, p).loss
    if devices.compiles(p):
        modes.compiled(modules.values(), devices.BACKEND)
    return Training(modules, named, optim.adam(named, lr=p.lr), p, loss=loss, after=after, device=device)


def _placed(modules: Iterable[nn.Module], device: torch.device | str) -> torch.device:
    device = torch.device(device)
    for module in modules:
        module.train()
        module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload] # not in torch's stubs
    return device


def on(batch: Any, device: torch.device) -> Any:
    """The batch with its arrays as tensors on `device`, copied without waiting; rows stay."""

    def send(part: Any) -> Any:
        if part is None or isinstance(part, float):
            return part
        tensor = torch.as_tensor(part)
        if device.type == "cuda" and not tensor.is_cuda:
            return tensor.pin_memory().to(device, non_blocking=True)
        return tensor.to(device)

    return replay.each(batch._replace(rows=None), send)._replace(rows=batch.rows)


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """torch's own generators start from `seed` inside, and are as before afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _fetched(metrics: Metrics) -> dict[str, float]:
    """Floats of numbers, of scalars on the device (in one transfer), and of what callables return."""
    known = {name: value() if callable(value) else value for name, value in metrics.items()}
    held = {name: value.detach().float() for name, value in known.items() if isinstance(value, Tensor)}
    numbers = torch.stack(list(held.values())).tolist() if held else []
    return {name: float(value) for name, value in (known | dict(zip(held, numbers, strict=True))).items()}
