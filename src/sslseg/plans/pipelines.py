"""The pipelines of the study. A new pipeline is one row of ROWS.

A row is recognised from the lineage of what is there (`match`), never from what a run calls itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sslseg.config.names import FINETUNE, IMPORT, PRETRAIN

NATURAL = "natural"  # any dataset of that domain
TARGET = "target"  # the dataset of the downstream task


@dataclass(frozen=True)
class Stage:
    """One pretraining stage of a pipeline: what runs, how it learns, and from which data."""

    key: str
    stage: str  # names.IMPORT | PRETRAIN | FINETUNE: what a sweep runs for it
    method: str
    data: str  # NATURAL, TARGET or the name of a dataset

    def fits(self, method: str, dataset: str, domain: str, target: str) -> bool:
        """Whether a hop of a lineage is this stage, for the downstream dataset `target`."""
        here = {TARGET: dataset == target, NATURAL: domain == NATURAL and dataset != target}
        return method == self.method and here.get(self.data, dataset == self.data)


@dataclass(frozen=True)
class Row:
    """One pipeline, and its ink: colours are Okabe and Ito's, safe for colour-blind readers."""

    name: str
    hops: tuple[Stage, ...]  # root first; empty = random weights
    kind: str  # control | generalist | specialist | hierarchical | own
    paper: str  # its name in the paper's figures; '' = not in the paper
    colour: str
    marker: str  # matplotlib's letter

    @property
    def order(self) -> int:
        """Place in figures and tables."""
        return list(ROWS).index(self.name)


_SUPERVISED = Stage("supervised", IMPORT, "supervised", NATURAL)
_BYOL_NATURAL = Stage("byol-natural", PRETRAIN, "byol", NATURAL)
_BYOL_TARGET = Stage("byol-target", PRETRAIN, "byol", TARGET)
_PHANTOM = Stage("phantom-supervised", FINETUNE, "supervised", "phantom")

ROWS: dict[str, Row] = {
    row.name: row
    for row in (
        Row("scratch", (), "control", "", "#000000", "o"),
        Row("supervised", (_SUPERVISED,), "generalist", "Supervised ImageNet", "#0072B2", "s"),
        Row("byol-natural", (_BYOL_NATURAL,), "generalist", "BYOL ImageNet", "#56B4E9", "D"),
        Row("byol-target", (_BYOL_TARGET,), "specialist", "BYOL ACDC", "#009E73", "^"),
        Row("supervised+byol-target", (_SUPERVISED, _BYOL_TARGET), "hierarchical",
            "Supervised ImageNet + BYOL ACDC", "#D55E00", "P"),
        Row("byol-natural+byol-target", (_BYOL_NATURAL, _BYOL_TARGET), "hierarchical",
            "BYOL ImageNet + BYOL ACDC", "#E69F00", "X"),
        Row("phantom-supervised", (_PHANTOM,), "own", "", "#CC79A7", "v"),
    )
}  # fmt: skip


def match(hops: Sequence[tuple[str, str, str]], target: str) -> str | None:
    """Name of the row that (method, dataset, domain) of every hop, root first, make; None = no row."""
    for row in ROWS.values():
        if len(row.hops) == len(hops) and all(
            stage.fits(*hop, target) for stage, hop in zip(row.hops, hops, strict=True)
        ):
            return row.name
    return None
