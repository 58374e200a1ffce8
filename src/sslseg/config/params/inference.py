"""What is done with a trained model: masks and scores."""

from dataclasses import dataclass

from sslseg.config import plugins
from sslseg.config.flags import knob
from sslseg.config.params.inputs import DIVIDED, FOLD, SPLITS
from sslseg.config.params.machine import Machine
from sslseg.config.params.presets import BAD_FILE


@dataclass(frozen=True, kw_only=True)
class Inference(Machine):
    """How a trained model is put on whole volumes. Options are to be chosen on val, with `-e evaluate`."""

    batch_size: int = knob(16, "slices per forward pass", low=1, runtime=True)
    mirror: bool = knob(False, "average with the prediction of the mirrored slices")
    largest: bool = knob(False, "keep the largest 3D component of each class only")
    tile: int = knob(1024, "slices longer than this, in pixels of the network, go through in overlapping tiles; "
                     "0 = never", low=0, high=8192)  # fmt: skip
    on_bad_file: str = knob("stop", BAD_FILE, choices=("stop", "skip"))


@dataclass(frozen=True, kw_only=True)
class Predict(Inference):
    """Segment volumes with a registered model, in the geometry of the input."""

    model: tuple[str, ...] = knob(help="fine-tuned model: run ID, runs:/… or models:/…; several are averaged")
    input: str = knob(help="a file, or a folder of them: NIfTI, NRRD, MetaImage, PNG, TIFF …, DICOM series")
    output: str = knob(help="folder for the masks; must not be the input's")
    pattern: str = knob("*", "which files of an input folder, by name, as a shell writes it")


@dataclass(frozen=True, kw_only=True)
class Evaluate(Inference):
    """Score a model, or masks from elsewhere, per patient in 3D at the original resolution."""

    model: tuple[str, ...] = knob((), "fine-tuned model: run ID, runs:/… or models:/…; several are averaged")
    predictions: str = knob("", "score this folder of masks (of -e predict, or another tool) instead of a model")  # fmt: skip
    dataset: str = knob("demo", "annotated data (file name in src/sslseg/datasets)",
                        choices=plugins.names("datasets"))  # fmt: skip
    data_root: str = knob("", "folder of the data; '' = the built-in one, where the dataset has one")
    split: str = knob("auto", DIVIDED, choices=SPLITS, pattern=FOLD)
    part: str = knob("test", "patients to score: choose options on val, report test",
                     choices=("train", "val", "test", "all"))  # fmt: skip
    allow_transductive: bool = knob(False, "score, and mark the run, when the model has seen these test patients")  # fmt: skip
    resamples: int = knob(2000, "draws of the studentised bootstrap over patients, for 95 % intervals", low=100,
                          high=100000)  # fmt: skip
    contours: str = knob("auto", "distances are between: volume = surfaces in 3D, plane = contours of each slice, "
                         "auto = plane for pictures and volumes of two slices", choices=("auto", "volume", "plane"))  # fmt: skip
    sweep: str = knob("", "score every fine-tuning of this sweep run that has not been, each in a run of its own")  # fmt: skip
    out: str = knob("", "also write the page and its tables here; '' = only to the run", runtime=True)
