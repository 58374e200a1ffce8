"""A folder of images, perhaps an encoder, and so many minutes: what is pretraining worth here?

Scratch, supervised ImageNet and the user's encoder, on equal subsets with equal seeds. What it will be able to
decide is said before it starts, by the functions that decide.
"""

import dataclasses
import os
import sys
import time
import webbrowser
from pathlib import Path

from analysis.page import make
from analysis.statistics import design
from analysis.statistics.design import Costs, Design
from analysis.statistics.records import Refusal
from sslseg.config import flags, names, plugins, references
from sslseg.config.commands import typed_again
from sslseg.config.names import FINETUNE, IMPORT, PREPARE, ParamError, SslsegError
from sslseg.config.params import Analyse, Data, Tryout
from sslseg.data import training_set
from sslseg.data.folders import detect
from sslseg.models.importers import checkpoint
from sslseg.plans import cells as grid
from sslseg.plans.cells import Cell
from sslseg.plans.jobs import LATE, Context, Graph, Job, Outcome, failures
from sslseg.stages import analyse, sweep
from sslseg.stages.forecast import feasible
from sslseg.stages.intake import leaks, upstream
from sslseg.stages.outcome import endings
from sslseg.stages.tryout.costs import PAGE, REST, measure
from sslseg.stages.tryout.words import Arm, ahead, behind
from sslseg.tracking import lineage, session
from sslseg.tracking.registry import resolve

TOO_LATE = f"{LATE}it would not have ended in time"
PLAN = "plan.txt"


def run(p: Tryout, run: session.Run) -> None:
    """Detect, prepare, measure, plan and say so, run, and show the page.

    Raises:
        DataError, EncoderError: the folder or the encoder cannot be used.
        ParamError: the minutes are too few, or the encoder is one of the others.
        SslsegError: fine-tunings failed; the others are on the page.
    """
    begun = time.time()
    p = dataclasses.replace(p, data_root=str(Path(p.data_root).expanduser().resolve()))
    backend = plugins.load("executors", p.executor)
    places, threads = backend.places(p)
    _check_minutes(p, places)
    dataset, context = p.dataset or _dataset(p), sweep.told(p, run, threads)
    data = _data(p, dataset, context)
    arms = _arms(p, dataset, data.store.channels, context)
    _check(p, dataset, arms, data, context)
    measured = {a.name: _cell(p, dataset, Arm(a.name, names.SCRATCH, a.architecture), None, 0) for a in arms}
    costs = measure(p, backend, measured, context)
    costs = dataclasses.replace(costs, spent=time.time() - begun)
    sizes = tuple(sorted(p.budgets)) or design.ladder(len(data.labelled["train"]))
    plan = design.plan(p.minutes * 60 - costs.spent, costs, sizes, fixed=bool(p.budgets))
    if isinstance(plan, Refusal):
        shorter = typed_again("tryout", p, finetune="steps=20")
        raise ParamError(
            f"minutes: {plan.reason}. Give more minutes, or make the trainings shorter: {shorter}"
        )
    told = ahead(plan, costs, design.foresee(plan, costs, sizes), arms)
    print(told, flush=True)
    run.text(told, PLAN)
    run.log({"tryout/planned_minutes": plan.seconds / 60, "tryout/planned_runs": plan.runs})
    if p.dry_run:
        return
    limits = {"seconds": dict(costs.runs), "deadline": begun + p.minutes * 60 - costs.page}
    cells = [
        _cell(p, dataset, a, n, seed) for seed in range(plan.seeds) for n in plan.budgets for a in arms
    ]  # seed by seed, so that what is left out are whole pairs
    outcomes = sweep.execute(p, run, Graph(cells, context | limits), backend, costs.places, work)
    _show(p, run, dataset, plan, costs)
    _complain(outcomes)


def _check_minutes(p: Tryout, places: int) -> None:
    """Refuse what the smallest trial exceeds by its fixed costs alone, before anything is prepared or measured.

    Raises:
        ParamError: so few minutes.
    """
    arms = [names.SCRATCH, "supervised", *(["your encoder"] if p.encoder else [])]
    least = Costs(dict.fromkeys(arms, REST), places, page=PAGE)
    sizes = tuple(sorted(p.budgets)) or (1,)
    plan = design.plan(p.minutes * 60, least, sizes, fixed=True)
    if isinstance(plan, Refusal):
        measured = typed_again("tryout", p, minutes=Tryout.minutes, dry_run=True)
        raise ParamError(
            f"minutes: {plan.reason}. That is without a single step of a training: {measured} measures them, and says "
            "what can be decided in how many minutes"
        )


def work(job: Job) -> str:
    """Run one cell as a sweep does, unless it would not end in time."""
    if time.time() + job.context["seconds"][job.cell.pipeline] > job.context["deadline"]:
        raise SslsegError(TOO_LATE)
    return sweep.work(job)


def _dataset(p: Tryout) -> str:
    root = Path(p.data_root)
    found = detect.choose(root, detect.ask(root), skip=p.on_bad_file == "skip")
    print(
        f"{root} is read as dataset={found.dataset}: {found.volumes} images, {found.labelled} of them annotated"
    )
    return found.dataset


def _data(p: Tryout, dataset: str, context: Context) -> training_set.Inputs:
    """Prepared, by a run of its own or an earlier one.

    Raises:
        DataError: train, val or test has no annotated slice.
    """
    cell = _cell(p, dataset, Arm("", names.SCRATCH, ""), None, 0)
    own = {name: cell.texts[name] for name in ("dataset", "data_root", "on_bad_file", "preset")}
    shared = {n: t for n, t in grid.further(p, FINETUNE).items() if n in flags.knobs(Data)}
    sweep.work(Job(Cell(PREPARE, PREPARE, own | shared), context=context))
    data = training_set.load(dataclasses.replace(Job(cell, context=context).params(), norm="dataset"))
    counts = {side: len(rows) for side, rows in data.labelled.items()}
    if not all(counts.values()):
        raise names.DataError(f"{p.data_root}: wanted annotated slices in train, val and test, got {counts}")
    shares = ", ".join(f"{count} for {side}" for side, count in counts.items())
    print(f"annotated slices: {shares}; classes: {', '.join(data.store.classes)}", flush=True)
    return data


def _arms(p: Tryout, dataset: str, channels: int, context: Context) -> list[Arm]:
    """Scratch, ImageNet, the user's encoder, whose network scratch has, if given; and the further pipelines.

    Raises:
        EncoderError: it cannot be read or found.
        ParamError: its lineage is that of another one, so that they could not be told apart; or see `_pretrained`.
    """
    found = [_arm(dataset, _import({"source": p.imagenet}, channels, context))]
    if p.encoder:
        found.append(_arm(dataset, _own(p, channels, context)))
    arms = [Arm(names.SCRATCH, names.SCRATCH, found[-1].architecture), *found]
    if len({arm.name for arm in arms}) == len(arms):
        arms += [arm for arm in _pretrained(p, dataset, context) if arm.name not in {a.name for a in arms}]
    else:
        raise ParamError(f"encoder: its lineage is {found[-1].name}, which is compared anyway; leave it out")
    return arms


def _pretrained(p: Tryout, dataset: str, context: Context) -> list[Arm]:
    """The further pipelines, after all that comes before their fine-tunings has run.

    Raises:
        ParamError: a sentence means none, or cannot work on these data.
    """
    asked = grid.cells(grid.before_trial(p, dataset)) if p.pipelines else []
    cells = [_tolerant(p, cell) for cell in asked]
    feasible.check(cells, context)
    done, arms = {"": names.SCRATCH}, []
    for cell in feasible.fitted(cells, context):
        encoder = done[cell.upstream]
        if not cell.pipeline:
            print(f"{cell.name}: before its fine-tunings", flush=True)
            done[cell.name] = sweep.work(Job(cell, encoder if cell.upstream else "", context))
        elif cell.upstream:
            taken = cell.texts.get("decoder_from", "")
            arms.append(dataclasses.replace(_arm(dataset, encoder), name=cell.pipeline, decoder_from=taken))
    return arms


def _tolerant(p: Tryout, cell: Cell) -> Cell:
    """The cell, told what to do with bad files of the user's folder."""
    own = cell.texts.get("data_root") == p.data_root
    return dataclasses.replace(cell, texts=cell.texts | {"on_bad_file": p.on_bad_file}) if own else cell


def _own(p: Tryout, channels: int, context: Context) -> str:
    """Run ID, or another reference, of the user's encoder."""
    if references.is_one(p.encoder):
        return p.encoder
    path = Path(p.encoder).expanduser().resolve()
    read = checkpoint.read(path, architecture=p.architecture)
    print(f"{path.name}: a {read.architecture}, {read.place}", flush=True)
    texts = {"source": f"file:{path}", "origin": p.origin or path.name, "architecture": p.architecture,
             "trained_on": p.trained_on}  # fmt: skip
    return _import(texts, channels, context)


def _import(texts: dict[str, str], channels: int, context: Context) -> str:
    given = texts | {"channels": str(channels)}
    return sweep.work(Job(Cell(f"import {texts['source']}", IMPORT, given), context=context))


def _arm(dataset: str, encoder: str) -> Arm:
    tags = resolve.resolve(encoder).tags
    return Arm(lineage.pipeline(lineage.of_model(encoder), dataset), encoder, tags[names.MODEL_ARCHITECTURE])


def _cell(p: Tryout, dataset: str, arm: Arm, budget: int | None, seed: int) -> Cell:
    texts = {
        "dataset": dataset, "data_root": p.data_root, "on_bad_file": p.on_bad_file, "preset": p.preset,
        "budget": flags.to_text(budget), "seed": str(seed),
    }  # fmt: skip
    label = f"{arm.name}/n={budget or 'all'}/seed={seed}"
    return Cell(label, FINETUNE, grid.further(p, FINETUNE) | texts | arm.texts, pipeline=arm.name)


def _check(p: Tryout, dataset: str, arms: list[Arm], data: training_set.Inputs, context: Context) -> None:
    """What every fine-tuning would stop at, before any is started.

    Raises:
        ParamError, EncoderError: see `run`.
        LeakError: an encoder has seen val or test patients of the folder, or comes without a list.
    """
    available = len(data.labelled["train"])
    if p.budgets and max(p.budgets) > available:
        raise ParamError(f"budgets: there are {available} annotated slices to train on, not {max(p.budgets)}")
    for arm in arms:
        tuned = Job(_cell(p, dataset, arm, None, 0), context=context).params()
        source = upstream.fetch(tuned)
        if not tuned.allow_transductive:
            leaks.check(source.resolved, data)


def _show(p: Tryout, run: session.Run, dataset: str, plan: Design, costs: Costs) -> None:
    """The page, its verdicts in words, and how to go on."""
    folder = Path(p.out).resolve()
    wanted = Analyse(dataset=dataset, out=str(folder), sweep=run.id, at_a_time=costs.places)
    study = analyse.draw(wanted, run)
    print(*behind(folder / make.RECORD, plan, costs, _again(p, plan)), sep="\n")
    endings.drawn(wanted, run, study)
    if _has_display():
        webbrowser.open((folder / make.PAGE).as_uri())


def _again(p: Tryout, plan: Design) -> str:
    """The command that goes on with the same budgets; minutes are to be added."""
    return typed_again("tryout", p, budgets=plan.budgets, minutes=Tryout.minutes)


def _has_display() -> bool:
    """Whether a browser could be seen."""
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def _complain(outcomes: list[Outcome]) -> None:
    if failed := [o for o in outcomes if o.failed]:
        raise SslsegError(f"{len(failed)} of {len(outcomes)} fine-tunings failed:\n{failures(failed)}")
