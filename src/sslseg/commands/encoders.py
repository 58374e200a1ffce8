"""List the registered encoders: reference, budget, seed and score, lineage, run."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from sslseg.config import names

if TYPE_CHECKING:
    import pandas as pd


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the subcommand takes."""
    parser.add_argument(
        "--kind",
        choices=(names.KIND_ENCODER, names.KIND_SEGMENTER),
        default=names.KIND_ENCODER,
        help="which models; default: %(default)s",
    )


def run(options: argparse.Namespace) -> None:
    """Print one line per registered version, newest first.

    Raises:
        SslsegError: there is no store.
    """
    from sslseg.tracking import store
    from sslseg.tracking.history import frames
    from sslseg.tracking.registry import resolve

    uri = store.existing()
    columns = {
        "reference": lambda row: f"models:/{row['name']}/{row['version']}",
        "alias": lambda row: row["aliases"],
        "role": lambda row: row.get(names.MODEL_ROLE, ""),
        "epoch": lambda row: row.get(names.MODEL_EPOCH, ""),
        "budget": lambda row: row["budget"],
        "seed": lambda row: row["seed"],
        "test IoU": lambda row: row["score"],
        "lineage": lambda row: row.get(names.MODEL_LINEAGE, ""),
        "run": lambda row: row["run_id"],
    }
    versions = resolve.versions(options.kind, uri)
    if not versions:
        print(f"no {options.kind} is registered yet in {store.shown(uri)}")
        return
    runs = frames.runs(uri=uri)
    scored = [row | scores(row["run_id"], row["model_id"], runs) for row in versions]
    rows = [{title: read(row) for title, read in columns.items()} for row in scored]
    table = [dict(zip(columns, columns, strict=True)), *rows]
    widths = {title: max(len(row[title]) for row in table) for title in columns}
    for row in table:
        print("  ".join(row[title].ljust(widths[title]) for title in columns).rstrip())


def scores(run_id: str, model_id: str, runs: pd.DataFrame) -> dict[str, str]:
    """Budget, seed and score of a model: those of its own test, else of the fine-tunings that started from it.

    Args:
        runs: of the store, see `frames.runs`.

    Returns:
        "budget", "seed", "score"; the score of a pretrained encoder is the mean of the fine-tunings on the most slices.
    """
    own = runs[runs["run_id"] == run_id]
    seed = _whole(own["seed"].iloc[0]) if len(own) else ""
    iou = runs.get(names.TEST_IOU)
    if iou is None:
        return {"budget": "", "seed": seed, "score": ""}
    if len(own) and not own[names.TEST_IOU].isna().all():
        return {
            "budget": _whole(own["budget"].iloc[0]),
            "seed": seed,
            "score": f"{own[names.TEST_IOU].iloc[0]:.3f}",
        }
    tuned = runs[(runs["upstream_model_id"] == model_id) & iou.notna() & (runs["stage"] == names.FINETUNE)]
    if not model_id or tuned.empty:
        return {"budget": "", "seed": seed, "score": ""}
    most = tuned[tuned["budget"] == tuned["budget"].max()][names.TEST_IOU]
    said = f"{most.mean():.3f}, mean of {len(most)}" if len(most) > 1 else f"{most.mean():.3f}"
    return {"budget": _whole(tuned["budget"].max()), "seed": seed, "score": said}


def _whole(value: object) -> str:
    return "" if value is None or value != value else str(int(str(value).removesuffix(".0")))
