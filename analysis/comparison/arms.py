"""The arms of a comparison (pipelines that were run), and the ink that each keeps in every figure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sslseg.plans import pipelines

# Paul Tol's muted scheme: told apart by colour-blind readers, and from the colours of pipelines.ROWS
OWN_COLOURS = ("#882255", "#332288", "#117733", "#AA4499", "#999933", "#666666")
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)))


@dataclass(frozen=True)
class Arm:
    """One line of a figure: a pipeline on the datasets it was really run on."""

    label: str  # byol-photos+byol-acdc
    pipeline: str  # row of pipelines.ROWS, or the lineage where there is none
    kind: str  # control | generalist | specialist | hierarchical | own
    colour: str
    marker: str
    dashes: str | tuple


def arms(found: Iterable[tuple[str, str]]) -> tuple[Arm, ...]:
    """Arms of (pipeline, label) pairs, in the order of pipelines.ROWS, unknown ones behind by name.

    Labels that share a row share its colour and differ in their dashes.
    """
    rows = list(pipelines.ROWS)
    pairs = sorted(set(found), key=lambda p: (rows.index(p[0]) if p[0] in rows else len(rows), p))
    made: list[Arm] = []
    for pipeline, label in pairs:
        row = pipelines.ROWS.get(pipeline)
        same = sum(arm.pipeline == pipeline for arm in made)
        own = sum(arm.pipeline not in pipelines.ROWS for arm in made)
        colour = row.colour if row else OWN_COLOURS[own % len(OWN_COLOURS)]
        made.append(
            Arm(label, pipeline, row.kind if row else "own", colour, row.marker if row else "*",
                DASHES[same % len(DASHES)])
        )  # fmt: skip
    return tuple(made)
