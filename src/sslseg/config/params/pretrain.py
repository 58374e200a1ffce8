"""Pretraining."""

from dataclasses import dataclass, field, make_dataclass, replace
from typing import Any

from sslseg.config import plugins
from sslseg.config.flags import AUTO, Knob, knob, knobs
from sslseg.config.params.inputs import Data, Upstream
from sslseg.config.params.machine import Compiled, Machine
from sslseg.config.params.presets import PRETRAININGS, START, network
from sslseg.config.params.views import Views

OPTIMIZERS = ("lars", "sgd", "adamw")


@dataclass(frozen=True, kw_only=True)
class Pretrain(Machine, Compiled, Data, Views, Upstream):
    """Self-supervised pretraining of an encoder. Methods add their own knobs."""

    preset: str = knob(AUTO, START, choices=PRETRAININGS, pattern=AUTO)
    architecture: str = network(PRETRAININGS)
    steps: int = knob(help="optimiser steps", presets={"paper": 3906, "paper-400": 62500, "cpu": 400, "demo": 40},
                      low=1, source="[P] 25 or 400 epochs of about 20,000 slices at batch 128")  # fmt: skip
    batch_size: int = knob(help="slices per step", presets={"paper": 128, "paper-400": 128, "cpu": 32, "demo": 16},
                           low=2, source="[C] 128")  # fmt: skip
    lr: float = knob(help="peak learning rate", presets={"paper": 0.25, "paper-400": 0.25, "cpu": 0.1, "demo": 0.1},
                     low=0.0, source="[C] 0.5 × batch / 256")  # fmt: skip
    weight_decay: float = knob(1e-5, "weight decay; biases and norms are excluded", low=0.0, source="[C] 1e-5")  # fmt: skip
    optimizer: str = knob("lars", "what moves the weights", choices=OPTIMIZERS, source="[C] LARS")
    momentum: float = knob(0.9, "momentum of LARS and SGD, first beta of AdamW", low=0.0, high=0.999,
                           source="[C] 0.9")  # fmt: skip
    trust: float = knob(0.02, "trust coefficient of LARS", low=0.0, source="[C] eta 0.02")
    schedule: str = knob("warmup-cosine", "course of the learning rate",
                         choices=("warmup-cosine", "cosine", "constant"), source="[C] LinearWarmupCosineAnnealingLR")  # fmt: skip
    clip: float = knob(0.0, "largest gradient norm; 0 = no clipping", low=0.0, source="[C] none")
    warmup: float = knob(help="share of the steps spent warming up",
                         presets={"paper": 0.4, "paper-400": 0.025, "cpu": 0.1, "demo": 0.1}, low=0.0, high=1.0,
                         source="[C] 10 epochs of 25 or 400")  # fmt: skip
    warmup_lr: float = knob(3e-5, "learning rate at step 0", low=0.0, source="[C] solo-learn default")
    save_epochs: tuple[int, ...] = knob((), "keep an encoder after these epochs, 0 = before the first step", low=0)  # fmt: skip
    save_steps: tuple[int, ...] = knob((), "keep an encoder after these steps", low=0)
    probe_every: int = knob(0, "steps between probes of the encoder's features on train and val, as a curve; 0 = none",
                            low=0, runtime=True)  # fmt: skip
    fraction: float = knob(1.0, "share of the unlabelled train slices used", low=0.0001, high=1.0)
    checkpoint_every: int = knob(100, "steps between resumable checkpoints", low=1, runtime=True)
    tuned: str = knob("", "the search that found these settings, as -e tune writes it; '' = not searched for")


def per_preset(paper: Any, cpu: Any, demo: Any = None) -> dict[str, Any]:
    """A value for the paper's two presets, one for `cpu`, and one for `demo`, by default that of `cpu`."""
    return dict(zip(PRETRAININGS, (paper, paper, cpu, cpu if demo is None else demo), strict=True))


def again(name: str, default: Any = None, *, presets: dict[str, Any] | None = None, source: str) -> Any:
    """A knob of `Pretrain` as a method has it: another default, or others by preset, from another source."""
    known = Pretrain.__dataclass_fields__[name].metadata["knob"]
    return field(default=default, metadata={"knob": replace(known, presets=presets, source=source)})


def _left_open(meta: Knob) -> Any:
    return field(default=None, metadata={"knob": replace(meta, presets={})})


# Pretraining by any method: knobs without values, which whoever reads them fills.
AnyMethod = make_dataclass(
    "AnyMethod",
    [("method", str, knob("byol", "how to learn (a file in src/sslseg/methods, or another package's)",
                          choices=plugins.names("methods"))),
     *((name, hint, _left_open(meta)) for name, (_, meta, hint) in knobs(Pretrain).items())],
    namespace={"__doc__": "Self-supervised pretraining by any method; its own knobs are given likewise."},
    frozen=True, kw_only=True,
)  # fmt: skip
