"""Search the knobs of fine-tuning or pretraining, trial by trial, by the validation score.

The test split is never read. What is found is worth only what a fine-tuning with it, tested once, shows.
"""

import dataclasses
import hashlib
import json
import sys
from collections.abc import Iterator

import optuna
from optuna.trial import TrialState

from sslseg.config import caches, flags, names, plugins
from sslseg.config.commands import typed
from sslseg.config.params import Tune
from sslseg.config.references import is_one
from sslseg.plans import pipelines, searchspace
from sslseg.plans.cells import Cell, parameters_of
from sslseg.plans.jobs import Graph, Outcome, attempt
from sslseg.stages import finetune, pretrain
from sslseg.stages.intake import likeness
from sslseg.stages.tune import plots, trials
from sslseg.stages.tune.trials import OVER, Plan
from sslseg.tracking import identity, lineage, progress, session, store
from sslseg.tracking.registry import sentences
from sslseg.tracking.upkeep import sqlite

WINNERS = "winners.json"
COMMANDS = "commands.txt"


def fill(p: Tune) -> Tune:
    """The parameters with the encoders, the database and the threads that will really be used.

    Raises:
        EncoderError: no encoder has come the way that a sentence says.
    """
    folder = caches.cache_folder(p.cache)
    folder.mkdir(parents=True, exist_ok=True)
    return dataclasses.replace(
        p,
        encoder=tuple(e if is_one(e) else sentences.newest(e, p.dataset) for e in p.encoder),
        cache=str(folder),
        storage=p.storage or sqlite.address(folder / "tune.db"),
        threads=plugins.load("executors", p.executor).places(p)[1],
    )


def identify(p: Tune) -> str:
    """sha256 of all searches: the same command goes on inside its own unfinished run."""
    return hashlib.sha256(json.dumps([plan.name for plan in plans(p)]).encode()).hexdigest()


def plans(p: Tune) -> list[Plan]:
    """One search for each encoder, or one over all; equal settings, data and code give equal names."""
    groups = [(encoder,) for encoder in p.encoder] if p.per_pipeline else [p.encoder]
    labels = ["+or+".join(_label(p, encoder) for encoder in group) for group in groups]
    taken = [f"{label} {i}" if labels.count(label) > 1 else label for i, label in enumerate(labels)]
    return [
        Plan(f"{p.stage}-{_digest(p, group)[:24]}", label, group)
        for group, label in zip(groups, taken, strict=True)
    ]


def _label(p: Tune, encoder: str) -> str:
    hops = [] if encoder == names.SCRATCH else lineage.of_model(encoder)
    before = lineage.label(lineage.before(hops, p.dataset))
    if p.stage == names.FINETUNE:
        return before
    own = pipelines.hop_text(p.method, trials.settings(p, names.PRETRAIN, encoder).dataset)
    return own if encoder == names.SCRATCH else f"{before}+{own}"


def _digest(p: Tune, encoders: tuple[str, ...]) -> str:
    """sha256 of the study's own knobs, and of the stages at their settings before any search."""
    parts = []
    for encoder in encoders:
        if p.stage == names.PRETRAIN:
            parts.append(pretrain.identify(trials.settings(p, names.PRETRAIN, encoder)))
            encoder = names.SCRATCH
        parts.append(finetune.identify(trials.settings(p, names.FINETUNE, encoder)))
    code = identity.code_digest("sslseg.stages.tune.trials")
    return identity.of(p, upstream_sha=" ".join(parts), data="", subset="", code=code)


def run(p: Tune, run: session.Run) -> None:
    """Run the trials that are missing, and show what all of them say.

    Raises:
        SslsegError: a trial failed; the others have run.
    """
    found = {plan.label: plan for plan in plans(p)}
    marker = caches.checkpoint_folder(caches.cache_folder(p.cache), run.id)
    marker.mkdir(parents=True, exist_ok=True)
    (marker / "searches.json").write_text(
        json.dumps([plan.name for plan in found.values()]), encoding="utf-8"
    )
    run.tag(names.TAG_SEARCH, ",".join(plan.name for plan in found.values()))
    for plan in found.values():
        _start(p, plan, run.uri)
    context = {"params": p, "plans": found, "parent": run.id, "experiment": run.experiment_id, "uri": run.uri}
    places = list(_places(p, found))
    failed = _execute(p, run, Graph(places, context), p.trials * len(found) - len(places))
    _show(p, run, found)
    if failed:
        raise names.SslsegError(
            "trials without a result; the same command tries as many again:\n" + "\n".join(failed)
        )


def _start(p: Tune, plan: Plan, uri: str) -> None:
    """Make the search; its first trial has the preset's settings, where the ranges hold them."""
    space = searchspace.ranges(p.stage, parameters_of(p.stage, p.method), p.space)
    with store.lock(uri, "tune"):
        search = trials.open_search(p, plan)
        trials.finish_runs(search, uri)
        if search.get_trials(deepcopy=False):
            return
        for encoder in plan.encoders:
            usual = trials.settings(p, p.stage, encoder)
            if not all(wanted.holds(getattr(usual, name)) for name, wanted in space.items()):
                return
            values = {name: getattr(usual, name) for name in space}
            fixed = {k: flags.to_text(v) if space[k].kind == "choice" else v for k, v in values.items()}
            several = {"encoder": encoder} if len(plan.encoders) > 1 else {}
            search.enqueue_trial(fixed | several, user_attrs={"settings": "default"})


def _places(p: Tune, found: dict[str, Plan]) -> Iterator[Cell]:
    """A place for each missing trial, in turn over the searches; which trial it gets, its worker asks."""
    missing = {}
    for label, plan in found.items():
        there = trials.open_search(p, plan).get_trials(deepcopy=False)
        missing[label] = p.trials - sum(t.state in OVER for t in there)
    for turn in range(max(missing.values())):
        for label in found:
            if turn < missing[label]:
                yield Cell(f"{label}, trial place {turn}", names.TRIAL, {}, pipeline=label)


def _execute(p: Tune, run: session.Run, graph: Graph, before: int) -> list[str]:
    """Run all; returns a line for each that failed.

    Args:
        before: trials that were over before this command; they count, so that an interrupted tuning ends
            with the numbers of one that was not.
    """
    for ended in range(1, before + 1):
        run.log({"tune/ended": ended, "tune/failed": 0}, ended)
    here = p.executor == "local" and p.workers == 1
    outcomes = _here(graph) if here else plugins.load("executors", p.executor).run(graph, trials.work, p)
    failed, total, likeness_of = [], len(graph.waiting), likeness.Once(run.uri)
    with progress.bar(total, "trials") as bar:
        for ended, outcome in enumerate(outcomes, before + 1):
            bar.update()
            if outcome.error:
                failed.append(f"  {outcome.job.name}: {outcome.error}")
                print(failed[-1], file=sys.stderr)
            elif outcome.value:
                likeness_of.tell(outcome.value)
            run.log({"tune/ended": ended, "tune/failed": len(failed)}, ended)
    return failed


def _here(graph: Graph) -> Iterator[Outcome]:
    """One after the other, in this process."""
    for job in graph.ready():
        yield graph.close(Outcome(job, *attempt(trials.work, job)))


def _show(p: Tune, run: session.Run, found: dict[str, Plan]) -> None:
    """Plots, curves of the searches, and the winning settings as a command."""
    winners = {}
    for label, plan in found.items():
        search = trials.open_search(p, plan)
        for key, points in plots.progress(search).items():
            for number, value in points:
                run.log({f"tune/{label}/{key}": value}, number)
        run.log({f"importance/{label}/{k}": v for k, v in plots.importances(search).items()})
        plots.log(run, search, label)
        if any(t.state == TrialState.COMPLETE for t in search.get_trials(deepcopy=False)):
            winners[label] = _winner(p, plan, search.best_trial)
    run.text(json.dumps(winners, indent=1), WINNERS)
    run.text("".join(f"# {label}\n{row['command']}\n" for label, row in winners.items()), COMMANDS)
    for label, row in winners.items():
        usual = "" if row["default"] is None else f" (at the preset: {row['default']:.4f})"
        print(f"{label}: validation IoU {row['value']:.4f}{usual}, trial {row['trial']}; test is unread")
        print(f"next, for several seeds: {row['command']}")
    if not winners:
        print("no trial was run to its end: nothing has won")


def _winner(p: Tune, plan: Plan, best: optuna.trial.FrozenTrial) -> dict:
    """What a reader, or a program, needs of the best trial."""
    chosen = {name: flags.to_text(value) for name, value in best.params.items()}
    there = trials.open_search(p, plan).get_trials(deepcopy=False)
    default = [
        t.value for t in there
        if t.value is not None and t.user_attrs.get("settings") == "default" and t.state == TrialState.COMPLETE
    ]  # fmt: skip
    marked = chosen | {"tuned": f"{plan.name}:{sum(t.state in OVER for t in there)}"}  # search:trials
    return {
        "study": plan.name,
        "trial": best.number,
        "run_id": best.user_attrs[trials.RUN],
        "value": best.value,
        "default": max(default, default=None),
        "params": chosen,
        "command": command(p, plan, marked),
    }


def command(p: Tune, plan: Plan, chosen: dict[str, str]) -> str:
    """The line that runs the tuned stage with these settings."""
    own = {"method": p.method} if p.stage == names.PRETRAIN else {}
    given = own | trials.texts(p, p.stage, plan.encoders[0]) | chosen
    return typed(p.stage, **given)
