"""Run every missing cell of a grid, upstream first, in warm workers."""

import contextlib
import dataclasses
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from types import ModuleType

from sslseg import execute as sslseg_execute
from sslseg.config import caches, names, plugins
from sslseg.config.commands import typed_again
from sslseg.config.params import Machine, Sweep, Workers
from sslseg.plans import cells as grid
from sslseg.plans.cells import Cell
from sslseg.plans.jobs import Context, Graph, Job, Outcome, failures
from sslseg.plans.studies import asked, fill  # noqa: F401 fill is a hook of `launch`
from sslseg.stages.forecast import feasible
from sslseg.stages.intake import likeness
from sslseg.stages.outcome import endings
from sslseg.stages.sweep import card, overview
from sslseg.tracking import identity, resuming, session, store
from sslseg.tracking.board import Board
from sslseg.tracking.history import frames
from sslseg.training import devices

NOT_YET = "the sweep has not come to it"


def identify(p: Sweep) -> str:
    """sha256 of all cells: the same command goes on inside its own unfinished run. '' = a dry run goes on with none."""
    if p.dry_run:
        return ""
    cells = grid.cells(p)
    code = identity.code_digest(*sorted({f"sslseg.stages.{cell.stage}" for cell in cells}), *_plugins(cells))
    facts = [[cell.name, cell.stage, cell.method, cell.upstream, _absolute(cell.texts)] for cell in cells]
    return hashlib.sha256(json.dumps([facts, code]).encode()).hexdigest()


def _absolute(texts: dict[str, str]) -> dict[str, str]:
    """A folder by its full name: `data` is another one elsewhere."""
    root = texts.get("data_root")
    return texts | ({"data_root": str(Path(root).expanduser().resolve())} if root else {})


def _plugins(cells: Sequence[Cell]) -> list[Path]:
    named = {("methods", cell.method) for cell in cells} | {
        ("datasets", c.texts.get("dataset", "")) for c in cells
    }
    return [plugins.path(folder, name) for folder, name in sorted(named) if name]


def run(p: Sweep, run: session.Run) -> None:
    """Run, reuse or list the cells of the grid.

    Raises:
        ParamError: a cell cannot work; nothing was run. See `feasible.check`.
        SslsegError: at least one cell failed; the others have run. A LeakError where an encoder had seen the test.
    """
    backend = plugins.load("executors", p.executor)
    cells = grid.cells(p)
    places, threads = backend.places(p)
    context = told(p, run, threads)
    cells = feasible.fitted(cells, context)
    feasible.check(cells, context)
    if p.dry_run:
        _show(run, cells, context, places)
        print(f"next: {typed_again(names.SWEEP, asked(p), dry_run=False)}")
        return
    settled = card.settle(p, cells, context, backend)
    if settled != p:
        p, (places, context["threads"]) = settled, backend.places(settled)
    run.note(overview.begun(cells, run.id))
    outcomes = execute(p, run, Graph(cells, context), backend, places)
    failed = [o for o in outcomes if o.error]
    runs = frames.runs(sweep=run.id, uri=run.uri)
    data = plugins.called(p.dataset, p.data_root)
    run.note(overview.text(outcomes, runs, p.dataset, data))
    if failed:
        kind = names.LeakError if any(o.leaked for o in failed) else names.SslsegError
        raise kind(f"{len(failed)} of {len(cells)} cells have no result:\n{failures(failed)}")
    endings.swept(run.id if run.stage == names.SWEEP else "", runs, p.dataset, data)


def told(p: Workers, run: session.Run, threads: int) -> Context:
    """What a worker has to know beside its cell."""
    return {
        "cache": str(caches.cache_folder(p.cache)), "parent": run.id, "experiment": run.experiment_id, "uri": run.uri,
        "device": p.device, "threads": threads,
    }  # fmt: skip


def execute(
    p: Workers,
    run: session.Run,
    graph: Graph,
    backend: ModuleType,
    places: int,
    do: Callable[[Job], str] | None = None,
) -> list[Outcome]:
    """Let the workers do every job, and leave the table of cells that `analyse` reads.

    Args:
        places: cells at a time, of `backend`.
        do: instead of `work`; a function of a module, for workers have to find it.
    """
    cells = [job.cell for job in graph.waiting.values()]
    outcomes, likeness_of = list[Outcome](), likeness.Once(run.uri)
    _list(run, cells, outcomes)  # should this process be killed, the grid is known
    try:
        with Board(run, cells, places) as board:
            # as many as were planned for: memory that is free may change meanwhile
            for outcome in backend.run(graph, do or work, dataclasses.replace(p, workers=places)):
                outcomes.append(outcome)
                with board.aside():
                    _tell(outcome, likeness_of)
                board.note(outcome, _took(outcome, run))
    except BaseException:
        with contextlib.suppress(Exception):  # what has ended the sweep is what is told
            _list(run, cells, outcomes)
        raise
    _list(run, cells, outcomes)
    _tell_borrowed(run, cells)
    return outcomes


def _list(run: session.Run, cells: Sequence[Cell], outcomes: Sequence[Outcome]) -> None:
    """Write the sweep's own record: every cell, its run in whichever experiment, or why it has none."""
    ended = {outcome.job.name: outcome for outcome in outcomes}
    table = []
    for cell in sorted(cells, key=lambda cell: cell.name):
        one = ended.get(cell.name) or Outcome(Job(cell), error=NOT_YET)
        row = {"cell": cell.name, "pipeline": cell.pipeline, "run_id": one.value or "", "error": one.error}
        table.append(row)
    run.text(json.dumps(table, indent=1), names.CELLS)


def _tell_borrowed(run: session.Run, cells: Sequence[Cell]) -> None:
    """Say which cells are not this experiment's own; each is linked by a pointer, see `resuming.borrow`."""
    links = [link for link in frames.borrowed(run.experiment_id, run.uri) if link["sweep"] == run.id]
    if links:
        origins = Counter(link["experiment"] for link in links)
        listed = ", ".join(f"{count} of experiment {name!r}" for name, count in sorted(origins.items()))
        endings.tell(
            f"{len(links)} of {len(cells)} cells had been finished elsewhere and are linked, not run again: {listed}"
        )


def _tell(outcome: Outcome, likeness_of: likeness.Once) -> None:
    if outcome.error:
        print(f"cell {outcome.job.name}: {outcome.error}", file=sys.stderr)
    else:
        likeness_of.tell(outcome.value)


def _took(outcome: Outcome, run: session.Run) -> float | None:
    """Seconds of a cell; None where it failed, has been run by another sweep, or was interrupted on its way."""
    if outcome.error:
        return None
    found = store.client(run.uri).get_run(outcome.value)
    tags = found.data.tags
    if tags.get(names.TAG_SWEEP) != run.id or names.TAG_RESUMED_AT in tags or not found.info.end_time:
        return None
    return (found.info.end_time - found.info.start_time) / 1000


def work(job: Job) -> str:
    """Run one cell in this (warm) process, or find that it has run; returns its run ID."""
    cell, context = job.cell, job.context
    os.environ["MLFLOW_TRACKING_URI"] = context["uri"]
    p = job.params()
    found = _found(cell, p, context["experiment"])
    tags = {names.TAG_CELL: cell.name} | ({names.TAG_ROW: cell.row} if cell.row else {})
    if found:
        if cell.stage == names.PRETRAIN:  # it may have been started by hand, its data not called natural
            store.client(context["uri"]).set_tag(found, names.TAG_ROW, cell.row)
        resuming.borrow(
            found, cell.stage, cell.name, tags, context["parent"], context["experiment"], context["uri"]
        )
        return found
    return sslseg_execute.execute(
        cell.stage, p, method=cell.method, name=cell.name, parent_run_id=context["parent"],
        experiment_id=context["experiment"], tags=tags,
    )  # fmt: skip


def _found(cell: Cell, p: Machine, experiment: str) -> str:
    """The FINISHED run of a cell, of the sweep's own experiment if there is one; '' = none anywhere."""
    wanted = sslseg_execute.stage_module(cell.stage).identify(p)
    return session.find(wanted, experiment) or session.find(wanted) or ""


def _show(run: session.Run, cells: list[Cell], context: Context, places: int) -> None:
    """Print every cell and whether it has a finished run, and what is to be expected; runs nothing."""
    from sslseg.stages.forecast import estimates  # imports torch

    ids: dict[str, str] = {}
    parameters = {}
    for cell in cells:
        found = ""
        parameters[cell.name] = p = Job(cell, ids.get(cell.upstream, ""), context).params()
        if not cell.upstream or ids.get(cell.upstream):
            found = _found(cell, p, run.experiment_id)
        ids[cell.name] = found
        origin = resuming.elsewhere(found, run.experiment_id, run.uri) if found else ""
        said = f"  of experiment {origin!r}" if origin else ""
        print(f"{'done   ' if found else 'missing'}  {cell.name}  {found}{said}")
    missing = [cell for cell in cells if not ids[cell.name]]
    print(f"{len(cells)} cells, {len(missing)} missing")
    if missing:
        kinds = estimates.kinds(cells, parameters)
        device = devices.name(parameters[missing[-1].name])
        wanted = {cell.name: kinds[cell.name] for cell in missing}
        costs = estimates.costs(wanted, parameters, frames.runs(uri=run.uri), device, estimates.size_of)
        print("\n".join(estimates.lines(missing, kinds, costs, places, datetime.now())))
