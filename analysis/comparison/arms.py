"""The arms of a comparison: pipelines that were run, in the order and with the ink that each keeps in every figure."""

from collections.abc import Iterable
from dataclasses import dataclass

from analysis.comparison import ink
from sslseg.plans import pipelines

MOST = 48  # letters of a name in a figure
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)))


@dataclass(frozen=True)
class Arm:
    """One line of a figure: a pipeline on the datasets it was really run on."""

    label: str  # byol@photos+byol@acdc
    pipeline: str  # byol@natural+byol@target
    kind: str  # of pipelines.KINDS
    colour: str
    marker: str
    dashes: str | tuple

    @property
    def name(self) -> str:
        """The label as figures have room for it."""
        text, half = self.label, MOST // 2
        return text if len(text) <= MOST else f"{text[:half]}…{text[-half:]}"


def arms(found: Iterable[tuple[str, str]]) -> tuple[Arm, ...]:
    """Arms of (pipeline, label) pairs: by kind, then by how their hops learn, then by name.

    Labels whose ink is the same (one pipeline on several natural datasets) differ in their dashes.
    """
    made: list[Arm] = []
    for pipeline, label in sorted(set(found), key=lambda pair: (ink.order(pipelines.split(pair[0])), pair)):
        read = pipelines.split(pipeline)
        colour, marker = ink.of(read)
        same = sum((arm.colour, arm.marker) == (colour, marker) for arm in made)
        made.append(Arm(label, pipeline, read.kind, colour, marker, DASHES[same % len(DASHES)]))
    return tuple(made)
