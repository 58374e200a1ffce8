"""How long a study takes on so many cards: its own grid and scheduler, on a clock that is only counted.

    python -m benchmarks.timeline                       # the paper's study on one card and on eight
    python -m benchmarks.timeline --study paper --cards 1 8 --pretrain-step 0.07 --finetune-step 0.062

Nothing is trained. The seconds that go in are arguments; their defaults are those of PARTS, each with its source.
"""

import argparse
from dataclasses import dataclass

from sslseg.config import names, params
from sslseg.plans import cells as grid
from sslseg.plans import studies, timeline
from sslseg.plans.cells import Cell

# [M] noted on one H200 (torch 2.11, commit f047ca7): ResNet-50, 224 px, batch 128 and 192, in the loop, eager. No command
# of this repository repeats them, so they are inputs here and no results. [A] assumed.
PARTS = {
    "pretrain-step": (0.0946, "[M] one step of BYOL"),
    "finetune-step": (0.0940, "[M] one step of a U-Net"),
    "validation": (0.0768, "[M] one validation, 110 slices"),
    "beside": (8.0, "[A] of every cell: data, first plans of cuDNN, test, records, models"),
    "import": (10.0, "[A] an imported encoder"),
}


@dataclass(frozen=True)
class Foreseen:
    """A study on so many cards."""

    cells: int
    work: float  # seconds of all cells
    wall: float  # seconds until the last ends
    listed: float  # likewise, were free cells started in the order of the grid
    idle: float  # share of the cards' time without a cell


def seconds_of(cell: Cell, parts: dict[str, float]) -> float:
    """Of one cell, by its resolved steps and validations."""
    if cell.stage == names.IMPORT:
        return parts["import"]
    p = cell.params("0" * 32 if cell.upstream else None)
    if cell.stage == names.PRETRAIN:
        return parts["beside"] + p.steps * parts["pretrain-step"]
    validations = 1 + -(-p.steps // p.eval_every)
    return parts["beside"] + p.steps * parts["finetune-step"] + validations * parts["validation"]


def foresee(study: str, cards: int, parts: dict[str, float]) -> Foreseen:
    """The study with one worker a card."""
    cells = grid.cells(studies.fill(params.Sweep(study=study)))
    seconds = {cell.name: seconds_of(cell, parts) for cell in cells}
    spans = timeline.simulate(cells, lambda cell: seconds[cell.name], cards)
    listed = timeline.simulate(cells, lambda cell: seconds[cell.name], cards, in_grid_order=True)
    work, wall = sum(seconds.values()), max(span.end for span in spans)
    return Foreseen(
        len(cells), work, wall, max(span.end for span in listed), max(0.0, 1 - work / (cards * wall))
    )


def main(argv: list[str] | None = None) -> None:
    """Print the inputs, and a line for each number of cards."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--study", default="paper", choices=tuple(studies.STUDIES))
    parser.add_argument("--cards", type=int, nargs="+", default=[1, 8])
    for name, (default, said) in PARTS.items():
        parser.add_argument(
            f"--{name}", type=float, default=default, metavar="SECONDS", help=f"{said} (%(default)s)"
        )
    given = vars(parser.parse_args(argv))
    parts = {name: given[name.replace("-", "_")] for name in PARTS}
    for name, (default, said) in PARTS.items():
        print(f"{parts[name]:>8.4g} s  {said if parts[name] == default else f'given: --{name}'}")
    print(
        "\n| cards | cells | hours of work | hours, longest chain first | hours, in the grid's order | cards idle |"
    )
    print("|--:|--:|--:|--:|--:|--:|")
    for cards in given["cards"]:
        f = foresee(given["study"], cards, parts)
        hours = [f"{seconds / 3600:.2f}" for seconds in (f.work, f.wall, f.listed)]
        print(f"| {cards} | {f.cells} | {' | '.join(hours)} | {100 * f.idle:.1f} % |")


if __name__ == "__main__":
    main()
