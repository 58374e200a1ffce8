"""Named grids. A study is a row here; `-P study=<name>` runs it.

An explicit knob of the sweep wins over the study's value.
"""

import dataclasses
from typing import Any

from sslseg.config.names import ParamError
from sslseg.config.params import Sweep

PAPER_BUDGETS = (1, 3, 7, 15, 30, 75, 150, 300, 749, 1498)  # [C] ratios .001 … 1 of 1,498 slices
PAPER_SEEDS = (0, 13, 42, 123, 1111, 77, 62, 91, 7, 5)  # [C] sweeps/grid_search_helper.py
SIX = ("scratch", "supervised", "byol@natural", "byol@target", "supervised+byol@target",
       "byol@natural+byol@target")  # fmt: skip
SEVEN = (*SIX, "phantom")

# Every method after the same ImageNet weights, on the target where it can learn from it; what it is measured against
# first. A decoder that a method trains is handed on as well.
METHODS = (
    "supervised", "scratch", "phantom",
    *(f"supervised+{how}" for how in (
        "byol@target", "simclr@target", "moco@target", "densecl@target", "swav@target", "dino@target",
        "barlow@target", "vicreg@target", "pcl@target", "jigsaw@target", "position@target", "cpc@target",
        "masked@target", "masked@target+decoder", "denoising@target", "denoising@target+decoder",
        "classification@target", "colourisation@colour_photos",
    )),
    # and what one may do instead of a further pretraining, or beside it
    *(f"{start}+{rival}" for rival in ("strong", "mean_teacher", "unimatch") for start in ("scratch", "supervised")),
    "supervised+byol@target+strong",
)  # fmt: skip

STUDIES: dict[str, dict] = {
    # The whole study of the paper: 6 × 10 × 10 = 600 cells, for a GPU and a network. Three encoders a pipeline,
    # where the paper has one: what is said of a pretraining has varied it.
    "paper": {
        "dataset": "acdc", "pipelines": SIX, "budgets": PAPER_BUDGETS, "seeds": PAPER_SEEDS, "pretrain_seeds": (0, 1, 2),
        "preset": "paper-text", "pretrain_preset": "paper", "imagenet": "timm:resnet50.a1_in1k",
    },
    # The one whose results are committed: EfficientNet-Lite0, small input, a few hundred steps.
    "paper-cpu": {
        "dataset": "acdc", "pipelines": SEVEN, "budgets": (3, 15, 75, 0), "seeds": (0, 1, 2),
        "preset": "cpu", "pretrain_preset": "cpu", "imagenet": "bundled:efficientnet_lite0",
        "pretrain": "save_epochs=0,1,2,3,4,5,6",
    },
    # Any method against any other: one start, equal images seen, equal fine-tunings. So small that a CPU can do it;
    # docs/results/methods-acdc.md shows how little that decides.
    "methods": {
        "dataset": "acdc", "pipelines": METHODS, "budgets": (15, 75), "seeds": (0, 1, 2),
        "preset": "cpu", "pretrain_preset": "cpu", "imagenet": "bundled:efficientnet_lite0",
        "pretrain": "steps=60,batch_size=16", "finetune": "steps=60,eval_every=30",
    },
    # Minutes on two cores, no data and no network wanted. Five seeds decide here what three leave open.
    "demo": {
        "dataset": "demo", "pipelines": ("scratch", "supervised", "supervised+byol@target"), "budgets": (3, 0),
        "seeds": (0, 1, 2, 3, 4), "preset": "demo", "pretrain_preset": "demo", "imagenet": "bundled:efficientnet_lite0",
    },
}  # fmt: skip
DEFAULTS = {"dataset": "demo", "pipelines": SEVEN, "budgets": (30,), "seeds": (0,), "preset": "cpu", "pretrain_preset": "cpu",
            "imagenet": "bundled:efficientnet_lite0"}  # fmt: skip
_EMPTY: dict[str, Any] = {f.name: f.default for f in dataclasses.fields(Sweep)}


def fill(p: Sweep) -> Sweep:
    """The sweep with every knob that was left empty taken from its study.

    Raises:
        ParamError: no study of that name.
    """
    if p.study and p.study not in STUDIES:
        raise ParamError(f"study: must be one of {', '.join(STUDIES)}; not {p.study!r}")
    return dataclasses.replace(p, **{k: v for k, v in _values(p).items() if getattr(p, k) == _EMPTY[k]})


def asked(p: Sweep) -> Sweep:
    """A filled sweep with every knob left empty that its study would fill alike: as it is typed."""
    return dataclasses.replace(p, **{k: _EMPTY[k] for k, v in _values(p).items() if getattr(p, k) == v})


def _values(p: Sweep) -> dict[str, Any]:
    return {**DEFAULTS, **STUDIES.get(p.study, {})}
