"""Floor 2: run every missing cell of a grid, upstream first, in warm workers."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import torch

from sslseg import cells as grid
from sslseg import launch, names, plugins, tracking
from sslseg.cells import Cell
from sslseg.executors.graph import Graph, Job, Outcome
from sslseg.params import Sweep
from sslseg.studies import fill  # noqa: F401 a hook of `launch`

TABLE = "cells.json"


def run(p: Sweep, run: tracking.Run) -> None:
    """Run, reuse or list the cells of the grid.

    Raises:
        SslsegError: at least one cell failed; the others have run.
    """
    cells = grid.cells(p)
    context = {
        "cache": str(tracking.cache_folder(p.cache)),
        "parent": run.id,
        "experiment": run.experiment_id,
        "uri": run.uri,
        "device": p.device,
    }
    workers, devices = _workers(p)
    context["threads"] = p.threads or max(1, (os.cpu_count() or 1) // workers)
    if p.dry_run:
        _show(cells, context)
        return
    outcomes = _execute(p, run, Graph(cells, context), workers, devices)
    failed = {o.job.name: o.error for o in outcomes if not o.run_id}
    if failed:
        lines = "\n".join(f"  {name}: {error}" for name, error in failed.items())
        raise names.SslsegError(f"{len(failed)} of {len(cells)} cells have no result:\n{lines}")


def _workers(p: Sweep) -> tuple[int, int]:
    devices = torch.cuda.device_count() if p.device != "cpu" else 0
    return p.workers or devices or os.cpu_count() or 1, devices


def _execute(p: Sweep, run: tracking.Run, graph: Graph, workers: int, devices: int) -> list[Outcome]:
    backend = plugins.load("executors", p.executor)
    total, outcomes = len(graph.waiting), []
    with run.bar(total, "cells") as bar:
        for outcome in backend.run(graph, work, workers, devices):
            outcomes.append(outcome)
            bar.set_postfix_str(outcome.job.name)
            bar.update()
            if outcome.error:
                print(f"cell {outcome.job.name}: {outcome.error}", file=sys.stderr)
            run.log(
                {"sweep/ended": len(outcomes), "sweep/failed": sum(not o.run_id for o in outcomes)},
                len(outcomes),
            )
    table = [
        {"cell": o.job.name, "pipeline": o.job.cell.pipeline, "run_id": o.run_id, "error": o.error}
        for o in outcomes
    ]
    run.text(json.dumps(sorted(table, key=lambda row: row["cell"]), indent=1), TABLE)
    return outcomes


def work(job: Job) -> str:
    """Run one cell in this (warm) process, or find that it has run; returns its run ID."""
    cell, context = job.cell, job.context
    os.environ["MLFLOW_TRACKING_URI"] = context["uri"]
    p = _params(cell, job.upstream_run_id, context)
    found = tracking.find(launch.stage_module(cell.stage).identify(p))
    return found or launch.execute(
        cell.stage, p, method=cell.method, name=cell.name, parent_run_id=context["parent"],
        experiment_id=context["experiment"], tags={"sslseg.cell": cell.name},
    )  # fmt: skip


def _params(cell: Cell, upstream_run_id: str, context: dict) -> Any:
    return cell.params(upstream_run_id or None, context["cache"], context["threads"], context["device"])


def _show(cells: list[Cell], context: dict) -> None:
    """Print every cell and whether it has a finished run; opens no run but this one."""
    ids: dict[str, str] = {}
    for cell in cells:
        found = ""
        if not cell.upstream or ids.get(cell.upstream):
            p = _params(cell, ids.get(cell.upstream, ""), context)
            found = tracking.find(launch.stage_module(cell.stage).identify(p)) or ""
        ids[cell.name] = found
        print(f"{'done   ' if found else 'missing'}  {cell.name}  {found}")
    missing = sum(not i for i in ids.values())
    print(f"{len(cells)} cells, {missing} missing")
