"""The hours that docs/how-to/scale.md names are those that its command prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import timeline

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "scale.md"


def test_the_page_has_the_numbers_of_the_command(capsys: pytest.CaptureFixture):
    timeline.main(["--cards", "8"])
    cells = [cell.strip() for cell in capsys.readouterr().out.splitlines()[-1].strip("|").split("|")]
    assert cells[:2] == ["8", "613"]
    assert f"| 8 cards | {' | '.join(cells[1:])} |" in PAGE.read_text()


def test_hours_by_hand():
    """Ten cells of ten seconds a step and no more: on one card the sum, on many the longest chain."""
    parts = {"pretrain-step": 10.0, "finetune-step": 1.0, "validation": 0.0, "beside": 0.0, "import": 5.0}
    found = timeline.foresee("demo", 1, parts)
    work = 5 + 40 * 10 + 30 * 70  # an import, a BYOL of 40 steps, 30 fine-tunings of 70
    assert (found.cells, found.work, found.wall, found.idle) == (32, work, work, 0.0)
    assert timeline.foresee("demo", 1000, parts).wall == 5 + 40 * 10 + 70
