"""One trial of a tuning, in this (warm) process: ask, train, report, tell. It never tests."""

import functools
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import NullPool

from sslseg import execute
from sslseg.config import caches, flags, names
from sslseg.config.params import Pretrain, Tune
from sslseg.data import streams
from sslseg.plans import cells, searchspace
from sslseg.plans.jobs import Job
from sslseg.stages import finetune, pretrain
from sslseg.stages.intake import upstream
from sslseg.stages.outcome import curves
from sslseg.tracking import ownership, session, store
from sslseg.tracking.runs import Run

OBJECTIVES = {"best": names.BEST_VAL_IOU, "last": names.LAST_VAL_IOU, "area": names.AREA_VAL_IOU}
OWNER, RUN = "process", "run_id"  # of a trial's user attributes
OVER = (TrialState.COMPLETE, TrialState.PRUNED)
WARMUP = 4  # the median does not prune in the first quarter of the steps, where rates still rise [H]
PATIENCE = 60  # seconds that a worker waits for a locked SQLite file


@dataclass(frozen=True)
class Plan:
    """One Optuna search: its name (the hash of what is tuned), its pipeline, the encoders to start from."""

    name: str
    label: str
    encoders: tuple[str, ...]


def texts(p: Tune, stage: str, encoder: str) -> dict[str, str]:
    """What every trial's stage is given, before the searched knobs."""
    found = {"dataset": p.dataset, "data_root": p.data_root, "seed": str(p.seed), "encoder": encoder}
    if stage == names.PRETRAIN:
        return found | {"preset": p.pretrain_preset} | cells.further(p, names.PRETRAIN)
    counted = {"budget": flags.to_text(p.budget), "budget_unit": p.budget_unit}
    return found | counted | {"preset": p.preset} | cells.further(p, names.FINETUNE)


def settings(p: Tune, stage: str, encoder: str, values: dict[str, str] | None = None) -> Any:
    """Resolved parameters of a stage of a trial, of its own class.

    Raises:
        ParamError: a text is not a valid value.
    """
    here = {"cache": p.cache, "threads": str(p.threads), "device": p.device}
    given = texts(p, stage, encoder) | (values or {}) | here
    return flags.resolve(flags.from_mapping(cells.parameters_of(stage, p.method), given))


def open_search(p: Tune, plan: Plan) -> optuna.Study:
    """The search, made if absent."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    arguments: dict[str, Any] = {"poolclass": NullPool}  # no worker keeps a connection while it trains
    if p.storage.startswith("sqlite"):
        arguments["connect_args"] = {"timeout": PATIENCE}
    return optuna.create_study(
        storage=optuna.storages.RDBStorage(p.storage, engine_kwargs=arguments),
        study_name=plan.name, direction="maximize", load_if_exists=True, pruner=_pruner(p),
    )  # fmt: skip


def _pruner(p: Tune) -> optuna.pruners.BasePruner:
    tuned = settings(p, names.FINETUNE, names.SCRATCH)
    if p.pruner == "median":
        return optuna.pruners.MedianPruner(p.startup, n_warmup_steps=tuned.steps // WARMUP)
    if p.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(min(tuned.eval_every, tuned.steps), tuned.steps)
    return optuna.pruners.NopPruner()


def work(job: Job) -> str:
    """Run one trial; returns its run ID, or '' when the search has enough of them."""
    context = job.context
    os.environ["MLFLOW_TRACKING_URI"] = context["uri"]
    return _trial(context["params"], context["plans"][job.cell.pipeline], context)


def _trial(p: Tune, plan: Plan, context: dict) -> str:
    search = open_search(p, plan)
    with store.lock(context["uri"], "tune"):
        trial = _take(search, p)
    if trial is None:
        return ""
    with session.open_run(
        names.TRIAL,
        name=f"{plan.label} trial {trial.number}",
        experiment_id=context["experiment"],
        parent_run_id=context["parent"],
        adopt_run_id=trial.user_attrs.get(RUN),  # of the process that had it before and is gone
        tags={names.TAG_SEARCH: plan.name, names.TAG_TRIAL: str(trial.number)},
    ) as run:
        trial.set_user_attr(RUN, run.id)
        run.log({"trial/number": trial.number}, 0)
        try:
            _score(p, plan, search, trial, run)
        except Exception:  # not a signal: that trial is gone on with
            search.tell(trial, state=TrialState.FAIL)
            raise
    caches.drop_checkpoints(p.cache, run.id)
    return run.id


def _take(search: optuna.Study, p: Tune) -> Trial | None:
    """A trial whose process is gone, else a new one, else None: the search has enough. Under a lock."""
    trials = search.get_trials(deepcopy=False)
    running = [t for t in trials if t.state == TrialState.RUNNING]
    left = [t for t in running if not _alive(t)]
    # Seeded by what is there, so that one worker draws the same trials again, however often interrupted.
    drawn = sum(t.state != TrialState.WAITING for t in trials)
    seed = streams.torch_seed(p.seed, "tune", drawn) % 2**32
    search.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=p.startup)
    if left:
        trial = Trial(search, left[0]._trial_id)  # the only way to a trial that another process asked for
    elif sum(t.state in OVER for t in trials) + len(running) >= p.trials:
        return None
    else:
        trial = search.ask()
    trial.set_user_attr(OWNER, ownership.owner())
    return trial


def _alive(trial: FrozenTrial) -> bool:
    """Whether the process that asked for the trial works on it still."""
    beat = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    if OWNER not in trial.user_attrs and time.time() - beat > PATIENCE:
        return False  # killed between asking and signing
    if run_id := trial.user_attrs.get(RUN):
        try:
            run = store.run(run_id)
        except store.UnknownRunError:
            return False
        beat = ownership.heartbeat(run)
        if run.info.status in session.ENDED_EARLY:
            return False
    return ownership.state(trial.user_attrs.get(OWNER, ""), beat) != ownership.State.DEAD


def _score(p: Tune, plan: Plan, search: optuna.Study, trial: Trial, run: Run) -> None:
    """Train, and tell the search how good it was.

    Raises:
        SslsegError: there was nothing to be scored.
    """
    try:
        progress = _train(p, plan, trial, run, _reporter(p, search, trial))
    except optuna.TrialPruned:
        _close(search, trial, run, "pruned")
        return
    except names.NonFiniteLoss as error:  # a fact about these settings: to be avoided, not tried again
        print(f"trial {trial.number}: {error}")
        _close(search, trial, run, "diverged")
        return
    value = progress.summary()[OBJECTIVES[p.objective]]
    if not math.isfinite(value) or value < 0:
        raise names.SslsegError(f"dataset {p.dataset}: no validation slice shows a structure to be scored")
    run.log({"trial/value": value}, 0)
    _note(run, "complete")
    search.tell(trial, value)


def _close(search: optuna.Study, trial: Trial, run: Run, why: str) -> None:
    _note(run, why)
    search.tell(trial, state=TrialState.PRUNED)


def _note(run: Run, why: str) -> None:
    """Everything into the run before the search hears of it: a trial that is over is never gone on with."""
    run.tag(names.TAG_TRIAL_STATE, why)
    run.flush(last=True)


def finish_runs(search: optuna.Study, uri: str) -> None:
    """End the runs of trials that were over when their process was killed; all their numbers are there."""
    for trial in search.get_trials(deepcopy=False):
        if trial.state in OVER and (run_id := trial.user_attrs.get(RUN)):
            run = store.client(uri).get_run(run_id)
            if session.is_abandoned(run):
                ownership.close(run_id, "FINISHED", uri=uri)


def _reporter(p: Tune, search: optuna.Study, trial: Trial) -> Callable[[int, float], None]:
    last = settings(p, names.FINETUNE, names.SCRATCH).steps
    (own,) = (t for t in search.get_trials(deepcopy=False) if t.number == trial.number)
    told = set(own.intermediate_values)  # steps that are done again after an interruption

    def report(step: int, iou: float) -> None:
        if step == 0 or not math.isfinite(iou):
            return  # before the first step all settings are equal
        if step not in told:
            trial.report(iou, step)
        if step < last and trial.should_prune():
            raise optuna.TrialPruned

    return report


def _train(p: Tune, plan: Plan, trial: Trial, run: Run, report: Callable) -> curves.Progress:
    several = len(plan.encoders) > 1
    encoder = trial.suggest_categorical("encoder", plan.encoders) if several else plan.encoders[0]
    values = searchspace.suggest(
        trial, searchspace.ranges(p.stage, cells.parameters_of(p.stage, p.method), p.space)
    )
    if p.stage == names.PRETRAIN:
        run.params({f"pretrain.{name}": text for name, text in values.items()})
        encoder, values = _pretrained(settings(p, names.PRETRAIN, encoder, values), p, run), {}
    q = finetune.fill(settings(p, names.FINETUNE, encoder, values))
    execute.record(run, q)
    return finetune.train(upstream.begin(q, run), report)[2]


def _pretrained(q: Pretrain, p: Tune, trial: Run) -> str:
    """Run ID of a pretraining with the trial's settings: found, gone on with, or made. Not registered."""
    return session.find(pretrain.identify(q)) or execute.execute(
        names.PRETRAIN, q, trial.id, method=p.method, name=f"{p.method} of a trial",
        experiment_id=trial.experiment_id, do=functools.partial(pretrain.run, register=False),
    )  # fmt: skip
