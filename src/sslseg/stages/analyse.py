"""Figures, decisions and the page, from the tracking store alone, into a run."""

import tempfile
from pathlib import Path
from typing import Any

from analysis.comparison.cells import Study
from analysis.page import make
from sslseg.config.files import read_json
from sslseg.config.params import Analyse
from sslseg.stages.outcome import endings
from sslseg.tracking import session
from sslseg.tracking.registry import worth

FOLDER = "analysis"


def run(p: Analyse, run: session.Run) -> None:
    """Make the page, and say where it is.

    Raises:
        ParamError, SslsegError: see `analysis.make`.
    """
    endings.drawn(p, run, draw(p, run))


def draw(p: Analyse, run: session.Run) -> Study:
    """Make what was asked for and log it: report.html at the top, the rest under analysis/; returns what was compared.

    Raises:
        ParamError, SslsegError: see `analysis.make`.
    """
    study, curves = make.read(p, p.experiment or run.experiment_id, run.uri)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(p.out).resolve() if p.out else Path(scratch)
        for path in make.write(p, folder, study, curves, run.uri):
            run.artifact(path, None if path.name == make.PAGE else FOLDER)
            run.beat()
            if path.name == make.RECORD:
                _tell(read_json(path), run)
    return study


def _tell(record: dict[str, Any], run: session.Run) -> None:
    """Say what was found, and on every compared encoder's card, in the registry, what it was found to be worth."""
    endings.tell(record["headline"])
    for model_id, sentence in record.get(make.CARDS, {}).items():
        if sentence:
            worth.put(model_id, sentence, run.uri)
