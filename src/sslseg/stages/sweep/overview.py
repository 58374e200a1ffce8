"""The description of a sweep's run: every cell, with its score, a click away."""

from collections import Counter
from collections.abc import Callable, Sequence
from urllib.parse import quote

import pandas as pd

from sslseg.config import names
from sslseg.plans.cells import Cell
from sslseg.plans.jobs import Outcome
from sslseg.stages.outcome.cards import word

MODE = "workflowType=machine_learning"  # else the UI opens for language models
GAP = "&emsp;"  # the UI's tables have none between columns
MOST = 7950  # characters; MLflow refuses a tag of more than 8,000


def begun(cells: Sequence[Cell], run_id: str) -> str:
    """Markdown on what a sweep is about to run: it stands until `text` takes its place, also where the sweep is killed."""
    stages = Counter(cell.stage for cell in cells)
    counted = ", ".join(f"{many} of {stage}" for stage, many in stages.items())
    rows = "\n".join(
        f"- {word(one)}" for one in dict.fromkeys(cell.pipeline for cell in cells if cell.pipeline)
    )
    head = f"{len(cells)} cells: {counted}. `sslseg status {run_id}` says how far they are; their scores come here at the end."
    return f"{head}\n\n{rows}".strip()[:MOST]


def text(outcomes: Sequence[Outcome], runs: pd.DataFrame, dataset: str, data: str) -> str:
    """Markdown: test IoU of pipelines by budgets, then the runs that encoders came from, and what failed.

    Each seed's score is a link to its run; where those are too many for a tag, a pipeline's name links the list of its
    runs.

    Args:
        runs: the FINISHED cells, as `frames.runs` gives them.
        data: what they are called.
    """
    failed = [one for one in outcomes if one.error]
    mine = (runs["stage"] == names.FINETUNE) & (runs["dataset"] == dataset)
    tuned = runs[mine & runs[names.TEST_IOU].notna()] if names.TEST_IOU in runs else runs.iloc[:0]
    others = runs[~runs["run_id"].isin(tuned["run_id"])]
    counted = f"{len(outcomes)} cells" + (f", {len(failed)} of them failed" if failed else "")
    tail = ["Before them: " + ", ".join(_run(run, run["name"]) for _, run in others.iterrows())]
    tail = tail * (not others.empty) + [f"Failed: {word(f'{o.job.name}: {o.error[:300]}')}" for o in failed]
    for cell in (_seeds, _mean):
        kept = "\n\n".join([*_table(tuned, data, cell), counted, *tail])
        if len(kept) <= MOST:
            return kept
    return "\n".join([kept[: MOST - 50].rpartition("\n")[0], "", f"… the rest is in {names.CELLS}"])


def _table(tuned: pd.DataFrame, data: str, cell: Callable[[pd.DataFrame], str]) -> list[str]:
    if tuned.empty:
        return []
    budgets, unit = sorted(tuned["budget"].unique()), tuned["unit"].iloc[0]
    lines = [
        f"| pipeline | {' | '.join(f'{n:.0f} {unit}s' for n in budgets)} |",
        f"|---|{'---|' * len(budgets)}",
    ]
    for pipeline, rows in tuned.groupby("pipeline", sort=False):
        said = [cell(rows[rows["budget"] == n].sort_values("seed")) for n in budgets]
        lines.append(f"| {_name(pipeline, rows, linked=cell is _mean)}{GAP} | {' | '.join(said)} |")
    how = "the mean, then each seed with a link to its run" if cell is _seeds else "means over the seeds"
    return [
        "\n".join(lines),
        f"Test IoU on {word(data)}: {how}.",
    ]  # the UI folds all but the first lines away


def _name(pipeline: str, rows: pd.DataFrame, *, linked: bool) -> str:
    if not linked:
        return word(pipeline)
    wanted = quote(
        f"tags.`{names.TAG_PIPELINE}` = '{pipeline}' and tags.`{names.TAG_STAGE}` = '{names.FINETUNE}'"
    )
    return (
        f"[{word(pipeline)}](#/experiments/{rows['experiment_id'].iloc[0]}/runs?searchFilter={wanted}&{MODE})"
    )


def _seeds(rows: pd.DataFrame) -> str:
    each = [_run(run, f"s{run['seed']:.0f} {run[names.TEST_IOU]:.2f}") for _, run in rows.iterrows()]
    return f"{_mean(rows)}: {', '.join(each)}{GAP}" if each else _mean(rows)


def _mean(rows: pd.DataFrame) -> str:
    return f"**{rows[names.TEST_IOU].mean():.3f}**" if len(rows) else "–"


def _run(run: pd.Series, said: str) -> str:
    return f"[{word(said)}](#/experiments/{run['experiment_id']}/runs/{run['run_id']})"
