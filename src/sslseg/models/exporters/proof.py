"""What is exported, and the proof that a file computes what its source does."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sslseg.config.names import EncoderError
from sslseg.data import streams
from sslseg.models import encoder

Answer = Callable[[np.ndarray], np.ndarray]  # images -> what a network gives
ALLOWED = 1e-4  # of the largest value of the source's answer
IMAGES, SIZES = 4, ((96, 96), (64, 160))  # of the batches that are compared


class Unavailable(Exception):  # noqa: N818 a reason, and no fault of the program
    """A format that this network has not."""


@dataclass(frozen=True)
class Source:
    """What is exported: a network of timm's and smp's own layers."""

    folder: Path
    kind: str
    net: nn.Module
    config: dict[str, Any]

    @property
    def architecture(self) -> str:
        """timm name of the encoder."""
        return self.config["architecture"]

    @property
    def channels(self) -> int:
        """Input channels."""
        return encoder.channels_of(self.config)

    @property
    def own(self) -> int:
        """Side of the only image that the network reads, pixels; 0 = it reads others."""
        cfg = encoder.skeleton(self.architecture, 3).pretrained_cfg
        return int(cfg["input_size"][1]) if cfg.get("fixed_input_size") else 0


@dataclass(frozen=True)
class Written:
    """One format."""

    format: str
    file: str = ""  # below the folder of the export
    opens: str = ""  # a line of Python
    gap: float = float("nan")  # of the source's answer, relative to its largest value
    skipped: str = ""  # why there is none

    def row(self) -> dict[str, Any]:
        """Plain values, for export.json."""
        return dataclasses.asdict(self) | {"gap": None if self.skipped else self.gap}


def compared(
    given: Source, name: str, file: Path, opens: str, answer: Answer, own: Answer | None = None
) -> Written:
    """The file of a format that answers as its source does.

    Args:
        own: the source's answer; None: what its network gives.

    Raises:
        EncoderError: it gives something else.
    """
    own = own or answering(given.net)
    gaps = []
    for size in [(given.own, given.own)] if given.own else SIZES:
        noise = streams.stream(0, "export").standard_normal((IMAGES, given.channels, *size))
        images = noise.astype(np.float32)
        wanted, got = own(images), answer(images)
        if wanted.shape != got.shape:
            raise EncoderError(
                f"{name}: wanted an answer {list(wanted.shape)}, the file gives {list(got.shape)}"
            )
        gaps.append(np.abs(wanted - got).max() / max(float(np.abs(wanted).max()), 1e-30))
    gap = float(np.max(gaps))  # Python's max would pass over NaN
    if not gap <= ALLOWED:
        raise EncoderError(
            f"{name}: the file computes something else than its source: {gap:.2g} apart, allowed {ALLOWED:g}"
        )
    return Written(name, f"{name}/{file.name}" if file.name != name else f"{name}/", opens, gap)


def answering(net: Callable[[torch.Tensor], torch.Tensor]) -> Answer:
    """What a network of torch gives."""

    def answer(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return net(torch.from_numpy(images)).numpy()

    return answer
