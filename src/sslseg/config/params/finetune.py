"""Fine-tuning."""

from dataclasses import dataclass

from sslseg.config.flags import AUTO, knob
from sslseg.config.params.inputs import BUDGET_UNITS, Data, Upstream
from sslseg.config.params.machine import Compiled, Machine
from sslseg.config.params.presets import FINETUNINGS, START, network
from sslseg.config.params.views import Augment, Views

SCHEDULES = ("cosine", "warmup-cosine", "cosine-restarts", "constant")


@dataclass(frozen=True, kw_only=True)
class Finetune(Machine, Compiled, Data, Views, Augment, Upstream):
    """Fine-tune a U-Net around an encoder on n annotated slices."""

    preset: str = knob(AUTO, START, choices=FINETUNINGS, pattern=AUTO)
    architecture: str = network(FINETUNINGS)
    decoder: tuple[int, ...] = knob(
        help="channels of the decoder's stages, deepest first", low=1,
        presets={"paper-text": (256, 128, 64, 32, 16), "paper-code": (256, 128, 64, 32, 16),
                 "cpu": (128, 64, 32, 16, 16), "demo": (128, 64, 32, 16, 16)},
        source="smp default; 9.0 M parameters around ResNet-50, [P] 3.4; cpu, demo: [H] 0.8 M around Lite0",
    )  # fmt: skip
    decoder_from: str = knob("fresh", "the decoder's first weights: drawn anew, or taken over with the encoder",
                             choices=("fresh", "upstream"))  # fmt: skip
    freeze: str = knob("none", "what is not trained: nothing, or the encoder, batch-norm statistics included",
                       choices=("none", "encoder"))  # fmt: skip
    semi: str = knob("none", "what is learned from train slices outside of the budget, without their masks",
                     choices=("none", "mean_teacher", "unimatch"))  # fmt: skip
    consistency: float = knob(0.1, "mean_teacher: largest weight of agreeing with the teacher", low=0.0, high=1e4,
                              source="UA-MT (Yu 2019) and SSL4MIS: 0.1")  # fmt: skip
    consistency_ramp: float = knob(1.0, "mean_teacher: share of the steps over which that weight rises", low=0.0, high=1.0,
                                   source="SSL4MIS: over the whole training")  # fmt: skip
    ema: float = knob(0.99, "mean_teacher: share of the teacher that is kept at a step", low=0.0, high=0.9999,
                      source="UA-MT and SSL4MIS: 0.99")  # fmt: skip
    confidence: float = knob(0.95, "unimatch: least probability of an answer that is learned from", low=0.0, high=1.0,
                             source="UniMatch (Yang 2023), its acdc.yaml: 0.95")  # fmt: skip
    budget: int | None = knob(None, "annotated units used; none = all of train", low=1)
    budget_unit: str = knob("slice", "what the budget counts", choices=BUDGET_UNITS)
    subset: str = knob(help="nested (1 ⊂ 3 ⊂ 7 …, stratified by group) or random (the paper's)",
                       presets={"paper-text": "random", "paper-code": "random", "cpu": "nested", "demo": "nested"},
                       choices=("nested", "random"), source="[P] 5.2 random slices of all patients")  # fmt: skip
    steps: int = knob(help="optimiser steps, the same at every budget",
                      presets={"paper-text": 1050, "paper-code": 1050, "cpu": 200, "demo": 70}, low=1,
                      source="[C] 150 epochs × 7 steps; paper-code: 750 at 1 slice")  # fmt: skip
    batch_size: int = knob(help="slices per step", presets={"paper-text": 192, "paper-code": 192, "cpu": 8, "demo": 6},
                           low=1, source="[C] 192")  # fmt: skip
    lr: float = knob(help="peak learning rate of Adam",
                     presets={"paper-text": 1e-4, "paper-code": 1e-4, "cpu": 3e-3, "demo": 3e-3}, low=0.0,
                     source="[C] 1e-4; cpu and demo: [H] few steps need a higher one")  # fmt: skip
    schedule: str = knob(
        help="course of the learning rate",
        presets={"paper-text": "cosine-restarts", "paper-code": "warmup-cosine", "cpu": "warmup-cosine",
                 "demo": "warmup-cosine"}, choices=SCHEDULES,
        source='[P] 4 "periodic cosine annealing"; [C] LinearWarmupCosineAnnealingLR',
    )  # fmt: skip
    warmup: float = knob(help="share of the steps spent warming up",
                         presets={"paper-text": 0.0, "paper-code": 10 / 150, "cpu": 0.05, "demo": 0.05},
                         low=0.0, high=1.0, source="[C] 10 of 150 epochs")  # fmt: skip
    warmup_lr: float = knob(1e-6, "learning rate at step 0", low=0.0, source="[C] 1e-6")
    period: int = knob(350, "steps of one cosine period (cosine-restarts)", low=1,
                       source="[H] our reading of [P]: three periods in 1,050 steps")  # fmt: skip
    clip: float = knob(5.0, "largest gradient norm; 0 = no clipping", low=0.0, source="[C] 5")
    eval_every: int = knob(help="steps between validations",
                           presets={"paper-text": 7, "paper-code": 7, "cpu": 25, "demo": 15}, low=1,
                           source="[C] every epoch of 7 steps")  # fmt: skip
    val_slices: int | None = knob(help="validation slices, spread evenly over all; 0 = every one",
                                  presets={"paper-text": 0, "paper-code": 0, "cpu": 48, "demo": 24}, low=0,
                                  source="[H]")  # fmt: skip
    absent: str = knob("exclude", "a class absent from truth and prediction of a slice: exclude, or count as 1",
                       choices=("exclude", "one"), source="[C] absent_score=1.0, flaw F14")  # fmt: skip
    checkpoint_every: int = knob(100, "steps between resumable checkpoints", low=1, runtime=True)
    allow_transductive: bool = knob(False, "go on, and mark the run, when the encoder has seen val or test patients")  # fmt: skip
    tuned: str = knob("", "the search that found these settings, as -e tune writes it; '' = not searched for")
