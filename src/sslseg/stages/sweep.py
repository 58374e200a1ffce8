"""Run every missing cell of a grid, upstream first, in warm workers."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import datetime
from types import ModuleType
from typing import Any

from sslseg import execute as sslseg_execute
from sslseg.config import caches, names, plugins
from sslseg.config.params import Sweep, Workers
from sslseg.plans import cells as grid
from sslseg.plans.cells import Cell
from sslseg.plans.jobs import Graph, Job, Outcome
from sslseg.plans.studies import fill  # noqa: F401 a hook of `launch`
from sslseg.stages.intake import likeness
from sslseg.stages.outcome import endings
from sslseg.tracking import session, store
from sslseg.tracking.history import frames
from sslseg.training import devices


def run(p: Sweep, run: session.Run) -> None:
    """Run, reuse or list the cells of the grid.

    Raises:
        SslsegError: at least one cell failed; the others have run.
    """
    backend = plugins.load("executors", p.executor)
    cells = grid.cells(p)
    context = {
        "cache": str(caches.cache_folder(p.cache)),
        "parent": run.id,
        "experiment": run.experiment_id,
        "uri": run.uri,
        "device": p.device,
    }
    places, context["threads"] = backend.places(p)
    if p.dry_run:
        _show(run, cells, context, places)
        return
    outcomes = execute(p, run, Graph(cells, context), backend)
    failed = {o.job.name: o.error for o in outcomes if o.error}
    if failed:
        lines = "\n".join(f"  {name}: {error}" for name, error in failed.items())
        raise names.SslsegError(f"{len(failed)} of {len(cells)} cells have no result:\n{lines}")
    endings.swept(run.id, frames.runs(sweep=run.id, uri=run.uri), p.dataset)


def execute(
    p: Workers,
    run: session.Run,
    graph: Graph,
    backend: ModuleType,
    do: Callable[[Job], Any] | None = None,
) -> list[Outcome]:
    """Let the workers do every job, and leave the table of cells that `analyse` reads.

    Args:
        do: instead of `work`; a function of a module, for workers have to find it.
    """
    total, outcomes, likeness_of = len(graph.waiting), [], likeness.Once(run.uri)
    with run.bar(total, "cells") as bar:
        for outcome in backend.run(graph, do or work, p):
            outcomes.append(outcome)
            bar.set_postfix_str(outcome.job.name)
            bar.update()
            if outcome.error:
                print(f"cell {outcome.job.name}: {outcome.error}", file=sys.stderr)
            else:
                likeness_of.tell(outcome.value)
            run.log(
                {"sweep/ended": len(outcomes), "sweep/failed": sum(bool(o.error) for o in outcomes)},
                len(outcomes),
            )
    table = [
        {"cell": o.job.name, "pipeline": o.job.cell.pipeline, "run_id": o.value or "", "error": o.error}
        for o in outcomes
    ]
    run.text(json.dumps(sorted(table, key=lambda row: row["cell"]), indent=1), names.CELLS)
    return outcomes


def work(job: Job) -> str:
    """Run one cell in this (warm) process, or find that it has run; returns its run ID."""
    cell, context = job.cell, job.context
    os.environ["MLFLOW_TRACKING_URI"] = context["uri"]
    p = _params(cell, job.upstream_run_id, context)
    found = session.find(sslseg_execute.stage_module(cell.stage).identify(p))
    tags = {names.TAG_CELL: cell.name, names.TAG_ROW: cell.row}
    if (
        found and cell.stage == names.PRETRAIN
    ):  # it may have been started by hand, where nobody called its data natural
        store.client(context["uri"]).set_tag(found, names.TAG_ROW, cell.row)
    return found or sslseg_execute.execute(
        cell.stage, p, method=cell.method, name=cell.name, parent_run_id=context["parent"],
        experiment_id=context["experiment"], tags={key: text for key, text in tags.items() if text},
    )  # fmt: skip


def _params(cell: Cell, upstream_run_id: str, context: dict) -> Any:
    return cell.params(upstream_run_id or None, context["cache"], context["threads"], context["device"])


def _show(run: session.Run, cells: list[Cell], context: dict, places: int) -> None:
    """Print every cell and whether it has a finished run, and what is to be expected; runs nothing."""
    from sslseg.stages.forecast import estimates  # imports torch

    ids: dict[str, str] = {}
    parameters = {}
    for cell in cells:
        found = ""
        parameters[cell.name] = p = _params(cell, ids.get(cell.upstream, ""), context)
        if not cell.upstream or ids.get(cell.upstream):
            found = session.find(sslseg_execute.stage_module(cell.stage).identify(p)) or ""
        ids[cell.name] = found
        print(f"{'done   ' if found else 'missing'}  {cell.name}  {found}")
    missing = [cell for cell in cells if not ids[cell.name]]
    print(f"{len(cells)} cells, {len(missing)} missing")
    if missing:
        kinds = estimates.kinds(cells, parameters)
        device = devices.name(parameters[missing[-1].name])
        wanted = {cell.name: kinds[cell.name] for cell in missing}
        costs = estimates.costs(wanted, parameters, frames.runs(uri=run.uri), device, estimates.size_of)
        print("\n".join(estimates.lines(missing, kinds, costs, places, datetime.now())))
