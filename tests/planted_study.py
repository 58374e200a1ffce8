"""A study with known answers: fine-tunings of several pipelines with planted laws, and their encoders."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from tests.planted import Planted

from analysis.statistics.simulate import Plant
from sslseg import flags, names, params
from sslseg.history_records import POINT_COLUMNS, Record, curve_frame, frame

DATA = hashlib.sha256(b"planted").hexdigest()
LABELS = {
    "scratch": (),
    "supervised": ("supervised-imagenet",),
    "byol-natural": ("byol-photos",),
    "byol-target": ("byol-acdc",),
    "supervised+byol-target": ("supervised-imagenet", "byol-acdc"),
    "byol-natural+byol-target": ("byol-photos", "byol-acdc"),
}
PLANTS = {
    "scratch": Plant(0.9, 0.40, 0.05),
    "supervised": Plant(0.6, 0.35, 0.05),
    "byol-natural": Plant(0.7, 0.35, 0.05),
    "byol-target": Plant(0.8, 0.40, 0.05),
    "supervised+byol-target": Plant(0.6, 0.38, 0.05),
    "byol-natural+byol-target": Plant(0.5, 0.38, 0.05),
}
SPEEDS = dict(zip(PLANTS, (200.0, 60.0, 80.0, 100.0, 50.0, 40.0), strict=True))  # steps of one e-fold
STEPS = 200


@functools.cache
def resolved() -> dict[str, str]:
    """Texts of a resolved fine-tuning of preset cpu."""
    p = flags.resolve(flags.from_mapping(params.Finetune, {"dataset": "acdc", "encoder": "x"}))
    return flags.texts(p)


def encoders(pipeline: str, steps: int = 1000) -> list[Planted]:
    """The runs that a pipeline's encoder comes from, root first; shared stages have the same name."""
    made: list[Planted] = []
    for i, hop in enumerate(LABELS[pipeline]):
        method, dataset = hop.split("-", 1)
        stage = names.IMPORT if method == "supervised" else names.PRETRAIN
        tags = {names.TAG_STAGE: stage, names.TAG_METHOD: method, names.TAG_DATASET: dataset,
                names.TAG_UPSTREAM_RUN: made[-1].run_id if made else names.SCRATCH,
                names.TAG_LINEAGE: " > ".join(LABELS[pipeline][: i + 1])}  # fmt: skip
        cfg = {"steps": str(steps)} if stage == names.PRETRAIN else {"source": "bundled:efficientnet_lite0"}
        cfg["architecture"] = "tf_efficientnet_lite0"
        made.append(Planted("+".join(LABELS[pipeline][: i + 1]), tags, cfg, start=1_600_000_000_000 + i))
    return made


def finetune(
    pipeline: str,
    budget: int,
    seed: int,
    loss: float,
    epoch: int | None = None,
    cfg: Mapping[str, str] | None = None,
) -> Planted:
    """One fine-tuning with that test loss; its curve rises with the pipeline's speed to 1 − loss."""
    upstream = encoders(pipeline)
    at = "" if epoch is None else f"@{epoch}"
    lineage = " > ".join(
        [*LABELS[pipeline][:-1], *(hop + at for hop in LABELS[pipeline][-1:]), "supervised-acdc"]
    )
    texts = resolved() | {"seed": str(seed), "encoder_epoch": at.removeprefix("@"), "budget": str(budget)}
    texts |= {"slices": str(budget), "patients": str(min(budget, 80)), **(cfg or {})}
    tags = {
        names.TAG_STAGE: names.FINETUNE, names.TAG_DATASET: "acdc", names.TAG_DATA_DIGEST: DATA,
        names.TAG_SUBSET: hashlib.sha256(f"{budget} {seed}".encode()).hexdigest(),
        names.TAG_SUBSET_KIND: "nested", names.TAG_LINEAGE: lineage, names.TAG_PIPELINE: pipeline,
        names.TAG_UPSTREAM_RUN: upstream[-1].run_id if upstream else names.SCRATCH,
        names.TAG_UPSTREAM_SHA: upstream[-1].run_id if upstream else names.SCRATCH,
    }  # fmt: skip
    steps = np.arange(0, STEPS + 1, 20)
    iou = (1 - loss) * (1 - np.exp(-steps / SPEEDS[pipeline]))
    curve = list(zip(steps.tolist(), iou.tolist(), strict=True))
    metrics = {"val/iou": curve, "test/jaccard_loss": [(STEPS, loss)], "test/iou": [(STEPS, 1 - loss)],
               "last/val_iou": curve[-1:], "cost/seconds": [(STEPS, 60.0)]}  # fmt: skip
    name = f"{pipeline}/n={budget}/seed={seed}{at}"
    return Planted(name, tags, texts, metrics)


def make(
    pipelines: Sequence[str] = tuple(PLANTS),
    budgets: Sequence[int] = (3, 15, 75, 300, 1498),
    seeds: int = 5,
    plants: Mapping[str, Plant] = PLANTS,
    rng_seed: int = 0,
) -> list[Planted]:
    """A whole study: the encoders' runs, then the fine-tunings."""
    rng = np.random.default_rng(rng_seed)
    shared = {e.name: e for p in pipelines for e in encoders(p)}
    sizes = np.asarray(budgets, float)
    tuned = []
    for pipeline in pipelines:
        law = plants[pipeline]
        for seed in range(seeds):
            noise = np.exp(law.noise * sizes**-law.decay * rng.standard_normal(len(sizes)))
            losses = np.minimum(law.error(sizes) * noise, 0.99)
            tuned += [finetune(pipeline, n, seed, float(v)) for n, v in zip(budgets, losses, strict=True)]
    return [*shared.values(), *tuned]


def runs_of(planted: Iterable[Planted]) -> pd.DataFrame:
    """What `history.runs` would read of them; one given twice is there once."""
    planted = {run.run_id: run for run in planted}.values()
    return frame(
        Record(
            run.run_id,
            "0",
            run.name,
            run.start,
            run.start + 60_000,
            {names.CFG + k: v for k, v in run.cfg.items()},
            run.tags,
            {key: points[-1][1] for key, points in run.metrics.items()},
        )
        for run in planted
    )


def curves_of(planted: Iterable[Planted]) -> pd.DataFrame:
    """What `history.curves` would read of them, for every metric."""
    rows = [
        (run.run_id, key, step, i, value)
        for run in planted
        for key, points in run.metrics.items()
        for i, (step, value) in enumerate(points)
    ]
    return curve_frame(pd.DataFrame.from_records(rows, columns=POINT_COLUMNS))
