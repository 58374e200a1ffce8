"""One reading of the store, then everything that was asked for, into one folder."""

import re
import shlex
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd

from analysis import claims, figures
from analysis.comparison import cells, decisions, encoders, families, measures, patients
from analysis.comparison.cells import Study
from analysis.comparison.measures import KEYS
from analysis.figures import outputs, style
from analysis.figures.outputs import Content
from analysis.page import report, scores
from analysis.page.report import Page
from analysis.statistics.records import to_json
from analysis.statistics.words import plural
from sslseg.config import caches, commands, flags, names, params
from sslseg.config.names import ParamError
from sslseg.tracking import store
from sslseg.tracking.history import frames, records, sweeps

PAGE, RECORD = names.REPORT, "decisions.json"
CARDS = "encoder_worth"  # in the record: model ID -> sentence
DECISIONS = ("worth", "verdict", "advice", "claims")
TABLES = ("encoders", "runs")
SCORES = "scores"
GONE = "its run {run_id} is no longer in the store, or was marked as made of damaged data"
WITH_IMAGES = {"fig5"}  # not made of patients' images unless it is asked for by name
SYNTHETIC = {"demo", "phantom"}


def read(p: params.Analyse, experiment: str | None, uri: str | None) -> tuple[Study, pd.DataFrame]:
    """The compared runs, and the curves that the asked-for parts want: runs and curves are read once.

    Args:
        experiment: name or ID; None = every experiment.

    Raises:
        ParamError, SslsegError: see `parts`, `history.runs` and `cells.study`.
    """
    wanted, uri = parts(p.only), store.tracking_uri(uri)
    keys = {*KEYS, *(key for name, m in figures.load().items() if name in wanted for key in m.KEYS)}
    runs = frames.runs(experiment, p.sweep or None, uri, upstream=True)
    for sentence in records.contradicted(runs):
        print(sentence, file=sys.stderr)
    if p.sweep:
        table = frames.cells(p.sweep, uri)
    else:
        where = frames.experiment(experiment, uri) if experiment else None
        table = [*(frames.borrowed(where, uri) if where else []), *sweeps.failed(where, uri)]
    failed = [
        row | {"error": row.get("error") or GONE.format(**row)}
        for row in table
        if row["run_id"] not in set(runs["run_id"])
        and cells.lies_in(row.get("data_root", p.data_root), p.data_root)
    ]
    query = {"experiment": experiment or "", "sweep": p.sweep, "dataset": p.dataset, "status": "FINISHED"}
    scored = frames.runs(uri=uri) if experiment or p.sweep else runs  # they may be in any experiment
    study = cells.study(
        runs, p.dataset, data_root=p.data_root, allow_mixed=p.allow_mixed, failed=failed, query=query, uri=uri,
        scored=scored,
    )  # fmt: skip
    ids = set(study.runs["run_id"]) | set(study.by_epoch["run_id"])
    ids |= set() if study.tuned is None else set(study.tuned.runs["run_id"])
    kept = caches.cache_folder() / "history"
    curves = frames.curves(ids, {*keys, *patients.keys(study.runs)}, uri, cache=kept)
    if len(study.evaluations):
        scored = frames.curves(study.evaluations["run_id"], patients.keys(study.evaluations), uri, cache=kept)
        curves = pd.concat([curves, scored], ignore_index=True)
    return study, curves


def parts(only: Iterable[str]) -> list[str]:
    """What is asked for, in the page's order; none named = all.

    Raises:
        ParamError: there is no part of that name.
    """
    known = [*DECISIONS, SCORES, *figures.load(), *TABLES]
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
    """Read, and write everything into `folder`; returns the files, the page last.

    Raises:
        ParamError, SslsegError: see `read`.
    """
    return write(p, folder, *read(p, experiment, uri), uri, say)


def write(
    p: params.Analyse,
    folder: Path,
    study: Study,
    curves: pd.DataFrame,
    uri: str | None = None,
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Write everything that was asked for; returns the files, the page last."""
    wanted = parts(p.only)
    modules = {name: module for name, module in figures.load().items() if name in wanted}
    for name in WITH_IMAGES & set(modules) - set(p.only):
        if study.dataset not in SYNTHETIC:
            del modules[name]
            wanted.remove(name)
            own = commands.command(
                names.ANALYSE, dataset=study.dataset, data_root=p.data_root, sweep=p.sweep, only=name, out=p.out
            )  # fmt: skip
            say(f"{name} is left out: it shows images of {study.called}, which not everybody may see ({own})")
    contents = {name: module.data(study, curves) for name, module in modules.items()}
    if lost := style.lost("".join([study.called, *(arm.label for arm in study.arms)])):
        say(
            f"figures write {' '.join(sorted(lost))} as codes, because no installed font has them: a font that has, such as Noto "
            "Sans CJK for Chinese, Japanese and Korean, is used as soon as it is installed"
        )
    made: list[Path] = []
    absent: dict[str, tuple[str, str]] = {}
    for name, module in modules.items():
        if contents[name].table.empty:
            why, more = absent[name] = module.wanted(study)
            say(" ".join([f"{name} is left out: {why}", *([f"({more})"] if more else [])]))
            continue
        with style.using(p.style):
            made += outputs.write(contents[name], module.draw(contents[name]), study, folder)
        say(f"{name}: {contents[name].title}, {plural(len(contents[name].runs), 'run')}")
    made += _page(p, folder, study, curves, contents, absent, wanted, uri)
    for missing in study.missing:
        say(f"missing cell {missing}")
    return made


def _page(
    p: params.Analyse,
    folder: Path,
    study: Study,
    curves: pd.DataFrame,
    contents: dict[str, Content],
    absent: dict[str, tuple[str, str]],
    wanted: list[str],
    uri: str | None,
) -> list[Path]:
    """decisions.json and the page."""
    measured = measures.measure(study, curves)
    fitted = decisions.curves(study)
    tuned = None if study.tuned is None else measures.measure(study.tuned, curves)
    scored = patients.measure(study, curves, families.family(study, p.all_pairs))
    found = decisions.decide(
        study, measured, fitted, p.budget, p.minutes_per_slice, tuned, p.at_a_time, p.all_pairs, scored.tested
    )
    stored = encoders.encoders(study, uri)
    judged = claims.judge(claims.context(study, measured, fitted, encoders.architectures(study, stored)))
    caches.claim(folder)
    record, page = folder / RECORD, folder / PAGE
    asked = {"worth": found.worth, "verdict": found.verdicts, "advice": found.advice, "claims": judged}
    shown = {key: value for key, value in asked.items() if key in wanted}
    if "verdict" in wanted:
        shown["collapsed"] = found.collapsed
    if found.tuned and study.tuned and "verdict" in wanted:
        shown |= {"verdict_tuned": found.tuned, "tuned_by": study.tuned.marks}
    if SCORES in wanted and scored.levels:
        shown["patients"] = scored
    if "worth" in wanted:
        shown[CARDS] = {e.model_id: decisions.worth_of(study, found, e.arm) for e in stored if e.model_id}
    record.write_text(
        to_json({"headline": found.headline, "runs": sorted(study.runs["run_id"])} | shown), encoding="utf-8"
    )
    images = {name: (d, folder / f"{name}.png") for name, d in contents.items() if name not in absent}
    drawn_page = Page(study, found, judged, stored, images, wanted, command(p), _ui(uri), absent, scored)
    page.write_text(report.render(drawn_page), encoding="utf-8")
    tables = [scores.write(study, folder)] if SCORES in wanted else []
    if tables and scored.levels:
        tables.append(patients.write(study, scored.levels, folder))
    return [record, *tables, page]


def command(p: params.Analyse) -> str:
    """The line that makes the page again."""
    given = {n: t for n, t in flags.texts(p).items() if t not in ("", "false") and n != "out"}
    return shlex.join(["python", "-m", "analysis", *(w for n, t in given.items() for w in (f"--{n}", t))])


def _ui(uri: str | None) -> str:
    """Address of the UI: the server that was read; pages made from a file are opened from any address."""
    return re.sub("//[^/@]*@", "//", uri) if uri and uri.startswith(("http://", "https://")) else ""
