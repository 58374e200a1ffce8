"""List the registered encoders: reference, budget, seed and score, lineage, run."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

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
    """What `tested` tells, as it is shown; '' where nothing is known."""
    found = tested(run_id, model_id, runs)
    said = "" if found["test_iou"] is None else f"{found['test_iou']:.3f}"
    said += f", mean of {found['of']}" if found["of"] > 1 else ""
    return {key: "" if found[key] is None else str(found[key]) for key in ("budget", "seed")} | {
        "score": said
    }


def tested(run_id: str, model_id: str, runs: pd.DataFrame) -> dict[str, Any]:
    """Budget, seed and test IoU of a model: those of its own test, else of the fine-tunings that started from it.

    Args:
        runs: of the store, see `frames.runs`.

    Returns:
        "budget", "seed", "test_iou", None where nothing is known; and "of" how many fine-tunings, those on the most
        slices, a pretrained encoder's IoU is the mean.
    """
    own = runs[runs["run_id"] == run_id]
    found = {
        "budget": None,
        "seed": _whole(own["seed"].iloc[0]) if len(own) else None,
        "test_iou": None,
        "of": 0,
    }
    known = runs[runs[names.TEST_IOU].notna()] if names.TEST_IOU in runs else runs.iloc[:0]
    mine = known[known["run_id"] == run_id]
    if mine.empty and model_id:
        mine = known[(known["upstream_model_id"] == model_id) & (known["stage"] == names.FINETUNE)]
    most = mine[mine["budget"] == mine["budget"].max()]
    if most.empty:
        return found
    iou = float(most[names.TEST_IOU].mean())
    return found | {"budget": _whole(most["budget"].iloc[0]), "test_iou": iou, "of": len(most)}


def _whole(value: Any) -> int | None:
    return None if value is None or value != value else int(value)
