"""EVERY knob of every stage on one page.

One line is one parameter: its flag, its MLproject entry, its logged value and its column in
the analysis are readings of that line (`flags.py`). A knob with `presets=` has the MLproject
default '' ("from the preset"); an explicit value wins; the resolved value is logged as
`cfg.<name>` and is the only one that anything reads.

Sources: [P] the paper, [C] kaland313/SSL-MedSeg at 44c7320, [H] this project's own choice.
"""

from __future__ import annotations

from dataclasses import dataclass

from sslseg.config import plugins
from sslseg.config.flags import AUTO, knob, left_open

SPLITS = ("auto", "kalapos2022", "stratified", "official", "file", "fold:1/5")
FOLD = r"fold:(\d{1,3})/(\d{1,3})"  # one of the folds of a cross-validation over patients
DIVIDED = "how patients are divided; auto = the dataset's own; fold:k/n = the k-th of n parts tests"
NORMS = ("dataset", "encoder", "paper-code")
OPTIMIZERS = ("lars", "sgd", "adamw")
SCHEDULES = ("cosine", "warmup-cosine", "cosine-restarts", "constant")
BUDGET_UNITS = ("slice", "patient")
# what files that hold two networks call them
NETWORKS = ("target", "online", "teacher", "student", "key", "query", "ema", "raw", "momentum")
START = "settings to start from; auto = the paper's where there is a GPU, else cpu"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where and how fast a stage runs; never part of what it is."""

    seed: int = knob(0, "the one seed; initialisation, subset and order are separate streams of it", low=0)
    threads: int = knob(0, "CPU threads of torch; 0 = all cores", low=0, high=1024, runtime=True)
    device: str = knob("auto", "where tensors live", choices=("auto", "cpu", "cuda"), runtime=True)
    cache: str = knob(
        "", "folder of prepared data and checkpoints; '' = .sslseg in the working folder", runtime=True
    )


COMPILE_FROM = (
    2000  # steps; estimated: a compiler takes a minute or two, and gains 25 ms a step of ResNet-50 on an H200
)


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """How the networks of a training are executed; what that does to their numbers is part of what it is."""

    compile: str = knob("auto", "compile the networks (torch.compile): auto = on a CUDA device, for 2,000 steps and more",
                        choices=("auto", "on", "off"), runtime=True)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Data:
    """What is read, and how it is normalised."""

    dataset: str = knob(
        "demo", "which data (file name in src/sslseg/datasets)", choices=plugins.names("datasets")
    )
    data_root: str = knob("", "folder of the data; '' = the built-in one, where the dataset has one")
    domain: str = knob(
        "",
        "what the images show, in a word: natural, cardiac-mri …; '' = what sslseg.json or the dataset says",
    )
    spacing: float = knob(
        help="in-plane spacing after resampling, mm; 0 = leave as it is",
        presets={"paper": 1.5, "paper-400": 1.5, "paper-text": 1.5, "paper-code": 0.0, "cpu": 2.5, "demo": 3.0},
        low=0.0, high=20.0, source="[H] median of ACDC is 1.523 mm; [P][C] do not resample",
    )  # fmt: skip
    split: str = knob("auto", DIVIDED, choices=SPLITS, pattern=FOLD)
    norm: str = knob(
        help="normalisation: dataset = clip p1-p99 per volume, z-score of train; encoder = the upstream's",
        presets={"paper": "dataset", "paper-400": "dataset", "paper-text": "dataset", "paper-code": "paper-code",
                 "cpu": "dataset", "demo": "dataset"},
        choices=NORMS, source="[C] Normalize(67.27, 84.66) twice, flaw F1, as paper-code",
    )  # fmt: skip
    probe: str = knob(
        help="what a damaged input does: stop the run, or warn",
        presets={"paper": "stop", "paper-400": "stop", "paper-text": "stop", "paper-code": "warn",
                 "cpu": "stop", "demo": "stop"},
        choices=("stop", "warn"), source="[H]",
    )  # fmt: skip
    on_bad_file: str = knob(
        "stop", "a file that cannot be read: stop, or skip and list it", choices=("stop", "skip")
    )
    verify: bool = knob(
        False, "hash every input file again instead of trusting path, size and mtime", runtime=True
    )


@dataclass(frozen=True, kw_only=True)
class Views:
    """Random views: crop, flip, brightness and contrast."""

    image_size: int = knob(
        help="side of a view, pixels",
        presets={"paper": 224, "paper-400": 224, "paper-text": 224, "paper-code": 224, "cpu": 64, "demo": 64},
        low=16, high=1024, source="[C] 224",
    )  # fmt: skip
    crop_scale: tuple[float, ...] = knob((0.08, 1.0), "area of a crop, share of the slice", low=0.001, high=1.0,
                                         source="[C] RandomResizedCrop(0.08, 1)")  # fmt: skip
    flip: float = knob(0.5, "probability of a horizontal flip", low=0.0, high=1.0, source="[C]")
    brightness: float = knob(0.2, "largest relative change of brightness", low=0.0, high=1.0, source="[C]")
    contrast: float = knob(0.2, "largest relative change of contrast", low=0.0, high=1.0, source="[C]")
    jitter: float = knob(
        help="probability of changing brightness and contrast",
        presets={"paper": 0.8, "paper-400": 0.8, "paper-text": 0.8, "paper-code": 0.2, "cpu": 0.8, "demo": 0.8},
        low=0.0, high=1.0, source="[P] same as pretraining; [C] 0.8 in pretraining, 0.2 in fine-tuning",
    )  # fmt: skip
    jitter_mode: str = knob(
        help="brightness as a factor, or added in units of 65,535 (flaw F2)",
        presets={"paper": "factor", "paper-400": "factor", "paper-text": "factor", "paper-code": "uint16",
                 "cpu": "factor", "demo": "factor"},
        choices=("factor", "uint16"), source="[C] albumentations 1.1.0 brightness_by_max on uint16",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Augmentation beyond crop, flip, brightness and contrast; off unless it is asked for.

    Constants of `strong`: nnU-Net v2, nnUNetTrainer.get_training_transforms and its 2D settings.
    """

    augment: str = knob("none", "what the amounts below start from: none, or nnU-Net's (strong)",
                        choices=("none", "strong"))  # fmt: skip
    rotation: float = knob(
        help="largest rotation either way, degrees", by="augment", presets={"none": 0.0, "strong": 180.0},
        low=0.0, high=180.0, source="nnU-Net: 180 in 2D, for patches no longer than 1.5 times their width",
    )  # fmt: skip
    rotation_p: float = knob(0.2, "probability of a rotation", low=0.0, high=1.0, source="nnU-Net")
    scale: tuple[float, ...] = knob(
        help="smallest and largest side of what is shown, in sides of the crop", by="augment",
        presets={"none": (1.0, 1.0), "strong": (0.7, 1.4)}, low=0.1, high=10.0, source="nnU-Net",
    )  # fmt: skip
    scale_p: float = knob(0.2, "probability of another scale", low=0.0, high=1.0, source="nnU-Net")
    elastic: float = knob(
        help="s.d. of the displacement of 3 × 3 nodes, share of the view's side", by="augment",
        presets={"none": 0.0, "strong": 0.0}, low=0.0, high=0.5,
        source="nnU-Net v2 has none; U-Net's own: 10 pixels of 512, 0.02",
    )  # fmt: skip
    elastic_p: float = knob(
        0.2, "probability of an elastic displacement", low=0.0, high=1.0, source="nnU-Net v1"
    )
    noise: float = knob(
        help="largest s.d. of Gaussian noise on the normalised view", by="augment",
        presets={"none": 0.0, "strong": 0.1}, low=0.0, high=10.0, source="nnU-Net",
    )  # fmt: skip
    noise_p: float = knob(0.1, "probability of noise", low=0.0, high=1.0, source="nnU-Net")
    blur: tuple[float, ...] = knob(
        help="smallest and largest s.d. of a Gaussian blur, pixels of the view", by="augment",
        presets={"none": (0.0, 0.0), "strong": (0.5, 1.0)}, low=0.0, high=20.0, source="nnU-Net",
    )  # fmt: skip
    blur_p: float = knob(0.1, "probability of a blur", low=0.0, high=1.0,
                         source="nnU-Net: 0.2, and then half of the channels")  # fmt: skip
    gamma: tuple[float, ...] = knob(
        help="smallest and largest exponent of the grey levels, their mean and s.d. kept", by="augment",
        presets={"none": (1.0, 1.0), "strong": (0.7, 1.5)}, low=0.01, high=10.0, source="nnU-Net",
    )  # fmt: skip
    gamma_p: float = knob(0.3, "probability of a gamma", low=0.0, high=1.0, source="nnU-Net")


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """Which network a stage starts from, or looks through."""

    encoder: str = knob(
        "", "upstream encoder: run ID, runs:/…, models:/…, or 'scratch', which has to be said"
    )
    encoder_epoch: int | None = knob(None, "which of the upstream's kept epochs; none = the last", low=0)
    encoder_role: str = knob("target", "which upstream network", choices=("target", "online"))


@dataclass(frozen=True, kw_only=True)
class Prepare(Machine, Data):
    """Read a dataset into a slice store with index, fingerprint and contact sheet."""

    preset: str = knob(AUTO, START, choices=("paper-text", "paper-code", "cpu", "demo"), pattern=AUTO)


@dataclass(frozen=True, kw_only=True)
class ImportEncoder(Machine):
    """Bring weights from elsewhere into the registry, with their origin declared."""

    source: str = knob(
        help="timm:<name>, file:<path of a checkpoint or its folder> or bundled:efficientnet_lite0"
    )
    origin: str = knob("", "where a file's weights come from, in words; shown everywhere as declared")
    architecture: str = knob("", "timm name of a file's network; '' = found from the file")
    role: str = knob("", "which network of a file with two; '' = the slow one: target, teacher, key, ema",
                     choices=("", *NETWORKS))  # fmt: skip
    strip: tuple[str, ...] = knob((), "what stands before the network's own tensor names, where it is not found; several "
                                  "for a network in parts")  # fmt: skip
    trained_on: str = knob("", "dataset a file's weights were trained on, in a word (imagenet); '' = unknown")
    trained_by: str = knob("", "how: supervised, byol, simclr …; '' = what the file says, or unknown")
    channels: int = knob(1, "input channels after adapting the first convolution (RGB is summed)", low=1, high=64,
                         source="[P] 3.4: depth-wise summation")  # fmt: skip
    name: str = knob("", "registry name; '' = encoder-<architecture>")


@dataclass(frozen=True, kw_only=True)
class Pretrain(Machine, Compiled, Data, Views, Upstream):
    """Self-supervised pretraining of an encoder. Methods add their own knobs."""

    preset: str = knob(AUTO, START, choices=("paper", "paper-400", "cpu", "demo"), pattern=AUTO)
    architecture: str = knob(
        help="timm name of the network; only read for encoder=scratch",
        presets={"paper": "resnet50", "paper-400": "resnet50", "cpu": "tf_efficientnet_lite0",
                 "demo": "tf_efficientnet_lite0"}, source="[P] 3.4 ResNet-50",
    )  # fmt: skip
    steps: int = knob(
        help="optimiser steps",
        presets={"paper": 3906, "paper-400": 62500, "cpu": 400, "demo": 40}, low=1,
        source="[P] 25 or 400 epochs of about 20,000 slices at batch 128",
    )  # fmt: skip
    batch_size: int = knob(help="slices per step", presets={"paper": 128, "paper-400": 128, "cpu": 32, "demo": 16},
                           low=2, source="[C] 128")  # fmt: skip
    lr: float = knob(help="peak learning rate", presets={"paper": 0.25, "paper-400": 0.25, "cpu": 0.1, "demo": 0.1},
                     low=0.0, source="[C] 0.5 × batch / 256")  # fmt: skip
    weight_decay: float = knob(
        1e-5, "weight decay; biases and norms are excluded", low=0.0, source="[C] 1e-5"
    )
    optimizer: str = knob("lars", "what moves the weights", choices=OPTIMIZERS, source="[C] LARS")
    momentum: float = knob(
        0.9, "momentum of LARS and SGD, first beta of AdamW", low=0.0, high=0.999, source="[C] 0.9"
    )
    trust: float = knob(0.02, "trust coefficient of LARS", low=0.0, source="[C] eta 0.02")
    schedule: str = knob(
        "warmup-cosine", "course of the learning rate", choices=("warmup-cosine", "cosine", "constant"),
        source="[C] LinearWarmupCosineAnnealingLR",
    )  # fmt: skip
    clip: float = knob(0.0, "largest gradient norm; 0 = no clipping", low=0.0, source="[C] none")
    warmup: float = knob(
        help="share of the steps spent warming up",
        presets={"paper": 0.4, "paper-400": 0.025, "cpu": 0.1, "demo": 0.1}, low=0.0, high=1.0,
        source="[C] 10 epochs of 25 or 400",
    )  # fmt: skip
    warmup_lr: float = knob(3e-5, "learning rate at step 0", low=0.0, source="[C] solo-learn default")
    save_epochs: tuple[int, ...] = knob(
        (), "keep an encoder after these epochs, 0 = before the first step", low=0
    )
    save_steps: tuple[int, ...] = knob((), "keep an encoder after these steps", low=0)
    probe_every: int = knob(0, "steps between probes of the encoder's features on train and val, as a curve; 0 = none",
                            low=0, runtime=True)  # fmt: skip
    fraction: float = knob(1.0, "share of the unlabelled train slices used", low=0.0001, high=1.0)
    checkpoint_every: int = knob(100, "steps between resumable checkpoints", low=1, runtime=True)
    tuned: str = knob("", "the search that found these settings, as -e tune writes it; '' = not searched for")


AnyMethod = left_open(
    "AnyMethod", Pretrain, "Self-supervised pretraining by any method; its own knobs are given likewise.",
    method=knob("byol", "how to learn (a file in src/sslseg/methods, or another package's)",
                choices=plugins.names("methods")),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Finetune(Machine, Compiled, Data, Views, Augment, Upstream):
    """Fine-tune a U-Net around an encoder on n annotated slices."""

    preset: str = knob(AUTO, START, choices=("paper-text", "paper-code", "cpu", "demo"), pattern=AUTO)
    architecture: str = knob(
        help="timm name of the network; only read for encoder=scratch",
        presets={"paper-text": "resnet50", "paper-code": "resnet50", "cpu": "tf_efficientnet_lite0",
                 "demo": "tf_efficientnet_lite0"}, source="[P] 3.4 ResNet-50",
    )  # fmt: skip
    decoder: tuple[int, ...] = knob(
        help="channels of the decoder's stages, deepest first", low=1,
        presets={"paper-text": (256, 128, 64, 32, 16), "paper-code": (256, 128, 64, 32, 16),
                 "cpu": (128, 64, 32, 16, 16), "demo": (128, 64, 32, 16, 16)},
        source="smp default; 9.0 M parameters around ResNet-50, [P] 3.4; cpu, demo: [H] 0.8 M around Lite0",
    )  # fmt: skip
    decoder_from: str = knob("fresh", "the decoder's first weights: drawn anew, or taken over with the encoder",
                             choices=("fresh", "upstream"))  # fmt: skip
    freeze: str = knob("none", "what is not trained: nothing, or the encoder, batch-norm statistics included",
                       choices=("none", "encoder"))  # fmt: skip
    semi: str = knob("none", "what is learned from train slices outside of the budget, without their masks",
                     choices=("none", "mean_teacher"))  # fmt: skip
    consistency: float = knob(0.1, "mean_teacher: largest weight of agreeing with the teacher", low=0.0, high=1e4,
                              source="UA-MT (Yu 2019) and SSL4MIS: 0.1")  # fmt: skip
    consistency_ramp: float = knob(1.0, "mean_teacher: share of the steps over which that weight rises", low=0.0, high=1.0,
                                   source="SSL4MIS: over the whole training")  # fmt: skip
    ema: float = knob(0.99, "mean_teacher: share of the teacher that is kept at a step", low=0.0, high=0.9999,
                      source="UA-MT and SSL4MIS: 0.99")  # fmt: skip
    budget: int | None = knob(None, "annotated units used; none = all of train", low=1)
    budget_unit: str = knob("slice", "what the budget counts", choices=BUDGET_UNITS)
    subset: str = knob(
        help="nested (1 ⊂ 3 ⊂ 7 …, stratified by group) or random (the paper's)",
        presets={"paper-text": "random", "paper-code": "random", "cpu": "nested", "demo": "nested"},
        choices=("nested", "random"), source="[P] 5.2 random slices of all patients",
    )  # fmt: skip
    steps: int = knob(help="optimiser steps, the same at every budget",
                      presets={"paper-text": 1050, "paper-code": 1050, "cpu": 200, "demo": 75}, low=1,
                      source="[C] 150 epochs × 7 steps; paper-code: 750 at 1 slice")  # fmt: skip
    batch_size: int = knob(help="slices per step", presets={"paper-text": 192, "paper-code": 192, "cpu": 8, "demo": 8},
                           low=1, source="[C] 192")  # fmt: skip
    lr: float = knob(help="peak learning rate of Adam",
                     presets={"paper-text": 1e-4, "paper-code": 1e-4, "cpu": 3e-3, "demo": 3e-3}, low=0.0,
                     source="[C] 1e-4; cpu and demo: [H] few steps need a higher one")  # fmt: skip
    schedule: str = knob(
        help="course of the learning rate",
        presets={"paper-text": "cosine-restarts", "paper-code": "warmup-cosine", "cpu": "warmup-cosine",
                 "demo": "warmup-cosine"}, choices=SCHEDULES,
        source='[P] 4 "periodic cosine annealing"; [C] LinearWarmupCosineAnnealingLR',
    )  # fmt: skip
    warmup: float = knob(help="share of the steps spent warming up",
                         presets={"paper-text": 0.0, "paper-code": 10 / 150, "cpu": 0.05, "demo": 0.05},
                         low=0.0, high=1.0, source="[C] 10 of 150 epochs")  # fmt: skip
    warmup_lr: float = knob(1e-6, "learning rate at step 0", low=0.0, source="[C] 1e-6")
    period: int = knob(350, "steps of one cosine period (cosine-restarts)", low=1,
                       source="[H] our reading of [P]: three periods in 1,050 steps")  # fmt: skip
    clip: float = knob(5.0, "largest gradient norm; 0 = no clipping", low=0.0, source="[C] 5")
    eval_every: int = knob(help="steps between validations",
                           presets={"paper-text": 7, "paper-code": 7, "cpu": 25, "demo": 15}, low=1,
                           source="[C] every epoch of 7 steps")  # fmt: skip
    val_slices: int | None = knob(
        help="validation slices, spread evenly over all; 0 = every one",
        presets={"paper-text": 0, "paper-code": 0, "cpu": 48, "demo": 24}, low=0, source="[H]",
    )  # fmt: skip
    absent: str = knob("exclude", "a class absent from truth and prediction of a slice: exclude, or count as 1",
                       choices=("exclude", "one"), source="[C] absent_score=1.0, flaw F14")  # fmt: skip
    checkpoint_every: int = knob(100, "steps between resumable checkpoints", low=1, runtime=True)
    allow_transductive: bool = knob(
        False, "go on, and mark the run, when the encoder has seen val or test patients"
    )
    tuned: str = knob("", "the search that found these settings, as -e tune writes it; '' = not searched for")


@dataclass(frozen=True, kw_only=True)
class Workers(Machine):
    """Who runs the cells of a sweep, or the trials of a tuning."""

    workers: int = knob(
        0,
        "warm worker processes; 0 = one per core, as many per CUDA device as a measured step leaves room for, what fits "
        "the Ray cluster, or 8 tasks of Slurm",
        low=0,
        runtime=True,
    )
    executor: str = knob("local", "where cells run (file name in src/sslseg/executors)",
                         choices=plugins.names("executors"), runtime=True)  # fmt: skip
    ray_address: str = knob(
        "",
        "executor=ray: host:port of a running cluster, or auto; '' = one started on the spot",
        runtime=True,
    )
    ray_cpus: float = knob(
        1.0, "executor=ray: cores that each worker reserves; may be a fraction", low=0.01, runtime=True
    )
    ray_gpus: float | None = knob(
        None, "executor=ray: devices that each worker reserves; none = 1 where the cluster has any", low=0.0,
        runtime=True,
    )  # fmt: skip
    slurm_gpus: int = knob(
        1, "executor=slurm: GPUs of each task; none with device=cpu", low=0, high=64, runtime=True
    )
    slurm_cpus: int = knob(4, "executor=slurm: cores of each task", low=1, high=1024, runtime=True)
    slurm_minutes: int = knob(
        240, "executor=slurm: time of each task; then it is queued again, and its cell goes on from its checkpoint",
        low=3, high=100000, runtime=True,
    )  # fmt: skip
    slurm_options: str = knob(
        "", "executor=slurm: further options of sbatch, as 'partition=gpu,account=lab,mem=32G'", runtime=True
    )
    slurm_cluster: str = knob("slurm", "executor=slurm: local = tasks of this machine without a queue, to try it",
                              choices=("slurm", "local"), runtime=True)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Sweep(Workers):
    """Run the missing stages of a grid: pipelines × budgets × seeds."""

    study: str = knob("", "a named grid (paper, paper-cpu, methods, demo); '' = from the knobs below")
    dataset: str = knob("", "target dataset; '' = the study's", choices=("", *plugins.names("datasets")))
    data_root: str = knob("", "folder of the target data")
    split: tuple[str, ...] = knob(("auto",), f"{DIVIDED}; of the target data, several are run one beside the other",
                                  choices=SPLITS, pattern=FOLD)  # fmt: skip
    natural: str = knob(
        "photos", "dataset that `natural` means in pipelines", choices=plugins.names("datasets")
    )
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
    encoder_epochs: tuple[int, ...] = knob(
        (), "epochs of the last pretraining stage to fine-tune from (Fig. 6)", low=0
    )
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
class Inference(Machine):
    """How a trained model is put on whole volumes. Options are to be chosen on val, with `-e evaluate`."""

    batch_size: int = knob(16, "slices per forward pass", low=1, runtime=True)
    mirror: bool = knob(False, "average with the prediction of the mirrored slices")
    largest: bool = knob(False, "keep the largest 3D component of each class only")
    tile: int = knob(1024, "slices longer than this, in pixels of the network, go through in overlapping tiles; "
                     "0 = never", low=0, high=8192)  # fmt: skip
    on_bad_file: str = knob(
        "stop", "a file that cannot be read: stop, or skip and list it", choices=("stop", "skip")
    )


@dataclass(frozen=True, kw_only=True)
class Predict(Inference):
    """Segment volumes with a registered model, in the geometry of the input."""

    model: tuple[str, ...] = knob(help="fine-tuned model: run ID, runs:/… or models:/…; several are averaged")
    input: str = knob(help="a file, or a folder of them: NIfTI, NRRD, MetaImage, PNG, TIFF …, DICOM series")
    output: str = knob(help="folder for the masks; must not be the input's")
    pattern: str = knob("*", "which files of an input folder, by name, as a shell writes it")


@dataclass(frozen=True, kw_only=True)
class Export(Machine):
    """Write an encoder or a fine-tuned model in the formats of other programs, and prove each against its source."""

    model: str = knob(help="run ID, runs:/… or models:/…")
    kind: str = knob(
        "encoder", "what of it: an encoder, or the whole fine-tuned U-Net", choices=("encoder", "segmenter")
    )
    role: str = knob("target", "which of a pretraining's encoders", choices=("target", "online"))
    epoch: int | None = knob(None, "which of a run's kept epochs; none = the last", low=0)
    formats: tuple[str, ...] = knob(
        (), "none = all there are. encoder: timm, torchvision, smp, monai, program, onnx; segmenter: smp, program, onnx",
        choices=("timm", "torchvision", "smp", "monai", "program", "onnx"),
    )  # fmt: skip
    out: str = knob("", "also copy the files into this empty folder; '' = only to the run", runtime=True)


@dataclass(frozen=True, kw_only=True)
class Evaluate(Inference):
    """Score a model, or masks from elsewhere, per patient in 3D at the original resolution."""

    model: tuple[str, ...] = knob((), "fine-tuned model: run ID, runs:/… or models:/…; several are averaged")
    predictions: str = knob(
        "", "score this folder of masks (of -e predict, or another tool) instead of a model"
    )
    dataset: str = knob(
        "demo", "annotated data (file name in src/sslseg/datasets)", choices=plugins.names("datasets")
    )
    data_root: str = knob("", "folder of the data; '' = the built-in one, where the dataset has one")
    split: str = knob("auto", DIVIDED, choices=SPLITS, pattern=FOLD)
    part: str = knob("test", "patients to score: choose options on val, report test",
                     choices=("train", "val", "test", "all"))  # fmt: skip
    allow_transductive: bool = knob(
        False, "score, and mark the run, when the model has seen these test patients"
    )
    resamples: int = knob(
        2000, "draws of the studentised bootstrap over patients, for 95 % intervals", low=100, high=100000
    )
    contours: str = knob("auto", "distances are between: volume = surfaces in 3D, plane = contours of each slice, "
                         "auto = plane for pictures and volumes of two slices", choices=("auto", "volume", "plane"))  # fmt: skip
    sweep: str = knob(
        "", "score every fine-tuning of this sweep run that has not been, each in a run of its own"
    )
    out: str = knob("", "also write the page and its tables here; '' = only to the run", runtime=True)


@dataclass(frozen=True, kw_only=True)
class Worklist(Machine, Data, Upstream):
    """Which slices to annotate next, by what an encoder sees in them. Never val or test."""

    preset: str = knob(AUTO, START, choices=("paper-text", "paper-code", "cpu", "demo"), pattern=AUTO)
    slices: int = knob(20, "slices to annotate next", low=1)
    choice: str = knob(
        "k-median",
        "rule: k-median = nearest to all slices on average; k-centre = farthest from what is annotated",
        choices=("k-median", "k-centre"),
    )
    per_patient: int = knob(2, "at most so many of one patient on the list", low=1)
    cover: bool = knob(True, "groups, and thirds of the volume within them, take turns")
    image_size: int = knob(
        128, "side that whole slices are squeezed to for the encoder, pixels", low=32, high=1024
    )
    annotated: int | None = knob(
        None,
        "take only so many of the annotated slices as annotated (nested subset of the seed); none = all",
        low=0,
    )
    simulate: int = knob(
        0, "repetitions of what the list would have gained over random ones, on known labels; 0 = none", low=0
    )
    simulate_with: str = knob(
        "probe", "how slices are scored: a regression on the frozen encoder, or fine-tunings",
        choices=("probe", "finetune"),
    )  # fmt: skip
    simulate_random: int = knob(10, "random lists that a repetition's list is compared with", low=1)
    simulate_slices: tuple[int, ...] = knob((), "lengths of the simulated lists; none = slices", low=1)
    finetune: str = knob("", "knobs of the simulated fine-tunings, as 'steps=10,batch_size=4'")


@dataclass(frozen=True, kw_only=True)
class Probe(Machine, Data, Views, Upstream):
    """What an encoder is worth in a minute: its frozen features, without fine-tuning. Never on test."""

    preset: str = knob("cpu", "settings to start from", choices=("paper-text", "paper-code", "cpu", "demo"))
    architecture: str = knob(
        help="timm name of the network; only read for encoder=scratch",
        presets={"paper-text": "resnet50", "paper-code": "resnet50", "cpu": "tf_efficientnet_lite0",
                 "demo": "tf_efficientnet_lite0"}, source="[P] 3.4 ResNet-50",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Analyse:
    """Draw the figures and tables from the tracking store."""

    experiment: str = knob("", "experiment name; '' = the one of this run")
    dataset: str = knob("", "downstream dataset; '' = the only one there is")
    only: tuple[str, ...] = knob((), "figures or tables to make; none = all")
    sweep: str = knob("", "only the cells of this sweep run; '' = every FINISHED run")
    allow_mixed: bool = knob(
        False, "draw runs of different data, subsets, steps or augmentations together, and say so"
    )
    out: str = knob("", "also write here; '' = only to the run")
    minutes_per_slice: float | None = knob(
        None, "cost of annotating one slice, for the budget advice", low=0.0
    )
    budget: int | None = knob(None, "slices you could annotate, for the budget advice", low=1)
    at_a_time: int = knob(
        1, "fine-tunings that would run at once, for the minutes that further seeds would take", low=1
    )
    style: str = knob(
        "page",
        "look of the figures; paper = for LaTeX: serif letters, title and notes in a .tex file",
        choices=("page", "paper"),
    )
    all_pairs: bool = knob(
        False, "verdicts on all pairs of pipelines, not only on each against scratch and supervised ImageNet"
    )


@dataclass(frozen=True, kw_only=True)
class Overview:
    """Say which entry points there are."""


@dataclass(frozen=True, kw_only=True)
class Demo(Machine):
    """The whole job on the built-in phantom: pretrain, fine-tune by run ID, draw the figures."""

    workers: int = knob(0, "worker processes; 0 = one per core", low=0, runtime=True)
    out: str = knob("out", "folder for the figures", runtime=True)


@dataclass(frozen=True, kw_only=True)
class Tryout(Workers):
    """Day one, on a folder of your own: what is pretraining worth here, in so many minutes?"""

    data_root: str = knob(help="folder of images, part of them annotated")
    dataset: str = knob(
        "",
        "its format (file name in src/sslseg/datasets); '' = found",
        choices=("", *plugins.names("datasets")),
    )
    encoder: str = knob(
        "", "your encoder: a checkpoint file, or a registered one (run ID, runs:/…, models:/…)"
    )
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
    pretrain_preset: str = knob(
        "cpu", "settings of their pretrainings", choices=("paper", "paper-400", "cpu", "demo")
    )
    pretrain: str = knob("", "further knobs of their pretrainings, as 'steps=100,batch_size=16'")
    preset: str = knob(
        "cpu", "settings of the fine-tunings", choices=("paper-text", "paper-code", "cpu", "demo")
    )
    finetune: str = knob("", "further knobs of every fine-tuning, as 'steps=100,batch_size=4'")
    on_bad_file: str = knob(
        "stop", "a file that cannot be read: stop, or skip and list it", choices=("stop", "skip")
    )
    out: str = knob("out/try", "folder for the page and its figures", runtime=True)
    dry_run: bool = knob(False, "measure, and say what could be decided; run nothing", runtime=True)


@dataclass(frozen=True, kw_only=True)
class Tune(Workers):
    """Search the knobs of fine-tuning, or of pretraining, by the validation score. Test is never read."""

    stage: str = knob("finetune", "whose knobs are searched", choices=("finetune", "pretrain"))
    encoder: tuple[str, ...] = knob(
        help="upstream encoders of the searched stage: run IDs, models:/… or pipelines, as scratch,byol@target"
    )
    per_pipeline: bool = knob(
        False, "a search and as many trials for each encoder; false: one search over all"
    )
    dataset: str = knob("demo", "which data", choices=plugins.names("datasets"))
    data_root: str = knob("", "folder of the data; '' = the built-in one, where the dataset has one")
    budget: int | None = knob(None, "annotated units to tune at; none = all of train", low=1)
    budget_unit: str = knob("slice", "what the budget counts", choices=BUDGET_UNITS)
    method: str = knob(
        "byol", "method that is searched, for stage=pretrain", choices=plugins.names("methods")
    )
    preset: str = knob(
        "cpu", "preset of the fine-tunings", choices=("paper-text", "paper-code", "cpu", "demo")
    )
    pretrain_preset: str = knob(
        "cpu", "preset of the pretrainings", choices=("paper", "paper-400", "cpu", "demo")
    )
    finetune: str = knob("", "further knobs of every fine-tuning, as 'steps=10,batch_size=4'")
    pretrain: str = knob("", "further knobs of every pretraining, likewise")
    space: str = knob("", "ranges instead of searchspace.py's, as 'lr=float:1e-4:1e-2:log;flip=fixed'")
    objective: str = knob("best", "validation IoU to raise: of the best step, of the last, or mean over the curve",
                          choices=("best", "last", "area"))  # fmt: skip
    trials: int = knob(20, "trials that each search shall have in the end", low=1, runtime=True)
    startup: int = knob(8, "random trials before TPE starts; before the median prunes", low=1)
    pruner: str = knob("median", "which trials are ended early", choices=("median", "hyperband", "none"))
    storage: str = knob("", "URL of Optuna's database; '' = SQLite, tune.db in the cache", runtime=True)
    workers: int = knob(
        1, "trials at a time, each in a process of its own; 1 = in this one, unless executor=ray", low=1,
        runtime=True,
    )  # fmt: skip


STAGES: dict[str, type] = {
    "prepare": Prepare,
    "import_encoder": ImportEncoder,
    "pretrain": Pretrain,
    "finetune": Finetune,
    "sweep": Sweep,
    "tryout": Tryout,
    "tune": Tune,
    "predict": Predict,
    "export": Export,
    "evaluate": Evaluate,
    "worklist": Worklist,
    "probe": Probe,
    "analyse": Analyse,
    "demo": Demo,
}
