"""Many runs at once, and what is read from them."""

from dataclasses import dataclass

from sslseg.config import plugins
from sslseg.config.flags import knob
from sslseg.config.params.inputs import BUDGET_UNITS, DIVIDED, FOLD, SPLITS
from sslseg.config.params.machine import Machine, Workers
from sslseg.config.params.presets import BAD_FILE, FINETUNINGS, PRETRAININGS


@dataclass(frozen=True, kw_only=True)
class Sweep(Workers):
    """Run the missing stages of a grid: pipelines × budgets × seeds."""

    study: str = knob("", "a named grid (paper, paper-cpu, methods, demo); '' = from the knobs below")
    dataset: str = knob("", "target dataset; '' = the study's", choices=("", *plugins.names("datasets")))
    data_root: str = knob("", "folder of the target data")
    split: tuple[str, ...] = knob(("auto",), f"{DIVIDED}; of the target data, several are run one beside the other",
                                  choices=SPLITS, pattern=FOLD)  # fmt: skip
    natural: str = knob("photos", "dataset that `natural` means in pipelines", choices=plugins.names("datasets"))  # fmt: skip
    natural_root: str = knob("", "folder of the natural images")
    pipelines: tuple[str, ...] = knob(
        (), "what to compare, as scratch,supervised,supervised+byol@target; none = all of the study"
    )
    budgets: tuple[int, ...] = knob((), "annotated slices; 0 = all of train", low=0)
    budget_unit: str = knob("slice", "what a budget counts", choices=BUDGET_UNITS)
    seeds: tuple[int, ...] = knob((), "repetitions", low=0)
    pretrain_seeds: tuple[int, ...] = knob(
        (), "seeds of the pretrainings: of k, fine-tuning seed i starts from number i mod k; none = the study's, or 0",
        low=0,
    )  # fmt: skip
    encoder_epochs: tuple[int, ...] = knob((), "epochs of the last pretraining stage to fine-tune from (Fig. 6)",
                                           low=0)  # fmt: skip
    preset: str = knob("", "preset of the fine-tunings; '' = the study's")
    pretrain_preset: str = knob("", "preset of the pretrainings; '' = the study's")
    imagenet: str = knob("", "source of the supervised ImageNet encoder; '' = the study's")
    byol_imagenet: str = knob("", "source of a BYOL ImageNet encoder, used instead of BYOL on natural images")
    finetune: str = knob("", "knobs of every fine-tuning, as 'steps=10,batch_size=4'")
    pretrain: str = knob("", "knobs of every pretraining, likewise")
    dry_run: bool = knob(
        False, "print the cells, which are missing, and the hours and disk of earlier runs like them; run nothing",
        runtime=True,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Tune(Workers):
    """Search the knobs of fine-tuning, or of pretraining, by the validation score. Test is never read."""

    stage: str = knob("finetune", "whose knobs are searched", choices=("finetune", "pretrain"))
    encoder: tuple[str, ...] = knob(
        help="upstream encoders of the searched stage: run IDs, models:/… or pipelines, as scratch,byol@target"
    )
    per_pipeline: bool = knob(False, "a search and as many trials for each encoder; false: one search over all")  # fmt: skip
    dataset: str = knob("demo", "which data", choices=plugins.names("datasets"))
    data_root: str = knob("", "folder of the data; '' = the built-in one, where the dataset has one")
    budget: int | None = knob(None, "annotated units to tune at; none = all of train", low=1)
    budget_unit: str = knob("slice", "what the budget counts", choices=BUDGET_UNITS)
    method: str = knob("byol", "method that is searched, for stage=pretrain", choices=plugins.names("methods"))  # fmt: skip
    preset: str = knob("cpu", "preset of the fine-tunings", choices=FINETUNINGS)
    pretrain_preset: str = knob("cpu", "preset of the pretrainings", choices=PRETRAININGS)
    finetune: str = knob("", "further knobs of every fine-tuning, as 'steps=10,batch_size=4'")
    pretrain: str = knob("", "further knobs of every pretraining, likewise")
    space: str = knob("", "ranges instead of searchspace.py's, as 'lr=float:1e-4:1e-2:log;flip=fixed'")
    objective: str = knob("best", "validation IoU to raise: of the best step, of the last, or mean over the curve",
                          choices=("best", "last", "area"))  # fmt: skip
    trials: int = knob(20, "trials that each search shall have in the end", low=1, runtime=True)
    startup: int = knob(8, "random trials before TPE starts; before the median prunes", low=1)
    pruner: str = knob("median", "which trials are ended early", choices=("median", "hyperband", "none"))
    storage: str = knob("", "URL of Optuna's database; '' = SQLite, tune.db in the cache", runtime=True)
    workers: int = knob(1, "trials at a time, each in a process of its own; 1 = in this one, unless executor=ray",
                        low=1, runtime=True)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Tryout(Workers):
    """Say what pretraining is worth on a folder of your own, within so many minutes."""

    data_root: str = knob(help="folder of images, part of them annotated")
    dataset: str = knob("", "its format (file name in src/sslseg/datasets); '' = found",
                        choices=("", *plugins.names("datasets")))  # fmt: skip
    encoder: str = knob("", "your encoder: a checkpoint file, or a registered one (run ID, runs:/…, models:/…)")  # fmt: skip
    origin: str = knob("", "where that file's weights come from, in words; '' = its name")
    trained_on: str = knob("", "dataset that file's weights were trained on, in a word; '' = unknown")
    architecture: str = knob("", "timm name of that file's network; '' = found from the file")
    minutes: float = knob(60.0, "how long it may take, all in all", low=0.1, high=100000.0)
    budgets: tuple[int, ...] = knob((), "annotated slices to fine-tune on; none = chosen by the time", low=1)
    imagenet: str = knob("bundled:efficientnet_lite0", "source of the supervised ImageNet encoder")
    pipelines: tuple[str, ...] = knob(
        (),
        "further ones to compare, as moco@target,supervised+masked@target; pretrained first, within the minutes",
    )
    pretrain_preset: str = knob("cpu", "settings of their pretrainings", choices=PRETRAININGS)
    pretrain: str = knob("", "further knobs of their pretrainings, as 'steps=100,batch_size=16'")
    preset: str = knob("cpu", "settings of the fine-tunings", choices=FINETUNINGS)
    finetune: str = knob("", "further knobs of every fine-tuning, as 'steps=100,batch_size=4'")
    on_bad_file: str = knob("stop", BAD_FILE, choices=("stop", "skip"))
    out: str = knob("out/try", "folder for the page and its figures", runtime=True)
    dry_run: bool = knob(False, "measure, and say what could be decided; run nothing", runtime=True)


@dataclass(frozen=True, kw_only=True)
class Analyse:
    """Draw the figures and tables from the tracking store."""

    experiment: str = knob("", "experiment name; '' = the one of this run")
    dataset: str = knob("", "downstream dataset; '' = the only one there is")
    data_root: str = knob(
        "", "folder of its data, where there are runs on several; '' = the only one there is"
    )
    only: tuple[str, ...] = knob((), "figures or tables to make; none = all")
    sweep: str = knob("", "only the cells of this sweep run; '' = every FINISHED run")
    allow_mixed: bool = knob(False,
                             "draw runs of different data, subsets, steps or augmentations together, and say so")  # fmt: skip
    out: str = knob("", "also write here; '' = only to the run")
    minutes_per_slice: float | None = knob(None, "cost of annotating one slice, for the budget advice", low=0.0)  # fmt: skip
    budget: int | None = knob(None, "slices you could annotate, for the budget advice", low=1)
    at_a_time: int = knob(1, "fine-tunings that would run at once, for the minutes that further seeds would take",
                          low=1)  # fmt: skip
    style: str = knob("page", "look of the figures; paper = for LaTeX: serif letters, title and notes in a .tex file",
                      choices=("page", "paper"))  # fmt: skip
    all_pairs: bool = knob(
        False, "verdicts on all pairs of pipelines, not only on each against scratch and supervised ImageNet"
    )


@dataclass(frozen=True, kw_only=True)
class Demo(Machine):
    """The whole job on the built-in phantom: pretrain, fine-tune by run ID, draw the figures."""

    workers: int = knob(0, "worker processes; 0 = one per core with 1.5 GiB of memory", low=0, runtime=True)
    out: str = knob("out", "folder for the figures", runtime=True)
