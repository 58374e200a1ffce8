"""P1b: the same at 96 px, where most crops shrink and have to be antialiased."""

from benchmarks.compare import Answer, Question
from benchmarks.views import against_sololearn


def measure() -> Answer:
    """64 slices of 240 x 240, two views each."""
    return against_sololearn(96)


QUESTIONS = (
    Question("P1b", "two augmented views per slice, 96 px, antialiased", "solo-learn's transforms (PIL, torchvision)",
             measure, reach=6, moonshot=15, packages=("torchvision", "pillow")),
)  # fmt: skip
