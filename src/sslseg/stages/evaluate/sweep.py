"""Every fine-tuning of a sweep, scored one after the other, each in a run of its own."""

import dataclasses
import hashlib
import json
import sys
from typing import Any

import pandas as pd

from analysis.statistics.words import plural
from sslseg import execute
from sslseg.config import caches, names, plugins
from sslseg.config.names import ParamError, SslsegError
from sslseg.config.params import Evaluate
from sslseg.data.slices import prepare
from sslseg.data.slices.sources import listed, sha256
from sslseg.stages.outcome import endings
from sslseg.tracking import identity, session
from sslseg.tracking.history import frames
from sslseg.tracking.registry import resolve

COLUMNS = ["pipeline", "budget", "seed", "fine_tuning", "evaluation", "error"]


def run(p: Evaluate, run: session.Run) -> None:
    """Score what has not been scored under these settings yet, and log the table of all.

    Raises:
        ParamError: the sweep has no fine-tuning on `p.dataset`.
        SslsegError: unknown sweep; or some could not be scored, the others have been.
    """
    tuned = frames.runs(None, p.sweep, run.uri)
    tuned = tuned[(tuned["stage"] == names.FINETUNE) & (tuned["dataset"] == p.dataset)]
    if tuned.empty:
        raise ParamError(f"sweep: run {p.sweep} has no FINISHED fine-tuning on {p.dataset}")
    data, rows = _data(p), []
    for one in run.progress(list(tuned.itertuples()), "scoring", len(tuned)):
        found, error = "", ""
        try:
            found = _score(p, run, one, data)
        except SslsegError as fault:
            error = str(fault)
            print(f"{one.name}: {error}", file=sys.stderr)
        rows.append([one.pipeline, one.budget, one.seed, one.run_id, found, error])
        run.log({"evaluate/scored": sum(bool(r[4]) for r in rows)}, len(rows))
    table = pd.DataFrame(rows, columns=COLUMNS)
    run.text(table.to_csv(index=False), "evaluate/sweep.csv")
    if failed := table[table["evaluation"] == ""].shape[0]:
        raise SslsegError(f"{failed} of {len(table)} fine-tunings were not scored, see evaluate/sweep.csv")
    endings.tell(f"{plural(len(table), 'fine-tuning')} scored: evaluate/sweep.csv of run {run.id}")
    endings.following(
        "analyse", dataset=p.dataset, sweep=p.sweep, out=f"out/{plugins.called(p.dataset, p.data_root)}"
    )


def _score(p: Evaluate, run: session.Run, tuned: Any, data: str) -> str:
    """ID of the FINISHED evaluation of one fine-tuning: one that is there, or a new one."""
    one = dataclasses.replace(p, model=(tuned.run_id,), sweep="")
    model = resolve.resolve(tuned.run_id, kind=names.KIND_SEGMENTER, cache=caches.cache_folder(p.cache))
    code = identity.code_digest("sslseg.stages.evaluate", plugins.path("datasets", p.dataset))
    known = identity.of(one, upstream_sha=model.sha256, data=data, subset="", code=code)
    found = session.search(
        {names.TAG_IDENTITY: known, names.TAG_UPSTREAM_RUN: tuned.run_id}, status="FINISHED"
    )
    return found[0].info.run_id if found else execute.execute(
        names.EVALUATE, one, name=f"{tuned.name} {names.EVALUATE}", parent_run_id=run.id,
        experiment_id=run.experiment_id, tags={names.TAG_IDENTITY: known},
    )  # fmt: skip


def _data(p: Evaluate) -> str:
    """sha256 of every annotated file, and of whose it is."""
    module = plugins.load("datasets", p.dataset)
    root = prepare.locate(p.dataset, p.data_root, caches.cache_folder(p.cache))
    sources, _ = listed(module, root, lenient=True)
    rows = [
        [s.patient, s.frame, s.phase, s.index, *(sha256(f) for f in (s.image, s.label, *s.more))]
        for s in sources
        if s.label is not None
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
