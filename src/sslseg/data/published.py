"""Floor 1b: figures that others have published on a dataset, to stand beside one's own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One method's agreement with the ground truth, as it is in print.

    Attributes:
        quantity: as `training/clinical.py` names it: "LV EF", "LV EDV" …
        method: who, in words.
        data: which cases; others than ours make the comparison a rough one.
        patients: 0 where the source does not say.
        r, bias, sd: correlation, mean and standard deviation of the errors, in the quantity's unit.
        source: citation.
    """

    quantity: str
    method: str
    data: str
    patients: int
    r: float
    bias: float
    sd: float
    source: str
