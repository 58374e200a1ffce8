"""What a stage says when it is done: what was made, where it is, and the next command to type."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sslseg import execute
from sslseg.config import names
from sslseg.config.commands import kept, typed
from sslseg.config.params import Analyse, Finetune, Reader, Worklist
from sslseg.tracking import session, store
from sslseg.tracking.registry import files, logged

if TYPE_CHECKING:
    import pandas as pd

    from analysis.comparison.cells import Study


def tell(*lines: str) -> None:
    """Print lines for the user; a worker of a sweep says nothing, its sweep does."""
    if not execute.in_worker():
        print(*filter(None, lines), sep="\n", flush=True)


def following(stage: str, words: str = "next", **given: object) -> None:
    """The last line of a stage: the command that goes on; capitals stand for what the user has to fill in."""
    tell(f"{words}: {typed(stage, **given)}")


def segmenting(model: str, words: str = "next") -> None:
    """The command that segments new images with `model`."""
    following("predict", words, model=model, input="FOLDER", output="out/masks")


def finetuned(run_id: str, registered: str, dataset: str, summary: Mapping[str, float]) -> None:
    """The end of a fine-tuning.

    Args:
        registered: reference of the U-Net in the registry.
        summary: scores on test: "iou", and "iou/<class>".
    """
    classes = ", ".join(f"{k.partition('/')[2]} {v:.3f}" for k, v in summary.items() if k.startswith("iou/"))
    tell(
        f"test IoU {summary['iou']:.3f} on {dataset} ({classes})", f"registered as {registered}, run {run_id}"
    )
    segmenting(run_id)


def pretrained(p: Reader, run_id: str, registered: str, annotated: int) -> None:
    """The end of a pretraining; the fine-tuning that follows reads the same data, if slices of train are annotated."""
    tell(f"registered as {registered}, run {run_id}")
    if annotated:
        following(names.FINETUNE, encoder=run_id, **kept(p, Finetune))
    else:
        to_annotate(p, run_id, "next, as nothing is annotated")


def to_annotate(p: Reader, encoder: str, words: str) -> None:
    """The command that lists which slices to annotate first."""
    following(
        names.WORKLIST, f"{words}, which slices to annotate first", encoder=encoder, **kept(p, Worklist)
    )


def drawn(p: Analyse, run: session.Run, study: Study) -> None:
    """The end of an analysis: the page, the UI, and what the network that is best on validation is used with."""
    folder = Path(p.out).resolve()
    where = [f"figures and tables: {folder}", f"page: {folder / names.REPORT}"]
    tell(*(where if p.out else [f"page: {names.REPORT} of run {run.id}"]))
    compare(run.experiment_id, run.uri)
    runs = [one.runs.set_index("run_id") for one in (study, study.tuned) if one]
    known = [r[names.BEST_VAL_IOU].dropna() for r in runs if names.BEST_VAL_IOU in r]
    if scores := {run_id: score for found in known for run_id, score in found.items()}:
        best = max(scores, key=scores.__getitem__)
        models = logged.of_run(store.run(best, run.uri), run.uri)
        if not any(files.lacks(model.artifact_location) for model in models):  # as a public archive's do
            segmenting(best, "next, with the network that is best on validation")


def compare(experiment_id: str, uri: str) -> None:
    """How the runs are seen in MLflow's UI."""
    runs = f"#/experiments/{experiment_id}/runs?workflowType=machine_learning"
    if uri.startswith("http"):
        tell(f"to compare the runs: {store.shown(uri)}/{runs}")
    else:
        tell(
            f"to compare the runs:{' make ui, or' if Path('MLproject').is_file() else ''}",
            f"  mlflow ui --host 127.0.0.1 --backend-store-uri {shlex.quote(store.shown(uri))}",
            f"  http://127.0.0.1:5000/{runs}",
        )


def swept(sweep: str, runs: pd.DataFrame, dataset: str, data: str) -> None:
    """The end of a sweep: a line per pipeline, the mean test IoU of its seeds at every budget.

    Args:
        sweep: its run ID; '' = inside of another stage, which says itself what comes next.
        runs: of this sweep, as `frames.runs` gives them.
        data: what they are called.
    """
    tuned = runs[(runs["stage"] == names.FINETUNE) & (runs["dataset"] == dataset)]
    if tuned.empty or names.TEST_IOU not in tuned:
        return
    found = tuned.groupby(["label", "budget"], sort=True)[names.TEST_IOU].agg(["mean", "count"])
    lines = [f"mean test IoU on {data} (seeds), by annotated {tuned['unit'].iloc[0].removesuffix('s')}s:"]
    for label, rows in found.groupby(level=0, sort=False):
        cells = [f"{budget:.0f}: {mean:.3f} ({count})" for (_, budget), mean, count in rows.itertuples()]
        lines.append(f"  {label:28} {'   '.join(cells)}")
    tell(*lines)
    if sweep:
        following("analyse", dataset=dataset, sweep=sweep, out=f"out/{data}")
