"""The vocabulary: every tag, and the metrics and artifacts that one file writes and another reads.

What only its own file writes, it names itself; `tests/project/test_names.py` holds both.

This file must not import anything but the standard library.
"""

import re
from collections.abc import Sequence

# --- stages (an MLflow entry point leaves a run with exactly one of these) ---
PREPARE = "prepare"
IMPORT = "import_encoder"
PRETRAIN = "pretrain"
FINETUNE = "finetune"
SWEEP = "sweep"
PREDICT = "predict"
EVALUATE = "evaluate"
ANALYSE = "analyse"
DEMO = "demo"
TUNE = "tune"
TRIAL = "trial"  # a child of a tuning: a fine-tuning that is never tested; readers of results skip it
WORKLIST = "worklist"
PROBE = "probe"
EXPORT = "export"

STORE_ID = "sslseg.store_id"  # tag of the default experiment: a random number, see `claims`

# --- run tags (all searchable; PREFIX keeps them apart from MLflow's own) ---
PREFIX = "sslseg."
TAG_STAGE = "sslseg.stage"
TAG_METHOD = "sslseg.method"
TAG_DATASET = "sslseg.dataset"
TAG_DATA_DIGEST = "sslseg.data_digest"  # sha256 of the slice store that was read
TAG_DATA_READ = "sslseg.data_read_sha256"  # of the bytes of the slice store, every part, as they were read
TAG_DAMAGED = "sslseg.damaged"  # by an earlier version: it, or its upstream, read a damaged slice store; readers skip it
TAG_PREPARE_RUN = "sslseg.prepare_run_id"
TAG_IDENTITY = "sslseg.identity"  # sha256 of what determines the result
TAG_IDENTITY_MADE = "sslseg.identity_made"  # the one it had before `sslseg reuse`
TAG_SUBSET = "sslseg.subset_sha256"
TAG_SUBSET_KIND = "sslseg.subset_kind"
TAG_UPSTREAM_RUN = "sslseg.upstream_run_id"
TAG_UPSTREAM_MODEL = "sslseg.upstream_model_id"
TAG_UPSTREAM_SHA = "sslseg.upstream_sha256"
TAG_SUMMED = "sslseg.summed_channels"  # of the upstream's first layer: an encoder of RGB, on grey slices
TAG_DECODER = "sslseg.decoder_from"  # "upstream": the decoder was taken over with the encoder
TAG_LINEAGE = "sslseg.lineage"  # text, computed from run IDs
TAG_PIPELINE = "sslseg.pipeline"  # byol@target: the lineage in words that are the same on all data
TAG_REASON = "sslseg.reason"  # why a run FAILED or was KILLED
TAG_RESUMED_AS = "sslseg.resumed_as"  # this run is a pointer: readers skip it
TAG_BORROWED = "sslseg.borrowed_from"  # of a pointer: the experiment whose finished cell a sweep has taken
TAG_HEARTBEAT = "sslseg.heartbeat"  # seconds since the epoch, written at every flush and by a thread
TAG_PROCESS = "sslseg.process"  # host:pid:… that holds a RUNNING run
TAG_OWNER = "sslseg.owner"  # token, new each time a run is taken: who finds another one has lost it
TAG_ARCHIVE = "sslseg.archive_sha256"  # of what a run came out of: its manifest is data, not a command
TAG_COMMAND = "sslseg.command_sha256"  # of a stage without an identity: its parameters and folder
TAG_SWEEP = "sslseg.sweep_run_id"
TAG_SEARCH = "sslseg.search"  # name of the search (an Optuna study) that a tuning and its trials belong to
TAG_TRIAL = "sslseg.trial"  # number of the trial in its search
TAG_COLLAPSED = "sslseg.collapsed"
TAG_TRANSDUCTIVE = "sslseg.transductive"
TAG_TRANSDUCTIVE_REASON = "sslseg.transductive_reason"
TAG_EXPOSURE = "sslseg.exposure"  # "unknown", or "declared: imagenet"; no tag: all that was seen is on record
TAG_SAME_WEIGHTS = "sslseg.same_weights_as"  # of an import: the run of this store that has made its weights
TAG_APART = "sslseg.apart"  # from what the encoder was trained on: how, or "no", or "unknown"
TAG_DEVICE = "sslseg.device"  # what the tensors lived on
TAG_CELL = "sslseg.cell"  # name of the cell of a sweep
TAG_ROW = "sslseg.row"  # of a cell, too: the pipeline as its sweep was asked for it, in the words target and natural
TAG_TRIAL_STATE = "sslseg.trial_state"  # why a trial was not carried to its end
TAG_RERUN_OF = "sslseg.rerun_of"
TAG_RESUMED_AT = "sslseg.resumed_at_step"
TAG_PROBE = "sslseg.probe"  # what is wrong with the network's input
TAG_FINGERPRINT = "sslseg.fingerprint"  # whether a prediction's input was compared with the training's
TAG_LAYOUT = "sslseg.layout"  # of a folder: the public data set whose tree it has

# --- metrics ---
VAL_IOU = "val/iou"
TEST_PATIENTS = "test_patients"  # of a fine-tuning, patient by patient: the step is the patient's number
EVALUATED_PATIENTS = "evaluate_patients"  # of an evaluation, likewise
LEAKED_PATIENTS = "leak/patients"  # metric: of the test patients, how many the encoder has seen
BEST_VAL_IOU = "best/val_iou"
LAST_VAL_IOU = "last/val_iou"
AREA_VAL_IOU = "area/val_iou"  # under the curve of VAL_IOU
TEST_IOU = "test/iou"
TEST_LOSS = "test/jaccard_loss"
SECONDS = "cost/seconds"
SWEEP_CELLS = "sweep/cells"  # of a sweep: how many it has
SWEEP_ENDED = "sweep/ended"
SWEEP_FAILED = "sweep/failed"
SWEEP_LEFT = "sweep/seconds_left"  # as last estimated; NaN: nothing tells yet
FEATURES = "features/"  # the group of an encoder's probe
EVALUATED = "evaluate/"  # the group that an evaluation writes
DETAIL = "z-detail/"  # the UI sorts by name, so what is stored under this comes last; `tracking/history` takes it off
_DETAILS = re.compile(
    r"(val|test)/[^/]+/.+"  # a class
    r"|evaluate/(?!mae/[^/]+$)[^/]+/.+"  # a class, or an end of an interval
    r"|(probe|test_last|test_patients|evaluate_patients|area|last)/.+"
    r"|best/step|cost/(?!seconds$).+"
)

# --- artifacts ---
CELLS = "cells.json"  # of a sweep: its cells, whichever sweep ran them
CASES = "test/cases.npz"
FINGERPRINT = "fingerprint.json"  # of a slice store, kept by the run that prepared it
FILES = "files.tsv"  # every file of a data folder: read, skipped and why, or unknown
SAME_SCANS = "same_scans.tsv"  # scans that several patients have
SKIPPED = "skipped.tsv"  # files that could not be read, and why
OVERLAY = "overlay.png"
REPORT = "report.html"

# --- tags of a registered model: all on the LoggedModel, those that a table has room for on its version ---
MODEL_KIND = "sslseg.kind"  # "encoder" | "segmenter"
MODEL_ROLE = "sslseg.role"  # "target" | "online" | "imported" | "fine-tuned"
MODEL_EXPORT = "sslseg.export_run_id"  # on its run too: the last one that wrote it in other programs' formats
MODEL_NETWORK = "sslseg.network"  # an imported file's word for the network taken: "teacher", "key", "ema" …
MODEL_METHOD = "sslseg.method"
MODEL_EPOCH = "sslseg.epoch"
MODEL_BUDGET = "sslseg.budget"  # of a version, as the next two
MODEL_SEED = "sslseg.seed"
MODEL_IOU = "sslseg.test_iou"
MODEL_STEP = "sslseg.step"
MODEL_DATASET = "sslseg.dataset"
MODEL_UPSTREAM = "sslseg.upstream_run_id"
MODEL_LINEAGE = "sslseg.lineage"
MODEL_SHA = "sslseg.sha256"
MODEL_BODY = "sslseg.body_sha256"  # of its tensors but the first layer, whatever file they are kept in
MODEL_ARCHITECTURE = "sslseg.architecture"
MODEL_DOMAIN = "sslseg.domain"  # what the data shows: "natural", "cardiac-mri" …; from the encoder's config
MODEL_DECODER = "sslseg.decoder_sha256"  # of the folder's DECODER_FILE
MODEL_EXPOSURE = "sslseg.exposure_sha256"  # of the folder's EXPOSURE_FILE
MODEL_WORTH = "sslseg.worth"  # what an analysis found the pipeline to be worth
MODEL_ORIGIN = "sslseg.origin"  # where imported weights come from, as declared

KIND_ENCODER = "encoder"
KIND_SEGMENTER = "segmenter"
ROLE_TARGET = "target"
ROLE_ONLINE = "online"
ROLE_IMPORTED = "imported"
ROLE_FINE_TUNED = "fine-tuned"

# --- files of an encoder folder (a timm `local-dir`) and of a segmenter folder ---
WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
EXPORT_FILE = "export.json"  # of an export: its formats, and how far each is from its source
CARD_FILE = "card.md"
DECODER_FILE = "decoder.safetensors"  # of an encoder that was trained inside a U-Net
EXPOSURE_FILE = "exposure.json"  # what the weights, and all their ancestors, have seen

VAGUE = "medical"  # the domain of a folder of any kind: says too little to differ from any other but the natural one
SCRATCH = "scratch"  # the one value of `encoder` that means "random weights, on purpose"
CFG = "cfg."  # resolved parameters are logged under this prefix
# what runs are compared by, as parameters too: the UI's charts have no axis for a tag. No knob has a point in its name
BY_PIPELINE = "by.pipeline"
BY_BUDGET = "by.budget"
BY_SEED = "by.seed"

# --- exit codes ---
EXIT_FAILED = 1
EXIT_USAGE = 2  # a parameter is unknown, of a wrong type or out of range
EXIT_LEAK = 3  # an ancestor saw val or test data

SENTENCE = 1500  # characters of an error that may quote somebody's file


def stored(metric: str) -> str:
    """The name that a metric is stored under: those that few people look at come last.

    >>> stored("test/iou"), stored("test/iou/LV")
    ('test/iou', 'z-detail/test/iou/LV')
    """
    return DETAIL + metric if _DETAILS.fullmatch(metric) else metric


def quoted(value: object) -> str:
    """`value` as Python writes it, cut: what a sentence quotes of somebody's input."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}… ({len(text):,} characters)"


class SslsegError(Exception):
    """An error that its reader can act on: what was wanted, what came, where to look."""

    exit_code = EXIT_FAILED


class ParamError(SslsegError):
    """A parameter is unknown, of the wrong type, or out of range."""

    exit_code = EXIT_USAGE


class DataError(SslsegError):
    """A data file or folder is not what its format promises; what it quotes of a file is cut."""

    def __init__(self, sentence: str = ""):
        if len(sentence) > SENTENCE:
            half = SENTENCE // 2
            sentence = f"{sentence[:half]} … ({len(sentence) - 2 * half:,} characters) … {sentence[-half:]}"
        super().__init__(sentence)


class EncoderError(SslsegError):
    """An encoder cannot be found, does not match, or is not what it says it is."""


class LeakError(SslsegError):
    """The encoder, or an ancestor of it, has seen what it is to be tested on."""

    exit_code = EXIT_LEAK


class ProbeError(SslsegError):
    """The network's input is damaged: constant, wrapped, clipped or without its masks."""


class NonFiniteLoss(SslsegError):  # noqa: N818 the loss is what is not finite
    """The loss became NaN or infinite: at which step, in a batch of which rows."""

    step: int = -1
    rows: Sequence[int] = ()
