"""One reading of the store, then every figure and table that was asked for, into one folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis import cells, figures, outputs
from analysis.cells import Study
from sslseg import history, params
from sslseg.names import ParamError

PAGE = "report.html"


@dataclass(frozen=True)
class Reading:
    """What was read: the compared runs, and the curves that the asked-for parts want."""

    study: Study
    curves: pd.DataFrame


def read(p: params.Analyse, experiment: str | None, uri: str | None, keys: Iterable[str]) -> Reading:
    """Read runs and curves once.

    Args:
        experiment: name or ID; None = every experiment.

    Raises:
        SslsegError: see `history.runs` and `cells.study`.
    """
    runs = history.runs(experiment, p.sweep or None, uri, upstream=True)
    table = history.cells(p.sweep, uri) if p.sweep else []
    query = {"experiment": experiment or "all", "sweep": p.sweep, "dataset": p.dataset, "status": "FINISHED"}
    study = cells.study(
        runs,
        p.dataset,
        allow_mixed=p.allow_mixed,
        failed=[row for row in table if not row["run_id"]],
        query=query,
    )
    wanted = set(study.runs["run_id"]) | set(study.by_epoch["run_id"])
    return Reading(study, history.curves(wanted, keys, uri))


def parts(only: Iterable[str]) -> list[str]:
    """The figures and tables that are asked for, in the page's order; none named = all.

    Raises:
        ParamError: there is no part of that name.
    """
    known = list(figures.load())
    unknown = [name for name in only if name not in known]
    if unknown:
        raise ParamError(f"only: must be of {', '.join(known)}; not {', '.join(unknown)}")
    return [name for name in known if not only or name in only]


def make(
    p: params.Analyse,
    folder: Path,
    experiment: str | None = None,
    uri: str | None = None,
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Write everything into `folder`; returns the files.

    Raises:
        ParamError, SslsegError: see `parts` and `read`.
    """
    wanted = {name: module for name, module in figures.load().items() if name in parts(p.only)}
    reading = read(p, experiment, uri, {key for module in wanted.values() for key in module.KEYS})
    made: list[Path] = []
    for name, module in wanted.items():
        drawn = module.data(reading.study, reading.curves)
        made += outputs.write(drawn, module.draw(drawn), reading.study, folder)
        say(f"{name}: {drawn.title}, {len(drawn.runs)} runs")
    for missing in reading.study.missing:
        say(f"missing cell {missing}")
    return made
