"""Whole sets of settings, by name, and what several stages say alike."""

from typing import Any

from sslseg.config.flags import knob

PRETRAININGS = ("paper", "paper-400", "cpu", "demo")
FINETUNINGS = ("paper-text", "paper-code", "cpu", "demo")
EVERY = ("paper", "paper-400", "paper-text", "paper-code", "cpu", "demo")
START = "settings to start from; auto = the paper's where there is a GPU, else cpu"
BAD_FILE = "a file that cannot be read: stop, or skip and list it"


def network(presets: tuple[str, ...]) -> Any:
    """The knob of the network that a stage makes where no encoder is given."""
    made = {name: "tf_efficientnet_lite0" if name in ("cpu", "demo") else "resnet50" for name in presets}
    return knob(help="timm name of the network; only read for encoder=scratch", presets=made,
                source="[P] 3.4 ResNet-50")  # fmt: skip
