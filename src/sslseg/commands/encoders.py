"""List the registered encoders: reference, budget, seed and score, lineage, run."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sslseg.config import flags, names, params, plugins

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {"reference": "reference", "alias": "aliases", "role": "role", "epoch": "epoch", "budget": "budget",
           "seed": "seed", "test IoU": "test_iou", "lineage": "lineage", "run": "run_id"}  # fmt: skip
# what fine-tunings that are repetitions of each other have in common
REPEATED = ("data_digest", *(
    names.CFG + name for name, (_, knob, _) in flags.knobs(params.Finetune).items()
    if not knob.runtime and name not in ("seed", "encoder", "data_root")
))  # fmt: skip
FORMS = {"budget": ".0f", "seed": ".0f", "test_iou": ".3f"}


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

    found = table(options.kind)
    if found.empty:
        print(f"no {options.kind} is registered yet in {store.shown(store.existing())}")
        return
    rows = [list(COLUMNS), *(list(shown(row).values()) for row in found.to_dict("records"))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())


def shown(row: Mapping[str, Any]) -> dict[str, str]:
    """What is printed of a row of `table`; '' where nothing is known."""
    said = {key: "" if row[key] != row[key] else format(row[key], form) for key, form in FORMS.items()}
    said["test_iou"] += f", mean of {row['of']}" if row["of"] > 1 else ""
    said["test_iou"] += f" on {row['tested_on']}" if row["tested_on"] else ""
    return {title: {**row, **said}[key] for title, key in COLUMNS.items()}


def table(kind: str, uri: str | None = None) -> pd.DataFrame:
    """See `api.encoders`."""
    import pandas as pd

    from sslseg.tracking import store
    from sslseg.tracking.history import frames
    from sslseg.tracking.registry import resolve

    uri = store.existing(uri)
    runs = frames.runs(uri=uri)
    plain = ["name", "version", "aliases", "run_id", "model_id"]
    tags = ["role", "method", "dataset", "epoch", "step", "architecture", "lineage", "sha256"]
    named = {key: getattr(names, f"MODEL_{'SHA' if key == 'sha256' else key.upper()}") for key in tags}
    told = runs.set_index("run_id")["lineage"].to_dict()
    rows = [
        {"reference": f"models:/{row['name']}/{row['version']}"}
        | {key: row[key] for key in plain}
        | {key: row.get(tag, "") for key, tag in named.items()}
        | _tested(row["run_id"], row["model_id"], runs)
        | {"lineage": _lineage(row.get(names.MODEL_LINEAGE, ""), told.get(row["run_id"], ""))}
        for row in resolve.versions(kind, uri)
    ]
    found = pd.DataFrame(
        rows, columns=["reference", *plain, *tags, "budget", "seed", "test_iou", "of", "tested_on"]
    )
    return found.astype(dict.fromkeys(("budget", "seed", "test_iou"), float))


def _lineage(of_model: str, of_run: str) -> str:
    """What the model's tag says, and the run's where that is another: one was changed by hand."""
    from sslseg.tracking import lineage

    return of_model if lineage.agree(of_model, of_run) else f"{of_model}, or {of_run}: changed by hand"


def _tested(run_id: str, model_id: str, runs: pd.DataFrame) -> dict[str, Any]:
    """Of a model's own test, else of the fine-tunings on the most slices that started from it; NaN where unknown.

    Of several, the newest counts, and those that repeat it: the same data and settings, with other seeds.
    """
    own = runs[runs["run_id"] == run_id]
    known = runs[runs[names.TEST_IOU].notna()] if names.TEST_IOU in runs else runs.iloc[:0]
    mine = known[known["run_id"] == run_id]
    if mine.empty and model_id:
        mine = known[(known["upstream_model_id"] == model_id) & (known["stage"] == names.FINETUNE)]
    most = mine[mine["budget"] == mine["budget"].max()]
    alike = [column for column in REPEATED if column in most]
    told = most[alike].map(flags.to_text)
    most = most[(told == told.iloc[-1]).all(axis=1)] if len(most) else most
    iou = most[names.TEST_IOU].mean() if len(most) else math.nan
    newest = {} if most.empty else most.iloc[-1].dropna()
    on = plugins.called(newest.get("dataset", ""), newest.get(f"{names.CFG}data_root", ""))
    return {
        "budget": most["budget"].max(),
        "seed": own["seed"].max(),
        "test_iou": iou,
        "of": len(most),
        "tested_on": on,
    }
