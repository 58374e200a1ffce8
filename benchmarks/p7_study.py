"""P7: a whole mini study, here as one `mlflow run -e sweep`, there in the shape of the original's scripts.

Both pretrain once by BYOL and fine-tune eight times (two pipelines, two budgets, two seeds), with the same
architectures, losses, optimisers, numbers of steps and validations: see benchmarks/original_shape.py. Ours also tests
the last and the best network, registers the best with its encoder and leaves lineage, cards and pictures of failures.
CPU seconds of all processes; data prepared before.
"""

import itertools
import json
import os
from pathlib import Path

from benchmarks import compare, subjects
from benchmarks.compare import Answer, Question
from benchmarks.p5_sweep import ROOT, mlflow_run, new_store, run, spelled

ROUNDS = int(os.environ.get("SSLSEG_BENCH_ROUNDS", compare.ROUNDS))  # one takes five minutes of CPU
ARCHITECTURE = "resnet10t"
PRETRAIN = {
    "image_size": "64", "steps": "30", "batch_size": "16", "projector_hidden": "256", "projection_size": "64",
    "predictor_hidden": "256", "architecture": ARCHITECTURE, "spacing": "0",
}  # fmt: skip
FINETUNE = {
    "image_size": "64", "decoder": "64,32,16,16,16", "steps": "35", "batch_size": "8", "eval_every": "7",
    "val_slices": "16", "spacing": "0",
}  # fmt: skip
BUDGETS, SEEDS = (8, 24), (0, 1)


def common(cache: Path) -> dict[str, str]:
    """The data and the thread."""
    root = subjects.cohort(patients=12, side=96, slices=8)
    return {"dataset": "acdc", "data_root": str(root), "cache": str(cache), "threads": "1", "device": "cpu"}


def ours(place: Path, cache: Path) -> None:
    """Scratch and BYOL, two seeds each, one worker."""
    mlflow_run(
        "sweep", place, **common(cache), preset="cpu", pretrain_preset="cpu", pipelines="scratch,byol@target",
        pretrain=spelled(PRETRAIN), finetune=spelled(FINETUNE | {"architecture": ARCHITECTURE}),
        budgets=",".join(map(str, BUDGETS)), seeds=",".join(map(str, SEEDS)), workers="1",
    )  # fmt: skip


def peer(place: Path, cache: Path) -> None:
    """A process per run."""
    told = {
        "common": common(cache) | {"preset": "cpu", "encoder": "scratch"}, "pretrain": PRETRAIN,
        "finetune": FINETUNE | {"architecture": ARCHITECTURE},
    }  # fmt: skip
    (place / "settings.json").write_text(json.dumps(told), encoding="utf-8")
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{place}/mlflow.db",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
    }
    jobs = [("pretrain", 0, 0), *itertools.product(("finetune", "finetune-pretrained"), BUDGETS, SEEDS)]
    for stage, budget, seed in jobs:
        words = ("-m", "benchmarks.original_shape", stage, str(place), str(budget), str(seed))
        run(environment, place, *words)


def check(place: Path, other: Path) -> None:
    """Both made one pretraining and eight fine-tunings, with as many validations at the same steps."""
    from sslseg.tracking.history import frames

    mine, theirs = (frames.runs(uri=f"sqlite:///{p}/mlflow.db") for p in (place, other))
    tuned = mine[mine["stage"] == "finetune"]
    assert (len(tuned), sum(mine["stage"] == "pretrain"), len(theirs)) == (8, 1, 9), "other runs"
    every = int(FINETUNE["eval_every"])
    want = list(range(every, int(FINETUNE["steps"]) + 1, every))
    for runs, where in ((tuned, place), (theirs, other)):
        curves = frames.curves(runs["run_id"], ["val/iou"], uri=f"sqlite:///{where}/mlflow.db")
        steps = curves.groupby("run_id")["step"].apply(list)
        assert len(steps) == 8, "fine-tunings without a curve"
        assert all(s[-len(want) :] == want for s in steps), "other validations"


def measure() -> Answer:
    """Each variant has a new store every round."""
    from sslseg.data.slices import prepare

    cache, places = subjects.folder(), {}
    prepare.prepare("acdc", Path(common(cache)["data_root"]), cache, spacing=0, progress=False)

    def variant(name: str, work) -> None:
        places[name] = new_store()
        work(places[name], cache)

    variants = {"ours": lambda: variant("ours", ours), "peer": lambda: variant("peer", peer)}
    times = compare.compare(variants, rounds=ROUNDS, warm=0, clock=compare.cpu_of_children)
    check(places["ours"], places["peer"])
    return times.answer()


QUESTIONS = (
    Question("P7", "a mini study: BYOL and eight fine-tunings, ResNet-10t at 64 px",
             "the original's shape: a process per run, workers started each epoch, PIL", measure,
             reach=2, moonshot=4, packages=("mlflow", "torchvision", "torchmetrics")),
)  # fmt: skip
