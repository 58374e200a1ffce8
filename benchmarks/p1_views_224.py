"""P1: the views that pretraining eats, at the size of the paper."""

from benchmarks.compare import Answer, Question
from benchmarks.views import against_sololearn


def measure() -> Answer:
    """64 slices of 240 x 240, two views each."""
    return against_sololearn(224)


QUESTIONS = (
    Question("P1", "two augmented views per slice, 224 px", "solo-learn's transforms (PIL, torchvision)",
             measure, reach=10, moonshot=20, packages=("torchvision", "pillow")),
)  # fmt: skip
