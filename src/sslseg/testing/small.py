"""Small things to ask a method with: its settings, an encoder of a tiny network, batches of a few slices."""

import functools
from typing import Any

import numpy as np
import torch

from sslseg.config import flags, plugins
from sslseg.data import streams
from sslseg.data.slices.intensity import Intensity
from sslseg.data.training_set import view_ranges
from sslseg.data.views import batches, colour
from sslseg.models import encoder
from sslseg.testing.slices import TinySlices, hearts, scenes
from sslseg.training import contract, loop

ARCHITECTURE = "test_efficientnet"  # has head tensors that a U-Net drops
SIZE, BATCH, SIDE, VOLUMES, SLICES = 32, 8, 64, 6, 4
VIEWS = 64
VOLUME = np.repeat(np.arange(VOLUMES), SLICES)  # of each slice


def settings(name: str, **knobs: Any) -> Any:
    """Parameters of preset demo, on small views; `small` of the method's file are its own wishes."""
    module = plugins.load("methods", name)
    small = {"preset": "demo", "image_size": SIZE} | getattr(module, "SMALL", {})
    return flags.resolve(module.Params(**small | knobs))


def create(name: str, seed: int = 0, upstream: int = 0, **knobs: Any) -> Any:
    """The method around a fresh encoder of seed `upstream`."""
    p = settings(name, **knobs)
    return plugins.load("methods", name).Method(
        encoder.build(ARCHITECTURE, reads(name), upstream), p, seed=seed
    )


def reads(name: str) -> int:
    """How many channels the method's encoder has here."""
    wanted = plugins.load("methods", name).Method.wanted(settings(name))
    return wanted.reads(wanted.channels or 1)


@functools.cache
def slices(channels: int) -> TinySlices:
    """Two volumes each of three patients: simulated hearts, or textured scenes where several channels are wanted."""
    images = hearts(VOLUMES // 2, SLICES, SIDE) if channels == 1 else scenes(len(VOLUME), SIDE, channels)
    return TinySlices(images, volume=VOLUME)


def batch(name: str, step: int = 0, **knobs: Any) -> batches.PretrainBatch:
    """What the training loop would hand to the method, as tensors."""
    return made(name, settings(name, **knobs), step)


def made(
    name: str, p: Any, step: int = 0, batch_size: int = BATCH, store: Any = None, rows: Any = None
) -> batches.PretrainBatch:
    """The same, for parameters that are resolved; `rows` of `store`, if not all of `slices`."""
    wanted = plugins.load("methods", name).Method.wanted(p)
    store = store or slices(wanted.channels or 1)
    given = batches.pretrain_batch(
        store, range(len(store.index)) if rows is None else rows, view_ranges(p), Intensity("dataset", (0.4,), (0.25,)),
        seed=0, step=step, batch_size=batch_size, wanted=wanted, steps=100, known=batches.places(store),
    )  # fmt: skip
    return loop.on(given, torch.device("cpu"))


def loss(method: Any, given: batches.PretrainBatch, step: int = 0) -> tuple[torch.Tensor, dict[str, Any]]:
    """The method's loss, with torch's own generators as the loop sets them."""
    with loop.seeded(streams.torch_seed(0, "step", step), torch.device("cpu")):
        return method.loss(given)


def train(method: Any, name: str, steps: int, **of: Any) -> list[float]:
    """Losses of some steps of Adam on the batches of one epoch, in turn; `of`: as in `made`."""
    optimiser = torch.optim.Adam([p for _, p in contract.trainable(method)], lr=1e-3)
    count, found = min(steps, VOLUMES * SLICES // BATCH), []
    given = [made(name, settings(name), step, **of) for step in range(count)]
    for step in range(steps):
        value, _ = loss(method, given[step % len(given)])
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        contract.after_step(method, step / steps)
        found.append(value.item())
    return found


@functools.cache
def seen(name: str) -> torch.Tensor:
    """As many views as a stage reads an encoder's signs of life from, as the encoder gets them."""
    p = settings(name)
    view = made(name, p, batch_size=VIEWS).views[0]
    return colour.lightness(view) if plugins.load("methods", name).Method.wanted(p).grey else view


def tensors(method: Any) -> dict[str, torch.Tensor]:
    """All of the state."""
    return {
        f"{part}.{k}": v.clone() for part, net in method.modules.items() for k, v in net.state_dict().items()
    }
