"""What a stage reads: images, how patients are divided, and the network it starts from."""

from dataclasses import dataclass

from sslseg.config import plugins
from sslseg.config.flags import AUTO, knob
from sslseg.config.params.machine import Machine
from sslseg.config.params.presets import BAD_FILE, EVERY, FINETUNINGS, START

SPLITS = ("auto", "kalapos2022", "stratified", "official", "file", "fold:1/5")
FOLD = r"fold:(0|[1-9]\d{0,2})/(0|[1-9]\d{0,2})"  # written in one way alone: one of the folds of a cross-validation over patients
DIVIDED = "how patients are divided; auto = the dataset's own; fold:k/n = the k-th of n parts tests"
NORMS = ("dataset", "encoder", "paper-code")
BUDGET_UNITS = ("slice", "patient")


@dataclass(frozen=True, kw_only=True)
class Data:
    """What is read, and how it is normalised."""

    dataset: str = knob("demo", "which data (file name in src/sslseg/datasets)", choices=plugins.names("datasets"))  # fmt: skip
    data_root: str = knob("", "folder of the data; '' = the built-in one, where the dataset has one")
    domain: str = knob(
        "",
        "what the images show, in a word: natural, cardiac-mri …; '' = what sslseg.json or the dataset says",
    )
    spacing: float = knob(help="in-plane spacing after resampling, mm; 0 = leave as it is",
                          presets=dict.fromkeys(EVERY, 1.5) | {"paper-code": 0.0, "cpu": 2.5, "demo": 3.0}, low=0.0,
                          high=20.0, source="[H] median of ACDC is 1.523 mm; [P][C] do not resample")  # fmt: skip
    split: str = knob("auto", DIVIDED, choices=SPLITS, pattern=FOLD)
    norm: str = knob(
        help="normalisation: dataset = clip p1-p99 per volume, z-score of train; encoder = the upstream's",
        presets=dict.fromkeys(EVERY, "dataset") | {"paper-code": "paper-code"},
        choices=NORMS, source="[C] Normalize(67.27, 84.66) twice, flaw F1, as paper-code",
    )  # fmt: skip
    probe: str = knob(help="what a damaged input does: stop the run, or warn",
                      presets=dict.fromkeys(EVERY, "stop") | {"paper-code": "warn"}, choices=("stop", "warn"),
                      source="[H]")  # fmt: skip
    on_bad_file: str = knob("stop", BAD_FILE, choices=("stop", "skip"))
    verify: bool = knob(False, "hash every input file again instead of trusting path, size and mtime", runtime=True)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """Which network a stage starts from, or looks through."""

    encoder: str = knob("", "upstream encoder: run ID, runs:/…, models:/…, or 'scratch', which has to be said")  # fmt: skip
    encoder_epoch: int | None = knob(None, "which of the upstream's kept epochs; none = the last", low=0)
    encoder_role: str = knob("target", "which upstream network", choices=("target", "online"))


@dataclass(frozen=True, kw_only=True)
class Prepare(Machine, Data):
    """Read a dataset into a slice store with index, fingerprint and contact sheet."""

    preset: str = knob(AUTO, START, choices=FINETUNINGS, pattern=AUTO)
