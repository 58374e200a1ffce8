"""What is done with an encoder that is there: brought in, looked through, exported."""

from dataclasses import dataclass

from sslseg.config.flags import AUTO, knob
from sslseg.config.params.inputs import Data, Upstream
from sslseg.config.params.machine import Machine
from sslseg.config.params.presets import FINETUNINGS, START, network
from sslseg.config.params.views import Views

NETWORKS = ("target", "online", "teacher", "student", "key", "query", "ema", "raw", "momentum")


@dataclass(frozen=True, kw_only=True)
class ImportEncoder(Machine):
    """Bring weights from elsewhere into the registry, with their origin declared."""

    source: str = knob(help="timm:<name>, file:<path of a checkpoint or its folder> or bundled:efficientnet_lite0")  # fmt: skip
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
class Probe(Machine, Data, Views, Upstream):
    """What an encoder is worth in a minute: its frozen features, without fine-tuning. Never on test."""

    preset: str = knob("cpu", "settings to start from", choices=FINETUNINGS)
    architecture: str = network(FINETUNINGS)


@dataclass(frozen=True, kw_only=True)
class Worklist(Machine, Data, Upstream):
    """Which slices to annotate next, by what an encoder sees in them. Never val or test."""

    preset: str = knob(AUTO, START, choices=FINETUNINGS, pattern=AUTO)
    slices: int = knob(20, "slices to annotate next", low=1)
    choice: str = knob(
        "k-median",
        "rule: k-median = nearest to all slices on average; k-centre = farthest from what is annotated",
        choices=("k-median", "k-centre"),
    )
    per_patient: int = knob(2, "at most so many of one patient on the list", low=1)
    cover: bool = knob(True, "groups, and thirds of the volume within them, take turns")
    image_size: int = knob(128, "side that whole slices are squeezed to for the encoder, pixels", low=32, high=1024)  # fmt: skip
    annotated: int | None = knob(
        None,
        "take only so many of the annotated slices as annotated (nested subset of the seed); none = all",
        low=0,
    )
    simulate: int = knob(
        0, "repetitions of what the list would have gained over random ones, on known labels; 0 = none", low=0
    )
    simulate_with: str = knob("probe", "how slices are scored: a regression on the frozen encoder, or fine-tunings",
                              choices=("probe", "finetune"))  # fmt: skip
    simulate_random: int = knob(10, "random lists that a repetition's list is compared with", low=1)
    simulate_slices: tuple[int, ...] = knob((), "lengths of the simulated lists; none = slices", low=1)
    finetune: str = knob("", "knobs of the simulated fine-tunings, as 'steps=10,batch_size=4'")


@dataclass(frozen=True, kw_only=True)
class Export(Machine):
    """Write an encoder or a fine-tuned model in the formats of other programs, and prove each against its source."""

    model: str = knob(help="run ID, runs:/… or models:/…")
    kind: str = knob("encoder", "what of it: an encoder, or the whole fine-tuned U-Net",
                     choices=("encoder", "segmenter"))  # fmt: skip
    role: str = knob("target", "which of a pretraining's encoders", choices=("target", "online"))
    epoch: int | None = knob(None, "which of a run's kept epochs; none = the last", low=0)
    formats: tuple[str, ...] = knob(
        (), "none = all there are. encoder: timm, torchvision, smp, monai, program, onnx; segmenter: smp, program, onnx",
        choices=("timm", "torchvision", "smp", "monai", "program", "onnx"),
    )  # fmt: skip
    out: str = knob("", "also copy the files into this empty folder; '' = only to the run", runtime=True)
